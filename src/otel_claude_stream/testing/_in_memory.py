"""The parts of ``Capture`` that convert the records of ``opentelemetry-sdk`` to plain data.

``Capture`` imports this module on first use, so that the kit can be imported without ``opentelemetry-sdk``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk import metrics as metrics_sdk
from opentelemetry.sdk._logs import export as logs_export
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.trace.id_generator import IdGenerator

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan

Plain = dict[str, Any]

# Deltas make ``clear`` possible. Up-down counters are cumulative, as their current value must survive ``clear``.
TEMPORALITY: Final[dict[type, AggregationTemporality]] = {
    metrics_sdk.Counter: AggregationTemporality.DELTA,
    metrics_sdk.ObservableCounter: AggregationTemporality.DELTA,
    metrics_sdk.Histogram: AggregationTemporality.DELTA,
    metrics_sdk.UpDownCounter: AggregationTemporality.CUMULATIVE,
    metrics_sdk.ObservableUpDownCounter: AggregationTemporality.CUMULATIVE,
    metrics_sdk.ObservableGauge: AggregationTemporality.CUMULATIVE,
}
OVERFLOW: Final = "+Inf"


class CountingIds(IdGenerator):
    """Generator of the ids 1, 2, 3, ..., which are the same in every run."""

    def __init__(self) -> None:
        self._spans = count(1)
        self._traces = count(1)

    def generate_span_id(self) -> int:
        """Return the next span id."""
        return next(self._spans)

    def generate_trace_id(self) -> int:
        """Return the next trace id."""
        return next(self._traces)


class Metrics:
    """A meter provider, and what its instruments measured since the last ``clear``."""

    def __init__(self, resource: Resource) -> None:
        self._reader = InMemoryMetricReader(preferred_temporality=TEMPORALITY)
        self.provider = MeterProvider([self._reader], resource=resource, shutdown_on_exit=False)
        self._metrics: dict[str, Plain] = {}
        self._closed = False

    def as_plain(self) -> dict[str, Plain]:
        """Return all metrics, sorted by name, and their points, sorted by attributes."""
        self._collect()
        result: dict[str, Plain] = json.loads(json.dumps(self._metrics))  # a deep copy
        for metric in result.values():
            metric["points"].sort(key=lambda point: json.dumps(point["attributes"], sort_keys=True))
        return dict(sorted(result.items()))

    def clear(self) -> None:
        """Discard all measurements."""
        self._collect()
        self._metrics.clear()

    def close(self) -> None:
        """Shut the provider down. Closing twice has no effect."""
        self._collect()
        if not self._closed:
            self._closed = True
            self.provider.shutdown()

    def _collect(self) -> None:
        """Add the measurements made since the last collection."""
        data = None if self._closed else self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self._add(metric, scope.scope.name)

    def _add(self, metric: Metric, scope: str) -> None:
        fresh = {"unit": metric.unit, "description": metric.description, "scope": scope, **_kind(metric)}
        known = self._metrics.setdefault(metric.name, {**fresh, "points": []})
        data = metric.data
        adds_up = not isinstance(data, Gauge) and data.aggregation_temporality is AggregationTemporality.DELTA
        for point in _points(metric):
            _merge(known["points"], point, adds_up)


def plain_span(span: ReadableSpan, *, with_resource: bool) -> Plain:
    """Return a span as plain data."""
    scope, resource = span.instrumentation_scope, span.resource
    plain = {
        "name": span.name,
        "kind": span.kind.name,
        "scope": None if scope is None else scope.name,
        **_ids(span.context),
        "parent_id": None if span.parent is None else _ids(span.parent)["span_id"],
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "status": {"code": span.status.status_code.name, "description": span.status.description},
        "attributes": _attributes(span.attributes),
        "events": [_event(event) for event in span.events],
        "links": [{**_ids(link.context), "attributes": _attributes(link.attributes)} for link in span.links],
    }
    return {**plain, "resource": _attributes(resource.attributes)} if with_resource else plain


def log_exporter() -> Any:
    """Create the in-memory log exporter, whose class has two names among the releases of opentelemetry-sdk."""
    for name in ("InMemoryLogRecordExporter", "InMemoryLogExporter"):
        if exporter := getattr(logs_export, name, None):
            return exporter()
    raise ImportError("this release of opentelemetry-sdk has no in-memory log exporter")


def _kind(metric: Metric) -> Plain:
    match metric.data:
        case Histogram():
            return {"kind": "histogram"}
        case Sum(is_monotonic=monotonic):
            return {"kind": "sum", "monotonic": monotonic}
        case Gauge():
            return {"kind": "gauge"}
        case other:
            raise TypeError(f"{metric.name}: Capture does not support {type(other).__name__}")


def _points(metric: Metric) -> Iterator[Plain]:
    for point in metric.data.data_points:
        if isinstance(point, (NumberDataPoint, HistogramDataPoint)):
            yield {"attributes": _attributes(point.attributes), **_values(point)}


def _values(point: NumberDataPoint | HistogramDataPoint) -> Plain:
    if isinstance(point, NumberDataPoint):
        return {"value": point.value}
    bounds: list[float | str] = [*point.explicit_bounds, OVERFLOW]
    exemplars = [
        {"value": exemplar.value, "trace_id": _hex(exemplar.trace_id, 32), "span_id": _hex(exemplar.span_id, 16)}
        for exemplar in point.exemplars
    ]
    return {
        "count": point.count,
        "sum": point.sum,
        "min": point.min,
        "max": point.max,
        "buckets": [[bound, number] for bound, number in zip(bounds, point.bucket_counts, strict=True)],
        "exemplars": exemplars,
    }


def _merge(points: list[Plain], fresh: Plain, adds_up: bool) -> None:
    """Add a point to the one in ``points`` with the same attributes, or replace that one."""
    for known in points:
        if known["attributes"] != fresh["attributes"]:
            continue
        if adds_up:
            known.update({key: COMBINE[key](known[key], fresh[key]) for key in fresh if key in COMBINE})
        else:
            known.update(fresh)
        return
    points.append(fresh)


COMBINE: Final[dict[str, Any]] = {
    "value": lambda old, new: old + new,
    "count": lambda old, new: old + new,
    "sum": lambda old, new: old + new,
    "min": min,
    "max": max,
    "buckets": lambda old, new: [[bound, a + b] for (bound, a), (_, b) in zip(old, new, strict=True)],
    "exemplars": lambda old, new: old + new,
}


def plain_log(item: Any) -> Plain:
    """Convert a log item. Its class has several names, but each release has the record in ``log_record``."""
    record = item.log_record
    scope = item.instrumentation_scope
    return {
        "event_name": getattr(record, "event_name", None),
        "severity": None if record.severity_number is None else record.severity_number.name,
        "time_ns": record.timestamp,
        "attributes": _attributes(record.attributes),
        "trace_id": _hex(record.trace_id, 32),
        "span_id": _hex(record.span_id, 16),
        "body": _plain(record.body),
        "scope": None if scope is None else scope.name,
    }


def _event(event: Event) -> Plain:
    return {"name": event.name, "time_ns": event.timestamp, "attributes": _attributes(event.attributes)}


def _ids(context: Any) -> dict[str, str]:
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _hex(number: int | None, digits: int) -> str | None:
    return f"{number:0{digits}x}" if number else None


def _attributes(attributes: Mapping[str, Any] | None) -> Plain:
    return {key: _plain(value) for key, value in sorted((attributes or {}).items())}


def _plain(value: Any) -> Any:
    match value:
        case str() | bool() | int() | float() | None:
            return value
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case Sequence():
            return [_plain(item) for item in value]
        case _:
            return str(value)
