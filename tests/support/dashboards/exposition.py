"""Converts metrics of the OpenTelemetry SDK to Prometheus series, as its Prometheus reader or OTLP would.

Both conversions are implemented here, because running the real ones at every step would be slow. `test_metric_names`
compares them with the real ones.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Literal, TextIO

from dashboards.generator.names import metric
from opentelemetry.sdk.metrics.export import HistogramDataPoint

from otel_claude_stream import version
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Metric

Protocol = Literal["scrape", "otlp"]
PROTOCOLS: tuple[Protocol, ...] = ("scrape", "otlp")
SCOPE = {
    "otel_scope_name": "otel_claude_stream",
    "otel_scope_schema_url": "",
    "otel_scope_version": version.__version__,
}
"""Labels that the Prometheus reader adds to every series. The translation of OTLP adds them only on request."""

IGNORED = {
    schema.GENAI_DURATION, schema.GENAI_TIME_TO_FIRST_CHUNK, schema.GENAI_TIME_PER_OUTPUT_CHUNK,
    schema.GENAI_USAGE_INPUT, schema.GENAI_USAGE_CACHE_READ, schema.GENAI_USAGE_CACHE_WRITE,
}  # fmt: skip
"""Metrics that no dashboard queries. They have many series."""
_SPECS = {name: spec for spec in schema.METRICS for name in (spec.name, spec.name_0_1) if name}


def le_text(value: float, protocol: Protocol) -> str:
    """Return the text of `le`, which is `60.0` for a scrape and `60` for OTLP."""
    return str(value) if protocol == "scrape" else str(value).removesuffix(".0")


def points(data: Any, ignored: AbstractSet[Metric]) -> Iterator[tuple[str, Any]]:
    """Yield each data point of a collection with the name of its metric family."""
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for found in scope.metrics:
                spec = _SPECS[found.name]
                if spec not in ignored:
                    family = metric(spec, name=found.name)
                    yield from ((family, point) for point in found.data.data_points)


def series(family: str, point: Any, protocol: Protocol) -> list[tuple[str, dict[str, str]]]:
    """Return names and labels of the samples of a data point, in the order of `values`."""
    labels = {key.replace(".", "_"): label_value(value) for key, value in (point.attributes or {}).items()}
    if protocol == "scrape":
        labels.update(SCOPE)
    if not isinstance(point, HistogramDataPoint):
        return [(family, labels)]
    bounds = [*(le_text(limit, protocol) for limit in point.explicit_bounds), "+Inf"]
    buckets = [(f"{family}_bucket", {**labels, "le": limit}) for limit in bounds]
    return [*buckets, (f"{family}_sum", labels), (f"{family}_count", labels)]


def values(point: Any) -> list[float]:
    """Return the values of the samples of a data point."""
    if not isinstance(point, HistogramDataPoint):
        return [point.value]
    return [*itertools.accumulate(point.bucket_counts), point.sum, point.count]


def samples(
    data: Any, protocol: Protocol, ignored: AbstractSet[Metric] = frozenset(IGNORED)
) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, labels and value of every sample of a collection."""
    for family, point in points(data, ignored):
        for (name, labels), value in zip(series(family, point, protocol), values(point), strict=True):
            yield name, labels, value


def label_value(value: Any) -> str:
    """Return the label value of an attribute, such as `529` or `true`."""
    return value if isinstance(value, str) else json.dumps(value)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Exposition:
    """Samples over time, which can be written as one OpenMetrics file."""

    def __init__(self) -> None:
        self._families: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
        self._cache: dict[Any, list[list[tuple[float, float]]]] = {}
        """Caches the lists of samples by data point, so that names are built once."""

    def add(self, at: float, name: str, labels: str, value: float) -> None:
        """Add a sample at `at` seconds since the epoch. `labels` is the text as in the file."""
        self._families[name][f"{name}{{{labels}}}"].append((at, value))

    def add_collection(self, at: float, data: Any, protocol: Protocol, **more: str) -> None:
        """Add all samples of a collection, with the labels that Prometheus adds."""
        for family, point in points(data, IGNORED):
            key = (family, protocol, frozenset((point.attributes or {}).items()), *more.values())
            lists = self._cache.get(key)
            if lists is None:
                named = series(family, point, protocol)
                lists = self._cache[key] = [self._list(family, name, {**labels, **more}) for name, labels in named]
            for samples_of, value in zip(lists, values(point), strict=True):
                samples_of.append((at, value))

    def _list(self, family: str, name: str, labels: dict[str, str]) -> list[tuple[float, float]]:
        inside = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(labels.items()) if value)
        return self._families[family][f"{name}{{{inside}}}"]

    def write(self, file: TextIO) -> int:
        """Write all samples and return their number."""
        number = 0
        for family, members in self._families.items():
            file.write(f"# TYPE {family.removesuffix('_total')} unknown\n")
            for name, found in members.items():
                number += len(found)
                file.writelines(f"{name} {value} {at:.0f}\n" for at, value in found)
        file.write("# EOF\n")
        return number
