"""Declarative configuration: our section of the file that `OTEL_CONFIG_FILE` names."""

from __future__ import annotations

import importlib.util
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.activation.harness import app, collecting, instrument, one_stream, path_folder, python, run
from tests.support.activation.together import Together

from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig
from otel_claude_stream._config import Declared, otel_file
from otel_claude_stream._instrumentor import _load_settings

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.configuration") is None,
    reason="this version of OpenTelemetry reads no declarative configuration",
)
together = Together()
CHAT = app("chat.py")


def written(tmp: Path, url: str, section: str) -> str:
    """A configuration file with our section, and where its telemetry goes to."""
    text = f"""\
file_format: "1.0"
resource:
  attributes:
    - {{name: service.name, value: declared}}
tracer_provider:
  processors:
    - batch:
        exporter:
          otlp_http:
            endpoint: {url}/v1/traces
instrumentation/development:
  python:
"""
    path = tmp / "otel.yaml"
    path.write_text(text + textwrap.indent(textwrap.dedent(section), "    "), encoding="utf-8")
    return str(path)


THEIRS = "OTEL_CONFIG_FILE is set; ignoring configurator kwargs"
"""What OpenTelemetry says of its own parts with every configuration file."""


def declaring(api: str, tmp: Path, section: str, command: list[str] | None = None, **more: str):
    with collecting() as collected:
        file = written(tmp, collected.url, section)
        found = run(command or instrument(CHAT), api, export=False, OTEL_CONFIG_FILE=file, **more)
    found.collected.spans.extend(collected.spans)
    return replace(found, err="".join(line for line in found.err.splitlines(True) if not line.startswith(THEIRS)))


SECTION = """\
    claude_stream:
      events: none
      stall_thresholds: [10s, 30s]
      max_models: 5
    """


@together
def the_section_is_applied(api: str, tmp: Path) -> None:
    """And `instrument()`, which OpenTelemetry calls twice, is quiet about it."""
    span = one_stream(declaring(api, tmp, SECTION))
    assert (span.events, span.resource["service.name"]) == ((), "declared")


@together
def the_section_is_applied_by_the_folder_too(api: str, tmp: Path) -> None:
    span = one_stream(declaring(api, tmp, SECTION, python(CHAT), PYTHONPATH=path_folder()))
    assert (span.events, span.resource["service.name"]) == ((), "declared")


@together
def without_a_section_there_are_the_defaults(api: str, tmp: Path) -> None:
    assert one_stream(declaring(api, tmp, "logging: {enabled: false}")).events != ()


@together
def switched_off(api: str, tmp: Path) -> None:
    """OpenTelemetry's loader of instrumentors instruments in spite of it; ours honours it."""
    found = declaring(api, tmp, "claude_stream: {enabled: false, events: none}")
    assert (found.code, found.out, found.err, found.collected.ours) == (0, "Hello there.\n", "", [])


@together
def an_unknown_key_is_named_and_the_rest_holds(api: str, tmp: Path) -> None:
    found = declaring(api, tmp, "claude_stream: {event: log, deltas: perhaps, events: none}")
    assert (found.code, found.out) == (0, "Hello there.\n")
    assert found.err.splitlines() == [
        "otel-claude-stream: OTEL_CONFIG_FILE: event='log' is not valid: no such setting; did you mean events?",
        "otel-claude-stream: OTEL_CONFIG_FILE: deltas='perhaps' is not valid: allowed is coalesce, all or none",
    ]
    (span,) = found.collected.ours
    assert span.events == ()


@together
def a_retry_policy_is_a_part_of_the_section(api: str, tmp: Path) -> None:
    found = declaring(api, tmp, "claude_stream: {events: none, retry_policy: {mode: retri, limits: {deadline: 5}}}")
    assert (found.code, found.out) == (0, "Hello there.\n")
    told, deadline, meaning = found.err.splitlines()
    assert told.startswith("otel-claude-stream: OTEL_CONFIG_FILE: mode='retri' is not valid: ")
    assert deadline.startswith("  OTEL_CONFIG_FILE: limits.deadline='5' is not valid: a number without its unit; ")
    assert meaning == "  the retry policy is not used: streams are observed, nothing is retried"
    (span,) = found.collected.ours
    assert span.events == ()


@together
def a_file_that_is_none(api: str, tmp: Path) -> None:
    """OpenTelemetry says so, and the application runs."""
    path = tmp / "otel.yaml"
    path.write_text("file_format: [", encoding="utf-8")
    found = run(instrument("-c", "print('Hello there.')"), api, export=False, OTEL_CONFIG_FILE=str(path))
    assert (found.code, found.out) == (0, "Hello there.\n")
    assert "otel-claude-stream" not in found.err


def test_the_loader_hands_over_whatever_was_written():
    from opentelemetry.configuration._conversion import _dict_to_dataclass

    made = _dict_to_dataclass({"events": "log", "event": 1, "declared": 2}, ClaudeStreamInstrumentor.configuration)
    assert made == Declared(events="log", event=1, declared=2)
    assert made.declared == {"events": "log", "event": 1, "declared": 2}


def test_code_wins_over_the_file_and_the_file_over_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_EVENTS", "both")
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_DELTAS", "none")
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_MAX_MODELS", "7")
    monkeypatch.setenv(
        "OTEL_CONFIG_FILE", written(tmp_path, "http://127.0.0.1:1", "claude_stream: {events: log, deltas: all}")
    )
    assert _load_settings(None, None, {"deltas": "coalesce"}) == (StreamConfig(events="log", max_models=7), ())


def test_a_config_in_code_leaves_the_file_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("OTEL_CONFIG_FILE", written(tmp_path, "http://127.0.0.1:1", "claude_stream: {events: log}"))
    assert _load_settings(StreamConfig(deltas="all"), None, {}) == (StreamConfig(deltas="all"), ())


@pytest.mark.parametrize("text", ["", "[]", "file_format: '9.0'", "instrumentation/development: 3", "\0"])
def test_a_bad_file_is_no_section(tmp_path, text):
    path = tmp_path / "otel.yaml"
    path.write_text(text, encoding="utf-8")
    assert otel_file.section(str(path)) == {}
    assert otel_file.section(str(tmp_path / "absent.yaml")) == {}


running, test_declared = together.test()
