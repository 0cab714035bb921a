"""The demo as a user starts it: a subprocess, a real application, a real export."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from tests.cli.test_child import runs, wait_until

from otel_claude_stream.cli import demo
from otel_claude_stream.cli.demo import Options, environment, observe
from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.model import StreamView
from otel_claude_stream.cli.scenarios import INSTRUMENTATION, SCENARIOS, Scenario, jobs
from otel_claude_stream.cli.terminal import PlainView

COMMAND = [sys.executable, "-m", "otel_claude_stream", "demo"]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StreamView]:
    """One run of the demo; its streams by the title of their scenario."""
    said = (tmp_path_factory.mktemp("demo") / "said.txt").open("w+")
    with said, ExitStack() as stack:
        options = Options(report=None, open=False, otlp=None, show_app=True)
        telemetry, code = observe(PlainView(said), options, stack)
        said.seek(0)
        assert code == 0, said.read()
        snapshot = telemetry.snapshot()
    assert snapshot.internal_errors == 0
    return {view.title: view for view in snapshot.views}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_each_scenario_is_found(observed: dict[str, StreamView], scenario: Scenario) -> None:
    view, expected = observed[scenario.title], scenario.expected
    assert (view.outcome, view.requests) == (expected.outcome.value, expected.requests)
    assert view.reason in ([reason.value for reason in expected.reasons] or [""])
    assert view.model == scenario.model


@pytest.mark.slow
def test_what_the_picture_needs(observed: dict[str, StreamView]) -> None:
    """Each delta with its time and its kind; attempts; the gap and its kind; tokens, whoever owns the chat span."""
    kinds = {title: {mark.kind for mark in view.marks} for title, view in observed.items()}
    assert {"thinking", "text", "structure", "ping"} <= kinds["Thinking, then text"]
    assert "tool_use" in kinds["Tool call"]
    plain = observed["Plain answer"]
    assert sum(1 for mark in plain.marks if mark.kind == "text") > 50
    assert (plain.tokens.input, plain.tokens.output) == (412, 96)
    assert [attempt.status for attempt in observed["529 twice, then an answer"].attempts] == [529, 529, 200]
    assert [gap.kind for gap in observed["Stall without a byte"].gaps if gap.labelled] == ["silent"]
    assert [gap.kind for gap in observed["Stall with pings"].gaps if gap.labelled] == ["pings"]
    assert [gap.kind for gap in observed["Slow first token"].gaps if gap.labelled] == ["first"]
    assert observed["Cut after 2 s of silence"].limit_match == "idle:2s"


def test_scenarios_are_consistent() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names) >= 20
    assert len({scenario.title for scenario in SCENARIOS}) == len(names)
    assert [job["name"] for job in jobs(dict.fromkeys(names, "http://x"))] == names


def test_the_environment_of_the_application() -> None:
    given = {"PATH": "/bin", "OTEL_SDK_DISABLED": "true", "ANTHROPIC_API_KEY": "sk-real", "https_proxy": "http://p"}
    found = environment(given, "http://127.0.0.1:1")
    assert found["PATH"] == "/bin"
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:1"
    assert found["ANTHROPIC_API_KEY"] == "not-a-key"
    assert "OTEL_SDK_DISABLED" not in found
    assert "https_proxy" not in found
    assert INSTRUMENTATION.items() <= found.items()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('no way'); raise SystemExit(3)", "ended with exit code 3"),
        ("print('no way')", f"only 0 of {len(SCENARIOS)} streams were seen"),
    ],
)
def test_an_application_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(code)
    monkeypatch.setattr(demo, "WORKER", worker)
    out = io.StringIO()
    with ExitStack() as stack:
        _, exit_code = observe(PlainView(out), Options(None, open=False, otlp=None, show_app=False), stack)
    assert exit_code == 1
    assert said in out.getvalue()
    assert "no way" in out.getvalue()


@pytest.mark.slow
def test_an_application_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(demo, "WORKER", worker)
    monkeypatch.setattr(demo, "TIMEOUT", 2.0)
    with ExitStack() as stack, pytest.raises(CommandError, match="did not end within 2 s"):
        observe(PlainView(io.StringIO()), Options(None, open=False, otlp=None, show_app=False), stack)
    assert not descendants(os.getpid())


@pytest.mark.slow
def test_as_a_command(tmp_path: Path) -> None:
    report = tmp_path / "out.html"
    command = [*COMMAND, "--report", str(report), "--otlp", "http://127.0.0.1:9"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("could not forward to http://127.0.0.1:9") == 1
    assert f"The picture: {report}" in done.stdout
    assert f"{len(SCENARIOS)} streams over" in report.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [report]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the process table is read from /proc")
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("delay", [0.0, 3.0], ids=["at once", "later"])
def test_a_signal_leaves_no_process_behind(tmp_path: Path, number: signal.Signals, code: int, delay: float) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--no-report", "--show-app"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(lambda: descendants(process.pid))
        time.sleep(delay)
        below = descendants(process.pid)
        assert below
        process.send_signal(number)
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code, said
    assert "Traceback" not in said.rpartition("otel-claude-stream:")[0]
    wait_until(lambda: not any(map(runs, below)))
    assert list(tmp_path.iterdir()) == []


def descendants(pid: int) -> list[int]:
    """Processes below ``pid``."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {pid})
