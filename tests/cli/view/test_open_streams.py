"""Open streams read from a folder, and their lines on a terminal."""

from __future__ import annotations

import io
import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import cli_samples as samples

from otel_claude_stream.cli.demo.command import LONG_OPEN
from otel_claude_stream.cli.run.lines import LineView
from otel_claude_stream.cli.view.live import DETAIL, HANGS, HEAD, OPEN, live_lines
from otel_claude_stream.cli.view.model import NANO
from otel_claude_stream.cli.view.open_streams import LiveFolder, OpenStream
from otel_claude_stream.cli.view.plain import PlainView
from otel_claude_stream.cli.view.rich_view import view_for
from otel_claude_stream.cli.view.telemetry import Telemetry
from otel_claude_stream.cli.view.terminal import Progress, status_line

PID = str(os.getpid())
ADVICE = "Consistent with an idle limit of 2 s, which cuts streams that are silent for longer. Raise it, or send pings."
VIEWS = samples.views(
    samples.healthy(),
    samples.span({**samples.CUT, "claude.stream.abort.advice": ADVICE, "claude.stream.request_id": "req_" + "7" * 24},
                 start=1.0, seconds=2.2, span_id="1" * 16),
)  # fmt: skip


AREAS = {
    "silent": ["silent"], "pings": ["pings"], "receiving,": [""], "no": ["asked", "backoff"], "not": ["caller"],
    "back-off": ["backoff"],
}  # fmt: skip


def row(**more: Any) -> dict[str, Any]:
    return {
        "key": "a" * 32 + "/" + "b" * 16, "model": "claude-sonnet-5", "port": 443, "age": 50.0, "attempt": 1,
        "failed": "", "request_id": "req_1", "part": "thinking", "doing": "wait", "seconds": 40.0, "gap": 40.0, **more,
    }  # fmt: skip


def write(folder: Path, *rows: dict[str, Any], at: float = 1000.0, pid: str = PID) -> None:
    (folder / f"{pid}.json").write_text(json.dumps({"at": at, "streams": rows}))


def read(folder: Path, now: float = 1001.0) -> tuple[OpenStream, ...] | None:
    return LiveFolder(str(folder), clock=lambda: now).read()


@pytest.mark.parametrize(
    ("more", "doing", "hangs"),
    [
        ({}, "silent for 41.0 s, in thinking", 41.0),
        ({"stall": "30s"}, "silent for 41.0 s, in thinking", 41.0),
        ({"part": "tool_use", "attempt": 2}, "silent for 41.0 s, in a tool call, attempt 2", 41.0),
        ({"part": "awaiting_first_token"}, "silent for 41.0 s, awaiting first token", 41.0),
        ({"seconds": -0.5, "gap": 40.0}, "pings only for 41.0 s, in thinking", 41.0),
        ({"seconds": -0.5, "gap": -0.5, "part": "text"}, "receiving, in text", 0.5),
        ({"doing": "request", "attempt": 3}, "no response for 41.0 s, attempt 3", 41.0),
        ({"doing": "caller"}, "not read for 41.0 s, the application is busy", 0.0),
        ({"doing": "caller", "seconds": -0.5}, "receiving, in thinking", 0.0),
        ({"doing": "permit", "seconds": 1.0, "attempt": 0, "queued": 3},
         "no permit for 2.00 s, 3 requests in the queue", 2.0),
        ({"doing": "back_off", "seconds": 4.0, "gap": 2.0, "attempt": 2, "failed": "rate_limited"},
         "back-off 3.00 s, attempt 2 after rate limited", 3.0),
    ],
)  # fmt: skip
def test_what_an_open_stream_does(tmp_path: Path, more: dict[str, Any], doing: str, hangs: float) -> None:
    """One second after the file was written, which all times contain."""
    write(tmp_path, row(**more))
    (found,) = read(tmp_path)
    assert (found.doing, found.hangs) == (doing, hangs)
    assert found.lasts == (row(**more)["seconds"] + 1.0 if more.get("doing") == "caller" else hangs)
    assert found.stall == more.get("stall", "")
    assert found.area in AREAS[doing.split(maxsplit=1)[0]]
    assert (found.started, found.age, found.name) == (950.0, 51.0, "claude-sonnet-5")


def test_files_that_count_no_longer(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    write(tmp_path, row())
    assert len(read(tmp_path)) == 1
    assert read(tmp_path, now=1011.0) == (), "its process has stopped writing"
    (tmp_path / f"{PID}.json").unlink()
    write(tmp_path, row(), pid="4194305")  # above the largest ID of a process on Linux
    assert read(tmp_path) == ()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"at": "x", "streams": []}', '{"at": 1000, "streams": [{}]}', '{"at": 1000, "streams": [7]}',
     '{"at": 1000, "streams": null}', "[" * 100_000],
)  # fmt: skip
def test_a_file_of_another_program_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{PID}.json").write_text(text)
    assert read(tmp_path) == ()


def test_a_listing_that_misses_a_file_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is being replaced may be missing in a listing of the folder."""
    write(tmp_path, row())
    folder = LiveFolder(str(tmp_path), clock=lambda: 1001.0)
    assert len(folder.read()) == 1
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))
    assert len(folder.read()) == 1


def test_control_characters_of_an_open_stream_are_escaped(tmp_path: Path) -> None:
    evil = "x\x1b]0;PWNED\x07\u202e\r\nINJECTED"
    write(tmp_path, row(model=evil, request_id=evil, part=evil))
    streams = read(tmp_path)
    out = io.StringIO()
    LineView(out).update(Progress((), None, 1, 60.0, running=True, oldest=51.0, open_streams=streams))
    shown = out.getvalue() + "".join(line.text for line in live_lines(progress(*streams), 200, 9))
    assert not set(shown) & {"\x1b", "\x07", "\u202e", "\r"}
    assert "PWNED" in shown
    assert all(line.startswith("[claude] ") for line in out.getvalue().splitlines())


def test_a_stream_is_open_or_ended_and_the_counts_agree(tmp_path: Path) -> None:
    ended = samples.healthy(span_id="c" * 16)
    write(tmp_path, row(), row(key=f"{samples.TRACE}/{'c' * 16}", age=70.0))
    telemetry = Telemetry(live=LiveFolder(str(tmp_path), clock=lambda: 1001.0).read)
    before = telemetry.snapshot()
    assert (before.open, before.oldest, len(before.open_streams)) == (2, 71.0, 2)
    telemetry.add("traces", samples.traces(ended))
    after = telemetry.snapshot()
    assert (len(after.views), after.open, after.oldest, len(after.open_streams)) == (1, 1, 51.0, 1)


def test_a_stream_is_open_until_its_span_has_come(tmp_path: Path) -> None:
    """The sum of open and ended streams never falls. A span that a sampler drops is waited for 2 s."""
    now = [100.0]
    live = LiveFolder(str(tmp_path), clock=lambda: 1001.0).read
    telemetry = Telemetry(live=live, clock=lambda: now[0])
    write(tmp_path, row(), row(key=f"{samples.TRACE}/{'c' * 16}", age=70.0), row(key=""), row(key=""))
    assert telemetry.snapshot().open == 4
    write(tmp_path)
    now[0] = 101.0
    found = telemetry.snapshot()
    assert [(one.doing, one.hangs, one.age) for one in found.open_streams] == [
        ("ending", 0.0, 71.0),
        ("ending", 0.0, 51.0),
    ]
    assert (found.open, found.oldest) == (2, 71.0)
    telemetry.add("traces", samples.traces(samples.healthy(span_id="c" * 16)))
    found = telemetry.snapshot()
    assert (len(found.views), found.open) == (1, 1)
    now[0] = 102.1
    assert telemetry.snapshot().open == 0


def stream(n: int = 0, doing: str = "silent for 41.0 s, in thinking", hangs: float = 41.0) -> OpenStream:
    return OpenStream(f"k{n}", "", "claude-sonnet-5", 443, 1000.0 + n, 50.0 - n, doing, hangs, f"req_{n:024d}")


def progress(*streams: OpenStream, views=VIEWS) -> Progress:
    return Progress(views, None, len(streams), 3.0, running=True, oldest=50.0, open_streams=streams)


@given(st.integers(1, 250))
def test_reason_limit_and_advice_are_shown_at_any_width(width: int) -> None:
    lines = live_lines(progress(stream()), width, 200)
    texts = [line.text for line in lines]
    assert all(len(text) <= max(width, 20) for text in texts)
    shown = re.sub(r"\s+", " ", " ".join(texts))
    assert ADVICE in shown or width < 30, "a word is longer than the line"
    if width >= 34:  # the state and the reason
        assert "connection closed" in shown
        assert "silent for 41.0 s" in shown
        assert "in thinking" in shown
    if width >= 44:
        assert "req_" + "7" * 24 in shown
        assert "req_" + "0" * 24 in shown
        assert re.search(r"\d\d:\d\d:\d\d", shown)
        assert "idle:2s (nginx, AWS ALB)" in shown


def test_a_time_is_the_moment_of_its_figures() -> None:
    """So it agrees with the seconds at the beginning of a plain line, for open and ended streams."""
    head, line, *_ = live_lines(progress(stream(), views=()), 120, 9)
    now, end = (f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}" for at in (1050.0, VIEWS[0].end / NANO))
    assert (head.text[:4], line.text[:8]) == ("time", now)
    assert live_lines(progress(views=VIEWS[:1]), 120, 9)[1].text[:8] == end
    out = io.StringIO()
    view = PlainView(out)
    view.update(Progress(VIEWS[:1], None, 1, 11.0, running=True, open_streams=(stream(),)))
    assert [line.split()[:3] for line in out.getvalue().splitlines()] == [["11.0", "s", end], ["11.0", "s", now]]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_columns_stay_where_they_are(width: int) -> None:
    """Whatever the streams are, the state, the reason and the name begin at the same place."""
    places = set()
    for shown in (progress(stream()), progress(views=VIEWS[:1]), progress(stream(), stream(1, "receiving", 0.0))):
        head, *lines = live_lines(shown, width, 40)
        assert head.style == HEAD
        places.add((head.text.index("now / reason"), head.text.index("stream"), head.text.index("took")))
        for line in lines:
            if line.style != DETAIL:
                assert line.text[head.text.index("stream") :].startswith("claude-sonnet-5")
    assert len(places) == 1


def test_the_streams_that_hang_come_first_and_the_rest_is_counted() -> None:
    many = [stream(n, "receiving, in text", 0.0) for n in range(5)] + [stream(9)]
    lines = live_lines(progress(*many, views=()), 120, 5)
    assert [line.style for line in lines] == [HEAD, HANGS, OPEN, OPEN, DETAIL]
    assert lines[-1].text.strip() == "… 3 more open"
    assert status_line(progress(*many)) == "2 streams ended · 6 open, the oldest for 50.0 s · 3 s"


@pytest.mark.parametrize("rows", range(1, 12))
def test_a_failure_keeps_its_lines_before_complete_streams_get_any(rows: int) -> None:
    good = samples.views(*(samples.healthy(start=n - 20.0, span_id=f"{n + 16:016x}") for n in range(9)))
    lines = live_lines(progress(stream(), views=(*VIEWS, *good)), 80, rows)
    assert len(lines) == rows or rows > 9
    shown = " ".join(line.text.strip() for line in lines)
    assert "silent for 41.0 s" in shown or "1 more open" in shown or rows < 2
    if rows >= 4:
        assert "connection closed" in shown
    if rows >= 10:
        assert ADVICE in shown


def test_plain_lines_of_the_demo_show_silent_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its streams last for seconds, so the lines come sooner than those of `run`."""
    out = io.StringIO()
    view = view_for(out, long_open=LONG_OPEN)
    for elapsed in (3.0, 4.0, 5.0):
        view.update(Progress((), 23, 1, elapsed, running=True, oldest=elapsed, open_streams=(stream(hangs=2.5),)))
    view.update(Progress((), 23, 0, 6.0, running=False, open_streams=(stream(hangs=9.0),)))
    lines = [line.strip().split("  ") for line in out.getvalue().splitlines()]
    assert [line[:2] for line in lines[::2]] == [
        ["3.0 s", "1 open, the oldest for 3.00 s"],
        ["5.0 s", "1 open, the oldest for 5.00 s"],
    ]
    assert all("  silent for 41.0 s, in thinking  claude-sonnet-5  " in "  ".join(line) for line in lines[1::2])


def test_plain_lines_repeat_a_silent_stream_every_ten_seconds() -> None:
    out = io.StringIO()
    view = LineView(out)
    for elapsed, hangs in ((50.0, 9.0), (51.0, 10.0), (52.0, 11.0), (61.0, 20.0), (62.0, 21.0)):
        silent = [stream(n, f"silent for {hangs:.1f} s, in text", hangs) for n in range(7)]
        shown = (*silent, stream(8, "receiving", 0.0))
        view.update(Progress((), None, 8, elapsed, running=True, oldest=5.0, open_streams=shown))
    lines = [line[len("[claude] ") :].strip() for line in out.getvalue().splitlines()]
    assert [line.split(" s  ")[0] for line in lines] == ["51.0"] * 6 + ["61.0"] * 6
    assert re.match(r"51\.0 s  \d\d:\d\d:\d\d  … open ", lines[0])
    assert lines[0].endswith("  silent for 10.0 s, in text  claude-sonnet-5  took 50.0 s  req_" + "0" * 24)
    assert lines[5] == "51.0 s  … 2 more open and silent"
