"""Beside other instrumentations of the same SDK: the real packages, in environments of their own."""

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
from tests.support.activation.environments import interpreter, package_alone
from tests.support.activation.harness import TIMEOUT, app, environment
from tests.support.activation.together import Together

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import Capture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        int(importlib.metadata.version("anthropic").partition(".")[0]) < 2,
        reason="the neighbours bring an SDK of their own: the runs with our newest one are enough",
    ),
]
together = Together()

CALLS = 4

NEWEST = (
    "anthropic==2.11.0",
    "logfire==5.2.0",
    "openinference-instrumentation-anthropic==3.1.0",
    "opentelemetry-instrumentation-anthropic==0.62.4",
    "opentelemetry-instrumentation-genai-anthropic==1.3b0",
)
WITH_HTTPX = ("anthropic==0.125.0", "opentelemetry-instrumentation-httpx==0.66b1", "opentelemetry-sdk==1.45.1")
"""The last generation of the SDK on httpx: what instruments that sees nothing of httpx2."""


# --- What is seen of them


@dataclass(frozen=True)
class Expected:
    """What we tell beside a neighbour: the kind of our spans ("" for none), and whether `gen_ai.*` metrics are ours."""

    kind: str
    metrics: bool
    requirements: tuple[str, ...] = NEWEST
    unlike: str = ""
    """Why this is not how it should be."""


NEIGHBOURS = {
    "native": Expected("INTERNAL", metrics=True),
    "genai": Expected("INTERNAL", metrics=False),
    "openllmetry": Expected("INTERNAL", metrics=False),
    "openinference": Expected("CLIENT", metrics=True),
    "logfire": Expected("", metrics=False),
    "httpx": Expected("CLIENT", metrics=True, requirements=WITH_HTTPX),
}
"""OpenInference has conventions of its own, so its spans count no token twice. Logfire suppresses all other
instrumentations of its calls, unless told otherwise, and is obeyed; where it was there before us, it leaves its copy of
the SDK's method behind in the class of the client, in front of ours."""


def beside(names: str, check: Callable[[dict[str, Any]], None], *rounds: str) -> Callable[[str, Path], None]:
    def case(api: str, tmp: Path) -> None:
        requirements = NEIGHBOURS[names].requirements if names in NEIGHBOURS else NEWEST
        done = subprocess.run(
            [interpreter(requirements), app("neighbours.py"), names, *rounds],
            env=environment(api, PYTHONPATH=package_alone(tmp)),
            capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for word in ("Traceback", "otel_claude_stream", "otel-claude-stream"):
            assert word not in done.stderr
        for when, found in json.loads(done.stdout.splitlines()[-1]).items():
            for phase in ("texts", "texts without us", "texts again"):
                assert found[phase] == ["Hello there."] * CALLS
            assert ours(found["without us"]) == []
            shadowed = (names, when) == ("logfire", "last")
            assert len(ours(found["again"])) == (0 if shadowed else CALLS)
            check(found)

    return case


def ours(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [span for span in told["spans"] if span["scope"] == "otel_claude_stream"]


def chats(told: dict[str, Any]) -> Counter[str]:
    """Spans that claim to be the call of the model, by who made them."""
    return Counter(span["scope"] for span in told["spans"] if span["operation"] == "chat" and span["kind"] == "CLIENT")


def genai_metrics(told: dict[str, Any]) -> set[str]:
    return {name for scope, name, _ in told["metrics"] if scope == "otel_claude_stream" and name.startswith("gen_ai.")}


def as_expected(expected: Expected) -> Callable[[dict[str, Any]], None]:
    def check(found: dict[str, Any]) -> None:
        told = found["with"]
        assert [(span["kind"], span["outcome"]) for span in ours(told)] == (
            [(expected.kind, "completed")] * CALLS if expected.kind else []
        )
        assert all(span["events"][0] == "claude.stream.message_start" for span in ours(told))
        assert bool(genai_metrics(told)) == expected.metrics
        if not expected.unlike:
            none_twice(told)

    return check


def none_twice(told: dict[str, Any]) -> None:
    """No call has a `chat` span of ours and of somebody else."""
    by_scope = chats(told)
    mine = by_scope.pop("otel_claude_stream", 0)
    assert mine == 0 or mine + max(by_scope.values(), default=0) <= CALLS


for name, expected in NEIGHBOURS.items():
    if name == "logfire":  # what it leaves behind would change the second round
        together.add("logfire_after_us", beside(name, as_expected(expected), "first"))
        together.add("logfire_before_us", beside(name, as_expected(expected), "last"))
    else:
        together.add(name, beside(name, as_expected(expected), "first", "last"))


def all_at_once(found: dict[str, Any]) -> None:
    """The SDK's own tracing and util-genai claim each call: ours are inside, with no usage, and all their events."""
    told = found["with"]
    assert [(span["kind"], span["operation"], span["tokens"]) for span in ours(told)] == [
        ("INTERNAL", None, None)
    ] * CALLS
    assert all(span["events"][0] == "claude.stream.message_start" for span in ours(told))
    assert genai_metrics(told) == set()
    none_twice(told)


together.add("all_at_once", beside("native,genai,openllmetry,openinference", all_at_once, "first", "last"))

running, test_beside = together.test()


# --- Told by the context


@pytest.fixture
def reading(api, monkeypatch):
    """Reads one stream with us instrumented, under whatever context is current."""
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


def test_suppressed_there_is_nothing(reading):
    with suppress_instrumentation():
        capture = reading()
    assert (capture.spans(), capture.metrics(), capture.logs()) == ([], {}, [])


@pytest.mark.parametrize(
    "key", ["suppress_language_model_instrumentation", "opentelemetry.genai.client.inference.context"]
)
def test_a_key_of_another_owner_is_heeded(reading, key):
    token = context.attach(context.set_value(key, object()))
    try:
        capture = reading()
    finally:
        context.detach(token)
    assert [(span["name"], span["kind"]) for span in capture.spans()] == [("claude.stream claude", "INTERNAL")]
    assert not [name for name in capture.metrics() if name.startswith("gen_ai.")]
