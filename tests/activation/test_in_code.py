"""`instrument()` in code works in any order with the SDK, its clients and the providers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.activation.concurrent_cases import ConcurrentCases
from tests.support.activation.harness import app, collecting, python, run

from otel_claude_stream import ClaudeStreamInstrumentor

cases = ConcurrentCases()


def in_order(*steps: str) -> Callable[[str, Path], None]:
    def case(api: str, tmp: Path) -> None:
        with collecting() as collected:
            found = run(python(app("in_code.py"), *steps), api, export=False, COLLECTOR_URL=collected.url)
        answers = ["Hello there."] * steps.count("read")
        assert (found.code, found.out.splitlines(), found.err) == (0, answers, "")
        recorded = steps[steps.index("providers") :].count("read")
        assert [span.attributes["claude.stream.outcome"] for span in collected.ours] == ["completed"] * recorded

    return case


for steps in (
    ("instrument", "sdk", "providers", "read"),
    ("providers", "sdk", "client", "instrument", "read"),
    ("sdk", "client", "instrument", "instrument", "providers", "read"),
    ("instrument", "read", "providers", "read"),
):
    cases.add("_".join(steps), in_order(*steps))


@pytest.fixture
def instrumentor() -> Iterator[ClaudeStreamInstrumentor]:
    found = ClaudeStreamInstrumentor()
    yield found
    if found.is_instrumented_by_opentelemetry:
        found.uninstrument()


def test_a_repeated_call_without_settings_logs_nothing(caplog, instrumentor):
    """OpenTelemetry's loader calls `instrument()` again if a configuration file did."""
    caplog.set_level(logging.WARNING)
    instrumentor.instrument()
    instrumentor.instrument()
    instrumentor.instrument(skip_dep_check=True)
    assert caplog.messages == []


def test_a_repeated_call_with_settings_logs_a_warning(caplog, instrumentor):
    caplog.set_level(logging.WARNING)
    instrumentor.instrument()
    instrumentor.instrument(events="log")
    assert caplog.messages == ["Attempting to instrument while already instrumented"]


def test_broken_metadata_of_a_package_is_logged_and_does_not_raise(caplog, instrumentor, monkeypatch):
    def raise_error() -> None:
        raise ValueError("broken metadata")

    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(instrumentor, "_check_dependency_conflicts", raise_error)
    instrumentor.instrument()
    assert not instrumentor.is_instrumented_by_opentelemetry
    assert [message.partition(";")[0] for message in caplog.messages] == ["otel-claude-stream failed in versions"]


running, test_order = cases.test()
