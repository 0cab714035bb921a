"""The options that select streams, and the index before many of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.support import cli_samples as samples
from tests.support.explanations import ANSWER

from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream.cli.errors import UsageError
from otel_claude_stream.cli.explain.inputs import read
from otel_claude_stream.cli.explain.selection import since_time
from otel_claude_stream.cli.main import main

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 11, 28, 14, 20, tzinfo=ZONE)
REASONS = ("overloaded", "silent", "connection_closed")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")


def stream(n: int, **more: Any) -> dict[str, Any]:
    """Return the span of a stream that starts after `n` seconds; one in four of them fails."""
    attributes = samples.HEALTHY if n % 4 else {**samples.CUT, "claude.stream.abort.reason": REASONS[n // 4 % 3]}
    attributes = {**attributes, "claude.stream.request_id": f"req_{n:04d}", **more}
    events = (samples.delta(0.5 + k * 0.05, **{"claude.stream.event.gap": 0.05}) for k in range(20))
    return {**samples.span(attributes, events, start=n, span_id=f"{n + 1:016x}"), "traceId": f"{n + 1:08x}" * 4}


def write(name: str, count: int) -> None:
    Path(name).write_text("\n".join(json.dumps(samples.traces(stream(n))) for n in range(count)), encoding="utf-8")


def explained(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> list[tuple[str, str]]:
    """Return the span ID and the reason of each stream that `explain --json` prints."""
    assert main(["explain", "s.jsonl", "--json", *options]) == code
    return [(one["name"].partition("/")[2].lstrip("0"), one["reason"]) for one in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("options", "spans"),
    [
        (["--failed"], ["1", "5", "9", "d"]),
        (["--reason", "silent"], ["5"]),
        (["--reason", "Silent", "--reason", "connection closed"], ["5", "9"]),
        (["--reason", "silent,overloaded"], ["1", "5", "d"]),
        (["--trace", "00000003"], ["3"]),
        (["--trace", "00000003/0000"], ["3"]),
        (["--trace", "00000003/1"], []),
        (["--trace", "req_0004", "--trace", "0000000300000003"], ["3", "5"]),
        (["--trace", "req_0004", "--reason", "overloaded"], []),
        (["--failed", "--trace", "0000000"], ["1", "5", "9", "d"]),
    ],
)
def test_the_streams_that_are_selected(options: list[str], spans: list[str], capsys) -> None:
    write("s.jsonl", 14)
    assert [span for span, _ in explained(capsys, *options, code=0 if spans else 1)] == spans


def test_streams_since_a_moment_are_those_that_ended_later(capsys: pytest.CaptureFixture[str]) -> None:
    write("s.jsonl", 14)
    moment = datetime.fromtimestamp(samples.START / 1e9 + 13, timezone.utc)
    assert [span for span, _ in explained(capsys, "--since", moment.isoformat())] == ["c", "d", "e"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("14:05", "2026-11-28T14:05:00+02:00"),
        ("9:05", "2026-11-28T09:05:00+02:00"),
        ("14:05:30", "2026-11-28T14:05:30+02:00"),
        ("14:21", "2026-11-27T14:21:00+02:00"),
        ("15m", "2026-11-28T14:05:00+02:00"),
        (" 90s ", "2026-11-28T14:18:30+02:00"),
        ("2026-11-28T14:05+01:00", "2026-11-28T14:05:00+01:00"),
        ("2026-11-28 14:05:00Z", "2026-11-28T14:05:00+00:00"),
    ],
)
def test_times_as_people_write_them(text: str, moment: str) -> None:
    assert since_time(text, NOW).isoformat() == moment


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="needs a time zone of the process")
def test_a_time_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XST-5")
    time.tzset()
    try:
        assert since_time("2026-11-28T14:05", NOW).isoformat() == "2026-11-28T14:05:00+05:00"
        assert since_time("2026-11-28", NOW).isoformat() == "2026-11-28T00:00:00+05:00"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "25:00", "yesterday", "14", "2026-13-01", "99999999999h", "-5m", "0001-01-01"])
def test_a_text_that_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match=r"--since: .*14:05, 2026-11-28T14:05, .*15m"):
        since_time(text, NOW)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--reason", "overloadd"],
            "'overloadd' is not a reason (did you mean overloaded?); the reasons are overloaded,",
        ),
        (["--reason", "why"], "'why' is not a reason; the reasons are "),
        (["--trace", "xyz"], "--trace: 'xyz' is not an ID"),
        (["--trace", ""], "--trace: '' is not an ID"),
        (["--since", "soon"], "--since: 'soon' is not a time"),
    ],
)
def test_values_that_cannot_match_are_wrong_usage(options: list[str], message: str, capsys) -> None:
    assert main(["explain", "none.jsonl", *options]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "--reason" not in options or all(reason.value in shown for reason in AbortReason)


def test_nothing_found_is_a_failure_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    write("s.jsonl", 14)
    assert main(["explain", "s.jsonl", "--failed", "--reason", "truncated", "--since", "1970-01-02T00:00Z"]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(
        "otel-claude-stream: none of 14 streams matches --failed --reason truncated --since 1970-01-02T00:00:00+00:00; "
        "their reasons are connection_closed, overloaded, silent; they ended from 2026-"
    )


@pytest.mark.usefixtures("in_this_process")
def test_recordings_have_neither_ids_nor_times(capsys: pytest.CaptureFixture[str]) -> None:
    write("s.jsonl", 1)
    Path("a.sse").write_bytes(ANSWER.body())
    assert main(["explain", "a.sse", "s.jsonl", "--json", "--trace", "00000001"]) == 0
    out, error = capsys.readouterr()
    assert [one["source"] for one in json.loads(out)] == ["s.jsonl"]
    assert error == "otel-claude-stream: a.sse: left out, since a recording has no IDs and no time of day\n"
    assert main(["explain", "a.sse", "--failed"]) == 1
    assert "none of 1 streams matches --failed; all of them are complete" in capsys.readouterr().err


def test_more_than_ten_streams_have_an_index(capsys: pytest.CaptureFixture[str]) -> None:
    write("s.jsonl", 10)
    assert main(["explain", "s.jsonl"]) == 0
    assert capsys.readouterr().out.startswith("s.jsonl · 00000001")
    write("s.jsonl", 14)
    assert main(["explain", "s.jsonl"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert re.split(r"\s{2,}", shown[0].strip()) == [
        "#", "ended", "trace/span", "outcome", "reason", "took", "consistent with / advice", "model",
    ]  # fmt: skip
    ended = datetime.fromtimestamp(samples.START / 1e9 + 6).astimezone()
    assert re.split(r"\s{2,}", shown[6].strip()) == [
        "#5", f"{ended:%H:%M:%S}", "00000005/00000000", "✗ failed", "silent", "2.00 s", "idle:2s (nginx, AWS ALB)",
        "claude-sonnet-5",
    ]  # fmt: skip
    assert "14 streams: 10 completed, 4 failed." in shown[17]
    titles = [line for line in shown if line.startswith("#") and " · " in line]
    assert len(titles) == 14
    assert titles[4] == f"#5 · s.jsonl · {'00000005' * 4}/{5:016x} · claude-sonnet-5 · ✗ failed · silent"


def test_the_index_of_several_files_and_days_and_its_width(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    write("a.jsonl", 12)
    late = json.loads(json.dumps(samples.traces(stream(90_000))))
    Path("b.jsonl").write_text(json.dumps(late), encoding="utf-8")
    assert main(["explain", "a.jsonl", "b.jsonl"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "file" in shown[0].split()
    assert re.match(r" #1  \d\d-\d\d \d\d:\d\d:\d\d  ", shown[2])
    assert "b.jsonl" in shown[14].split()
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["explain", "a.jsonl", "b.jsonl"]) == 0
    narrow = capsys.readouterr().out.splitlines()[:15]
    assert max(map(len, narrow)) <= 80
    assert "#5" in narrow[6]
    assert "silent" in narrow[6]


@pytest.mark.parametrize("width", [40, 140])
def test_the_index_keeps_numbers_and_ids_beside_reasons_of_other_programs(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = [stream(n, **{"claude.stream.abort.reason": "unknown_reason_" * 20}) for n in range(11)]
    Path("s.jsonl").write_text(json.dumps(samples.traces(*spans)), encoding="utf-8")
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["explain", "s.jsonl"]) == 0
    shown = capsys.readouterr().out.splitlines()[:13]
    assert max(map(len, shown)) <= width
    assert re.match(r" #5  .*00000005/00000000  ✗ failed     un", shown[6])
    assert ("consistent with" in shown[0]) == (width == 140)


def test_a_reader_of_many_streams_may_leave_early() -> None:
    write("s.jsonl", 200)
    command = [sys.executable, "-m", "otel_claude_stream", "explain", "s.jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        first = process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert first.split()[0] == b"#"
    assert (process.returncode, errors) == (141, b"")


def test_spans_need_neither_the_test_kit_nor_the_lines_of_other_signals(capsys: pytest.CaptureFixture[str]) -> None:
    write("s.jsonl", 2)
    with Path("s.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"resourceMetrics": [{"cut')
    assert len(explained(capsys)) == 2
    code = (
        "import sys; from otel_claude_stream.cli.main import main; code = main(['explain', 's.jsonl', '--json']);"
        "sys.exit(code or 'otel_claude_stream.testing' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0
    both = {**samples.traces(stream(2)), "resourceMetrics": []}
    lines = json.dumps({"resourceMetrics": [], **both}) + "\n" + json.dumps(samples.traces(stream(3)))
    assert len(read("x", lines.encode()).views) == 2


def test_500_streams_take_less_than_a_second_of_cpu() -> None:
    """Beyond what one stream takes, which is the start and the imports."""
    write("one.jsonl", 1)
    write("s.jsonl", 500)
    one, many = (min(_cpu(name) for _ in range(2)) for name in ("one.jsonl", "s.jsonl"))
    assert many - one < 1.0


def _cpu(name: str) -> float:
    before = os.times()
    command = [sys.executable, "-m", "otel_claude_stream", "explain", name]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
