"""Instrument the SDK in code, with the steps in the order of the arguments."""

from __future__ import annotations

import importlib
import os
import sys


def instrument() -> None:
    from otel_claude_stream import ClaudeStreamInstrumentor

    ClaudeStreamInstrumentor().instrument()


def sdk() -> None:
    importlib.import_module("anthropic")


def providers() -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    spans = TracerProvider()
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(os.environ["COLLECTOR_URL"] + "/v1/traces")))
    trace.set_tracer_provider(spans)


def client() -> None:
    import anthropic

    clients.append(anthropic.Anthropic(max_retries=0))


def read() -> None:
    if not clients:
        client()
    with clients[0].messages.stream(
        model="claude-sonnet-5", max_tokens=64, messages=[{"role": "user", "content": "Hello?"}]
    ) as stream:
        print(stream.get_final_text(), flush=True)


clients: list = []
for step in sys.argv[1:]:
    globals()[step]()
