"""Values from the network and the caller that no exporter accepts, or that would fill a backend."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.support.rig import API, HTTP, WAYS, by, read

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._sdk.read.responses import reply_of
from otel_claude_stream.testing import Script, Send

LONG = "m\ud83d" * 50_000
"""A long name with halves of surrogate pairs, which JSON allows as `\\ud83d`."""


def event(**data: object) -> Send:
    return Send.from_bytes(f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode())


def hostile(tokens: int) -> Script:
    """Return a stream whose names are too long and whose numbers are not those of a stream."""
    usage = {"input_tokens": tokens, "output_tokens": tokens, "cache_read_input_tokens": tokens}
    message = {"id": LONG, "model": LONG, "type": "message", "role": "assistant", "content": [], "usage": usage}
    index = 10**30
    return Script(
        steps=(
            event(type="message_start", message=message),
            event(type="content_block_start", index=index, content_block={"type": "text", "text": ""}),
            event(type="content_block_delta", index=index, delta={"type": "text_delta", "text": "Hi"}),
            event(type="n" * 100_000),
            event(type="message_delta", delta={"stop_reason": LONG}, usage=usage),
            event(type="message_stop"),
        )
    )


@contextmanager
def exported(monkeypatch, api):
    """Instrument the SDK and yield the list of finished spans, which an OTLP exporter can encode at the end."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracing, metrics = TracerProvider(), MeterProvider([reader])
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    found = []
    with by(api.clock, monkeypatch):
        instrumentor = ClaudeStreamInstrumentor()
        instrumentor.instrument(tracer_provider=tracing, meter_provider=metrics)
        try:
            yield found
            found += spans.get_finished_spans()
            print(len(found), reader.get_metrics_data() is None)
            encode_spans(found)
            encode_metrics(reader.get_metrics_data())
        finally:
            instrumentor.uninstrument()


@pytest.mark.parametrize("way", WAYS[::2])
@pytest.mark.parametrize("tokens", [10**4000, 2**63, -5], ids=["4,000 digits", "65 bits", "negative"])
def test_hostile_names_and_numbers_can_be_exported(monkeypatch, caplog, way, tokens):
    api = API(hostile(tokens))
    with exported(monkeypatch, api) as spans:
        seen = read(api, way, model="m" * 1000, max_tokens=10**30)
    assert seen.error == []
    (span,) = spans
    assert max(len(value) for value in span.attributes.values() if isinstance(value, str)) <= 128
    assert len(span.name) == len("chat ") + 128
    assert max(len(event.name) for event in span.events) == len("claude.stream.") + 64
    assert not {name for name in span.attributes if "token" in name and "time" not in name}
    assert "gen_ai.request.max_tokens" not in span.attributes
    assert [record.getMessage() for record in caplog.records if record.name.startswith("opentelemetry")] == []


@pytest.mark.parametrize("name", ["request-id", "server", "via"])
def test_a_repeated_header_is_cut(name):
    response = HTTP.Response(529, headers=[(name, "v" * 1000)] * 1000 + [("retry-after", "1e400")])
    reply = reply_of(response)
    assert len(reply.request_id or "") <= 128
    assert all(len(value) <= 128 for value in reply.fingerprint.values())
    assert reply.retry_after is None


def test_the_error_type_of_an_error_event_is_cut(monkeypatch):
    api = API(Script(steps=(event(type="error", error={"type": LONG, "message": "m"}),)))
    with exported(monkeypatch, api) as spans:
        read(api)
    (span,) = spans
    assert span.attributes["error.type"] == ("m?" * 64)
