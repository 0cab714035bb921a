from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import cli_samples as samples
from tests.support.cli_samples import CUT, HEALTHY, delta, healthy, span

from otel_claude_stream.cli.view.attribute_values import line
from otel_claude_stream.cli.view.model import Tokens, streams
from otel_claude_stream.cli.view.summary import percentile, summarise
from otel_claude_stream.cli.view.timeline import Attempt


def test_a_healthy_stream() -> None:
    view = samples.view(healthy())
    assert (view.model, view.outcome, view.reason, view.phase) == ("claude-sonnet-5", "completed", "", "finishing")
    assert (view.ttft, view.longest_silence, view.duration, view.retries) == (0.4, 0.4, 2.0, 0)
    assert view.tokens == Tokens(412, 96)
    assert view.gaps == ()
    assert [mark.kind for mark in view.marks[:3]] == ["structure", "structure", "text"]
    assert len(view.marks) == 33


def test_only_stream_spans_of_this_package_are_streams() -> None:
    stream, attempt = healthy(), span(name="claude.stream.attempt", span_id="1" * 16, parent="00f067aa0ba902b7")
    foreign = span({"gen_ai.request.model": "x"}, name="chat x", span_id="2" * 16)
    spans = [*samples.decoded(stream, attempt), *samples.decoded(foreign, scope="another.library")]
    assert [view.model for view in streams(spans)] == ["claude-sonnet-5"]


def test_a_span_that_came_twice_counts_once() -> None:
    assert len(samples.views(healthy(), healthy())) == 1


def test_a_span_without_attributes() -> None:
    view = samples.view(span(name="", seconds=0.0))
    assert (view.model, view.outcome, view.reason, view.ttft) == ("unknown", "unknown", "", None)
    assert (view.duration, view.retries, view.tokens) == (0.0, 0, Tokens(None, None))
    assert (view.marks, view.gaps, view.attempts) == ((), (), ())


def test_a_clock_that_went_back() -> None:
    view = samples.view(span(HEALTHY, [delta(1.0), delta(-3.0)], seconds=-5.0))
    assert view.duration == 0.0
    assert [mark.at for mark in view.marks] == [0.0, 0.0]


def test_values_of_other_types_and_sizes() -> None:
    attributes = {
        "claude.stream.outcome": "exploded",
        "claude.stream.time_to_first_token": "soon",
        "claude.stream.longest_silence": float("inf"),
        "claude.stream.attempt.count": True,
        "claude.stream.abort.suspects": "nginx",
        "claude.stream.abort.reason": 7,
        "gen_ai.request.model": ["a", "b"],
        "gen_ai.usage.input_tokens": float("nan"),
    }
    event = (samples.DELTA, 0.5, {"claude.stream.event.coalesced": -2, "claude.stream.event.gap": "x"})
    view = samples.view(span(attributes, [event, ("claude.stream.never_seen", 0.6, {}), ("theirs", 0.7, {})]))
    assert (view.outcome, view.ttft, view.longest_silence, view.requests) == ("exploded", None, None, 1)
    assert (view.suspects, view.reason, view.model) == (("nginx",), "7", "a, b")
    assert view.tokens == Tokens(None, None)
    assert [(mark.kind, mark.count) for mark in view.marks] == [("other", 1), ("unknown", 1)]


def test_a_call_that_waited_in_vain_for_a_permit_sent_no_request() -> None:
    failed = {"claude.stream.outcome": "failed", "claude.stream.abort.reason": "queue_timeout"}
    view = samples.view(span({**failed, "claude.stream.attempt.count": 0}))
    assert (view.requests, view.retries, view.reason) == (0, 0, "queue_timeout")


def test_ten_thousand_events() -> None:
    view = samples.view(span(HEALTHY, [delta(n / 5000) for n in range(10_000)]))
    assert len(view.marks) == 10_000
    assert view.gaps == ()


@pytest.mark.parametrize("owner", ["child", "parent"])
def test_the_usage_comes_from_the_owner_of_the_chat_span(owner: str) -> None:
    without_usage = {name: found for name, found in HEALTHY.items() if not name.startswith("gen_ai.usage")}
    stream_id, chat_id = "1" * 16, "2" * 16
    stream = span(without_usage, name="claude.stream x", span_id=stream_id, parent=chat_id if owner == "parent" else "")
    chat = span({"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 8}, span_id=chat_id)
    chat["parentSpanId"] = stream_id if owner == "child" else ""
    spans = [*samples.decoded(stream), *samples.decoded(chat, scope="com.anthropic.sdk.python")]
    assert [view.tokens for view in streams(spans)] == [Tokens(7, 8)]


def test_output_tokens_of_a_broken_stream_are_not_known() -> None:
    assert samples.view(span(CUT)).tokens == Tokens(412, None)


class TestGaps:
    def test_before_the_first_token(self) -> None:
        early = ("claude.stream.message_start", 0.1, {})
        (gap,) = samples.view(span(HEALTHY, [early, delta(1.5), delta(1.6)], seconds=1.7)).gaps
        assert (gap.start, gap.end, gap.kind, gap.labelled) == (0.05, 1.5, "first", True)

    def test_silence(self) -> None:
        (gap,) = samples.view(span(CUT, [delta(0.1), delta(0.2)], seconds=2.2)).gaps
        assert (gap.start, gap.end, gap.kind) == (0.2, 2.2, "silent")

    def test_pings_one_by_one(self) -> None:
        attrs = {name: found for name, found in HEALTHY.items() if name != "claude.stream.longest_silence"}
        pings = [("claude.stream.ping", 0.5 * n, {}) for n in range(1, 6)]
        (gap,) = samples.view(span(attrs, [delta(0.1), *pings, delta(2.9)], seconds=3.0)).gaps
        assert (gap.kind, gap.pings) == ("pings", 5)

    def test_pings_in_one_event_before_the_gap(self) -> None:
        pings = ("claude.stream.ping", 0.05, {"claude.stream.event.coalesced": 8, "claude.stream.event.duration": 2.7})
        (gap,) = samples.view(span(HEALTHY, [pings, delta(0.1), delta(2.9)], seconds=3.0)).gaps
        assert gap.kind == "pings"

    def test_the_caller_was_busy(self) -> None:
        attrs = {**HEALTHY, "claude.stream.caller.time": 2.5}
        late = delta(2.9, **{"claude.stream.event.gap": 0.01})
        (gap,) = samples.view(span(attrs, [delta(0.1), late], seconds=3.0)).gaps
        assert gap.kind == "caller"

    def test_none_if_events_were_dropped(self) -> None:
        view = samples.view(span({**HEALTHY, "claude.stream.event.dropped": 5}, [delta(0.1), delta(1.9)]))
        assert (view.gaps, view.marks_dropped) == ((), 5)

    def test_none_for_an_http_error(self) -> None:
        assert samples.view(span({**CUT, "http.response.status_code": 529})).gaps == ()


class TestAttempts:
    def test_from_their_spans(self) -> None:
        failed = {
            "claude.stream.attempt.number": 1,
            "http.response.status_code": 529,
            "claude.stream.retry.reason": "overloaded",
            "claude.stream.retry.delay": 0.5,
            "claude.stream.request_id": "req_1",
        }
        first = span(failed, name="claude.stream.attempt", seconds=0.1, span_id="1" * 16, parent="00f067aa0ba902b7")
        second = span(
            {"claude.stream.attempt.number": 2}, name="claude.stream.attempt", start=0.6, seconds=1.4, span_id="2" * 16,
            parent="00f067aa0ba902b7",
        )  # fmt: skip
        view = samples.view(second, span({**HEALTHY, "claude.stream.attempt.count": 2}), first)
        assert view.retries == 1
        assert view.attempts[0] == Attempt(1, 0.0, 0.1, 529, "overloaded", "req_1", 0.5, None)
        assert (view.attempts[1].number, view.attempts[1].start, view.attempts[1].end) == (2, 0.6, 2.0)

    def test_from_retry_events_alone(self) -> None:
        retry = {
            "http.response.status_code": 429,
            "claude.stream.retry.delay": 1.0,
            "claude.stream.retry.retry_after": 1.0,
        }
        view = samples.view(span(HEALTHY, [("claude.stream.retry", 0.2, retry)]))
        assert [(one.number, one.start, one.end) for one in view.attempts] == [(1, 0.0, 0.2), (2, 1.2, 2.0)]
        assert view.attempts[0].retry_after == 1.0


def test_summary() -> None:
    cut = span(CUT, [delta(0.1)], start=1.0, span_id="1" * 16)
    summary = summarise(samples.views(healthy(), cut))
    assert summary.outcomes == {"completed": 1, "failed": 1, "closed": 0}
    assert summary.reasons == (("connection_closed", 1),)
    assert (summary.ttft_p50, summary.longest_silence, summary.requests) == (0.4, 2.0, 2)
    assert summary.end - summary.start == 3_000_000_000
    assert summarise(()).ttft_p50 is None


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_percentiles_lie_within_the_values(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found is not None
    assert min(values) <= found <= max(values) * 1.000001


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none() | st.tuples(st.text(), st.integers()))
def test_any_value_is_one_printable_line(value: object) -> None:
    shown = line(value)
    assert len(shown) <= 400
    assert shown.isprintable()
