"""Pipeline: whether the Collector itself loses what the other dashboards show."""

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
_ALIVE: Final = f'{{__name__=~"{names.COLLECTOR_QUEUE_SIZE}|{names.COLLECTOR_UPTIME}"}}'


def series(pattern: str) -> str:
    """The series of one of the Collector's own metrics, whatever suffix its version gives it."""
    return f'{{__name__=~"{pattern}",{COLLECTOR}}}'


def items(pattern: str, window: str) -> str:
    """Items in a window, of all signals; 0 where the Collector runs and has never counted one."""
    counted = by_signal("increase", pattern, COLLECTOR, window)
    return f"(sum({counted}) or 0 * count({series(names.COLLECTOR_UPTIME)}))"


def per_second(pattern: str, *by: str) -> str:
    """Items per second, of all signals."""
    return total(by_signal("rate", pattern, COLLECTOR, STEP), *by)


def tails(pattern: str, *by: str) -> str:
    """Traces per second, of a metric that has no signal."""
    return rate(series(pattern), STEP, *by)


QUEUED: Final = f"sum by (job, instance, exporter) ({series(names.COLLECTOR_QUEUE_SIZE)})"
ROOM: Final = f"sum by (job, instance, exporter) ({series(names.COLLECTOR_QUEUE_CAPACITY)})"

_NOT_TAKEN: Final = f"{items(names.COLLECTOR_REFUSED, RANGE)} + {items(names.COLLECTOR_FAILED, RANGE)}"

_NOW: Final = Row(
    "Is anything lost",
    (
        Panel(
            kind="stat",
            title="Refused",
            description=(
                "Items that receivers refused, as memory or queues were full, or could not take, in the time "
                "shown. SDKs try again for a while; what is refused for long is lost. Give the Collector more "
                "memory, or more replicas."
            ),
            unit="suffix: items",
            queries=(
                Query(
                    f"{items(names.COLLECTOR_REFUSED, RANGE)} + {items(names.COLLECTOR_FAILED, RANGE)}", form="instant"
                ),
            ),
            width=6,
            height=4,
            no_value="no Collector",
            steps=((1, "bad"),),
            first="good",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Not queued",
            description=(
                "Items that found an exporter's queue full, in the time shown: lost for good. The "
                "backend was down for longer than the queue is deep."
            ),
            unit="suffix: items",
            queries=(Query(items(names.COLLECTOR_ENQUEUE_FAILED, RANGE), form="instant"),),
            width=6,
            height=4,
            no_value="no Collector",
            steps=((1, "bad"),),
            first="good",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Not delivered",
            description=(
                "Items whose export failed for good, in the time shown. A backend that refuses them: "
                "look into the Collector's log."
            ),
            unit="suffix: items",
            queries=(Query(items(names.COLLECTOR_SEND_FAILED, RANGE), form="instant"),),
            width=6,
            height=4,
            no_value="no Collector",
            steps=((1, "bad"),),
            first="good",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Fullest queue",
            description="How full the fullest queue is. Rising: a backend is slow or away; at 1 telemetry is lost.",
            unit="percentunit",
            queries=(Query(f"max({share(QUEUED, ROOM)})", form="instant"),),
            width=6,
            height=4,
            no_value="no Collector",
            steps=((0.5, "warn"), (0.8, "bad")),
            first="good",
            decimals=0,
            most=1,
        ),
    ),
)

_FLOW: Final = Row(
    "Flow, queues and sampling",
    (
        Panel(
            kind="timeseries",
            title="Received and sent",
            description=(
                "Items per second that came in, and that left, of all signals. Out below in for traces "
                "is tail sampling at work; for metrics it is loss."
            ),
            unit="suffix: items/s",
            queries=(
                Query(per_second(names.COLLECTOR_ACCEPTED, "receiver"), "in: {{receiver}}"),
                Query(per_second(names.COLLECTOR_SENT, "exporter"), "out: {{exporter}}"),
            ),
            no_value="no Collector",
        ),
        Panel(
            kind="timeseries",
            title="Queues",
            description=(
                "How full each exporter's queue is. A queue on disk survives restarts; a full one does not take more."
            ),
            unit="percentunit",
            queries=(Query(share(QUEUED, ROOM), "{{exporter}} ({{instance}})"),),
            most=1,
            no_value="no Collector",
        ),
        Panel(
            kind="timeseries",
            title="Refused and failed",
            description="Items per second that were refused, not queued, or not delivered.",
            unit="suffix: items/s",
            queries=(
                Query(
                    per_second(names.COLLECTOR_REFUSED, "receiver"),
                    "refused: {{receiver}}",
                ),
                Query(per_second(names.COLLECTOR_FAILED, "receiver"), "failed: {{receiver}}"),
                Query(per_second(names.COLLECTOR_ENQUEUE_FAILED, "exporter"), "not queued: {{exporter}}"),
                Query(per_second(names.COLLECTOR_SEND_FAILED, "exporter"), "not delivered: {{exporter}}"),
            ),
            no_value="none",
        ),
        Panel(
            kind="timeseries",
            title="Tail sampling",
            description=(
                "Traces per second by policy's verdict, and traces that were forgotten before their "
                "verdict: more of them are open than `num_traces` holds, and their streams are missing "
                "in *Drill-down*."
            ),
            unit="suffix: traces/s",
            queries=(
                Query(tails(names.COLLECTOR_SAMPLED, "policy", "sampled"), "{{policy}}: sampled {{sampled}}"),
                Query(tails(names.COLLECTOR_EARLY, "instance"), "dropped too early ({{instance}})"),
            ),
            no_value="no tail sampling",
        ),
        Panel(
            kind="timeseries",
            title="Memory",
            description=(
                "Resident memory of each Collector. At the limiter's share of the container's memory it"
                " begins to refuse."
            ),
            unit="bytes",
            queries=(Query(f"max by (job, instance) ({series(names.COLLECTOR_MEMORY)})", "{{job}} {{instance}}"),),
            no_value="no Collector",
        ),
        Panel(
            kind="timeseries",
            title="Errors of the instrumentation",
            description=(
                "Failures inside of the instrumentation, by application and part. They lose telemetry "
                "before the Collector sees it."
            ),
            unit="suffix: errors",
            queries=(
                Query(
                    f"{total(JOBS.grown(schema.INTERNAL_ERRORS, STEP), 'job', label(a.INTERNAL_COMPONENT))} > 0",
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
    "Whether the Collector receives, keeps and delivers what the other dashboards show.",
    (_NOW, _FLOW),
    (
        Variable(
            "collector", "Collector", "The scrape job of the Collector's own metrics.", f"{_ALIVE}, job", all_value=".+"
        ),
        Variable("job", "Job", "The application.", f"{metric(schema.REQUESTS)}, job", all_value=".+"),
    ),
)
