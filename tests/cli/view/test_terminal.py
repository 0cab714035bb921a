from __future__ import annotations

import io
import sys
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import cli_samples as samples
from tests.support.cli_samples import CUT, delta, healthy, span

from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.model import NANO
from otel_claude_stream.cli.view.plain import PlainView
from otel_claude_stream.cli.view.rich_view import RichView, view_for
from otel_claude_stream.cli.view.summary import summarise
from otel_claude_stream.cli.view.terminal import Progress, as_text, status_line, table

VIEWS = samples.views(healthy(), span(CUT, [delta(0.1), delta(0.2)], start=1.0, seconds=2.2, span_id="1" * 16))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(st.integers(1, 250))
def test_a_table_never_exceeds_its_width(width: int) -> None:
    least = 24 + 2 + 11 + 2 + 17  # the columns stream, outcome and reason are always shown
    lines = as_text(table(VIEWS, width)).splitlines()
    assert max(map(len, lines)) <= max(width, least)
    assert len(lines) == 4


def test_less_important_columns_are_left_out_first() -> None:
    assert table(VIEWS, 60).titles == ("stream", "outcome", "reason")
    assert table(VIEWS, 72).titles == ("stream", "outcome", "reason", "consistent with / advi…")
    assert "TTFT" in table(VIEWS, 80).titles
    assert "consistent with / advice" in table(VIEWS, 200).titles
    assert "idle:2s (nginx, AWS ALB)" in as_text(table(VIEWS, 200))


def test_the_reason_is_cut_before_what_identifies_a_stream() -> None:
    """The name and the outcome stay, at any width and also beside texts of another program."""
    assert table(VIEWS, 40).titles == ("stream", "outcome", "reason")
    assert as_text(table(VIEWS, 40)).splitlines()[-1] == "claude-sonnet-5  ✗ failed     connectio…"
    unknown = {**CUT, "claude.stream.abort.reason": "unknown_reason_" * 20, "claude.stream.outcome": "outcome" * 20}
    for width in (40, 60, 80, 120):
        found = table(samples.views(span(unknown)), width)
        assert found.titles[:3] == ("stream", "outcome", "reason")
        assert max(map(len, as_text(found).splitlines())) <= width
    assert "TTFT" in found.titles


def test_an_advice_without_a_column_is_printed_below_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for width, times in ((60, 1), (120, 0)):
        monkeypatch.setenv("COLUMNS", str(width))
        out = io.StringIO()
        PlainView(out).finish((*VIEWS, *VIEWS), summarise(VIEWS))
        assert out.getvalue().count("connection closed: Raise the idle limit.") == times


def test_an_advice_that_its_column_cuts_is_printed_below_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    advice = "Back off with jitter, and spread the load over more than one model or region."
    abort = {"outcome": "failed", "abort.reason": "overloaded", "abort.limit_match": "none", "abort.advice": advice}
    failed = span({f"claude.stream.{key}": value for key, value in abort.items()}, span_id="2" * 16)
    for width, times in ((110, 1), (240, 0)):
        monkeypatch.setenv("COLUMNS", str(width))
        out = io.StringIO()
        PlainView(out).finish(samples.views(failed), summarise(VIEWS))
        assert out.getvalue().count(f"overloaded: {advice}") == times


def test_unusual_data_in_a_table() -> None:
    unusual = samples.views(span(name="chat a\x1b[31m\nb"), span({"claude.stream.outcome": "?"}, span_id="1" * 16))
    text = as_text(table(unusual, 120))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 4
    assert as_text(table((), 80)).splitlines()[0].startswith("stream")


def test_plain_lines_as_streams_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines as those of `run`, with the time of day and the advice."""
    monkeypatch.setenv("COLUMNS", "100")
    out = io.StringIO()
    view = view_for(out)
    assert isinstance(view, PlainView)
    for seen in (VIEWS[:1], VIEWS, VIEWS):
        view.update(Progress(seen, 2, 0, 1.5, running=True))
    view.finish(VIEWS, summarise(VIEWS))
    view.close()
    lines = out.getvalue().splitlines()
    good, bad = (f"{datetime.fromtimestamp(view.end / NANO).astimezone():%H:%M:%S}" for view in VIEWS)
    figures = "TTFT 400 ms  silence 2.00 s  idle:2s (nginx, AWS ALB)"
    assert lines[:3] == [
        f"    1.5 s  {good}  ✓ completed  claude-sonnet-5  took 2.00 s  TTFT 400 ms  silence 400 ms  60 tok/s",
        f"    1.5 s  {bad}  ✗ failed     connection closed  claude-sonnet-5  took 2.20 s  {figures}",
        f"{'':21}Raise the idle limit.",
    ]
    assert lines[-1] == "Reasons: connection closed 1."
    assert max(map(len, lines[3:])) <= 100


def test_live_view_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "90")
    out = Terminal()
    view = view_for(out)
    assert isinstance(view, RichView)
    view.update(Progress(VIEWS, 2, 1, 1.5, running=True))
    view.print("[not markup]")
    view.finish(VIEWS, summarise(VIEWS))
    view.close()
    text = out.getvalue()
    assert "[not markup]" in text
    assert "\x1b[31m" not in text
    assert "connection closed" in text


@pytest.mark.parametrize("missing", ["rich", "terminal"])
def test_plain_lines_if_the_live_view_is_not_possible(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing == "rich":
        for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "rich", None)
    else:
        monkeypatch.setenv("TERM", "dumb")
    assert isinstance(view_for(Terminal()), PlainView)


def test_progress() -> None:
    assert status_line(Progress(VIEWS, 5, 3, 2.4, running=True)) == "2 of 5 streams ended · 3 open · 2 s"
    assert status_line(Progress(VIEWS, None, 3, 2.4, running=False)) == "2 streams ended · 2 s"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, formatting.DASH), (float("nan"), formatting.DASH),
     (0.0, "0 ms"), (0.9994, "999 ms"), (0.9996, "1.00 s"), (9.999, "10.0 s"),
     (63.21, "63.2 s"), (119.97, "2 min 00 s"), (723.4, "12 min 03 s"), (20001.0, "5 h 33 min")],
)  # fmt: skip
def test_durations(value: float | None, shown: str) -> None:
    assert formatting.seconds(value) == shown
