"""What meters say, as the series that Prometheus has of them: by the SDK's own reader, or by OTLP.

Both are written down here rather than taken from the two ways at every step; that they are what the real ways give is
`test_naming`'s to show.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Literal, TextIO

from dashboards.generator.names import metric
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum

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


def samples(
    data: Any, way: Way, unseen: AbstractSet[Metric] = frozenset(UNSEEN)
) -> Iterator[tuple[str, str, dict[str, str], float]]:
    """Family, name, labels and value of every sample of one look at the meters."""
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for found in scope.metrics:
                if _SPECS[found.name] in unseen:
                    continue
                family = metric(_SPECS[found.name], name=found.name)
                for point in found.data.data_points:
                    labels = {key.replace(".", "_"): text(value) for key, value in (point.attributes or {}).items()}
                    if way == "scrape":
                        labels.update(SCOPE)
                    match found.data:
                        case Histogram():
                            yield from _histogram(family, labels, point, way)
                        case Sum() | Gauge():
                            yield family, family, labels, point.value


def _histogram(family: str, labels: dict[str, str], point: Any, way: Way) -> Iterator[Any]:
    count = 0
    for limit, number in zip(point.explicit_bounds, point.bucket_counts, strict=False):
        count += number
        yield family, f"{family}_bucket", {**labels, "le": bound(limit, way)}, count
    yield family, f"{family}_bucket", {**labels, "le": "+Inf"}, point.count
    yield family, f"{family}_sum", labels, point.sum
    yield family, f"{family}_count", labels, point.count


def text(value: Any) -> str:
    """The value of an attribute as that of a label: `529`, `true`."""
    return value if isinstance(value, str) else json.dumps(value)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Exposition:
    """Samples over time, to be written as one OpenMetrics file."""

    def __init__(self) -> None:
        self._series: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))

    def add(self, at: float, family: str, name: str, labels: dict[str, str], value: float) -> None:
        """One sample, `at` seconds since the epoch."""
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in sorted(labels.items()) if text)
        self._series[family][f"{name}{{{inside}}}"].append((at, value))

    def add_text(self, at: float, name: str, labels: str, value: float) -> None:
        """One sample of a series that is written out: its labels as they stand in the file."""
        self._series[name][f"{name}{{{labels}}}"].append((at, value))

    def look(self, at: float, data: Any, way: Way, **labels: str) -> None:
        """Everything that meters say at a moment, with the labels that Prometheus adds."""
        for family, name, own, value in samples(data, way):
            self.add(at, family, name, {**own, **labels}, value)

    def write(self, file: TextIO) -> int:
        """Write everything; gives the number of samples."""
        number = 0
        for family, series in self._series.items():
            file.write(f"# TYPE {family.removesuffix('_total')} unknown\n")
            for name, values in series.items():
                number += len(values)
                file.writelines(f"{name} {value} {at}\n" for at, value in values)
        file.write("# EOF\n")
        return number
