"""The dashboard for overload and retries. It shows whether Claude is overloaded, and whether retries help."""

from __future__ import annotations

from typing import Final

from dashboards.generator.boards.concurrency import CONCURRENCY
from dashboards.generator.boards.retries import BILL, BUDGET, RETRIES
from dashboards.generator.boards.shared import (
    AFTER_TOKEN,
    BEFORE_TOKEN,
    CALLS,
    OVERLOAD,
    SERVICE,
    VARIABLES,
    amplification,
    request_rate,
)
from dashboards.generator.model import Board, Panel, Query, Row
from dashboards.generator.names import label
from dashboards.generator.promql import (
    MODEL,
    RANGE,
    SERVER,
    STEP,
    Scope,
    equal,
    one_of,
    rate,
    share,
    topk,
    total,
)

from otel_claude_stream._core.vocabulary import AbortReason, Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

OVERLOADED_STATUS: Final = equal(a.STATUS_CODE, "529")
LIMITED_STATUS: Final = equal(a.STATUS_CODE, "429")
OVERLOADED: Final = equal(a.REASON, AbortReason.OVERLOADED.value)


def http_overload_rate(scope: Scope, window: str, *by: str) -> str:
    """HTTP requests per second that got a 529, including the SDK's retries."""
    return rate(scope.series(schema.REQUESTS, OVERLOADED_STATUS), window, *by)


def stream_overload_rate(scope: Scope, window: str, phases: tuple[str, ...], *by: str) -> str:
    """Streams per second that ended with an `overloaded_error` inside a 200 response."""
    return rate(scope.series(schema.ABORTS, OVERLOADED, one_of(a.PHASE, *phases)), window, *by)


def overload_rate(scope: Scope, window: str, *by: str) -> str:
    """Requests that got a 529 and streams that ended with `overloaded_error`, per second."""
    http = http_overload_rate(scope, window, *by)
    stream = stream_overload_rate(scope, window, (*BEFORE_TOKEN, *AFTER_TOKEN), *by)
    return f"(({http} or 0 * {stream}) + ({stream} or 0 * {http}))"


_LOST: Final = total(CALLS.growth(schema.ABORTS, RANGE, OVERLOADED))
_RECOVERED: Final = CALLS.growth(schema.RECOVERIES, RANGE, equal(a.RECOVERY_OUTCOME, Outcome.COMPLETED.value))
_AFTER_OVERLOAD: Final = equal(a.RETRY_REASON, AbortReason.OVERLOADED.value)
_BY_POLICY: Final = equal(a.RETRY_LAYER, "policy")

_SUMMARY: Final = Row(
    "Summary",
    (
        Panel(
            kind="stat",
            title="Overloaded share of requests",
            description=(
                "Share of the HTTP requests in the selected time range that got a 529 or broke off with "
                "`overloaded_error`. Above 5 % for minutes, on one model and all servers, Claude has an incident."
            ),
            unit="percentunit",
            queries=(Query(share(overload_rate(CALLS, RANGE), request_rate(CALLS, RANGE)), form="instant"),),
            width=4,
            height=4,
            no_value="no requests",
            thresholds=((0.01, "warn"), (0.05, "bad")),
            base_level="good",
            decimals=2,
            maximum=1,
        ),
        Panel(
            kind="stat",
            title="Streams lost to overload",
            description=(
                "Number of streams in the selected time range that failed as `overloaded` after all retries. See "
                "*Retries not made, by blocker* for what stopped the retries."
            ),
            unit="suffix: streams",
            queries=(Query(_LOST, form="instant"),),
            width=4,
            height=4,
            no_value="no streams",
            thresholds=((1, "warn"), (10, "bad")),
            base_level="good",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Requests per stream",
            description=(
                "HTTP requests for each call of the application. Without retries it is 1. Above 1.5 the retries "
                "are a large part of the load. Lower the number of attempts, or the retry budget."
            ),
            unit="suffix:x",
            queries=(Query(amplification(CALLS, RANGE), form="instant"),),
            width=4,
            height=4,
            no_value="no requests",
            thresholds=((1.2, "warn"), (1.5, "bad")),
            base_level="good",
            decimals=2,
        ),
        Panel(
            kind="stat",
            title="Lowest retry budget left",
            description=(
                "Retries left in the process that has the fewest. At 0 streams fail at once, by design, so that "
                "retries do not prolong an incident. Empty without a retry policy."
            ),
            unit="suffix: retries",
            queries=(Query(f"min({BUDGET})", form="instant"),),
            width=4,
            height=4,
            no_value="no policy",
            thresholds=((1, "warn"), (3, "good")),
            base_level="bad",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Recovered streams",
            description=(
                "Number of streams in the selected time range that broke and then completed, because the policy "
                "retried or resumed them. Compare with *Streams lost to overload*."
            ),
            unit="suffix: streams",
            queries=(
                Query(
                    total(_RECOVERED),
                    form="instant",
                ),
            ),
            width=4,
            height=4,
            no_value="no policy",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Tokens wasted",
            description=(
                "Estimated output tokens of failed streams in the selected time range. They were billed. Mode "
                "`resume` keeps them instead of paying again."
            ),
            unit="suffix: tokens",
            queries=(Query(total(CALLS.growth(schema.OUTPUT_TOKENS_WASTED, RANGE)), form="instant"),),
            width=4,
            height=4,
            no_value="none",
            decimals=0,
        ),
    ),
)

_LIMIT: Final = label(a.RATE_LIMIT_KIND)

_OVERLOAD_ERRORS: Final = Row(
    "Overload",
    (
        Panel(
            kind="timeseries",
            title="Overload and rate limit errors, by source",
            description=(
                "Rate of overload errors, by where they appeared. The SDK retries HTTP 529. An `overloaded_error` "
                "in the stream is safe to retry before the first token; after it only the policy can recover. "
                "Both stream lines count final failures; the policy's retries have their own line. HTTP 429 is "
                "your own rate limit. *Rate limits left, by model* shows which one is used up."
            ),
            unit="suffix: per second",
            queries=(
                Query(http_overload_rate(CALLS, STEP), "HTTP 529"),
                Query(stream_overload_rate(CALLS, STEP, BEFORE_TOKEN), "in the stream, before the first token"),
                Query(stream_overload_rate(CALLS, STEP, AFTER_TOKEN), "in the stream, after the first token"),
                Query(rate(CALLS.series(schema.RETRIES, _AFTER_OVERLOAD, _BY_POLICY), STEP), "retried by the policy"),
                Query(rate(CALLS.series(schema.REQUESTS, LIMITED_STATUS), STEP), "HTTP 429, rate limit"),
            ),
            no_value="no requests",
        ),
        Panel(
            kind="timeseries",
            title="Overloaded share of requests, by model",
            description=(
                "Share of HTTP requests that were overloaded, for the 20 worst models. If one model is affected, "
                "fail over to another. If all are, wait, and keep the retry budget small."
            ),
            unit="percentunit",
            queries=(
                Query(
                    topk(share(overload_rate(CALLS, STEP, MODEL), request_rate(CALLS, STEP, MODEL))), f"{{{{{MODEL}}}}}"
                ),
            ),
            maximum=1,
            no_value="no requests",
        ),
        Panel(
            kind="timeseries",
            title="Overloaded share of requests, by server",
            description=(
                "Share of HTTP requests that were overloaded, for the 20 worst servers: the API, a gateway, or "
                "the endpoint of a cloud. If one server is affected, move traffic to another."
            ),
            unit="percentunit",
            queries=(
                Query(
                    topk(share(overload_rate(CALLS, STEP, SERVER), request_rate(CALLS, STEP, SERVER))),
                    f"{{{{{SERVER}}}}}",
                ),
            ),
            maximum=1,
            no_value="no requests",
        ),
        Panel(
            kind="bars",
            title="Streams lost to overload, by model",
            description=(
                "Number of streams that failed as `overloaded` in each interval, after all retries. This is the "
                "part of the incident that users saw. For a single model, fail over to another."
            ),
            unit="suffix: streams",
            queries=(
                Query(f"{topk(total(CALLS.growth(schema.ABORTS, STEP, OVERLOADED), MODEL))} > 0", f"{{{{{MODEL}}}}}"),
            ),
            stacked=True,
            no_value="none lost",
        ),
        Panel(
            kind="timeseries",
            title="Rate limits left, by model",
            description=(
                "Share of each rate limit that is left, as the API reported it last, for the 20 lowest limits. It is "
                "the minimum over all processes. Near zero, requests are about to be refused with HTTP 429. Reduce "
                "concurrency, or ask for a higher limit. Empty if no response reported limits in the last minutes, as "
                "for clouds."
            ),
            unit="percentunit",
            queries=(
                Query(
                    f"bottomk(20, min by ({MODEL}, {_LIMIT}) "
                    f"({CALLS.series(schema.RATE_LIMITS['remaining'])} / {CALLS.series(schema.RATE_LIMITS['limit'])}))",
                    f"{{{{{MODEL}}}}} {{{{{_LIMIT}}}}}",
                ),
            ),
            maximum=1,
            no_value="no limits reported",
        ),
        Panel(
            kind="timeseries",
            title="Time until rate limits are replenished, by model",
            description=(
                "Time until each rate limit is replenished in full, as the API reported it last, for the 20 longest. "
                "The longer it is, the more of the limit is in use."
            ),
            unit="s",
            queries=(
                Query(
                    topk(f"max by ({MODEL}, {_LIMIT}) ({CALLS.series(schema.RATE_LIMITS['reset_after'])})"),
                    f"{{{{{MODEL}}}}} {{{{{_LIMIT}}}}}",
                ),
            ),
            no_value="no limits reported",
        ),
    ),
)

BOARD: Final = Board(
    "overload-retries",
    OVERLOAD,
    "Claude streams: overload and retries",
    "Whether Claude is overloaded, by source, model and server, and whether retries help.",
    (_SUMMARY, _OVERLOAD_ERRORS, RETRIES, CONCURRENCY, BILL),
    (*VARIABLES, SERVICE),
    traces=True,
)
