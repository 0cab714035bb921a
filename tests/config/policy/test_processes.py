"""Policies in processes of their own: when a policy is loaded, what is logged, and that the application still works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import processes as programs
from tests.support.activation.harness import app, instrument, python, run

from otel_claude_stream.testing import FakeAPI, Script

BROKEN = "version: 1\nmode: retri\nlimits: {max_attempts: 9}\n"
NOT_USED = "  the retry policy is not used: streams are observed, nothing is retried"


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with FakeAPI(Script.message("Hello there.")) as running:
        yield running.url


def write(tmp: Path, text: str, name: str = "policy.yaml") -> str:
    path = tmp / name
    path.write_text(text, encoding="utf-8")
    return str(path)


LOADED = """
import sys
from otel_claude_stream import ClaudeStreamInstrumentor
ClaudeStreamInstrumentor().instrument(skip_dep_check=True{argument})
print([name for name in ("pydantic", "yaml", "otel_claude_stream._config.policy.loading") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("argument", "variables"),
    [
        ("", {"OTEL_CLAUDE_STREAM_MODE": "retry", "OTEL_CLAUDE_STREAM_CONFIG": "/no/such/file.yaml"}),
        (", retry_policy={'mode': 'retry'}", {}),
    ],
)
def test_nothing_is_loaded_before_the_first_call(api, argument, variables):
    """A process that never streams pays nothing for a policy."""
    found = run(python("-c", LOADED.format(argument=argument)), api, export=False, **variables)
    assert (found.code, found.out, found.err) == (0, "[]\n", "")


STREAMED = """
instrument({arguments})
with FakeAPI(Script.message("Hello there.")) as api:
    read_one(api)
emit(policy="otel_claude_stream._config.policy.loading" in sys.modules, yaml="yaml" in sys.modules)
"""


def stream(arguments: str = "", *, err: str = "") -> dict[str, bool]:
    """Instrument the SDK, read a stream, and return which modules were loaded. The process must log `err`."""
    *_, loaded = programs.run(STREAMED.format(arguments=arguments), err=err)
    return loaded


def test_without_a_policy_nothing_is_loaded(monkeypatch):
    """The SDK imports pydantic itself. Neither the modules that load a policy nor PyYAML are imported."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_KILL_SWITCH", "true")
    assert stream() == {"policy": False, "yaml": False}
    monkeypatch.delenv("OTEL_CLAUDE_STREAM_KILL_SWITCH")
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_MODE", "retry")
    assert stream() == {"policy": True, "yaml": False}


def test_an_invalid_file_is_one_error_log_and_the_application_works(api, tmp_path):
    path = write(tmp_path, BROKEN)
    found = run(instrument(app("chat.py")), api, OTEL_CLAUDE_STREAM_CONFIG=path)
    assert (found.code, found.out) == (0, "Hello there.\n")
    assert found.err.splitlines() == [
        (
            f"otel-claude-stream: {path}:2: mode='retri' is not valid: allowed is observe, retry or resume; "
            "did you mean retry?"
        ),
        f"  {path}:3: limits.max_attempts='9' is not valid: allowed is a whole number from 1 to 5",
        NOT_USED,
    ]
    (span,) = found.collected.ours
    assert span.attributes["claude.stream.outcome"] == "completed"


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("OTEL_CLAUDE_STREAM_CONFIG", "/no/such/file.yaml",
         "/no/such/file.yaml: the file cannot be read: No such file or directory"),
        ("OTEL_CLAUDE_STREAM_LIMITS__MAX_ATEMPTS", "3",
         ("environment: OTEL_CLAUDE_STREAM_LIMITS__MAX_ATEMPTS='3' is not valid: no such setting; "
         "did you mean OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS?")),
    ],
)  # fmt: skip
def test_an_invalid_variable_is_one_error_log(variable, value, error, monkeypatch):
    monkeypatch.setenv(variable, value)
    stream(err=f"otel-claude-stream: {error}\n{NOT_USED}\n")


def test_an_unknown_variable_is_logged_at_the_start(monkeypatch):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_MOD", "retry")
    error = (
        "otel-claude-stream: environment: OTEL_CLAUDE_STREAM_MOD='retry' is not valid: no such setting; "
        "did you mean OTEL_CLAUDE_STREAM_MODE?\n"
    )
    assert programs.run("instrument()", err=error) == []


def test_a_valid_file_logs_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_CONFIG", write(tmp_path, '{"version": 1, "mode": "retry"}', "policy.json"))
    assert stream()["policy"]


def test_a_warning_is_one_warning_log(tmp_path, monkeypatch):
    path = write(tmp_path, "version: 1\nmode: retry\nwatchdog: {silence: 20s}\n")
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_CONFIG", path)
    problem = "shorter than the interval of pings (15 to 30 s), so it aborts healthy streams"
    stream(err=f"otel-claude-stream: {path}:3: watchdog.silence='20s': {problem}\n")


def test_an_invalid_policy_in_code_is_one_error_log():
    error = (
        "otel-claude-stream: instrument(): retry_policy='bach' is not valid: allowed is a preset (observe, "
        "interactive, batch, unattended) or the path of a file; did you mean batch?"
    )
    stream("retry_policy='bach'", err=f"{error}\n{NOT_USED}\n")
