"""What meters say, as the series that Prometheus has of them: by the SDK's own reader, or by OTLP.

Both are written down here rather than taken from the two ways at every step; that they are what the real ways give is
`test_naming`'s to show.
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

Way = Literal["scrape", "otlp"]
WAYS: tuple[Way, ...] = ("scrape", "otlp")
SCOPE = {
    "otel_scope_name": "otel_claude_stream",
    "otel_scope_schema_url": "",
    "otel_scope_version": version.__version__,
}
"""The labels that the SDK's reader adds to every series; OTLP's translation does not, unless it is told to."""

UNSEEN = {schema.GENAI_DURATION, schema.GENAI_TIME_TO_FIRST_CHUNK, schema.GENAI_TIME_PER_OUTPUT_CHUNK}
"""Metrics that no dashboard asks for: a third of all series."""
_SPECS = {name: spec for spec in schema.METRICS for name in (spec.name, spec.latest) if name}


def bound(value: float, way: Way) -> str:
    """The text of `le`: `60.0` by the SDK's reader (and Prometheus 3's scrape), `60` by OTLP."""
    return str(value) if way == "scrape" else str(value).removesuffix(".0")


def points(data: Any, unseen: AbstractSet[Metric]) -> Iterator[tuple[str, Any]]:
    """The family and each point of one look at the meters."""
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for found in scope.metrics:
                spec = _SPECS[found.name]
                if spec not in unseen:
                    family = metric(spec, name=found.name)
                    yield from ((family, point) for point in found.data.data_points)


def series(family: str, point: Any, way: Way) -> list[tuple[str, dict[str, str]]]:
    """Names and labels of the samples of a point, in the order of `values`."""
    labels = {key.replace(".", "_"): text(value) for key, value in (point.attributes or {}).items()}
    if way == "scrape":
        labels.update(SCOPE)
    if not isinstance(point, HistogramDataPoint):
        return [(family, labels)]
    bounds = [*(bound(limit, way) for limit in point.explicit_bounds), "+Inf"]
    buckets = [(f"{family}_bucket", {**labels, "le": limit}) for limit in bounds]
    return [*buckets, (f"{family}_sum", labels), (f"{family}_count", labels)]


def values(point: Any) -> list[float]:
    """The values of the samples of a point."""
    if not isinstance(point, HistogramDataPoint):
        return [point.value]
    return [*itertools.accumulate(point.bucket_counts), point.sum, point.count]


def samples(
    data: Any, way: Way, unseen: AbstractSet[Metric] = frozenset(UNSEEN)
) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of every sample of one look at the meters."""
    for family, point in points(data, unseen):
        for (name, labels), value in zip(series(family, point, way), values(point), strict=True):
            yield name, labels, value


def text(value: Any) -> str:
    """The value of an attribute as that of a label: `529`, `true`."""
    return value if isinstance(value, str) else json.dumps(value)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Exposition:
    """Samples over time, to be written as one OpenMetrics file."""

    def __init__(self) -> None:
        self._families: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
        self._known: dict[Any, list[list[tuple[float, float]]]] = {}
        """The lists of samples of a point that was seen before: names are made once."""

    def add(self, at: float, name: str, labels: str, value: float) -> None:
        """One sample, `at` seconds since the epoch, of a series whose labels stand as in the file."""
        self._families[name][f"{name}{{{labels}}}"].append((at, value))

    def look(self, at: float, data: Any, way: Way, **more: str) -> None:
        """Everything that meters say at a moment, with the labels that Prometheus adds."""
        for family, point in points(data, UNSEEN):
            key = (family, way, frozenset((point.attributes or {}).items()), *more.values())
            lists = self._known.get(key)
            if lists is None:
                named = series(family, point, way)
                lists = self._known[key] = [self._list(family, name, {**own, **more}) for name, own in named]
            for samples_of, value in zip(lists, values(point), strict=True):
                samples_of.append((at, value))

    def _list(self, family: str, name: str, labels: dict[str, str]) -> list[tuple[float, float]]:
        inside = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(labels.items()) if value)
        return self._families[family][f"{name}{{{inside}}}"]

    def write(self, file: TextIO) -> int:
        """Write everything; gives the number of samples."""
        number = 0
        for family, members in self._families.items():
            file.write(f"# TYPE {family.removesuffix('_total')} unknown\n")
            for name, found in members.items():
                number += len(found)
                file.writelines(f"{name} {value} {at:.0f}\n" for at, value in found)
        file.write("# EOF\n")
        return number
