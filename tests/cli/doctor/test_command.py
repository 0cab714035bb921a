from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.doctor_findings import HTTP, levels, problems

from otel_claude_stream._sdk.attach.hooks import HOOKS
from otel_claude_stream.cli.activate.path import FOLDER
from otel_claude_stream.cli.doctor import activation as activation_checks
from otel_claude_stream.cli.doctor import stream as stream_checks
from otel_claude_stream.cli.doctor.activation import activation
from otel_claude_stream.cli.doctor.command import text
from otel_claude_stream.cli.doctor.findings import Level, Section, error, note, ok, warning, worst
from otel_claude_stream.cli.doctor.packages import anthropic, conflicts, others, versions
from otel_claude_stream.cli.doctor.probe import Probe, probe
from otel_claude_stream.cli.doctor.settings import settings
from otel_claude_stream.cli.main import main
from otel_claude_stream.cli.otlp.receive import Receiver

COMMAND = [sys.executable, "-m", "otel_claude_stream", "doctor"]
PLAIN = Probe(tracer_provider="ProxyTracerProvider", meter_provider="ProxyMeterProvider", hooks=12)


def clean() -> dict[str, str]:
    """Return the environment of a user, without the strict mode of the tests."""
    return {name: value for name, value in os.environ.items() if name != "OTEL_CLAUDE_STREAM_STRICT"}


@pytest.mark.slow
def test_an_environment_without_problems() -> None:
    """The whole chain runs in subprocesses, with a collector that answers, and the test streams arrive."""
    got = []
    with Receiver(got.append, pytest.fail) as collector:
        env = {**clean(), **HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "chat"}
        done = subprocess.run([*COMMAND, "--json"], env=env, capture_output=True, text=True, timeout=60, check=False)
    found = json.loads(done.stdout)
    texts = {section["title"]: [one["text"] for one in section["findings"]] for section in found["sections"]}
    assert (done.returncode, found["exit_code"], done.stderr) == (0, 0, ""), done.stdout
    assert list(texts) == [
        "Versions", "Activation", "Settings", "Retry policy", "Providers", "Export", "Hooks", "Chat span",
        "Test stream",
    ]  # fmt: skip
    assert texts["Hooks"] == ["all 12 hooks fit this anthropic version"]
    assert texts["Export"] == [f"traces, metrics, logs: http/protobuf to {collector.url}, which answers"]
    completed, cut, events, metrics, took = texts["Test stream"]
    assert completed.startswith("a complete answer arrived as completed: 9 events, first token after ")
    assert cut == "a connection cut on purpose arrived as failed: connection closed"
    assert events == "their events arrived on the spans"
    assert metrics.startswith("their metrics arrived (")
    assert took.startswith("the test took ")
    assert [message.document for message in got] == [{}] * 3, "the user's collector receives nothing but empty requests"


@pytest.mark.slow
def test_an_environment_with_problems(tmp_path: Path) -> None:
    """PYTHONPATH instruments the process, a setting does not exist, and no collector answers."""
    env = {**clean(), **HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "NO_COLOR": "1"}
    env |= {"PYTHONPATH": str(FOLDER), "OTEL_CLAUDE_STREAM_DELTA": "all"}
    arguments = [*COMMAND, "--no-stream"]
    done = subprocess.run(arguments, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stdout
    assert "✓ a plain `python app.py` is instrumented in this environment, by PYTHONPATH" in done.stdout
    assert "did you mean OTEL_CLAUDE_STREAM_DELTAS?" in done.stdout
    assert "· failed exports are logged at most once in ten minutes" in done.stdout
    assert "✗ traces, metrics, logs: http/protobuf to http://127.0.0.1:9: Connection refused" in done.stdout
    *_, last = done.stdout.partition("\n2 problems:\n")
    assert [line[:3] for line in last.splitlines() if not line.startswith("    ")] == ["  ✗"] * 2


def test_findings_as_text() -> None:
    sections = [
        Section("One", (ok("good"), warning("unusual\nmore", "do this"))),
        Section("Two", (note("so"), error("bad"))),
    ]
    assert text(sections, colours=False).splitlines()[1:] == [
        "", "One", "  ✓ good", "  ! unusual", "    more", "    → do this", "", "Two", "  · so", "  ✗ bad", "",
        "2 problems:", "  ✗ bad", "  ! unusual", "    more", "    → do this",
    ]  # fmt: skip
    assert text(sections[:1], colours=False).splitlines()[-4] == "1 problem:"
    assert text([Section("One", (ok("x"),))], colours=False).endswith("\n\nNo problems found.")
    assert "\x1b[31m✗\x1b[0m bad" in text([Section("One", (error("bad"),))], colours=True)
    assert worst(sections) is Level.ERROR
    assert worst([]) is Level.OK


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--help"]) == 0
    assert "exit codes: 0 no problems" in capsys.readouterr().out


class TestPackages:
    def test_the_packages_of_this_environment(self) -> None:
        assert problems(versions()) == []

    @pytest.mark.parametrize(
        ("found", "level", "message"),
        [
            (None, Level.ERROR, "not installed"),
            ("0.49.0", Level.ERROR, "0.49.0 is not supported"),
            ("3.0.0", Level.ERROR, "not supported"),
            ("2.11.0", Level.OK, "supported: >=0.50, <3"),
            ("0.50.0", Level.OK, "0.50.0"),
        ],
    )
    def test_the_sdk(self, found: str | None, level: Level, message: str) -> None:
        finding = anthropic(found)
        assert finding.level is level
        assert message in finding.text
        assert bool(finding.hint) == (level is Level.ERROR)

    def test_conflicting_packages(self) -> None:
        installed = {"a": "1.0", "b": "2.0"}
        required = {"otel-claude-stream": ["a >= 2", "b < 3", "c", "d; extra == 'x'", "e; python_version < '3'", "???"]}
        found = list(conflicts(installed.get, lambda name: required.get(name, ())))
        assert [(one.text, one.hint) for one in found] == [
            ("otel-claude-stream requires a>=2, but 1.0 is installed", "pip install 'a>=2'"),
            ("otel-claude-stream requires c, which is not installed", "pip install 'c'"),
        ]

    def test_missing_packages(self) -> None:
        found = levels(versions(lambda name: None, lambda name: ()))
        assert found["opentelemetry-sdk is not installed: it is needed to record telemetry"] is Level.WARNING

    def test_other_instrumentations(self) -> None:
        (found,) = others({"logfire": "4.1"}.get)
        assert found.level is Level.NOTE
        assert found.text.startswith("logfire 4.1 is installed (Logfire")

    @pytest.mark.parametrize("name", ["litellm", "claude-agent-sdk", "letta"])
    def test_a_package_whose_streams_are_not_recorded(self, name: str) -> None:
        found = versions({name: "1.2"}.get, lambda _: ()).findings
        ((level, text, hint),) = [(one.level, one.text, one.hint) for one in found if one.text.startswith(name)]
        assert (level, text.partition(": ")[0]) == (Level.NOTE, f"{name} 1.2 is installed")
        assert "not recorded" in text
        assert hint


class TestActivation:
    def test_a_plain_python(self) -> None:
        found = activation({}, PLAIN)
        assert problems(found) == []
        assert "a plain `python app.py` is not instrumented in this environment" in levels(found)
        assert any(one.startswith("opentelemetry-instrument finds claude_stream (") for one in levels(found))

    @pytest.mark.parametrize(
        ("environ", "way"),
        [
            ({"PYTHONPATH": os.pathsep.join(["/x", str(FOLDER)])}, "by PYTHONPATH"),
            ({"OTEL_CLAUDE_STREAM_AUTO": "true"}, "by OTEL_CLAUDE_STREAM_AUTO"),
            ({}, "by a sitecustomize or a .pth file of another package"),
        ],
    )
    def test_a_python_that_is_instrumented(self, environ: dict[str, str], way: str) -> None:
        found = levels(activation(environ, replace(PLAIN, active=True)))
        assert found[f"a plain `python app.py` is instrumented in this environment, {way}"] is Level.OK

    @pytest.mark.parametrize(
        ("environ", "message"),
        [
            (
                {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "x, claude_stream"},
                "contains claude_stream, which switches claude_stream off",
            ),
            ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}, "contains *, which switches claude_stream off"),
            ({"OTEL_SDK_DISABLED": "True"}, "OTEL_SDK_DISABLED=true: OpenTelemetry records no telemetry"),
            ({"OTEL_CLAUDE_STREAM_AUTO": "ja"}, "OTEL_CLAUDE_STREAM_AUTO=ja is neither true nor false"),
            ({"PYTHONPATH": "/x/otel_claude_stream/_auto/site"}, "the folder of another installation: /x/"),
        ],
    )
    def test_settings_that_prevent_activation(self, environ: dict[str, str], message: str) -> None:
        (found,) = problems(activation(environ, PLAIN))
        assert found.level is Level.WARNING
        assert message in found.text
        assert found.hint

    def test_a_python_that_fails(self) -> None:
        (found,) = problems(activation({}, Probe(failure="it ended with exit code 1\nboom")))
        assert (found.level, found.text) == (
            Level.ERROR,
            "a Python process fails in this environment: it ended with exit code 1\nboom",
        )

    def test_no_entry_point(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(activation_checks, "entry_points", lambda group: ())
        (found,) = problems(activation({}, PLAIN))
        assert "the group opentelemetry_instrumentor has no such entry point" in found.text

    @pytest.mark.parametrize(
        ("content", "switch", "expected"),
        [
            (None, "", note("autoload is not installed in this environment")),
            (None, "true", warning("has no effect")),
            ("other", "true", warning("by another version")),
            ("line", "true", ok("activates it")),
            ("line", "", note("has no effect unless")),
        ],
    )
    def test_autoload(self, tmp_path: Path, monkeypatch, content, switch, expected) -> None:
        line = tmp_path / "x.pth"
        if content:
            line.write_text(content)
        monkeypatch.setattr(activation_checks.autoload, "files", lambda environment: {line: "line"})
        found = activation({"OTEL_CLAUDE_STREAM_AUTO": switch}, PLAIN).findings
        assert [one.level for one in found if expected.text in one.text] == [expected.level]


class TestSettings:
    def test_defaults(self) -> None:
        (found,) = settings({}).findings
        assert found.level is Level.OK
        assert "stall_thresholds 10s,30s,60s,180s" in found.text
        assert "known_limits -" in found.text

    def test_values_their_sources_and_problems(self) -> None:
        environ = {
            "OTEL_CLAUDE_STREAM_EVENTS": "log",
            "OTEL_CLAUDE_STREAM_SPAN": "of",
            "OTEL_CLAUDE_STREAM_KNOWN_LIMITS": "x",
        }
        found = settings(environ)
        assert [one.level for one in problems(found)] == [Level.ERROR] * 2
        assert "did you mean off?" in problems(found)[1].text + problems(found)[0].text
        assert "events = log (OTEL_CLAUDE_STREAM_EVENTS)" in levels(found)
        assert "span auto" in found.findings[3].text

    def test_a_configuration_file_wins(self) -> None:
        section = {"events": "both", "deltas": "ever", "retry_policy": {"mode": "retry"}}
        found = settings({"OTEL_CLAUDE_STREAM_EVENTS": "log"}, section)
        assert "events = both (OTEL_CONFIG_FILE)" in levels(found)
        (one,) = problems(found)
        assert "deltas='ever' is not valid" in one.text

    def test_the_opt_in_of_the_conventions_is_named_as_the_source(self) -> None:
        opted_in = {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}
        assert "semconv = 0.1 (OTEL_SEMCONV_STABILITY_OPT_IN)" in levels(settings(opted_in))
        ours = settings({**opted_in, "OTEL_CLAUDE_STREAM_SEMCONV": "both"})
        assert "semconv = both (OTEL_CLAUDE_STREAM_SEMCONV)" in levels(ours)

    @pytest.mark.parametrize(
        ("environ", "message"),
        [
            ({"OTEL_CLAUDE_STREAM_ENABLED": "false"}, "the SDK is not instrumented"),
            ({"OTEL_CLAUDE_STREAM_EVENT_BUDGET": "1000"}, "event_budget 1000 is not below OTEL_SPAN_EVENT_COUNT_LIMIT"),
            ({"OTEL_CLAUDE_STREAM_STRICT": "1"}, "would be raised"),
        ],
    )
    def test_settings_that_may_not_be_intended(self, environ: dict[str, str], message: str) -> None:
        (found,) = problems(settings(environ))
        assert found.level is Level.WARNING
        assert message in found.text

    def test_content_recorded_by_the_sdk_is_reported(self) -> None:
        found = settings({"ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content"})
        assert (found.findings[-1].level, problems(found)) == (Level.NOTE, [])


class TestStream:
    def found(self, monkeypatch: pytest.MonkeyPatch, result: Probe, **environ: str) -> dict[str, Level]:
        monkeypatch.setattr(stream_checks, "probe", lambda *_: result)
        return {
            text: level for section in stream_checks.test_stream(environ, {}) for text, level in levels(section).items()
        }

    def test_the_program_was_not_instrumented(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.found(monkeypatch, Probe(stderr="Failed to auto initialize OpenTelemetry"))
        text = (
            "opentelemetry-instrument did not instrument the program; its last lines:\n"
            "Failed to auto initialize OpenTelemetry"
        )
        assert found[text] is Level.ERROR

    def test_no_stream_arrived(self, monkeypatch: pytest.MonkeyPatch) -> None:
        missing = ("Stream.close",)
        found = self.found(monkeypatch, replace(PLAIN, active=True, hooks=len(HOOKS) - 1, missing_hooks=missing))
        assert found["11 of 12 hooks are installed; missing: Stream.close"] is Level.WARNING
        assert found["0 of 2 streams reached an exporter of spans, or with another outcome"] is Level.ERROR
        assert found["metrics reached no exporter: claude.stream.aborts, claude.stream.duration"] is Level.ERROR

    def test_signals_that_are_switched_off_are_not_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        off = {"OTEL_CLAUDE_STREAM_SPAN": "off", "OTEL_CLAUDE_STREAM_METRICS": "false"}
        found = self.found(monkeypatch, replace(PLAIN, active=True), **off)
        assert max(found.values()) is Level.NOTE

    def test_programs_that_fail(self) -> None:
        assert "cannot be started" in probe({}, launcher=["/no/such/program"]).failure
        found = probe(dict(os.environ), launcher=[sys.executable, "-c", "raise SystemExit('boom')"])
        assert found.failure == "it ended with exit code 1\nboom"
        assert (
            probe({"PATH": os.environ["PATH"]}, launcher=["sh", "-c", "exec sleep 9"], seconds=0.1).failure
            == "it did not end within 0 s"
        )
