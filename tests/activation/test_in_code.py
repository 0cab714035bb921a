"""`instrument()` in code, before and after everything else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.activation.harness import app, collecting, python, run
from tests.support.activation.together import Together

from otel_claude_stream import ClaudeStreamInstrumentor

together = Together()


def in_order(*steps: str) -> Callable[[str, Path], None]:
    def case(api: str, tmp: Path) -> None:
        with collecting() as collected:
            found = run(python(app("in_code.py"), *steps), api, export=False, WHERE=collected.url)
        answers = ["Hello there."] * steps.count("read")
        assert (found.code, found.out.splitlines(), found.err) == (0, answers, "")
        told = steps[steps.index("providers") :].count("read")
        assert [span.attributes["claude.stream.outcome"] for span in collected.ours] == ["completed"] * told

    return case


for steps in (
    ("instrument", "sdk", "providers", "read"),
    ("providers", "sdk", "client", "instrument", "read"),
    ("sdk", "client", "instrument", "instrument", "providers", "read"),
    ("instrument", "read", "providers", "read"),
):
    together.add("_".join(steps), in_order(*steps))


@pytest.fixture
def instrumentor() -> Iterator[ClaudeStreamInstrumentor]:
    found = ClaudeStreamInstrumentor()
    yield found
    if found.is_instrumented_by_opentelemetry:
        found.uninstrument()


def test_the_second_call_of_a_loader_is_quiet(caplog, instrumentor):
    """OpenTelemetry's loader of instrumentors calls again after a configuration file did."""
    caplog.set_level(logging.WARNING)
    instrumentor.instrument()
    instrumentor.instrument()
    instrumentor.instrument(skip_dep_check=True)
    assert caplog.messages == []


def test_settings_that_come_too_late_are_told(caplog, instrumentor):
    caplog.set_level(logging.WARNING)
    instrumentor.instrument()
    instrumentor.instrument(events="log")
    assert caplog.messages == ["Attempting to instrument while already instrumented"]


def test_broken_metadata_of_a_package_is_told_and_no_more(caplog, instrumentor, monkeypatch):
    def broken() -> None:
        raise ValueError("somebody's metadata")

    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(instrumentor, "_check_dependency_conflicts", broken)
    instrumentor.instrument()
    assert not instrumentor.is_instrumented_by_opentelemetry
    assert [message.partition(";")[0] for message in caplog.messages] == ["otel-claude-stream failed in versions"]


running, test_order = together.test()
