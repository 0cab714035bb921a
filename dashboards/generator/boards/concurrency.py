"""The row on the limit on open requests of the dashboard for overload and retries."""

from __future__ import annotations

from typing import Final

from dashboards.generator.boards.shared import CALLS
from dashboards.generator.model import Panel, Query, Row
from dashboards.generator.names import label
from dashboards.generator.promql import SERVER, STEP, not_equal, quantile, topk, total

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

_OUTCOME: Final = label(a.CONCURRENCY_OUTCOME)
_NOT_ADMITTED: Final = not_equal(a.CONCURRENCY_OUTCOME, "admitted")
_WITHOUT_PERMIT: Final = CALLS.growth(schema.CONCURRENCY_WAIT, STEP, _NOT_ADMITTED, suffix="_count")

CONCURRENCY: Final = Row(
    "Limit on open requests",
    (
        Panel(
            kind="timeseries",
            title="Open requests and their limit, by server",
            description=(
                "Requests that are open, requests that wait for a permit, and the limit, as sums over all processes, "
                "for the 20 highest of each. If requests wait while the API is healthy, raise `concurrency.max`. With "
                "`auto` the limit falls in an overload and rises again. Empty without `concurrency` in the policy."
            ),
            unit="suffix: requests",
            queries=(
                Query(topk(total(CALLS.series(schema.CONCURRENCY_LIMIT), SERVER)), f"{{{{{SERVER}}}}}: limit"),
                Query(topk(total(CALLS.series(schema.CONCURRENCY_IN_FLIGHT), SERVER)), f"{{{{{SERVER}}}}}: open"),
                Query(topk(total(CALLS.series(schema.CONCURRENCY_QUEUED), SERVER)), f"{{{{{SERVER}}}}}: waiting"),
            ),
            width=8,
            no_value="no limit in the policy",
        ),
        Panel(
            kind="timeseries",
            title="Wait for a permit, p50 and p95, by outcome",
            description=(
                "Wait of requests for a permit, by outcome. It is 0 for a request that finds one free. `expired`: "
                "neither `concurrency.queue` nor a time-out nor the deadline allowed a longer wait. If most waits "
                "expire, callers are better served by an error at once: shorten the queue."
            ),
            unit="s",
            queries=tuple(
                Query(
                    quantile(q, CALLS.series(schema.CONCURRENCY_WAIT, suffix="_bucket"), STEP, _OUTCOME),
                    f"{{{{{_OUTCOME}}}}} p{q * 100:g}",
                )
                for q in (0.5, 0.95)
            ),
            width=8,
            no_value="no limit in the policy",
        ),
        Panel(
            kind="bars",
            title="Requests without a permit, by outcome",
            description=(
                "Number of requests in each interval that found no permit free in time. `expired`: the wait ended with "
                "the reason `queue_timeout`. `left`: the caller left before. Neither was sent. `would_wait`: the "
                "policy only observes, so the request was sent at once."
            ),
            unit="suffix: requests",
            queries=(
                Query(
                    f"{total(_WITHOUT_PERMIT, _OUTCOME)} > 0",
                    f"{{{{{_OUTCOME}}}}}",
                ),
            ),
            width=8,
            stacked=True,
            no_value="none",
        ),
    ),
)
