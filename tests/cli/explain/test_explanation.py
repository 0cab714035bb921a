"""Explanations as data and as text."""

from __future__ import annotations

import io
import re

import pytest
from tests.support import cli_samples as samples
from tests.support.explanations import as_text, explained, explained_spans

from otel_claude_stream.cli.explain.text import Subject, show
from otel_claude_stream.cli.view.explanation import consistent_with
from otel_claude_stream.testing import Script


def test_a_stall_between_deltas_of_one_mark_is_in_the_timeline() -> None:
    """The deltas of a block may be one event of the span. A stall between them is a separate event."""
    run = {"claude.stream.event.coalesced": 9, "claude.stream.event.duration": 50.0, "claude.stream.event.gap": 45.0}
    stall = ("claude.stream.stall", 12.0, {"claude.stream.event.gap": 10.0})
    (found,) = explained_spans(samples.span(samples.HEALTHY, (samples.delta(1.0, **run), stall), seconds=51.0))
    stalls = [(m.at, m.what) for m in found.timeline if m.kind == "stall"]
    assert stalls == [(12.0, "stall: no content for 10.0 s so far")]


@pytest.mark.parametrize(
    ("match", "suspects", "text"),
    [
        ("idle:60s", ("nginx", "Kong"), "Consistent with an idle limit of 60 s: nginx, Kong."),
        (
            "duration:29s",
            ("AWS API Gateway",),
            "Consistent with a limit on the whole response of 29 s: AWS API Gateway.",
        ),
        (
            "ambiguous",
            ("a", "b"),
            "Consistent with an idle limit as well as with a limit on the whole response: a, b.",
        ),
        ("idle:7s", (), "Consistent with an idle limit of 7 s: no known product by default."),
        ("none", ("nginx",), "Consistent with no known time limit. The response names nginx."),
        ("none", (), "Consistent with no known time limit."),
        ("", (), ""),
    ],
)
def test_a_stream_is_never_more_than_consistent_with_a_limit(match: str, suspects: tuple[str, ...], text: str) -> None:
    assert consistent_with(match, suspects) == text


def test_endings_by_the_caller_or_the_api_are_not_compared_with_limits() -> None:
    left = {"claude.stream.outcome": "closed", "claude.stream.abort.reason": "caller_closed"}
    (found,) = explained_spans(samples.span({**samples.HEALTHY, **left, "claude.stream.abort.origin": "caller"}))
    assert (found.consistent, found.advice) == ("", "Nothing to change: the application ended the stream itself.")
    assert explained(Script.http_error(529)).consistent == ""


def test_a_rule_of_another_version_has_no_description() -> None:
    (found,) = explained_spans(samples.span({**samples.CUT, "claude.stream.abort.rule": "from_the_future"}))
    assert (found.rule, found.because) == ("from_the_future", "")
    assert "(rule from_the_future)" in as_text(found)
    (found,) = explained_spans(samples.span({**samples.CUT, "claude.stream.abort.advice": ""}))
    assert "(rule not known)" in as_text(found)
    assert "No advice." in as_text(found)


def test_a_recovered_cut_is_explained_although_the_stream_completed() -> None:
    """The limit is in the timeline and in the diagnosis, and the advice is about it."""
    cut = {
        "claude.stream.attempt.number": 1,
        "claude.stream.abort.reason": "connection_closed",
        "claude.stream.abort.limit_match": "idle:60s",
        "claude.stream.abort.suspects": ["nginx"],
        "claude.stream.abort.advice": "Raise proxy_read_timeout.",
    }
    parent = {"name": "claude.stream.attempt", "parent": "00f067aa0ba902b7"}
    first = samples.span(cut, seconds=0.5, span_id="1" * 16, **parent)
    second = samples.span({"claude.stream.attempt.number": 2}, start=1.0, seconds=1.0, span_id="2" * 16, **parent)
    stream = samples.span({**samples.HEALTHY, "claude.stream.attempt.count": 2})
    (found,) = explained_spans(first, second, stream)
    assert "attempt 1 failed: connection closed, consistent with idle:60s (nginx)" in [m.what for m in found.timeline]
    assert found.consistent == "Retried after a cut at idle:60s (nginx)."
    assert found.advice == "Raise proxy_read_timeout."


def test_attempts_before_the_stream_are_in_the_timeline() -> None:
    retry = {"claude.stream.retry.reason": "overloaded", "claude.stream.retry.delay": 0.5}
    span = samples.span(
        {**samples.HEALTHY, "claude.stream.attempt.count": 2, "claude.stream.time_to_headers": 0.8},
        (("claude.stream.retry", 0.1, retry), *samples.HEALTHY_EVENTS[1:]),
    )
    (found,) = explained_spans(span)
    assert found.timeline[1].what == "attempt 1 failed: overloaded; next attempt after 500 ms"
    assert dict(found.evidence)["HTTP requests"] == "2"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("term", "no_colour", "coloured"), [("xterm-256color", "", True), ("dumb", "", False), ("xterm", "1", False)]
)
def test_a_terminal_shows_colours_and_the_same_text(term: str, no_colour: str, coloured: bool, monkeypatch) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", no_colour)
    out, plain = Terminal(), io.StringIO()
    subjects = [Subject(samples.view(samples.span(samples.CUT)), "x", "spans")] * 2
    show(subjects, out)
    show(subjects, plain)
    assert ("\x1b[1;31m" in out.getvalue()) is coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()) == plain.getvalue()
    assert "\x1b" not in plain.getvalue()
    assert "Raise the idle limit." in plain.getvalue()
