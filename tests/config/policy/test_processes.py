"""Policies in processes of their own: when a policy is loaded, what is logged, and that the application still works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
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
import runpy, sys
from otel_claude_stream import ClaudeStreamInstrumentor
ClaudeStreamInstrumentor().instrument()
runpy.run_path({app!r}, run_name="__main__")
print("otel_claude_stream._config.policy.loading" in sys.modules, "yaml" in sys.modules)
"""


def test_without_a_policy_nothing_is_loaded(api):
    """The SDK imports pydantic itself. Neither the modules that load a policy nor PyYAML are imported."""
    program = STREAMED.format(app=app("chat.py"))
    found = run(python("-c", program), api, export=False, OTEL_CLAUDE_STREAM_KILL_SWITCH="true")
    assert (found.code, found.out, found.err) == (0, "Hello there.\nFalse False\n", "")
    found = run(python("-c", program), api, export=False, OTEL_CLAUDE_STREAM_MODE="retry")
    assert (found.code, found.out, found.err) == (0, "Hello there.\nTrue False\n", "")


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
    ("variables", "error"),
    [
        ({"OTEL_CLAUDE_STREAM_CONFIG": "/no/such/file.yaml"},
         "/no/such/file.yaml: the file cannot be read: No such file or directory"),
        ({"OTEL_CLAUDE_STREAM_LIMITS__MAX_ATEMPTS": "3"},
         ("environment: OTEL_CLAUDE_STREAM_LIMITS__MAX_ATEMPTS='3' is not valid: no such setting; "
         "did you mean OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS?")),
    ],
)  # fmt: skip
def test_an_invalid_variable_is_one_error_log(api, variables, error):
    found = run(instrument(app("chat.py")), api, **variables)
    assert (found.code, found.out) == (0, "Hello there.\n")
    assert found.err.splitlines() == [f"otel-claude-stream: {error}", NOT_USED]


def test_an_unknown_variable_is_logged_at_the_start(api):
    found = run(instrument(app("chat.py")), api, OTEL_CLAUDE_STREAM_MOD="retry")
    assert found.err == (
        "otel-claude-stream: environment: OTEL_CLAUDE_STREAM_MOD='retry' is not valid: no such setting; "
        "did you mean OTEL_CLAUDE_STREAM_MODE?\n"
    )


def test_a_valid_file_logs_nothing(api, tmp_path):
    path = write(tmp_path, '{"version": 1, "mode": "retry"}', "policy.json")
    found = run(instrument(app("chat.py")), api, OTEL_CLAUDE_STREAM_CONFIG=path)
    assert (found.code, found.out, found.err) == (0, "Hello there.\n", "")


def test_a_warning_is_one_warning_log(api, tmp_path):
    path = write(tmp_path, "version: 1\nmode: retry\nwatchdog: {silence: 20s}\n")
    found = run(instrument(app("chat.py")), api, OTEL_CLAUDE_STREAM_CONFIG=path)
    assert (found.code, found.out) == (0, "Hello there.\n")
    (line,) = found.err.splitlines()
    assert line.startswith(f"otel-claude-stream: {path}:3: watchdog.silence='20s': shorter than the interval of pings")


def test_an_invalid_policy_in_code_is_one_error_log(api):
    program = STREAMED.replace("instrument()", "instrument(retry_policy='bach')").format(app=app("chat.py"))
    found = run(python("-c", program), api, export=False)
    assert (found.code, found.out.splitlines()[0]) == (0, "Hello there.")
    assert found.err.splitlines() == [
        (
            "otel-claude-stream: instrument(): retry_policy='bach' is not valid: allowed is a preset (observe, "
            "interactive, batch, unattended) or the path of a file; did you mean batch?"
        ),
        NOT_USED,
    ]
