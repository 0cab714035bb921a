from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from otel_claude_stream._sdk.attach.hooks import HOOKS
from otel_claude_stream.cli import doctor_activation, doctor_stream, main
from otel_claude_stream.cli.doctor import text
from otel_claude_stream.cli.doctor_activation import activation
from otel_claude_stream.cli.doctor_findings import Finding, Level, Section, error, note, ok, warning, worst
from otel_claude_stream.cli.doctor_packages import anthropic, conflicts, others, versions
from otel_claude_stream.cli.doctor_probe import Probe, probe
from otel_claude_stream.cli.doctor_settings import settings
from otel_claude_stream.cli.path import FOLDER
from otel_claude_stream.cli.receiver import Receiver

COMMAND = [sys.executable, "-m", "otel_claude_stream", "doctor"]
PLAIN = Probe(tracer_provider="ProxyTracerProvider", meter_provider="ProxyMeterProvider", hooks=12)
HTTP = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}


def levels(section: Section) -> dict[str, Level]:
    return {finding.text: finding.level for finding in section.findings}


def bad(section: Section) -> list[Finding]:
    return [finding for finding in section.findings if finding.level > Level.NOTE]


def clean() -> dict[str, str]:
    """The environment of a user: our own tests are strict, which the doctor would tell."""
    return {name: value for name, value in os.environ.items() if name != "OTEL_CLAUDE_STREAM_STRICT"}


@pytest.mark.slow
def test_where_all_is_well() -> None:
    """The whole chain, in subprocesses: a collector that answers, hooks that fit, streams that arrive."""
    got = []
    with Receiver(got.append, pytest.fail) as collector:
        env = {**clean(), **HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
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
    completed, cut, metrics = texts["Test stream"]
    assert completed.startswith("an answer arrived as completed: 9 events, first token after ")
    assert cut == "a connection cut on purpose arrived as failed: connection closed"
    assert metrics.startswith("its metrics arrived (")
    assert [message.document for message in got] == [{}] * 3, "a collector of the user's gets nothing but a question"


@pytest.mark.slow
def test_where_it_is_not(tmp_path: Path) -> None:
    """A Python that is instrumented by its path; a setting that does not exist; nobody at the endpoint."""
    env = {**clean(), **HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "NO_COLOR": "1"}
    env |= {"PYTHONPATH": str(FOLDER), "OTEL_CLAUDE_STREAM_DELTA": "all"}
    arguments = [*COMMAND, "--no-stream"]
    done = subprocess.run(arguments, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stdout
    assert "✓ a plain `python app.py` is instrumented here, by PYTHONPATH" in done.stdout
    assert "did you mean OTEL_CLAUDE_STREAM_DELTAS?" in done.stdout
    assert "· of exports that fail, its log has one line in ten minutes" in done.stdout
    assert "✗ traces, metrics, logs: http/protobuf to http://127.0.0.1:9: Connection refused" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 errors, 0 warnings"


def test_text_and_the_sum_of_it() -> None:
    sections = [Section("One", (ok("good"), warning("odd\nmore", "do this"))), Section("Two", (note("so"),))]
    assert text(sections, colours=False).splitlines()[1:] == [
        "", "One", "  ✓ good", "  ! odd", "    more", "    → do this", "", "Two", "  · so", "", "0 errors, 1 warning",
    ]  # fmt: skip
    assert text([Section("One", (ok("x"),))], colours=False).endswith("\n\nAll is well.")
    assert "\x1b[31m✗\x1b[0m bad" in text([Section("One", (error("bad"),))], colours=True)
    assert worst(sections) is Level.WARNING
    assert worst([]) is Level.OK


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--help"]) == 0
    assert "exit codes: 0 all is well" in capsys.readouterr().out


class TestPackages:
    def test_those_of_this_environment_fit(self) -> None:
        assert bad(versions()) == []

    @pytest.mark.parametrize(
        ("found", "level", "said"),
        [
            (None, Level.ERROR, "not installed"),
            ("0.49.0", Level.ERROR, "0.49.0 is not supported"),
            ("3.0.0", Level.ERROR, "not supported"),
            ("2.11.0", Level.OK, "supported: >=0.50, <3"),
            ("0.50.0", Level.OK, "0.50.0"),
        ],
    )
    def test_the_sdk(self, found: str | None, level: Level, said: str) -> None:
        finding = anthropic(found)
        assert finding.level is level
        assert said in finding.text
        assert bool(finding.hint) == (level is Level.ERROR)

    def test_what_does_not_fit_together(self) -> None:
        there = {"a": "1.0", "b": "2.0"}
        needs = {"otel-claude-stream": ["a >= 2", "b < 3", "c", "d; extra == 'x'", "e; python_version < '3'", "???"]}
        found = list(conflicts(there.get, lambda name: needs.get(name, ())))
        assert [(one.text, one.hint) for one in found] == [
            ("otel-claude-stream needs a>=2, and 1.0 is installed", "pip install 'a>=2'"),
            ("otel-claude-stream needs c, which is not installed", "pip install 'c'"),
        ]

    def test_what_is_missing(self) -> None:
        found = levels(versions(lambda name: None, lambda name: ()))
        assert found["opentelemetry-sdk is not installed: without it nothing is recorded"] is Level.WARNING

    def test_others(self) -> None:
        (found,) = others({"logfire": "4.1"}.get)
        assert found.level is Level.NOTE
        assert found.text.startswith("logfire 4.1 is installed (Logfire")


class TestActivation:
    def test_a_plain_python(self) -> None:
        found = activation({}, PLAIN)
        assert bad(found) == []
        assert "a plain `python app.py` is not instrumented here" in levels(found)
        assert any(one.startswith("opentelemetry-instrument finds claude_stream (") for one in levels(found))

    @pytest.mark.parametrize(
        ("environ", "how"),
        [
            ({"PYTHONPATH": os.pathsep.join(["/x", str(FOLDER)])}, "by PYTHONPATH"),
            ({"OTEL_CLAUDE_STREAM_AUTO": "true"}, "by OTEL_CLAUDE_STREAM_AUTO"),
            ({}, "by a sitecustomize or a .pth file of somebody else's"),
        ],
    )
    def test_one_that_is_instrumented(self, environ: dict[str, str], how: str) -> None:
        found = levels(activation(environ, replace(PLAIN, active=True)))
        assert found[f"a plain `python app.py` is instrumented here, {how}"] is Level.OK

    @pytest.mark.parametrize(
        ("environ", "said"),
        [
            ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "x, claude_stream"}, "has claude_stream: switched off"),
            ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}, "has *: switched off"),
            ({"OTEL_SDK_DISABLED": "True"}, "OTEL_SDK_DISABLED=true: OpenTelemetry records nothing at all"),
            ({"OTEL_CLAUDE_STREAM_AUTO": "ja"}, "OTEL_CLAUDE_STREAM_AUTO=ja is neither true nor false"),
            ({"PYTHONPATH": "/x/otel_claude_stream/_auto/site"}, "the folder of another installation: /x/"),
        ],
    )
    def test_what_keeps_it_from_it(self, environ: dict[str, str], said: str) -> None:
        (found,) = bad(activation(environ, PLAIN))
        assert found.level is Level.WARNING
        assert said in found.text
        assert found.hint

    def test_a_python_that_fails(self) -> None:
        (found,) = bad(activation({}, Probe(failure="it ended with exit code 1\nboom")))
        assert (found.level, found.text) == (
            Level.ERROR,
            "a Python started here fails: it ended with exit code 1\nboom",
        )

    def test_no_entry_point(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor_activation, "entry_points", lambda group: ())
        (found,) = bad(activation({}, PLAIN))
        assert "no such entry point in group opentelemetry_instrumentor" in found.text

    @pytest.mark.parametrize(
        ("content", "switch", "expected"),
        [
            (None, "", note("autoload is not installed in this environment")),
            (None, "true", warning("does nothing by itself")),
            ("other", "true", warning("by another version")),
            ("line", "true", ok("switches it on")),
            ("line", "", note("does nothing while")),
        ],
    )
    def test_autoload(self, tmp_path: Path, monkeypatch, content, switch, expected) -> None:
        line = tmp_path / "x.pth"
        if content:
            line.write_text(content)
        monkeypatch.setattr(doctor_activation.autoload, "files", lambda environment: {line: "line"})
        found = activation({"OTEL_CLAUDE_STREAM_AUTO": switch}, PLAIN).findings
        assert [one.level for one in found if expected.text in one.text] == [expected.level]


class TestSettings:
    def test_defaults(self) -> None:
        (found,) = settings({}).findings
        assert found.level is Level.OK
        assert "stall_thresholds 10s,30s,60s,180s" in found.text
        assert "known_limits -" in found.text

    def test_values_their_sources_and_problems(self) -> None:
        given = {
            "OTEL_CLAUDE_STREAM_EVENTS": "log",
            "OTEL_CLAUDE_STREAM_SPAN": "of",
            "OTEL_CLAUDE_STREAM_KNOWN_LIMITS": "x",
        }
        found = settings(given)
        assert [one.level for one in bad(found)] == [Level.ERROR] * 2
        assert "did you mean off?" in bad(found)[1].text + bad(found)[0].text
        assert "events = log (OTEL_CLAUDE_STREAM_EVENTS)" in levels(found)
        assert "span auto" in found.findings[3].text

    def test_what_a_configuration_file_says_wins(self) -> None:
        section = {"events": "both", "deltas": "ever", "retry_policy": {"mode": "retry"}}
        found = settings({"OTEL_CLAUDE_STREAM_EVENTS": "log"}, section)
        assert "events = both (OTEL_CONFIG_FILE)" in levels(found)
        (one,) = bad(found)
        assert "deltas='ever' is not valid" in one.text

    def test_the_opt_in_of_the_conventions_is_named_as_the_source(self) -> None:
        opted_in = {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}
        assert "semconv = latest (OTEL_SEMCONV_STABILITY_OPT_IN)" in levels(settings(opted_in))
        ours = settings({**opted_in, "OTEL_CLAUDE_STREAM_SEMCONV": "both"})
        assert "semconv = both (OTEL_CLAUDE_STREAM_SEMCONV)" in levels(ours)

    @pytest.mark.parametrize(
        ("environ", "said"),
        [
            ({"OTEL_CLAUDE_STREAM_ENABLED": "false"}, "left untouched"),
            ({"OTEL_CLAUDE_STREAM_EVENT_BUDGET": "1000"}, "event_budget 1000 is not below OTEL_SPAN_EVENT_COUNT_LIMIT"),
            ({"OTEL_CLAUDE_STREAM_STRICT": "1"}, "would be raised"),
        ],
    )
    def test_doubts(self, environ: dict[str, str], said: str) -> None:
        (found,) = bad(settings(environ))
        assert found.level is Level.WARNING
        assert said in found.text

    def test_content_by_the_sdk_is_said(self) -> None:
        found = settings({"ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content"})
        assert (found.findings[-1].level, bad(found)) == (Level.NOTE, [])


class TestStream:
    def told(self, monkeypatch: pytest.MonkeyPatch, found: Probe, **environ: str) -> dict[str, Level]:
        monkeypatch.setattr(doctor_stream, "probe", lambda *_: found)
        return {
            text: level for section in doctor_stream.test_stream(environ) for text, level in levels(section).items()
        }

    def test_nothing_was_instrumented(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = self.told(monkeypatch, Probe(said="Failed to auto initialize OpenTelemetry"))
        text = "opentelemetry-instrument did not instrument it; it said:\nFailed to auto initialize OpenTelemetry"
        assert told[text] is Level.ERROR

    def test_nothing_came(self, monkeypatch: pytest.MonkeyPatch) -> None:
        missing = ("Stream.close",)
        told = self.told(monkeypatch, replace(PLAIN, active=True, hooks=len(HOOKS) - 1, unplaced=missing))
        assert told["11 of 12 hooks are in place; missing: Stream.close"] is Level.WARNING
        assert told["0 of 2 streams arrived as they should"] is Level.ERROR
        assert told["metrics are missing: claude.stream.aborts, claude.stream.duration"] is Level.ERROR

    def test_what_the_user_has_switched_off_is_not_missed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        off = {"OTEL_CLAUDE_STREAM_SPAN": "off", "OTEL_CLAUDE_STREAM_METRICS": "false"}
        told = self.told(monkeypatch, replace(PLAIN, active=True), **off)
        assert max(told.values()) is Level.NOTE

    def test_programs_that_fail(self) -> None:
        assert "cannot be started" in probe({}, launcher=["/no/such/program"]).failure
        found = probe(dict(os.environ), launcher=[sys.executable, "-c", "raise SystemExit('boom')"])
        assert found.failure == "it ended with exit code 1\nboom"
        assert (
            probe({"PATH": os.environ["PATH"]}, launcher=["sh", "-c", "exec sleep 9"], seconds=0.1).failure
            == "it did not end within 0 s"
        )
