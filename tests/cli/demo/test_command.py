"""The demo in a subprocess, as a user starts it, with a real application and a real export."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.demo_verdicts import expected
from tests.support.process_table import descendants, is_running, wait_until
from tests.support.report_pages import data_of, page_of

from otel_claude_stream._core.retry.policy import Mode, Resume
from otel_claude_stream._core.retry.resume.seam import anchor_of
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.demo import command as demo
from otel_claude_stream.cli.demo.command import Options, environment, observe
from otel_claude_stream.cli.demo.recovery_scenarios import (
    LONG_STORY,
    RECOVERIES,
    continued,
    prefilled,
    scenarios_for,
    text_of,
)
from otel_claude_stream.cli.demo.scenarios import (
    HAIKU,
    INSTRUMENTATION,
    SCENARIOS,
    SONNET,
    STORY,
    Scenario,
    answer,
    jobs,
)
from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.view import decisions
from otel_claude_stream.cli.view.explanation import explanation
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.plain import PlainView
from otel_claude_stream.cli.view.terminal import as_text, table
from otel_claude_stream.testing import Error

COMMAND = [sys.executable, "-m", "otel_claude_stream", "demo"]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StreamView]:
    """Run the demo once; return its streams by the title of their scenario."""
    return run_once(tmp_path_factory, Mode.OBSERVE)


@pytest.fixture(scope="module", params=[Mode.RETRY, Mode.RESUME], ids=lambda mode: mode.value)
def recovered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Mode, dict[str, StreamView]]:
    """Run the demo once in a mode that retries; return the mode and its streams."""
    return request.param, run_once(tmp_path_factory, request.param)


def run_once(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> dict[str, StreamView]:
    output = (tmp_path_factory.mktemp("demo") / "output.txt").open("w+")
    with output, ExitStack() as stack:
        options = Options(report=None, open=False, otlp=None, show_app=True, mode=mode)
        telemetry, code = observe(PlainView(output), options, stack)
        output.seek(0)
        assert code == 0, output.read()
        snapshot = telemetry.snapshot()
    assert snapshot.internal_errors == 0
    return {view.title: view for view in snapshot.views}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_each_scenario_has_its_verdict(observed: dict[str, StreamView], scenario: Scenario) -> None:
    view, wanted = observed[scenario.title], expected(scenario.name, Mode.OBSERVE)
    assert (view.outcome, view.requests) == (wanted.outcome.value, wanted.requests)
    assert view.reason in ([reason.value for reason in wanted.reasons] or [""])
    assert view.model == scenario.model


@pytest.mark.slow
def test_the_telemetry_has_all_that_the_report_shows(observed: dict[str, StreamView]) -> None:
    """Each delta has its time and kind. Attempts, gaps and tokens are known, also if the SDK owns the chat span."""
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


@pytest.mark.slow
def test_dry_runs_are_in_the_details(observed: dict[str, StreamView]) -> None:
    view = observed["Overloaded in mid-answer"]
    assert decisions.policy_summary(view) == ""
    story = [moment.what for moment in explanation(view).timeline]
    assert any("a retry policy would continue the text after" in what for what in story)
    assert "retry policy" not in table(list(observed.values()), 300).titles


@pytest.mark.slow
@pytest.mark.parametrize("scenario", RECOVERIES, ids=lambda scenario: scenario.name)
def test_each_recovery_has_its_verdict(recovered: tuple[Mode, dict[str, StreamView]], scenario: Scenario) -> None:
    mode, views = recovered
    view, wanted = views[scenario.title], expected(scenario.name, mode)
    assert (view.outcome, view.requests) == (wanted.outcome.value, wanted.requests)
    assert view.reason in ([reason.value for reason in wanted.reasons] or [""])
    if wanted.recovered is not None:
        assert view.text(a.RECOVERY_ACTION) == wanted.recovered.value
    if wanted.blocked is not None:
        assert view.decisions[-1].blocked_by == wanted.blocked.value
    assert not any(decided.dry_run for decided in view.decisions)


@pytest.mark.slow
def test_the_report_of_retried_and_continued_streams(recovered: tuple[Mode, dict[str, StreamView]]) -> None:
    mode, views = recovered
    early = views["Overloaded before the answer"]
    assert [attempt.status for attempt in early.attempts] == [200, 200]
    # A busy machine sends the second request later.
    assert -0.05 < early.attempts[1].start - early.attempts[0].end - early.attempts[0].delay < 1.0
    assert (early.tokens.input, early.tokens.output) == (412, 96)
    limited = views["429 with retry-after"]
    assert (limited.decisions[0].delay_source, limited.attempts[0].retry_after) == ("retry_after", 2.0)
    assert views["The user goes away"].requests == 1  # it left during the backoff
    cut = views["Cut after 2 s of silence"]
    # A busy machine notes the start of the silence later, so that it is shorter than the 2 s of the server.
    first_response = cut.attempts[0].end - cut.attempts[0].start if cut.attempts else cut.duration
    assert 1.0 < cut.longest_silence <= first_response
    assert [gap.kind for gap in cut.gaps if gap.labelled and gap.kind != "seam"] == ["silent"]
    shown_as = as_text(table(list(views.values()), 80))
    assert max(map(len, shown_as.splitlines())) <= 80
    assert "given up: tool" in shown_as
    _, drawn = data_of(page_of(*views.values()))
    broken = [one for lane in drawn for one in lane["attempts"][:-1] if one["status"] == 200]
    assert len(broken) >= 2
    assert all(one["reason"] for one in broken)
    if mode is Mode.RESUME:
        assert {seam.result for view in views.values() for seam in view.seams} == {
            "anchor", "exact", "preamble", "mismatch", "restart",
        }  # fmt: skip
        written = views["A remark before the rest"].attributes[a.ATTEMPT_CHARACTERS.name]
        assert isinstance(written, tuple)
        assert sum(written) == len(LONG_STORY)  # nothing is repeated or missing
        assert {fits for lane in drawn for _, fits, _ in lane["seams"]} == {True, False}
    else:
        assert not any(view.seams for view in views.values())


def test_the_responses_of_models_that_resume() -> None:
    broken = answer(SONNET).cut_after(38, Error())
    stem = text_of(broken).rstrip()
    assert STORY.startswith(stem)
    anchor = anchor_of(stem, Resume().anchor_chars)
    assert text_of(continued(SONNET, broken)) == anchor + STORY[len(stem) :]
    assert stem + text_of(prefilled(HAIKU, broken)) == STORY


@pytest.mark.parametrize("mode", Mode)
def test_scenarios_are_consistent(mode: Mode) -> None:
    scenarios = scenarios_for(mode)
    names = [scenario.name for scenario in scenarios]
    assert len(set(names)) == len(names) >= 20
    assert len({scenario.title for scenario in scenarios}) == len(names)
    assert [job["name"] for job in jobs(dict.fromkeys(names, "http://x"), scenarios)] == names


def test_the_environment_of_the_application() -> None:
    environ = {"PATH": "/bin", "OTEL_SDK_DISABLED": "true", "ANTHROPIC_API_KEY": "sk-real", "https_proxy": "http://p"}
    found = environment(environ, "http://127.0.0.1:1")
    assert found["PATH"] == "/bin"
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:1"
    assert found["ANTHROPIC_API_KEY"] == "not-a-key"
    assert "OTEL_SDK_DISABLED" not in found
    assert "https_proxy" not in found
    assert INSTRUMENTATION.items() <= found.items()
    assert "OTEL_CLAUDE_STREAM_MODE" not in found
    assert environment(environ, "http://x", Mode.RESUME)["OTEL_CLAUDE_STREAM_MODE"] == "resume"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('no way'); raise SystemExit(3)", "ended with exit code 3"),
        ("print('no way')", f"only 0 of {len(SCENARIOS)} streams were recorded"),
    ],
)
def test_an_application_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(code)
    monkeypatch.setattr(demo, "WORKER", worker)
    out = io.StringIO()
    with ExitStack() as stack:
        _, exit_code = observe(PlainView(out), Options(None, open=False, otlp=None, show_app=False), stack)
    assert exit_code == 1
    assert message in out.getvalue()
    assert "no way" in out.getvalue()


@pytest.mark.slow
def test_an_application_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(demo, "WORKER", worker)
    monkeypatch.setattr(demo, "TIMEOUT", 2.0)
    with ExitStack() as stack, pytest.raises(CommandError, match="did not end within 2 s"):
        observe(PlainView(io.StringIO()), Options(None, open=False, otlp=None, show_app=False), stack)
    # Demos of other tests may be running.
    left = (Path(f"/proc/{process}/cmdline") for process in descendants(os.getpid()))
    assert not [path for path in left if path.exists() and str(worker) in path.read_text(errors="replace")]


@pytest.mark.slow
def test_as_a_command(tmp_path: Path) -> None:
    report = tmp_path / "out.html"
    command = [*COMMAND, "--report", str(report), "--otlp", "http://127.0.0.1:9"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for signal_name in ("traces", "metrics"):
        assert done.stdout.count(f"cannot forward {signal_name} to http://127.0.0.1:9") == 1
    assert f"Report: {report}" in done.stdout
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
        children = descendants(process.pid)
        assert children
        process.send_signal(number)
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code, output
    assert "Traceback" not in output.rpartition("otel-claude-stream:")[0]
    wait_until(lambda: not any(map(is_running, children)))
    assert list(tmp_path.iterdir()) == []
