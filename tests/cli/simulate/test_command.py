from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.support.cli_samples import HEALTHY, span, traces

from otel_claude_stream.cli.main import main
from otel_claude_stream.cli.simulate.incidents import INCIDENTS
from otel_claude_stream.cli.view import formatting

SMALL = ("--users", "20", "--incident", "overload")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OTEL_CLAUDE_STREAM_CONFIG", "OTEL_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)


def policy_file(text: str, name: str = "retry.yaml") -> str:
    Path(name).write_text(text)
    return name


def simulated(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["simulate", *arguments])
    return code, *capsys.readouterr()


def test_a_table_and_the_course_of_one_incident(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, errors = simulated(capsys, "--policy", policy_file("version: 1\npreset: interactive\n"), *SMALL)
    assert (code, errors) == (0, "")
    lines = shown.splitlines()
    assert lines[0].startswith("Incident overload: the API serves one request")
    times = "from 60.0 s to 3 min 00 s of 5 min 00 s"
    assert lines[1] == f"It lasts {times}, with 20 users of claude-sonnet-5. The policy's mode is retry."
    figures = {line[:36].strip(): line[36:].split() for line in lines[4:14]}
    assert list(figures) == [
        "calls",
        "answers served",
        "calls that failed",
        "streams that a user closed",
        "requests a call, in the incident",
        "answered calls of the incident",
        "time to first token, p50",
        "time to first token, p95",
        "tokens wasted",
        "calls stop failing after",
    ]
    alone, ours = map(float, figures["requests a call, in the incident"])
    assert ours < alone
    assert lines[15:17] == ["", lines[16]]
    assert [line.split()[1] for line in lines[17:]] == ["healthy"] * 6 + ["incident"] * 12 + ["recovered"] * 12


def test_a_policy_with_a_limit_on_open_requests_has_its_waits_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    policy = policy_file("version: 1\npreset: interactive\nconcurrency: {max: 1, queue: 4s}\n")
    _, shown, _ = simulated(capsys, "--policy", policy, *SMALL)
    figures = {line[:36].strip(): line[36:].split("  ") for line in shown.splitlines()[14:17]}
    assert list(figures) == ["wait for a permit, p50", "wait for a permit, p95", "calls without a permit in time"]
    assert [text.strip() for text in figures["wait for a permit, p95"] if text] == [formatting.DASH, "4.00 s"]
    assert int(figures["calls without a permit in time"][-1]) > 0


def test_all_incidents_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, errors = simulated(capsys, "--policy", "unattended", "--users", "5", "--seed", "3", "--json")
    assert (code, errors) == (0, "")
    found = json.loads(shown)
    assert (found["mode"], found["seed"]) == ("resume", 3)
    assert [one["incident"] for one in found["incidents"]] == list(INCIDENTS)
    for one in found["incidents"]:
        for side in ("sdk", "policy"):
            totals = one[side]["incident"]
            assert totals["calls"] == totals["served"] + totals["failed"] + totals["left"]
            assert totals["requests_per_call"] == totals["requests"] / totals["calls"]
            assert totals["time_to_first_token"]["p50"] <= totals["time_to_first_token"]["p95"]
            assert 0 <= totals["tokens_wasted"] <= totals["tokens_billed"]
    assert simulated(capsys, "--policy", "unattended", "--users", "5", "--seed", "3", "--json")[1] == shown


def test_the_policy_of_the_model_applies(capsys: pytest.CaptureFixture[str]) -> None:
    policy_file("version: 1\npreset: interactive\nmodels:\n  claude-haiku-*: {mode: resume}\n")
    for model, mode in (("claude-haiku-4-5", "resume"), ("claude-opus-5", "retry")):
        arguments = ("--policy", "retry.yaml", "--model", model, *SMALL, "--json")
        assert json.loads(simulated(capsys, *arguments)[1])["mode"] == mode


@pytest.mark.parametrize(
    ("model", "missing"),
    [("claude-sonnet-5", ["models", "fallback"]), ("claude-haiku-4-5", ["fallback"]), ("claude-opus-5", ["models"])],
)
def test_a_model_that_no_pattern_matches(model: str, missing: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    policy = "version: 1\npreset: interactive\nmodels: {claude-haiku-*: {mode: resume}}\n"
    policy_file(policy + "fallback: {claude-opus-*: [claude-sonnet-5]}\n")
    code, shown, errors = simulated(capsys, "--policy", "retry.yaml", "--model", model, *SMALL)
    assert code == 0
    assert f"with 20 users of {model}." in shown
    lines = [line for line in errors.splitlines() if "no pattern" in line]
    assert lines == [
        f"otel-claude-stream: no pattern of {key} in the policy matches {model}; --model names another model"
        for key in missing
    ]


def test_the_policy_of_the_environment(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, errors = simulated(capsys, *SMALL)
    assert code == 2
    assert errors == (
        "otel-claude-stream: no policy is configured in this environment; name a file or a preset with --policy\n"
    )
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_MODE", "resume")
    code, shown, _ = simulated(capsys, *SMALL)
    assert code == 0
    assert "The policy's mode is resume." in shown


def test_the_policy_of_a_configuration_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.configuration", reason="this version of OpenTelemetry reads no such file")
    instrumentation = "instrumentation/development:\n  python:\n    claude_stream: {retry_policy: {mode: resume}}\n"
    monkeypatch.setenv("OTEL_CONFIG_FILE", policy_file('file_format: "1.0-rc.1"\n' + instrumentation, "otel.yaml"))
    assert "The policy's mode is resume." in simulated(capsys, *SMALL)[1]


def test_errors_of_a_policy_are_those_of_the_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    path = policy_file("version: 1\nmod: retry\nlimits: {max_attempts: 99}\n")
    code, shown, errors = simulated(capsys, "--policy", path)
    assert (code, shown) == (2, "")
    first, *lines = errors.splitlines()
    assert first == "otel-claude-stream: the retry policy is not valid, so it would not be used"
    assert len(lines) == 2
    assert main(["doctor", "--policy", path]) == 2
    assert set(lines) <= set(capsys.readouterr().out.splitlines())


def test_warnings_of_a_policy_and_a_policy_that_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = simulated(capsys, "--policy", policy_file("mode: observe\n"), *SMALL)
    assert code == 0
    assert "otel-claude-stream: retry.yaml: version is missing" in errors
    assert "the policy does nothing, since its mode is observe; OTEL_CLAUDE_STREAM_MODE=retry overrides" in errors
    policy_file("version: 1\nmode: retry\nkill_switch: true\n")
    assert "since its kill switch is on" in simulated(capsys, "--policy", "retry.yaml", *SMALL)[2]


def test_a_recording(capsys: pytest.CaptureFixture[str]) -> None:
    cut = {**HEALTHY, "claude.stream.outcome": "failed", "claude.stream.phase": "streaming"}
    cut["claude.stream.abort.reason"] = "connection_closed"
    spans = [span(cut if n % 4 else HEALTHY, start=float(n), span_id=f"{n + 1:016x}") for n in range(8)]
    Path("kept.jsonl").write_text(json.dumps(traces(*spans)) + "\nnot JSON\n")
    code, shown, errors = simulated(capsys, "--policy", "unattended", "--from", "kept.jsonl", "--users", "10")
    assert code == 0
    assert "warning: kept.jsonl: 1 line left out" in errors
    head = "Incident kept.jsonl: 8 recorded requests; of them failed: connection closed 75.0%."
    assert shown.splitlines()[0] == head
    code, _, errors = simulated(capsys, "--policy", "unattended", "--from", "missing.jsonl")
    assert (code, errors) == (1, "otel-claude-stream: cannot read missing.jsonl: No such file or directory\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--users", "0"), "'0' is no number from 1 to 100000"),
        (("--users", "many"), "'many' is no number from 1 to 100000"),
        (("--seed", "x"), "invalid int value: 'x'"),
        (("--model", " "), "argument --model: it is empty; name a model"),
        (("--incident", "flood"), "invalid choice: 'flood'"),
        (("--incident", "drip", "--from", "a.jsonl"), "not allowed with argument --incident"),
        (("--policy", "interactive", "--plot", "no/such/plot.svg"), "the folder no/such does not exist"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, errors = simulated(capsys, *arguments)
    assert (code, shown) == (2, "")
    assert message in errors


def test_a_plot_has_a_row_for_each_incident(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = simulated(capsys, "--policy", "interactive", "--users", "5", "--plot", "out.svg")
    assert (code, errors) == (0, "Plot: out.svg\n")
    root = ET.fromstring(Path("out.svg").read_text(encoding="utf-8"))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert [text for text in texts if text in INCIDENTS] == list(INCIDENTS)
    lines = [line.get("points", "").split() for line in root.iter(f"{SVG}polyline")]
    assert len(lines) == 4 * len(INCIDENTS)
    assert {len(line) for line in lines} == {30, 90}
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for point in (point for line in lines for point in line):
        x, y = map(float, point.split(","))
        assert 0 <= x <= width
        assert 0 <= y <= height


def test_a_title_is_escaped_in_the_plot(capsys: pytest.CaptureFixture[str]) -> None:
    Path("<b>&.jsonl").write_text(json.dumps(traces(span(HEALTHY))) + "\n")
    assert (
        simulated(capsys, "--policy", "interactive", "--from", "<b>&.jsonl", "--users", "2", "--plot", "a.svg")[0] == 0
    )
    root = ET.fromstring(Path("a.svg").read_text(encoding="utf-8"))
    assert "<b>&.jsonl" in [text.text for text in root.iter(f"{SVG}text")]


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege elsewhere")
def test_a_plot_does_not_replace_what_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.jsonl").write_text(json.dumps(traces(span(HEALTHY))) + "\n")
    policy = policy_file("version: 1\npreset: interactive\n")
    Path("link").symlink_to("a.jsonl")
    path = str(Path(policy).resolve())
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_CONFIG", policy)
    learn = ("--policy", "interactive", "--from", "a.jsonl")
    for arguments, plot in ((learn, "link"), (("--policy", policy), path), ((), path)):
        code, _, errors = simulated(capsys, *SMALL[:2], *arguments, "--plot", plot)
        assert code == 2
        assert "which the simulation reads; name another file" in errors
    assert Path("a.jsonl").read_text().startswith("{")
    assert Path(policy).read_text().startswith("version")


def test_a_plot_that_cannot_be_written(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    code, _, errors = simulated(capsys, "--policy", "interactive", *SMALL, "--plot", "a.svg")
    assert (code, errors) == (1, "otel-claude-stream: cannot write a.svg: No space left on device\n")


def test_the_progress_is_shown_on_a_terminal_and_erased(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    errors = simulated(capsys, "--policy", "interactive", *SMALL)[2]
    assert "\r\x1b[Koverload, the SDK alone: 50 %" in errors
    assert "\r\x1b[Koverload, the policy: 99 %" in errors
    assert errors.endswith("\r\x1b[K")


@pytest.mark.skipif(os.name != "posix", reason="a signal of POSIX")
def test_ctrl_c_ends_the_command_with_one_line() -> None:
    command = [sys.executable, "-m", "otel_claude_stream", "simulate", "--policy", "interactive", "--users", "1000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Incident overload")  # the next incident begins
        process.send_signal(signal.SIGINT)
        shown, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, errors) == (130, "otel-claude-stream: interrupted\n")
    assert "Incident flaky" not in shown
