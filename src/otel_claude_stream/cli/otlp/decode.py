"""Decode OTLP requests, in protobuf or JSON, to spans and metric points as plain data."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal, TypeAlias

from otel_claude_stream.cli.otlp import bounds

Signal = Literal["traces", "metrics", "logs"]
Scalar: TypeAlias = str | bool | int | float
Value: TypeAlias = "Scalar | tuple[Value, ...] | None"
Attributes = Mapping[str, Value]
Document = dict[str, Any]
"""An OTLP request in its JSON form, with IDs in hex, 64-bit integers as strings, and enums as numbers."""

SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")
PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
ID_KEYS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
"""Bytes that OTLP/JSON encodes in hex, where the JSON format of protobuf has base64."""
PROCESS: Final = ("service.name", "service.instance.id", "process.pid")
"""Resource attributes that identify a process. Which of them exist depends on the version of the SDK."""
SIGN: Final = 1 << 63
MAX_DEPTH: Final = 100  # levels of nested JSON; the requests of an SDK stay below ten
MOST_ATTRIBUTES: Final = 256  # kept of a span or an event; the SDK's default limit is 128
MOST_EVENTS: Final = 12_000  # kept of a span; the largest event budget is 10 000
MOST_ITEMS: Final = 256  # kept of a list
LONGEST_TEXT: Final = 4096  # characters; the views show 400
CANONICAL_IDS: Final = re.compile("[0-9a-f]{32}/[0-9a-f]{16}/([0-9a-f]{16})?")

REQUESTS: Final[Mapping[Signal, tuple[str, str]]] = {
    "traces": ("opentelemetry.proto.collector.trace.v1.trace_service_pb2", "ExportTraceServiceRequest"),
    "metrics": ("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", "ExportMetricsServiceRequest"),
    "logs": ("opentelemetry.proto.collector.logs.v1.logs_service_pb2", "ExportLogsServiceRequest"),
}


class BadTelemetry(ValueError):
    """A body that is not an OTLP request of the announced signal and encoding."""


@dataclass(frozen=True, slots=True)
class EventData:
    """One span event; ``time`` in nanoseconds since the epoch."""

    name: str
    time: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SpanData:
    """One span; ids in hex (``parent_id`` empty for a root), times in nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    scope: str
    scope_version: str
    service: str
    start: int
    end: int
    attributes: Attributes
    events: tuple[EventData, ...]
    kind: int = 0
    status: int = 0


@dataclass(frozen=True, slots=True)
class LogData:
    """One log record without its body; ``time`` in nanoseconds since the epoch."""

    time: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a sum or a gauge; ``process`` identifies its source, as far as known."""

    name: str
    value: float
    time: int
    attributes: Attributes
    process: str = ""


def read(signal: Signal, body: bytes, content_type: str) -> Document:
    """Decode a request whose ``body`` is not compressed. Raises ``BadTelemetry`` if it is not OTLP."""
    request, json_format = _message(signal), _json_format()
    errors: tuple[type[Exception], ...] = (ValueError, RecursionError, _decode_error(), json_format.ParseError)
    try:
        if content_type == PROTOBUF:
            request.ParseFromString(body)
        else:
            json_format.ParseDict(_ids(_object(body), _to_base64), request, ignore_unknown_fields=True)
    except BadTelemetry:
        raise
    except errors as error:
        kind = "protobuf" if content_type == PROTOBUF else "JSON"
        raise BadTelemetry(f"not an OTLP {signal} request in {kind}: {error}") from error
    return dict(_ids(json_format.MessageToDict(request, use_integers_for_enums=True), _to_hex))


def read_spans(document: Document) -> list[SpanData]:
    """Return the spans of a traces request that was parsed as JSON. Raises ``BadTelemetry`` if it is not OTLP.

    A request in the form that SDKs and Collectors write is decoded directly, in a tenth of the time. Any other one
    passes through protobuf, which accepts the whole format, and names what is wrong.
    """
    try:
        found = list(spans(document))
        if all(CANONICAL_IDS.fullmatch(f"{span.trace_id}/{span.span_id}/{span.parent_id}") for span in found):
            return found
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        pass
    return list(spans(read("traces", json.dumps(document).encode(), JSON)))


def check_size(signal: Signal, body: bytes, content_type: str) -> None:
    """Check the number of elements of a request before it is decoded. Raises ``TooLarge`` and ``BadTelemetry``."""
    if content_type == JSON:
        bounds.check_json(body)
    if content_type == JSON or len(body) <= bounds.MOST_MESSAGES:  # too few bytes for so many messages or fields
        return
    try:
        bounds.check_protobuf(body, _message(signal).DESCRIPTOR)
    except bounds.Malformed as error:
        raise BadTelemetry(f"not an OTLP {signal} request in protobuf: {error}") from error


def spans(document: Document) -> Iterator[SpanData]:
    """Yield the spans of a traces document, in its order."""
    for resource_spans in document.get("resourceSpans", ()):
        service = attributes(resource_spans.get("resource", {}).get("attributes", ())).get("service.name")
        for scope_spans in resource_spans.get("scopeSpans", ()):
            scope = scope_spans.get("scope", {})
            for span in scope_spans.get("spans", ()):
                yield _span(span, scope, str(service or ""))


def logs(document: Document) -> Iterator[LogData]:
    """Yield the records of a logs document, in its order."""
    for resource_logs in document.get("resourceLogs", ()):
        for scope_logs in resource_logs.get("scopeLogs", ()):
            for record in scope_logs.get("logRecords", ()):
                yield LogData(_unsigned(record.get("timeUnixNano", 0)), attributes(record.get("attributes", ())))


def points(document: Document) -> Iterator[Point]:
    """Yield the points of all sums and gauges of a metrics document."""
    for resource_metrics in document.get("resourceMetrics", ()):
        resource = attributes(resource_metrics.get("resource", {}).get("attributes", ()))
        process = " ".join(str(resource.get(name, "")) for name in PROCESS)
        for scope_metrics in resource_metrics.get("scopeMetrics", ()):
            for metric in scope_metrics.get("metrics", ()):
                for point in (metric.get("sum") or metric.get("gauge") or {}).get("dataPoints", ()):
                    value = float(point.get("asDouble", point.get("asInt", 0)))
                    time, attrs = int(point.get("timeUnixNano", 0)), attributes(point.get("attributes", ()))
                    yield Point(metric.get("name", ""), value, time, attrs, process)


def attributes(pairs: Sequence[Mapping[str, Any]]) -> Attributes:
    """Return the first 256 key-value pairs as a mapping; the last value of a repeated key counts."""
    return {_cut(pair.get("key", "")): _value(pair.get("value", {})) for pair in pairs[:MOST_ATTRIBUTES]}


def _object(body: bytes) -> Any:
    document = json.loads(body)
    if not isinstance(document, dict):
        raise BadTelemetry(f"an OTLP request in JSON is an object, not {type(document).__name__}")
    return document


def _span(span: Mapping[str, Any], scope: Mapping[str, Any], service: str) -> SpanData:
    return SpanData(
        trace_id=span.get("traceId", ""),
        span_id=span.get("spanId", ""),
        parent_id=span.get("parentSpanId", ""),
        name=_cut(span.get("name", "")),
        scope=_cut(scope.get("name", "")),
        scope_version=_cut(scope.get("version", "")),
        service=service,
        start=_unsigned(span.get("startTimeUnixNano", 0)),
        end=_unsigned(span.get("endTimeUnixNano", 0)),
        attributes=attributes(span.get("attributes", ())),
        events=tuple(_event(event) for event in span.get("events", ())[:MOST_EVENTS]),
        kind=int(span.get("kind", 0)),
        status=int(span.get("status", {}).get("code", 0)),
    )


def _event(event: Mapping[str, Any]) -> EventData:
    time = _unsigned(event.get("timeUnixNano", 0))
    return EventData(_cut(event.get("name", "")), time, attributes(event.get("attributes", ())))


def _cut(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a text was expected, not {text!r:.40}")
    return text[:LONGEST_TEXT]


def _unsigned(value: Any) -> int:
    number = int(value)
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{number:.3e} is outside of 64 bits")
    return number


def _value(value: Mapping[str, Any]) -> Value:
    for kind, inner in value.items():
        match kind:  # the most frequent ones first
            case "intValue":
                number = int(inner)
                return number if -SIGN <= number < SIGN else _unsigned(number + SIGN)
            case "stringValue" | "boolValue" | "bytesValue":
                return inner if isinstance(inner, bool) else str(inner)[:LONGEST_TEXT]
            case "doubleValue":
                return float(inner)
            case "arrayValue":
                return tuple(_value(item) for item in inner.get("values", ())[:MOST_ITEMS])
            case "kvlistValue":
                pairs = inner.get("values", ())[:MOST_ITEMS]
                return tuple(_cut(f"{pair.get('key', '')}={_value(pair.get('value', {}))}") for pair in pairs)
            case _:
                continue
    return None


def _ids(value: Any, convert: Any, depth: int = 0) -> Any:
    """Return the same JSON with every trace and span ID converted."""
    if depth > MAX_DEPTH:
        raise BadTelemetry(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {
            key: convert(item) if key in ID_KEYS and isinstance(item, str) else _ids(item, convert, depth + 1)
            for key, item in value.items()
        }
    return [_ids(item, convert, depth + 1) for item in value] if isinstance(value, list) else value


def _to_base64(hexadecimal: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(hexadecimal)).decode()
    except ValueError as error:
        raise BadTelemetry(f"an id is not in hex: {hexadecimal[:64]!r}") from error


def _to_hex(base64_text: str) -> str:
    try:
        return base64.b64decode(base64_text, validate=True).hex()
    except binascii.Error as error:  # unreachable for the output of protobuf
        raise BadTelemetry("an id is not in base64") from error


def _message(signal: Signal) -> Any:
    module, name = REQUESTS[signal]
    return getattr(import_module(module), name)()


def _json_format() -> Any:
    """Import by name, since protobuf has no type annotations."""
    return import_module("google.protobuf.json_format")


def _decode_error() -> Any:
    return import_module("google.protobuf.message").DecodeError
