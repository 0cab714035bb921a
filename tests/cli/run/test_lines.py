from __future__ import annotations

import io
from datetime import datetime

import pytest
from tests.support import cli_samples as samples
from tests.support.cli_samples import CUT, delta, healthy, span

from otel_claude_stream.cli.run import lines as lines_module
from otel_claude_stream.cli.run.lines import LineView, QuietView
from otel_claude_stream.cli.run.panel import Panel, panel_lines, panel_rows
from otel_claude_stream.cli.view.plain import stream_line
from otel_claude_stream.cli.view.summary import summarise
from otel_claude_stream.cli.view.terminal import Progress

VIEWS = samples.views(healthy(), span(CUT, [delta(0.1), delta(0.2)], start=1.0, seconds=2.2, span_id="1" * 16))
CLOCKS = [f"{datetime.fromtimestamp(view.end / 1e9).astimezone():%H:%M:%S}" for view in VIEWS]
GOOD = f"    1.5 s  {CLOCKS[0]}  ✓ completed  claude-sonnet-5  took 2.00 s  TTFT 400 ms  silence 400 ms  60 tok/s"
BAD = (
    f"    1.5 s  {CLOCKS[1]}  ✗ failed     connection closed  claude-sonnet-5  took 2.20 s  TTFT 400 ms  "
    "silence 2.00 s  idle:2s (nginx, AWS ALB)"
)


def progress(elapsed: float = 1.5, **more) -> Progress:
    return Progress(VIEWS, None, more.pop("open", 0), elapsed, **{"running": True, **more})


def test_a_line_for_each_stream() -> None:
    out = io.StringIO()
    lines = LineView(out)
    for _ in range(2):
        lines.update(progress())
    lines.finish(VIEWS, summarise(VIEWS))
    assert out.getvalue().splitlines()[:4] == [
        f"[claude] {GOOD}",
        f"[claude] {BAD}",
        "[claude]                      Raise the idle limit.",
        "[claude] 2 streams: 1 completed, 1 failed. HTTP requests: 2.",
    ]


def test_a_line_waits_for_the_tokens() -> None:
    """If the SDK's tracing owns the chat span, the tokens may come in the next export, or never."""
    none = samples.views(span({name: x for name, x in samples.HEALTHY.items() if not name.startswith("gen_ai.usage")}))
    for then, shown, elapsed in ((samples.views(span(samples.HEALTHY)), "tok/s", 1.6), (none, "silence", 2.1)):
        out = io.StringIO()
        lines = LineView(out)
        lines.update(Progress(none, None, 0, 1.5, running=True))
        assert out.getvalue() == ""
        lines.update(Progress(then, None, 0, elapsed, running=True))
        lines.update(Progress(then, None, 0, 9.0, running=True))
        assert out.getvalue().count("\n") == 1
        assert shown in out.getvalue()


def test_a_line_every_ten_seconds_while_streams_are_open_for_long() -> None:
    out = io.StringIO()
    lines = LineView(out)
    for elapsed in (5.0, 11.0, 12.0, 21.0, 22.0):
        lines.update(Progress((), None, 2, elapsed, running=True, oldest=elapsed - 1))
    lines.update(Progress((), None, 2, 40.0, running=True, oldest=3.0))
    assert out.getvalue().splitlines() == [
        "[claude]    11.0 s  2 open, the oldest for 10.0 s",
        "[claude]    21.0 s  2 open, the oldest for 20.0 s",
    ]


def test_the_quiet_view_prints_messages_only() -> None:
    out = io.StringIO()
    view = QuietView(out)
    view.update(progress())
    view.finish(VIEWS, summarise(VIEWS))
    assert out.getvalue() == ""
    view.print("warning: x\nand y")
    assert out.getvalue() == "[claude] warning: x\n[claude] and y\n"


def test_colours() -> None:
    assert stream_line(VIEWS[0], 1.5) == GOOD
    assert stream_line(VIEWS[0], 1.5, colours=True).startswith(
        f"    1.5 s  {CLOCKS[0]}  \x1b[32m✓ completed\x1b[0m  claude"
    )


@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize("rows", [5, 10])
def test_a_panel_has_the_size_of_its_lines(width: int, rows: int, *, colours: bool) -> None:
    for views in ((), VIEWS, VIEWS * 20):
        lines = panel_lines(Progress(views, None, 1, 3.0, running=True, oldest=2.0), width, rows, colours=colours)
        assert len(lines) == rows
        assert all(len(line) <= width + (len("\x1b[32m") if colours else 0) for line in lines)
    assert "40 streams ended · 1 open, the oldest for 2.00 s" in lines[0] or width == 20


def test_a_panel_takes_at_most_a_third_of_the_terminal() -> None:
    assert [panel_rows(height) for height in (15, 24, 100)] == [5, 8, 10]
    assert not Panel.fits(io.StringIO())


@pytest.mark.parametrize("colours", [False, True])
def test_control_characters_of_a_stream_and_a_message_are_escaped(
    monkeypatch: pytest.MonkeyPatch, colours: bool
) -> None:
    monkeypatch.setattr(lines_module, "use_colours", lambda *_: colours)
    evil = {
        name: f"{value}\x1b]0;PWNED\x07\x9b31m\u202e\r\nINJECTED" if isinstance(value, str) else value
        for name, value in CUT.items()
    }
    out = io.StringIO()
    view = LineView(out)
    views = samples.views(span(evil), span({**samples.HEALTHY, "gen_ai.request.model": "m\x1b[31m"}, span_id="1" * 16))
    view.update(Progress(views, None, 0, 1.5, running=True))
    view.finish(views, summarise(views))
    view.print("warning: /v1/\x1b]0;PWNED\x07\r\x85\u2028INJECTED")
    text = out.getvalue()
    assert text.count("\x1b") == (2 if colours else 0), "the colour of the outcome that is known"
    assert not set(text) & {"\x9b", "\u202e", "\x07", "\r", "\x85", "\u2028"}
    assert "m\\x1b[31m" in text
    assert all(line.startswith("[claude] ") for line in text.splitlines())
