"""Builders for the PromQL expressions of the dashboards and rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dashboards.generator.names import SIGNALS, label, metric

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute, Metric

MODEL: Final = label(a.REQUEST_MODEL)
SERVER: Final = label(a.SERVER_ADDRESS)
SOURCE: Final = label(a.SOURCE)

STEP: Final = "$__rate_interval"
"""Window for a point of a time series. Grafana makes it at least four scrape intervals long."""
RANGE: Final = "$__range"
"""Window for a single value over the selected time range."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Matchers that all series of a query have in common."""

    matchers: tuple[str, ...] = ()

    def series(self, spec: Metric, *matchers: str, suffix: str = "", name: str = "") -> str:
        """Select the series of a metric. ``suffix`` chooses the part of a histogram, such as ``_bucket``."""
        conditions = ",".join((*self.matchers, *matchers))
        return f"{metric(spec, name=name)}{suffix}" + (f"{{{conditions}}}" if conditions else "")

    def growth(self, spec: Metric, window: str, *matchers: str, suffix: str = "") -> str:
        """Return the growth of each series of a rare counter in a window, including its first value. Sum the result.

        ``increase()`` misses the event that creates a series, and an abort at a proxy limit often is such an event. The
        first value of a series is therefore added if the series is new. It is new if it did not exist a window ago, and
        its process has been scraped for longer than the series exists. The first values of a process that Prometheus
        has just discovered are not added, because the time of their events is unknown.
        """
        series, known = self.series(spec, *matchers, suffix=suffix), self.series(schema.REQUESTS)
        younger = (
            f"count_over_time({series}[{window}]) < on (job, instance) group_left ()"
            f" max by (job, instance) (count_over_time({known}[{window}]))"
        )
        born = f"min_over_time({series}[{window}]) unless {series} offset {window} and ({younger})"
        return f'(increase({series}[{window}]) or label_replace({born}, "born", "here", "", ""))'


def equal(attribute: Attribute, value: str) -> str:
    """Match series whose label has this value."""
    return f'{label(attribute)}="{value}"'


def not_equal(attribute: Attribute, value: str) -> str:
    """Match series whose label has a different value."""
    return f'{label(attribute)}!="{value}"'


def one_of(attribute: Attribute, *values: str) -> str:
    """Match series whose label has one of these values."""
    return f'{label(attribute)}=~"{"|".join(values)}"'


def none_of(attribute: Attribute, *values: str) -> str:
    """Match series whose label has none of these values."""
    return f'{label(attribute)}!~"{"|".join(values)}"'


def le(bound: float) -> str:
    """Match the bucket with this bound, written ``60`` or ``60.0``."""
    text = f"{bound:g}"
    escaped = text.replace(".", r"\\.")
    return f'le="{text}"' if "." in text else f'le=~"{escaped}(\\\\.0)?"'


def total(vector: str, *by: str) -> str:
    """Sum a vector, by some labels."""
    return f"sum by ({', '.join(by)}) ({vector})" if by else f"sum({vector})"


def rate(series: str, window: str, *by: str) -> str:
    """Events per second, summed by some labels."""
    return total(f"rate({series}[{window}])", *by)


def increase(series: str, window: str, *by: str) -> str:
    """Events in a window, summed by some labels."""
    return total(f"increase({series}[{window}])", *by)


def share(part: str, whole: str) -> str:
    """Divide a part by a whole. The share is empty without a whole, and zero without a part."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def quantile(q: float, series: str, window: str, *by: str) -> str:
    """A quantile of a histogram. Without observations it is empty instead of NaN."""
    return f"histogram_quantile({q:g}, {rate(series, window, *by, 'le')}) >= 0"


def topk(vector: str, count: int = 20) -> str:
    """Keep the largest series, as a legend cannot show hundreds."""
    return f"topk({count}, {vector})"


def by_signal(function: str, pattern: str, matcher: str, window: str) -> str:
    """Apply ``rate`` or ``increase`` to a Collector metric that exists once for each signal.

    A single selector would fail, because without their names the series of two signals have the same labels.
    """
    return " or ".join(
        f'label_replace({function}({{__name__=~"{pattern.format(signal)}",{matcher}}}[{window}]),'
        f' "signal", "{signal}", "", "")'
        for signal in SIGNALS
    )
