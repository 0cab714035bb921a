"""Declarative configuration in a section of the file that `OTEL_CONFIG_FILE` names."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.activation.concurrent_cases import ConcurrentCases
from tests.support.activation.declarative import OPENTELEMETRY_WARNING, write_config
from tests.support.activation.harness import app, assert_one_stream, collecting, instrument, path_folder, python, run

from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig
from otel_claude_stream._config import Declared, otel_file
from otel_claude_stream._instrumentor import _load_settings

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.configuration") is None,
    reason="this version of OpenTelemetry reads no declarative configuration",
)
cases = ConcurrentCases()
CHAT = app("chat.py")


def run_with_config(api: str, tmp: Path, section: str, command: list[str] | None = None, **more: str):
    with collecting() as collected:
        file = write_config(tmp, collected.url, section)
        found = run(command or instrument(CHAT), api, export=False, OTEL_CONFIG_FILE=file, **more)
    found.collected.spans.extend(collected.spans)
    return replace(
        found, err="".join(line for line in found.err.splitlines(True) if not line.startswith(OPENTELEMETRY_WARNING))
    )


SECTION = """\
    claude_stream:
      events: none
      stall_thresholds: [10s, 30s]
      max_models: 5
    """


@cases
def the_section_is_applied(api: str, tmp: Path) -> None:
    """OpenTelemetry calls `instrument()` twice, which logs nothing."""
    span = assert_one_stream(run_with_config(api, tmp, SECTION))
    assert (span.events, span.resource["service.name"]) == ((), "declared")


@cases
def the_section_is_applied_with_the_folder_on_the_path(api: str, tmp: Path) -> None:
    span = assert_one_stream(run_with_config(api, tmp, SECTION, python(CHAT), PYTHONPATH=path_folder()))
    assert (span.events, span.resource["service.name"]) == ((), "declared")


@cases
def without_a_section_the_defaults_apply(api: str, tmp: Path) -> None:
    assert assert_one_stream(run_with_config(api, tmp, "logging: {enabled: false}")).events != ()


@cases
def enabled_false_switches_off(api: str, tmp: Path) -> None:
    """OpenTelemetry's loader ignores it, but `instrument()` does not."""
    found = run_with_config(api, tmp, "claude_stream: {enabled: false, events: none}")
    assert (found.code, found.out, found.err, found.collected.ours) == (0, "Hello there.\n", "", [])


@cases
def invalid_keys_and_an_invalid_policy_are_logged_and_the_others_apply(api: str, tmp: Path) -> None:
    found = run_with_config(
        api,
        tmp,
        "claude_stream: {event: log, deltas: perhaps, events: none, "
        "retry_policy: {mode: retri, limits: {deadline: 5}}}",
    )
    assert (found.code, found.out) == (0, "Hello there.\n")
    *keys, mode, deadline, consequence = found.err.splitlines()
    assert keys == [
        "otel-claude-stream: OTEL_CONFIG_FILE: event='log' is not valid: no such setting; did you mean events?",
        "otel-claude-stream: OTEL_CONFIG_FILE: deltas='perhaps' is not valid: allowed is coalesce, all or none",
    ]
    assert mode.startswith("otel-claude-stream: OTEL_CONFIG_FILE: mode='retri' is not valid: ")
    assert deadline.startswith("  OTEL_CONFIG_FILE: limits.deadline='5' is not valid: a number without its unit; ")
    assert consequence == "  the retry policy is not used: streams are observed, nothing is retried"
    (span,) = found.collected.ours
    assert span.events == ()


@cases
def an_invalid_file_does_not_stop_the_application(api: str, tmp: Path) -> None:
    """OpenTelemetry logs the problem."""
    path = tmp / "otel.yaml"
    path.write_text("file_format: [", encoding="utf-8")
    found = run(instrument("-c", "print('Hello there.')"), api, export=False, OTEL_CONFIG_FILE=str(path))
    assert (found.code, found.out) == (0, "Hello there.\n")
    assert "otel-claude-stream" not in found.err


def test_the_loader_passes_every_key_of_the_section():
    from opentelemetry.configuration._conversion import _dict_to_dataclass

    made = _dict_to_dataclass({"events": "log", "event": 1, "declared": 2}, ClaudeStreamInstrumentor.configuration)
    assert made == Declared(events="log", event=1, declared=2)
    assert made.declared == {"events": "log", "event": 1, "declared": 2}


def test_code_overrides_the_file_and_the_file_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_EVENTS", "both")
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_DELTAS", "none")
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_MAX_MODELS", "7")
    monkeypatch.setenv(
        "OTEL_CONFIG_FILE", write_config(tmp_path, "http://127.0.0.1:1", "claude_stream: {events: log, deltas: all}")
    )
    assert _load_settings(None, None, {"deltas": "coalesce"}) == (StreamConfig(events="log", max_models=7), ())


def test_a_config_in_code_replaces_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("OTEL_CONFIG_FILE", write_config(tmp_path, "http://127.0.0.1:1", "claude_stream: {events: log}"))
    assert _load_settings(StreamConfig(deltas="all"), None, {}) == (StreamConfig(deltas="all"), ())


@pytest.mark.parametrize("text", ["", "[]", "file_format: '9.0'", "instrumentation/development: 3", "\0"])
def test_an_invalid_file_has_no_section(tmp_path, text):
    path = tmp_path / "otel.yaml"
    path.write_text(text, encoding="utf-8")
    assert otel_file.section(str(path)) == {}
    assert otel_file.section(str(tmp_path / "absent.yaml")) == {}


running, test_declared = cases.test()
