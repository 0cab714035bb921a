"""The fixtures for pytest, as a project with the installed package uses them."""

from __future__ import annotations

import subprocess
import sys

import pytest

TEST = """
import anthropic
from otel_claude_stream.testing import Error, Script


def test_an_overload(claude_stream_api, claude_stream_telemetry):
    url = claude_stream_api.set_route("overloaded", [Script.message("Hello!").cut_after(4, Error())])
    client = anthropic.Anthropic(api_key="none", base_url=url, max_retries=0)
    question = {"role": "user", "content": "Hello?"}
    try:
        with client.messages.stream(model="claude", max_tokens=9, messages=[question]) as stream:
            stream.until_done()
    except anthropic.APIStatusError:
        pass
    (span,) = claude_stream_telemetry.spans()
    assert span["attributes"]["claude.stream.abort.reason"] == "overloaded"


def test_the_next_test_has_telemetry_of_its_own(claude_stream_telemetry):
    assert claude_stream_telemetry.spans() == []
"""
INSTRUMENTED = """
from otel_claude_stream import ClaudeStreamInstrumentor

ClaudeStreamInstrumentor().instrument()


def test_in_an_instrumented_process(claude_stream_telemetry):
    pass
"""
UNUSED = """
import sys


def test_nothing():
    assert "otel_claude_stream.testing.server" not in sys.modules
    assert "anthropic" not in sys.modules
"""


@pytest.fixture
def run(tmp_path):
    """A function that runs a test file in a project of its own, and returns the output."""

    def run_tests(source):
        (tmp_path / "test_it.py").write_text(source, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "test_it.py"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120).stdout

    return run_tests


def test_a_test_gets_a_fake_api_and_its_telemetry(run):
    assert "2 passed" in run(TEST)


def test_a_process_that_is_instrumented_is_an_error_with_its_remedy(run):
    output = run(INSTRUMENTED)
    assert "1 error" in output
    assert "ClaudeStreamInstrumentor().uninstrument()" in output


def test_a_project_that_uses_no_fixture_loads_nothing(run):
    assert "1 passed" in run(UNUSED)
