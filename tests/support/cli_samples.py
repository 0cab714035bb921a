"""OTLP requests that follow the schema, made by hand, without any instrumentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.otlp.decode import SpanData
from otel_claude_stream.cli.view.model import SCOPE, StreamView, streams

START = 1_790_000_000_000_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
DELTA = "claude.stream.content_block_delta"
Event = tuple[str, float, Mapping[str, Any]]


def value(plain: Any) -> dict[str, Any]:
    match plain:
        case bool():
            return {"boolValue": plain}
        case int():
            return {"intValue": str(plain)}
        case float():
            return {"doubleValue": plain if plain - plain == 0 else str(plain).replace("inf", "Infinity")}
        case list() | tuple():
            return {"arrayValue": {"values": [value(item) for item in plain]}}
        case _:
            return {"stringValue": plain}


def pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(plain)} for key, plain in attributes.items()]


def span(
    attributes: Mapping[str, Any] | None = None,
    events: Iterable[Event] = (),
    *,
    name: str = "chat claude-sonnet-5",
    start: float = 0.0,
    seconds: float = 2.0,
    span_id: str = "00f067aa0ba902b7",
    parent: str = "",
) -> dict[str, Any]:
    """Return a span in OTLP/JSON; `start` is in seconds after START, the times of events after the span's start."""
    begin = START + int(start * 1e9)
    return {
        "traceId": TRACE,
        "spanId": span_id,
        "parentSpanId": parent,
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str(begin),
        "endTimeUnixNano": str(begin + int(seconds * 1e9)),
        "attributes": pairs(attributes or {}),
        "events": [
            {"name": event, "timeUnixNano": str(begin + int(at * 1e9)), "attributes": pairs(more)}
            for event, at, more in events
        ],
    }


def traces(*spans: Mapping[str, Any], scope: str = SCOPE, service: str = "chat-worker") -> dict[str, Any]:
    """Return an export request in OTLP/JSON."""
    scoped = {"scope": {"name": scope, "version": "1.2.3"}, "spans": list(spans)}
    resource = {"attributes": pairs({"service.name": service})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scoped]}]}


def traces_protobuf(*spans: Mapping[str, Any]) -> bytes:
    """Return the same request in protobuf, where IDs are bytes."""
    message = ParseDict(decode._ids(traces(*spans), decode._to_base64), ExportTraceServiceRequest())
    return bytes(message.SerializeToString())


def active(count: int, model: str = "claude-sonnet-5") -> bytes:
    """Return a metrics request with the number of open streams, in protobuf."""
    point = {"asInt": str(count), "timeUnixNano": str(START), "attributes": pairs({"gen_ai.request.model": model})}
    metric = {"name": "claude.stream.active", "unit": "{stream}", "sum": {"dataPoints": [point]}}
    document = {"resourceMetrics": [{"scopeMetrics": [{"scope": {"name": SCOPE}, "metrics": [metric]}]}]}
    return bytes(ParseDict(document, ExportMetricsServiceRequest()).SerializeToString())


def decoded(*spans: Mapping[str, Any], scope: str = SCOPE) -> list[SpanData]:
    return list(decode.spans(traces(*spans, scope=scope)))


def views(*spans: Mapping[str, Any]) -> tuple[StreamView, ...]:
    return streams(decoded(*spans))


def view(*spans: Mapping[str, Any]) -> StreamView:
    (only,) = views(*spans)
    return only


def delta(at: float, kind: str = "text", **more: Any) -> Event:
    attributes = {"claude.stream.event.coalesced": 1, "claude.stream.block.index": 0, "claude.stream.block.type": kind}
    return DELTA, at, {**attributes, "claude.stream.event.characters": 4, **more}


HEALTHY = {
    "gen_ai.request.model": "claude-sonnet-5",
    "gen_ai.usage.input_tokens": 412,
    "gen_ai.usage.output_tokens": 96,
    "server.address": "127.0.0.1",
    "server.port": 4711,
    "http.response.status_code": 200,
    "claude.stream.outcome": "completed",
    "claude.stream.phase": "finishing",
    "claude.stream.time_to_headers": 0.05,
    "claude.stream.time_to_first_token": 0.4,
    "claude.stream.longest_silence": 0.4,
    "claude.stream.caller.time": 0.01,
    "claude.stream.usage.complete": True,
    "claude.stream.attempt.count": 1,
}
HEALTHY_EVENTS = (
    ("claude.stream.message_start", 0.05, {"claude.stream.event.coalesced": 1}),
    ("claude.stream.content_block_start", 0.39, {"claude.stream.event.coalesced": 1}),
    *(delta(0.4 + n * 0.05, **{"claude.stream.event.gap": 0.05}) for n in range(30)),
    ("claude.stream.message_stop", 1.99, {"claude.stream.event.coalesced": 1}),
)
CUT = {
    **HEALTHY,
    "claude.stream.outcome": "failed",
    "claude.stream.phase": "streaming",
    "claude.stream.abort.reason": "connection_closed",
    "claude.stream.abort.origin": "intermediary",
    "claude.stream.abort.limit_match": "idle:2s",
    "claude.stream.abort.suspects": ["nginx", "AWS ALB"],
    "claude.stream.abort.advice": "Raise the idle limit.",
    "claude.stream.abort.idle": 2.0,
    "claude.stream.usage.complete": False,
    "error.type": "connection_closed",
}


def healthy(**more: Any) -> dict[str, Any]:
    return span(HEALTHY, HEALTHY_EVENTS, **more)
