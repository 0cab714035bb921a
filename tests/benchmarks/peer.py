"""Measures the overhead of one instrumentation in this process, and prints it as JSON. Started by `peers`.

Run: python -m tests.benchmarks.peer NAME, in an environment with the packages of that instrumentation.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["ANTHROPIC_OPEN_TELEMETRY"] = str("the SDK's own tracing" in sys.argv).lower()
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "NO_CONTENT"
os.environ["TRACELOOP_TRACE_CONTENT"] = "false"

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from tests.support.memory_api import REQUEST, WAYS, chunks, reader, sync_client

NATIVE = "the SDK's own tracing"
BURST = 2000
PACED = 100
SHORT = 60
WAIT = 0.002


class NoSpans(SpanExporter):
    """An exporter that discards spans."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def providers() -> None:
    """Set global providers, as an application does."""
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(NoSpans(), max_queue_size=65536))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))


def instrument(module: str) -> Callable[[], None]:
    """Return what enables the instrumentation of a module."""

    def enable() -> None:
        providers()
        name = "ClaudeStreamInstrumentor" if module == "otel_claude_stream" else "AnthropicInstrumentor"
        getattr(__import__(module, fromlist=[name]), name)().instrument()

    return enable


def logfire() -> None:
    """Enable Logfire, without its backend."""
    import logfire as package

    package.configure(send_to_logfire=False, console=False, additional_span_processors=[BatchSpanProcessor(NoSpans())])
    package.instrument_anthropic()


def langfuse() -> None:
    """Enable Langfuse, which relies on OpenInference, without its backend."""
    providers()
    from langfuse import Langfuse

    Langfuse(
        public_key="none",
        secret_key="none",
        base_url="http://127.0.0.1:9",
        tracer_provider=trace.get_tracer_provider(),
    )
    instrument("openinference.instrumentation.anthropic")()


PEERS: dict[str, tuple[str, Callable[[], None]]] = {
    "none": ("anthropic", providers),
    "otel-claude-stream": ("", instrument("otel_claude_stream")),
    NATIVE: ("anthropic", providers),
    "OpenTelemetry GenAI": (
        "opentelemetry-instrumentation-genai-anthropic",
        instrument("opentelemetry.instrumentation.genai.anthropic"),
    ),
    "OpenLLMetry": ("opentelemetry-instrumentation-anthropic", instrument("opentelemetry.instrumentation.anthropic")),
    "OpenInference": (
        "openinference-instrumentation-anthropic",
        instrument("openinference.instrumentation.anthropic"),
    ),
    "Logfire": ("logfire", logfire),
    "Langfuse with OpenInference": ("langfuse", langfuse),
}
"""The distribution whose version is shown, and what enables the instrumentation."""


def cpu(work: Callable[[], object], times: int, unit: float) -> float:
    """Return the CPU microseconds of `work` for each of `unit` events, after a run to warm up."""
    work()
    gc.collect()
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times / unit * 1e6


def first_event() -> float:
    """Return the median of the microseconds from a call to its first event."""
    client, found = sync_client(chunks(10)), []
    for _ in range(SHORT):
        started = time.perf_counter()
        stream = iter(client.messages.create(stream=True, **REQUEST))
        next(stream)
        found.append((time.perf_counter() - started) * 1e6)
        for _ in stream:
            pass
    return statistics.median(found)


def measure() -> dict[str, Any]:
    """Return all figures, by name and by way."""
    found: dict[str, Any] = {"burst": {}, "paced": {}, "short": {}}
    for way in WAYS:
        wait = (lambda: time.sleep(WAIT)) if way.startswith("sync") else (lambda: asyncio.sleep(WAIT))
        found["short"][way] = cpu(reader(way, chunks(10)), SHORT, 1)
        found["burst"][way] = cpu(reader(way, chunks(BURST)), 1, BURST)
        found["paced"][way] = cpu(reader(way, chunks(PACED), wait), 1, PACED)
    found["first"] = {WAYS[0]: first_event()}
    return found


if __name__ == "__main__":
    PEERS[sys.argv[1]][1]()
    print(json.dumps(measure()), flush=True)
    os._exit(0)  # the exporters of some wait for a backend
