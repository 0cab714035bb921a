"""The pipeline dashboard. It shows whether the Collector loses telemetry that the other dashboards need."""

from __future__ import annotations

from typing import Final

from dashboards.generator import names
from dashboards.generator.boards.shared import JOBS, PIPELINE
from dashboards.generator.model import Board, Panel, Query, Row, Variable
from dashboards.generator.names import label, metric
from dashboards.generator.promql import RANGE, STEP, by_signal, rate, share, total

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

COLLECTOR: Final = 'job=~"$collector"'
_COLLECTOR_SERIES: Final = f'{{__name__=~"{names.COLLECTOR_QUEUE_SIZE}|{names.COLLECTOR_UPTIME}"}}'


def series(pattern: str) -> str:
    """Select the series of a metric of the Collector. The pattern allows for the suffixes of different versions."""
    return f'{{__name__=~"{pattern}",{COLLECTOR}}}'


def item_count(pattern: str, window: str) -> str:
    """Count items in a window over all signals. Gives 0 if the Collector runs and has not counted any yet."""
    counted = by_signal("increase", pattern, COLLECTOR, window)
    return f"(sum({counted}) or 0 * count({series(names.COLLECTOR_UPTIME)}))"


def item_rate(pattern: str, *by: str) -> str:
    """Items per second over all signals."""
    return total(by_signal("rate", pattern, COLLECTOR, STEP), *by)


def trace_rate(pattern: str, *by: str) -> str:
    """Traces per second, for a metric that does not exist once for each signal."""
    return rate(series(pattern), STEP, *by)


UNAUTHORIZED: Final = f'{{__name__=~"{names.COLLECTOR_ANSWERS}",{names.UNAUTHORIZED},{COLLECTOR}}}'
QUEUE_SIZE: Final = f"sum by (job, instance, exporter) ({series(names.COLLECTOR_QUEUE_SIZE)})"
QUEUE_CAPACITY: Final = f"sum by (job, instance, exporter) ({series(names.COLLECTOR_QUEUE_CAPACITY)})"

_REFUSED_OR_FAILED: Final = (
    f"{item_count(names.COLLECTOR_REFUSED, RANGE)} + {item_count(names.COLLECTOR_FAILED, RANGE)}"
)

_LOSSES: Final = Row(
    "Losses",
    (
        Panel(
            kind="stat",
            title="Refused items",
            description=(
                "Number of items in the selected time range that receivers refused (memory limiter, full queues) "
                "or failed to process. SDKs retry for a while, then the items are lost. Add memory or replicas to "
                "the Collector."
            ),
            unit="suffix: items",
            queries=(Query(_REFUSED_OR_FAILED, form="instant"),),
            width=6,
            height=4,
            no_value="no Collector",
            thresholds=((1, "bad"),),
            base_level="good",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Items not queued",
            description=(
                "Number of items lost in the selected time range because the queue of an exporter was full. The "
                "backend was down for longer than the queue covers. Enlarge the queue."
            ),
            unit="suffix: items",
            queries=(Query(item_count(names.COLLECTOR_ENQUEUE_FAILED, RANGE), form="instant"),),
            width=6,
            height=4,
            no_value="no Collector",
            thresholds=((1, "bad"),),
            base_level="good",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Items not delivered",
            description=(
                "Number of items in the selected time range whose export failed permanently. The backend refuses "
                "them. Check the log of the Collector."
            ),
            unit="suffix: items",
            queries=(Query(item_count(names.COLLECTOR_SEND_FAILED, RANGE), form="instant"),),
            width=6,
            height=4,
            no_value="no Collector",
            thresholds=((1, "bad"),),
            base_level="good",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Fullest queue",
            description=(
                "Usage of the fullest exporter queue. If it rises, a backend is slow or down. At 100 % telemetry "
                "is lost. Check that backend."
            ),
            unit="percentunit",
            queries=(Query(f"max({share(QUEUE_SIZE, QUEUE_CAPACITY)})", form="instant"),),
            width=6,
            height=4,
            no_value="no Collector",
            thresholds=((0.5, "warn"), (0.8, "bad")),
            base_level="good",
            decimals=0,
            maximum=1,
        ),
    ),
)

_FLOW: Final = Row(
    "Flow, queues and sampling",
    (
        Panel(
            kind="timeseries",
            title="Items received and sent",
            description=(
                "Items per second that the Collector received and sent, for all signals. Fewer traces out than in "
                "is tail sampling. Fewer metric points out than in is loss; see *Items refused and failed*."
            ),
            unit="suffix: items/s",
            queries=(
                Query(item_rate(names.COLLECTOR_ACCEPTED, "receiver"), "in: {{receiver}}"),
                Query(item_rate(names.COLLECTOR_SENT, "exporter"), "out: {{exporter}}"),
            ),
            no_value="no Collector",
        ),
        Panel(
            kind="timeseries",
            title="Queue usage",
            description=(
                "Usage of each exporter queue. A queue on disk survives a restart. A full queue rejects new "
                "items. If one fills, check the backend behind it."
            ),
            unit="percentunit",
            queries=(Query(share(QUEUE_SIZE, QUEUE_CAPACITY), "{{exporter}} ({{instance}})"),),
            maximum=1,
            no_value="no Collector",
        ),
        Panel(
            kind="timeseries",
            title="Items refused and failed",
            description=(
                "Items per second that were refused, failed in a receiver, were not queued, or were not "
                "delivered. The log of the Collector has the cause. Requests with a wrong token, for the spans of the "
                "API, are not in the log. Check the token in the Console."
            ),
            unit="suffix: items/s",
            queries=(
                Query(
                    item_rate(names.COLLECTOR_REFUSED, "receiver"),
                    "refused: {{receiver}}",
                ),
                Query(item_rate(names.COLLECTOR_FAILED, "receiver"), "failed: {{receiver}}"),
                Query(item_rate(names.COLLECTOR_ENQUEUE_FAILED, "exporter"), "not queued: {{exporter}}"),
                Query(item_rate(names.COLLECTOR_SEND_FAILED, "exporter"), "not delivered: {{exporter}}"),
                Query(rate(UNAUTHORIZED, STEP, "instance"), "wrong token: {{instance}}"),
            ),
            no_value="none",
        ),
        Panel(
            kind="timeseries",
            title="Tail sampling",
            description=(
                "Traces per second by the decision of each sampling policy, and traces dropped before a decision. "
                "The latter are missing in *Drill-down*: more traces are open than `num_traces` allows. Raise it."
            ),
            unit="suffix: traces/s",
            queries=(
                Query(trace_rate(names.COLLECTOR_SAMPLED, "policy", "sampled"), "{{policy}}: sampled {{sampled}}"),
                Query(trace_rate(names.COLLECTOR_EARLY, "instance"), "dropped too early ({{instance}})"),
            ),
            no_value="no tail sampling",
        ),
        Panel(
            kind="timeseries",
            title="Collector memory",
            description=(
                "Resident memory of each Collector. At the limit of its memory limiter it starts to refuse items. "
                "Add memory before it gets there."
            ),
            unit="bytes",
            queries=(Query(f"max by (job, instance) ({series(names.COLLECTOR_MEMORY)})", "{{job}} {{instance}}"),),
            no_value="no Collector",
        ),
        Panel(
            kind="timeseries",
            title="Instrumentation errors",
            description=(
                "Number of errors inside the instrumentation in each interval, by application and component. The "
                "telemetry is lost before it reaches the Collector. Please report them."
            ),
            unit="suffix: errors",
            queries=(
                Query(
                    f"{total(JOBS.growth(schema.INTERNAL_ERRORS, STEP), 'job', label(a.INTERNAL_COMPONENT))} > 0",
                    f"{{{{job}}}}: {{{{{label(a.INTERNAL_COMPONENT)}}}}}",
                ),
            ),
            no_value="none",
        ),
    ),
)

BOARD: Final = Board(
    "pipeline",
    PIPELINE,
    "Claude streams: pipeline",
    "Whether the Collector receives, queues and delivers the telemetry that the other dashboards show.",
    (_LOSSES, _FLOW),
    (
        Variable(
            "collector",
            "Collector",
            "The scrape job of the Collector's own metrics.",
            f"{_COLLECTOR_SERIES}, job",
            all_value=".+",
        ),
        Variable(
            "job",
            "Job",
            "The application whose instrumentation errors are shown.",
            f"{metric(schema.REQUESTS)}, job",
            all_value=".+",
        ),
    ),
)
