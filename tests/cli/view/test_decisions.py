"""Decisions of a policy as text, and the lanes of streams that it retried or continued."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support import cli_samples as samples
from tests.support.cli_samples import CUT, HEALTHY, delta, healthy, span
from tests.support.report_pages import data_of, page_of

from otel_claude_stream._core.retry.context import Blocker
from otel_claude_stream._core.retry.resume.seam import SeamResult
from otel_claude_stream.cli.view import decisions
from otel_claude_stream.cli.view.explanation import explanation
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.plain import stream_line
from otel_claude_stream.cli.view.summary import summarise
from otel_claude_stream.cli.view.terminal import summary_lines, table
from otel_claude_stream.cli.view.timeline import FITTING

PARENT = "00f067aa0ba902b7"


def decision(at: float, decision: str, blocked: str = "none", *, dry_run: bool = False, **more: Any) -> samples.Event:
    return "claude.stream.retry", at, {
        "claude.stream.attempt.number": 1,
        "claude.stream.retry.decision": decision,
        "claude.stream.retry.reason": "overloaded",
        "claude.stream.retry.blocked_by": blocked,
        "claude.stream.retry.dry_run": dry_run,
        "claude.stream.phase": "streaming",
        **more,
    }  # fmt: skip


def seam(at: float, result: str = "anchor") -> samples.Event:
    return "claude.stream.resume", at, {
        "claude.stream.attempt.number": 2,
        "claude.stream.resume.strategy": "user_continue",
        "claude.stream.resume.seam": result,
        "claude.stream.content.characters": 12,
    }  # fmt: skip


def attempt(number: int, start: float, end: float, status: int, **more: Any) -> dict[str, Any]:
    attributes = {"claude.stream.attempt.number": number, "http.response.status_code": status, **more}
    return span(
        attributes,
        name="claude.stream.attempt",
        start=start,
        seconds=end - start,
        span_id=f"{number:016x}",
        parent=PARENT,
    )


def told(view: StreamView) -> list[str]:
    """Return the decisions and seams in the story of a stream."""
    moments = [moment for moment in explanation(view).timeline if moment.what.startswith("request ") and moment.at]
    return [f"{moment.at:.2f} s: {moment.what}" for moment in moments]


BACKOFF = {"claude.stream.retry.delay": 1.5, "claude.stream.retry.delay_source": "backoff"}
RESUMED = {
    **HEALTHY,
    "claude.stream.attempt.count": 2,
    "claude.stream.recovery.action": "resume",
    "claude.stream.attempt.characters": [12, 8],
    "claude.stream.attempt.input_tokens": [412, 440],
    "claude.stream.attempt.output_tokens": [0, 31],
}


def resumed(result: str = "anchor", attributes: dict[str, Any] | None = None) -> StreamView:
    """A text that begins at 0.4 s, breaks at 1 s, is resumed at 2.5 s, and continues at 3.5 s."""
    texts = [delta(0.4), delta(0.7), delta(0.99), delta(3.5), delta(3.8)]
    resume = decision(1.0, "resume", **BACKOFF, **{"claude.stream.retry.budget": 5.0})
    stream = span(attributes or RESUMED, [*texts, resume, seam(3.5, result)], seconds=4.0)
    broken = {"claude.stream.retry.reason": "overloaded", "claude.stream.retry.delay": 1.5}
    return samples.view(stream, attempt(1, 0.0, 1.0, 200, **broken), attempt(2, 2.5, 4.0, 200))


def test_a_stream_that_was_continued() -> None:
    view = resumed()
    assert decisions.policy_summary(view) == "continued"
    assert told(view) == [
        (
            "1.00 s: request 1: overloaded (streaming); the retry policy: continue the text after 1.50 s (backoff); "
            "budget left: 5.0"
        ),
        (
            "3.50 s: request 2: the text continues after 12 characters; it repeated the end of the text "
            "(resumed in a user's turn)"
        ),
    ]  # fmt: skip
    assert [(gap.start, gap.end, gap.kind) for gap in view.gaps] == [(2.5, 3.5, "seam")]  # the backoff is not a gap
    assert view.long_gaps == 0
    assert (view.tokens.input, view.tokens.output) == (440, 31)
    assert view.rate is None


IDLE = {
    "claude.stream.abort.reason": "connection_closed",
    "claude.stream.abort.limit_match": "idle:60s",
    "claude.stream.abort.suspects": ["nginx", "AWS ALB", "Kong"],
}
NO_LIMIT = {"claude.stream.abort.reason": "overloaded", "claude.stream.abort.limit_match": "none"}


def cut_and(action: str, *, outcome: dict[str, Any] = RESUMED, verdict: dict[str, Any] = IDLE) -> StreamView:
    """A stream whose first request was cut at 1 s, after which the policy took an action."""
    stream = span(outcome, [delta(0.4), decision(1.0, action, **BACKOFF), seam(3.5)], seconds=4.0)
    return samples.view(stream, attempt(1, 0.0, 1.0, 200, **verdict), attempt(2, 2.5, 4.0, 200))


@pytest.mark.parametrize(("action", "verb"), [("resume", "resumed"), ("retry", "retried")])
def test_a_recovered_cut_is_named_with_its_limit_and_products(action: str, verb: str) -> None:
    """In the line and the table of `run`, in its figures, and in the report."""
    view = cut_and(action)
    text = f"{verb} after a cut at idle:60s (nginx, AWS ALB, …)"
    assert decisions.recovered_cuts(view) == text
    assert text in stream_line(view, 4.0)
    assert text in table([view], 300).rows[0]
    line = "Cuts that a retry or resume recovered: 2 at idle:60s (nginx, AWS ALB, …)."
    assert line in summary_lines(summarise([view, view, samples.view(healthy(span_id="3" * 16))]))
    head, (lane,) = data_of(page_of(view))
    texts = {name: head["texts"][name][0] for name in ("cuts", "limit", "suspects")}
    assert texts == {"cuts": [text], "limit": ["idle:60s"], "suspects": ["nginx, AWS ALB, Kong"]}
    broken = lane["attempts"][0]
    assert (broken["reason"], broken["limit_match"]) == ("connection_closed", "idle:60s")


def test_other_failures_and_failed_streams_have_no_recovered_cut() -> None:
    """A stream that failed at a limit names its own."""
    assert decisions.recovered_cuts(cut_and("resume", verdict=NO_LIMIT)) == ""
    failed = {**CUT, "claude.stream.attempt.count": 2}
    view = cut_and("resume", outcome=failed)
    assert "after a cut" not in stream_line(view, 4.0)
    assert summarise([view]).recovered_cuts == ()


def test_request_ids_are_shown_for_support() -> None:
    stream = span({**HEALTHY, "claude.stream.attempt.count": 2}, [delta(3.0)], seconds=4.0)
    refused = attempt(1, 0.0, 0.5, 529, **{"claude.stream.request_id": "req_<1>"})
    head, (lane,) = data_of(page_of(samples.view(stream, refused, attempt(2, 2.0, 4.0, 200))))
    assert [one["request_id"] for one in lane["attempts"]] == ["req_<1>", ""]
    assert head["texts"]["requests_ids"][0] == ["req_<1>"]


def test_the_lane_of_a_continued_stream() -> None:
    head, (lane,) = data_of(page_of(resumed()))
    assert [(one["start"], one["end"], one["status"]) for one in lane["attempts"]] == [(0.0, 1.0, 200), (2.5, 4.0, 200)]
    assert [seam[:2] for seam in lane["seams"]] == [[3.5, True]]
    assert head["texts"]["policy"][0] == head["texts"]["recovery"][0] == ["continued"]


def test_a_resumed_text_without_a_seam() -> None:
    failed = {**CUT, "claude.stream.attempt.count": 2, "claude.stream.recovery.action": "resume"}
    view = resumed("mismatch", failed)
    assert decisions.policy_summary(view) == "given up: no seam"
    assert [fits for _, fits, _ in data_of(page_of(view))[1][0]["seams"]] == [False]
    assert table([view], 120).rows[0][3] == "given up: no seam"


def test_a_fallback_names_the_model() -> None:
    fallback = {"claude.stream.retry.delay": 0.0, "claude.stream.fallback.model": "claude-sonnet-5"}
    attributes = {**HEALTHY, "claude.stream.recovery.action": "fallback", "claude.stream.attempt.count": 2}
    view = samples.view(span(attributes, [decision(0.5, "fallback", **fallback), delta(1.0)]))
    assert view.policy_result == "retried"
    assert told(view) == [
        "0.50 s: request 1: overloaded (streaming); the retry policy: retry with claude-sonnet-5 after 0 ms"
    ]


def test_a_dry_run_is_not_an_action() -> None:
    view = samples.view(span(CUT, [delta(0.1), decision(1.9, "resume", dry_run=True, **BACKOFF)]))
    assert decisions.policy_summary(view) == ""
    assert "retry policy" not in table([view], 200).titles
    assert told(view) == [
        "1.90 s: request 1: overloaded (streaming); a retry policy would continue the text after 1.50 s (backoff)"
    ]


def test_a_retry_before_the_first_token() -> None:
    """The attempt without content is a box, as a refused one is. The wait for the second attempt is a gap."""
    attributes = {**HEALTHY, "claude.stream.attempt.count": 2, "claude.stream.recovery.action": "retry"}
    stream = span(attributes, [decision(0.5, "retry", **BACKOFF), delta(3.7)], seconds=4.0)
    view = samples.view(stream, attempt(1, 0.0, 0.5, 200), attempt(2, 2.0, 4.0, 200))
    assert decisions.policy_summary(view) == "retried"
    assert [(gap.start, gap.end, gap.kind) for gap in view.gaps] == [(2.0, 3.7, "first")]
    assert [one["status"] for one in data_of(page_of(view))[1][0]["attempts"]] == [200, 200]


def test_attempts_come_from_events_without_attempt_spans() -> None:
    """A sampler may have dropped the spans. The backoff is still not a gap."""
    texts = [delta(0.4), delta(0.7), delta(0.99), delta(3.5), delta(3.8)]
    retried = {**BACKOFF, "http.response.status_code": 200}
    view = samples.view(span(RESUMED, [*texts, decision(1.0, "resume", **retried), seam(3.5)], seconds=4.0))
    assert [(attempt.start, attempt.end) for attempt in view.attempts] == [(0.0, 1.0), (2.5, 4.0)]
    assert [(gap.start, gap.end, gap.kind) for gap in view.gaps] == [(2.5, 3.5, "seam")]


def test_a_block_that_is_one_event_across_the_break() -> None:
    """With coalesced deltas, as in production, both parts of the text are one event, without a gap."""
    run = delta(0.4, **{"claude.stream.event.coalesced": 40, "claude.stream.event.duration": 3.4})
    stream = span(RESUMED, [run, decision(1.0, "resume", **BACKOFF), seam(3.5)], seconds=4.0)
    broken = {"claude.stream.retry.reason": "overloaded", "claude.stream.retry.delay": 1.5}
    view = samples.view(stream, attempt(1, 0.0, 1.0, 200, **broken), attempt(2, 2.5, 4.0, 200))
    assert view.gaps == ()
    assert [fits for _, fits, _ in data_of(page_of(view))[1][0]["seams"]] == [True]


def test_figures_over_all_streams() -> None:
    given_up = samples.view(span(CUT, [delta(0.1), decision(1.9, "give_up", "tool")], span_id="2" * 16))
    summary = summarise([resumed(), given_up, samples.view(healthy(span_id="3" * 16))])
    assert summary.policy_results == (("continued", 1), ("given up", 1))
    assert "Retry policy: 1 continued, 1 given up." in summary_lines(summary)
    assert data_of(page_of(given_up))[0]["texts"]["recovery"][0] == ["given up"]


@pytest.mark.parametrize("blocker", [blocker for blocker in Blocker if blocker is not Blocker.NONE])
def test_every_blocker_has_a_text(blocker: Blocker) -> None:
    view = samples.view(span(CUT, [delta(0.1), decision(1.9, "give_up", blocker.value)]))
    assert decisions.policy_summary(view) == f"given up: {blocker.value.replace('_', ' ')}"
    assert f"give up ({decisions.BLOCKED[blocker.value]})" in told(view)[0]


def test_every_seam_has_a_text() -> None:
    assert set(decisions.SEAMS) == {result.value for result in SeamResult}
    misfits = {SeamResult.RESTART.value, SeamResult.MISMATCH.value, SeamResult.EMPTY.value}
    assert set(decisions.SEAMS) - FITTING == misfits
