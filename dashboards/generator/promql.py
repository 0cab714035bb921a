"""PromQL in the few shapes that the dashboards and the rules use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dashboards.generator.names import SIGNALS, label, metric

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute, Metric

MODEL: Final = label(a.REQUEST_MODEL)
SERVER: Final = label(a.SERVER_ADDRESS)

STEP: Final = "$__rate_interval"
"""Window of a point on a time axis: at least four scrapes, whatever the zoom."""
RANGE: Final = "$__range"
"""Window of a figure for the whole time that is shown."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which series a query looks at, before its own conditions."""

    matchers: tuple[str, ...] = ()

    def series(self, spec: Metric, *matchers: str, suffix: str = "", name: str = "") -> str:
        """A selector of the series of a metric; ``suffix`` is that of a histogram's parts."""
        said = ",".join((*self.matchers, *matchers))
        return f"{metric(spec, name=name)}{suffix}" + (f"{{{said}}}" if said else "")

    def grown(self, spec: Metric, window: str, *matchers: str, suffix: str = "") -> str:
        """How much each series of a rare counter grew in a window, its birth included. To be summed.

        ``increase()`` is blind to the first event of a series that begins with it, and an abort at a proxy's limit is
        exactly that. So what a series was born with is added, if it was born: it was not there a window ago, and its
        process was seen before it was. Of a process that Prometheus has only just met, nobody knows when the counts
        were made.
        """
        series, known = self.series(spec, *matchers, suffix=suffix), self.series(schema.REQUESTS)
        younger = (
            f"count_over_time({series}[{window}]) < on (job, instance) group_left ()"
            f" max by (job, instance) (count_over_time({known}[{window}]))"
        )
        born = f"min_over_time({series}[{window}]) unless {series} offset {window} and ({younger})"
        return f'(increase({series}[{window}]) or label_replace({born}, "born", "here", "", ""))'


def equal(attribute: Attribute, value: str) -> str:
    """A condition: the label has this value."""
    return f'{label(attribute)}="{value}"'


def other(attribute: Attribute, value: str) -> str:
    """A condition: the label has another value."""
    return f'{label(attribute)}!="{value}"'


def like(attribute: Attribute, *values: str) -> str:
    """A condition: the label has one of these values."""
    return f'{label(attribute)}=~"{"|".join(values)}"'


def unlike(attribute: Attribute, *values: str) -> str:
    """A condition: the label has none of these values."""
    return f'{label(attribute)}!~"{"|".join(values)}"'


def le(bound: float) -> str:
    """A condition: this bucket, however its bound was written (``60``, ``60.0``)."""
    text = f"{bound:g}"
    escaped = text.replace(".", r"\\.")
    return f'le="{text}"' if "." in text else f'le=~"{escaped}(\\\\.0)?"'


def total(vector: str, *by: str) -> str:
    """The sum over everything but some labels."""
    return f"sum by ({', '.join(by)}) ({vector})" if by else f"sum({vector})"


def rate(series: str, window: str, *by: str) -> str:
    """Events per second."""
    return total(f"rate({series}[{window}])", *by)


def increase(series: str, window: str, *by: str) -> str:
    """Events in a window."""
    return total(f"increase({series}[{window}])", *by)


def share(part: str, whole: str) -> str:
    """A part of a whole. Without a whole there is no share; without a part it is zero."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def quantile(q: float, series: str, window: str, *by: str) -> str:
    """A quantile of a histogram; nothing where nothing was observed, rather than NaN."""
    return f"histogram_quantile({q:g}, {rate(series, window, *by, 'le')}) >= 0"


def top(vector: str, count: int = 20) -> str:
    """The largest: what a legend can hold, should there be hundreds."""
    return f"topk({count}, {vector})"


def by_signal(function: str, pattern: str, matcher: str, window: str) -> str:
    """``rate`` or ``increase`` of one of the Collector's metrics that exists once for each signal.

    One selector for all of them would fail: without their names the series of two signals have the same labels.
    """
    return " or ".join(
        f'label_replace({function}({{__name__=~"{pattern.format(signal)}",{matcher}}}[{window}]),'
        f' "signal", "{signal}", "", "")'
        for signal in SIGNALS
    )
