"""This package beside other instrumentations of the same SDK, which are installed in separate environments."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from tests.support.activation.concurrent_cases import ConcurrentCases
from tests.support.activation.environments import folder_with_package, interpreter_with
from tests.support.activation.harness import TIMEOUT, app, environment

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import Capture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        int(importlib.metadata.version("anthropic").partition(".")[0]) < 2,
        reason="the environments have fixed releases of the SDK, so one run of these tests is enough",
    ),
]
cases = ConcurrentCases()

CALLS = 4

NEWEST = (
    "anthropic==2.11.0",
    "logfire==5.2.0",
    "openinference-instrumentation-anthropic==3.1.0",
    "opentelemetry-instrumentation-anthropic==0.62.4",
    "opentelemetry-instrumentation-genai-anthropic==1.3b0",
)
WITH_HTTPX = ("anthropic==0.125.0", "opentelemetry-instrumentation-httpx==0.66b1", "opentelemetry-sdk==1.45.1")
"""The last generation of the SDK on httpx, as the instrumentation of httpx does not support httpx2."""


# --- Spans and metrics beside other packages


@dataclass(frozen=True)
class Expected:
    """The telemetry of this package beside another one."""

    kind: str
    """The kind of the spans; empty for no spans."""
    metrics: bool
    """Whether this package records the `gen_ai.*` metrics."""
    requirements: tuple[str, ...] = NEWEST


NEIGHBOURS = {
    "native": Expected("INTERNAL", metrics=True),
    "genai": Expected("INTERNAL", metrics=False),
    "openllmetry": Expected("INTERNAL", metrics=False),
    "openinference": Expected("CLIENT", metrics=True),
    "logfire": Expected("", metrics=False),
    "httpx": Expected("CLIENT", metrics=True, requirements=WITH_HTTPX),
}
"""The spans of OpenInference follow other conventions, so their tokens are not counted twice.

Logfire suppresses all other instrumentations by default, including this one.
"""


def beside(names: str, check: Callable[[dict[str, Any]], None], *rounds: str) -> Callable[[str, Path], None]:
    def case(api: str, tmp: Path) -> None:
        requirements = NEIGHBOURS[names].requirements if names in NEIGHBOURS else NEWEST
        done = subprocess.run(
            [interpreter_with(requirements), app("neighbours.py"), names, *rounds],
            env=environment(api, PYTHONPATH=folder_with_package(tmp)),
            capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for word in ("Traceback", "otel_claude_stream", "otel-claude-stream"):
            assert word not in done.stderr
        for found in json.loads(done.stdout.splitlines()[-1]).values():
            for phase in ("texts", "texts without us", "texts again"):
                assert found[phase] == ["Hello there."] * CALLS
            assert our_spans(found["without us"]) == []
            assert len(our_spans(found["again"])) == CALLS
            check(found)

    return case


def our_spans(recorded: dict[str, Any]) -> list[dict[str, Any]]:
    return [span for span in recorded["spans"] if span["scope"] == "otel_claude_stream"]


def chat_spans(recorded: dict[str, Any]) -> Counter[str]:
    """Count the CLIENT spans of the operation `chat` by instrumentation scope."""
    return Counter(
        span["scope"] for span in recorded["spans"] if span["operation"] == "chat" and span["kind"] == "CLIENT"
    )


def genai_metrics(recorded: dict[str, Any]) -> set[str]:
    return {
        name for scope, name, _ in recorded["metrics"] if scope == "otel_claude_stream" and name.startswith("gen_ai.")
    }


def as_expected(expected: Expected) -> Callable[[dict[str, Any]], None]:
    def check(found: dict[str, Any]) -> None:
        recorded = found["with"]
        assert [(span["kind"], span["outcome"]) for span in our_spans(recorded)] == (
            [(expected.kind, "completed")] * CALLS if expected.kind else []
        )
        assert all(span["events"][0] == "claude.stream.message_start" for span in our_spans(recorded))
        assert bool(genai_metrics(recorded)) == expected.metrics
        assert_one_chat_span_for_each_call(recorded)

    return check


def assert_one_chat_span_for_each_call(recorded: dict[str, Any]) -> None:
    """Assert that no call has a `chat` span of this package and of another one."""
    by_scope = chat_spans(recorded)
    mine = by_scope.pop("otel_claude_stream", 0)
    assert mine == 0 or mine + max(by_scope.values(), default=0) <= CALLS


for name, expected in NEIGHBOURS.items():
    cases.add(name, beside(name, as_expected(expected), "first", "last"), pytest.mark.long)


def all_at_once(found: dict[str, Any]) -> None:
    """Check the spans beside all packages, of which the SDK's tracing and util-genai make the `chat` spans."""
    recorded = found["with"]
    assert [(span["kind"], span["operation"], span["tokens"]) for span in our_spans(recorded)] == [
        ("INTERNAL", None, None)
    ] * CALLS
    assert all(span["events"][0] == "claude.stream.message_start" for span in our_spans(recorded))
    assert genai_metrics(recorded) == set()
    assert_one_chat_span_for_each_call(recorded)


cases.add(
    "all_at_once", beside("native,genai,openllmetry,openinference", all_at_once, "first", "last"), pytest.mark.long
)

running, test_beside = cases.test()


# --- Keys in the context


@pytest.fixture
def read_stream(api, monkeypatch):
    """A function that reads one instrumented stream in the current context."""
    anthropic = pytest.importorskip("anthropic")
    monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY", "false")
    with Capture() as capture:
        ClaudeStreamInstrumentor().instrument(**capture.providers)
        try:
            with anthropic.Anthropic(api_key="none", base_url=api, max_retries=0) as client:

                def read() -> Capture:
                    with client.messages.stream(
                        model="claude", max_tokens=9, messages=[{"role": "user", "content": "Hello?"}]
                    ) as stream:
                        assert stream.get_final_text() == "Hello there."
                    return capture

                yield read
        finally:
            ClaudeStreamInstrumentor().uninstrument()


def test_suppressed_calls_have_no_telemetry(read_stream):
    with suppress_instrumentation():
        capture = read_stream()
    assert (capture.spans(), capture.metrics(), capture.logs()) == ([], {}, [])


@pytest.mark.parametrize(
    "key", ["suppress_language_model_instrumentation", "opentelemetry.genai.client.inference.context"]
)
def test_a_span_inside_that_of_another_package_is_internal(read_stream, key):
    token = context.attach(context.set_value(key, object()))
    try:
        capture = read_stream()
    finally:
        context.detach(token)
    assert [(span["name"], span["kind"]) for span in capture.spans()] == [("claude.stream claude", "INTERNAL")]
    assert not [name for name in capture.metrics() if name.startswith("gen_ai.")]
