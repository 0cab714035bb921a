"""No credential and no control character appears in the output of the doctor, nor in the arguments of its probe."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from otel_claude_stream.cli.doctor import probe as probes
from otel_claude_stream.cli.doctor.command import text
from otel_claude_stream.cli.doctor.findings import Section, error, ok
from otel_claude_stream.cli.doctor.secrets import without_credentials

COMMAND = [sys.executable, "-m", "otel_claude_stream", "doctor", "--offline", "--no-stream"]
SECRET = "s3cr3t-value"
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")

CONFIGURED = f"""\
file_format: "1.0"
tracer_provider:
  processors:
    - batch: {{exporter: {{otlp_http: {{endpoint: "https://user:{SECRET}@${{HOST_NAME}}/${{TOKEN}}?key=${{TOKEN}}"}}}}}}
instrumentation/development: {{python: {{claude_stream: {{events: "${{TOKEN}}"}}}}}}
"""


def shown(finding, **environ):
    (section,) = without_credentials([Section("Export", (finding,))], environ)
    return section.findings[0].text, section.findings[0].hint


def run(*arguments, **environ):
    """Return the output of the doctor with these variables."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [*COMMAND, *arguments], env={**env, **environ}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.stdout


def test_credentials_in_urls_are_hidden():
    found = error("traces: http to https://user:pw@host:4318/v1?key=abc, which answers", "use http://localhost:4318")
    assert shown(found) == (
        "traces: http to https://user:***@host:4318/v1?key=***, which answers",
        "use http://localhost:4318",
    )


def test_values_of_headers_are_hidden():
    text, hint = shown(
        error("sent Bearer a/b and 123", "x"), OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20a%2Fb,n=123"
    )
    assert (text, hint) == ("sent *** and 123", "x")


def test_values_of_variables_in_the_configuration_file_are_shown_as_references(tmp_path):
    path = tmp_path / "otel.yaml"
    path.write_text("a: ${TOKEN}\nb: ${env:OTHER:-default}\nc: ${MISSING}\nd: ${SHORT}\n", encoding="utf-8")
    found = ok(f"{SECRET} and another and abc")
    variables = {"TOKEN": SECRET, "OTHER": "another", "SHORT": "abc"}
    assert shown(found, OTEL_CONFIG_FILE=str(path), **variables)[0] == "${TOKEN} and ${OTHER} and abc"
    assert shown(found, OTEL_CONFIG_FILE=str(tmp_path), **variables)[0] == found.text


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_the_output_has_neither_credentials_nor_control_characters(arguments):
    out = run(
        *arguments,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"https://user:{SECRET}@collector:4318/?key={SECRET}\x1b]0;title\x07",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization={SECRET}",
        OTEL_TRACES_SAMPLER="\x1b[5mblink",
        OTEL_CLAUDE_STREAM_SPAN="\x1b[31m\u202ered",
        PYTHONPATH="/nowhere\x9b31m",
    )
    assert SECRET not in out
    assert CONTROLS.findall(out) == []
    assert "https://user:***@collector:4318" in out
    assert "\\x1b[5mblink" in out or "\\u001b[5mblink" in out


def test_a_configuration_file_with_secrets(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.configuration", reason="this SDK reads no configuration files")
    path = tmp_path / "otel.yaml"
    path.write_text(CONFIGURED, encoding="utf-8")
    out = run("--json", OTEL_CONFIG_FILE=str(path), TOKEN=SECRET, HOST_NAME="collector.example")
    assert SECRET not in out
    assert "https://user:***@${HOST_NAME}/${TOKEN}?key=***" in out
    assert json.loads(out)["exit_code"] == 2  # events has no such value


def test_the_token_of_the_receiver_is_no_argument_of_the_probe(monkeypatch):
    """Every user of the machine can list the arguments of a process."""
    started = []

    def start(command, **options):
        started.append((command, options["input"]))
        return SimpleNamespace(returncode=1, stderr=b"")

    monkeypatch.setattr(probes.subprocess, "run", start)
    probes.probe({}, ["http://127.0.0.1:1/token", "http://127.0.0.1:2/answer"])
    ((command, given),) = started
    assert not [argument for argument in command if "http" in argument]
    assert given == b"http://127.0.0.1:1/token\nhttp://127.0.0.1:2/answer"


def test_a_line_break_in_a_hint_begins_no_line():
    lines = text([Section("One", (error("a\r\x1b[2Jb\nc", "d\ne"),))], colours=False).splitlines()
    assert lines[3:6] == ["  ✗ a\\r\\x1b[2Jb", "    c", "    → d\\ne"]
