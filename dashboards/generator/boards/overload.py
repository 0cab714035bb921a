"""529 and retries: is Claude overloaded, and what are our retries doing about it."""

from __future__ import annotations

from typing import Final

from dashboards.generator.boards.shared import (
    AFTER_TOKEN,
    BEFORE_TOKEN,
    CALLS,
    OVERLOAD,
    SERVICE,
    TRACES,
    VARIABLES,
    amplification,
    sent,
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
    like,
    quantile,
    rate,
    share,
    top,
    total,
)
from dashboards.generator.traceql import ATTEMPTS, ENDED, counted, field

from otel_claude_stream._core.retry.context import Action
from otel_claude_stream._core.vocabulary import AbortReason, Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

OVERLOADED_STATUS: Final = equal(a.STATUS_CODE, "529")
LIMITED_STATUS: Final = equal(a.STATUS_CODE, "429")
OVERLOADED: Final = equal(a.REASON, AbortReason.OVERLOADED.value)


def said_by_http(scope: Scope, window: str, *by: str) -> str:
    """HTTP requests per second that were answered 529: every try, the SDK's own too."""
    return rate(scope.series(schema.REQUESTS, OVERLOADED_STATUS), window, *by)


def said_in_stream(scope: Scope, window: str, phases: tuple[str, ...], *by: str) -> str:
    """Streams per second that an `overloaded_error` ended inside of a 200 response."""
    return rate(scope.series(schema.ABORTS, OVERLOADED, like(a.PHASE, *phases)), window, *by)


def overloaded(scope: Scope, window: str, *by: str) -> str:
    """All of it: tries that were refused, and streams that broke."""
    http = said_by_http(scope, window, *by)
    stream = said_in_stream(scope, window, (*BEFORE_TOKEN, *AFTER_TOKEN), *by)
    return f"(({http} or 0 * {stream}) + ({stream} or 0 * {http}))"


_BUDGET: Final = CALLS.series(schema.RETRY_BUDGET)
_LOST: Final = total(CALLS.grown(schema.ABORTS, RANGE, OVERLOADED))
_SAVED: Final = CALLS.grown(schema.RECOVERIES, RANGE, equal(a.RECOVERY_OUTCOME, Outcome.COMPLETED.value))
_HOW_AND_WHAT: Final = (label(a.RECOVERY_ACTION), label(a.RECOVERY_OUTCOME))
_RETRIED_OVERLOAD: Final = equal(a.RETRY_REASON, AbortReason.OVERLOADED.value)
_BY_POLICY: Final = equal(a.RETRY_LAYER, "policy")
_DONE: Final = equal(a.RETRY_DRY_RUN, "false")
_WOULD_BE: Final = equal(a.RETRY_DRY_RUN, "true")
_GIVEN_UP: Final = equal(a.RETRY_DECISION, Action.GIVE_UP.value)
_WASTED: Final = CALLS.series(schema.OUTPUT_TOKENS_WASTED)

_NOW: Final = Row(
    "Now, and in the time shown",
    (
        Panel(
            kind="stat",
            title="Overloaded share of requests",
            description=(
                "Share of the HTTP requests in the time shown that were answered 529, or broke off with"
                " `overloaded_error`. Above 5 % for minutes, on one model and all servers: an incident "
                "of Claude's."
            ),
            unit="percentunit",
            queries=(Query(share(overloaded(CALLS, RANGE), sent(CALLS, RANGE)), form="instant"),),
            width=4,
            height=4,
            no_value="no requests",
            steps=((0.01, "warn"), (0.05, "bad")),
            first="good",
            decimals=2,
            most=1,
        ),
        Panel(
            kind="stat",
            title="Streams lost to overload",
            description="Streams that failed because Claude was overloaded, after all retries.",
            unit="suffix: streams",
            queries=(Query(_LOST, form="instant"),),
            width=4,
            height=4,
            no_value="no streams",
            steps=((1, "warn"), (10, "bad")),
            first="good",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Requests per stream",
            description=(
                "HTTP requests for each call of the application: 1 without retries. Above 1.5 our own "
                "retries are a good part of the load: lower attempts or the budget."
            ),
            unit="suffix:x",
            queries=(Query(amplification(CALLS, RANGE), form="instant"),),
            width=4,
            height=4,
            no_value="no requests",
            steps=((1.2, "warn"), (1.5, "bad")),
            first="good",
            decimals=2,
        ),
        Panel(
            kind="stat",
            title="Retry budget left, least",
            description=(
                "Retries that the process with the least left may still make. 0: streams fail at once, "
                "on purpose, so that an incident is not made worse. Empty without a retry policy."
            ),
            unit="suffix: retries",
            queries=(Query(f"min({_BUDGET})", form="instant"),),
            width=4,
            height=4,
            no_value="no policy",
            steps=((1, "warn"), (3, "good")),
            first="bad",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Recovered streams",
            description="Streams in the time shown that broke and were saved by the policy, by retry or resume.",
            unit="suffix: streams",
            queries=(
                Query(
                    total(_SAVED),
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
            description="Output tokens of streams that failed, estimated from what had come. They were billed.",
            unit="suffix: tokens",
            queries=(Query(total(CALLS.grown(schema.OUTPUT_TOKENS_WASTED, RANGE)), form="instant"),),
            width=4,
            height=4,
            no_value="none",
            decimals=0,
        ),
    ),
)

_WHO: Final = Row(
    "Is Claude overloaded",
    (
        Panel(
            kind="timeseries",
            title="Overloaded by source, and rate limits",
            description=(
                "529 before the stream (the SDK retries those), `overloaded_error` inside of a 200 "
                "before the first token (safe to retry), and in mid-answer (only a policy can save it)."
                " The two in the stream are those that failed in the end; what the policy saved, or tried to, "
                "is a line of its own. 429 is your own limit and no overload: spread the load, or ask for more."
            ),
            unit="suffix: per second",
            queries=(
                Query(said_by_http(CALLS, STEP), "HTTP 529"),
                Query(said_in_stream(CALLS, STEP, BEFORE_TOKEN), "in the stream, before the first token"),
                Query(said_in_stream(CALLS, STEP, AFTER_TOKEN), "in the stream, in mid-answer"),
                Query(
                    rate(CALLS.series(schema.RETRIES, _RETRIED_OVERLOAD, _BY_POLICY), STEP), "tried again by the policy"
                ),
                Query(rate(CALLS.series(schema.REQUESTS, LIMITED_STATUS), STEP), "HTTP 429, rate limit"),
            ),
            no_value="no requests",
        ),
        Panel(
            kind="timeseries",
            title="Overloaded share of requests, by model",
            description=(
                "The 20 worst models. One model: fail over to another. All of them: wait, and keep the budget small."
            ),
            unit="percentunit",
            queries=(Query(top(share(overloaded(CALLS, STEP, MODEL), sent(CALLS, STEP, MODEL))), f"{{{{{MODEL}}}}}"),),
            most=1,
            no_value="no requests",
        ),
        Panel(
            kind="timeseries",
            title="Overloaded share of requests, by server",
            description=(
                "By the host that was asked: the API, a gateway, a cloud's endpoint. One host only: "
                "move traffic to another."
            ),
            unit="percentunit",
            queries=(
                Query(top(share(overloaded(CALLS, STEP, SERVER), sent(CALLS, STEP, SERVER))), f"{{{{{SERVER}}}}}"),
            ),
            most=1,
            no_value="no requests",
        ),
        Panel(
            kind="bars",
            title="Streams lost to overload, by model",
            description=(
                "Streams that failed as overloaded, after all retries, in each interval. What users saw"
                " of the incident."
            ),
            unit="suffix: streams",
            queries=(
                Query(f"{top(total(CALLS.grown(schema.ABORTS, STEP, OVERLOADED), MODEL))} > 0", f"{{{{{MODEL}}}}}"),
            ),
            stacked=True,
            no_value="none lost",
        ),
    ),
)

_RETRIES: Final = Row(
    "What our retries do about it",
    (
        Panel(
            kind="timeseries",
            title="Requests per stream (amplification)",
            description=(
                "HTTP requests for each call, by server. Two healthy retries a call are 3: in an "
                "incident that is three times the load on what is overloaded already."
            ),
            unit="suffix:x",
            queries=(Query(top(amplification(CALLS, STEP, SERVER)), f"{{{{{SERVER}}}}}"),),
            no_value="no requests",
        ),
        Panel(
            kind="timeseries",
            title="Retry budget left, by server and model",
            description=(
                "Least of all processes. Falling to 0 and staying: the incident is longer than retries "
                "can help. Never touched: the budget could be smaller."
            ),
            unit="suffix: retries",
            queries=(
                Query(f"bottomk(20, min by ({SERVER}, {MODEL}) ({_BUDGET}))", f"{{{{{SERVER}}}}} {{{{{MODEL}}}}}"),
            ),
            no_value="no policy",
        ),
        Panel(
            kind="bars",
            title="Retries made, by whom and how",
            description=(
                "Attempts that were followed by another request, in each interval: by the SDK's own loop "
                "(before the response headers only), or by the policy, again from the start or as a "
                "continuation of the text."
            ),
            unit="suffix: retries",
            queries=(
                Query(
                    f"{total(CALLS.grown(schema.RETRIES, STEP), label(a.RETRY_LAYER), label(a.RETRY_DECISION))} > 0",
                    f"{{{{{label(a.RETRY_LAYER)}}}}}: {{{{{label(a.RETRY_DECISION)}}}}}",
                ),
            ),
            stacked=True,
            no_value="none",
        ),
        Panel(
            kind="bars",
            title="Retries made, by reason",
            description=(
                "The same, by why the attempt before failed. Much `rate_limited`: the application asks for "
                "more than its limit; retries only move that."
            ),
            unit="suffix: retries",
            queries=(
                Query(
                    f"{total(CALLS.grown(schema.RETRIES, STEP), label(a.RETRY_REASON))} > 0",
                    f"{{{{{label(a.RETRY_REASON)}}}}}",
                ),
            ),
            stacked=True,
            no_value="none",
        ),
        Panel(
            kind="bars",
            title="The policy's decisions",
            description=(
                "What the policy decided about attempts that failed, in each interval. Much `give_up`: see "
                "what blocked them, to the right. Empty where the policy only observes."
            ),
            unit="suffix: decisions",
            queries=(
                Query(
                    f"{total(CALLS.grown(schema.RETRY_DECISIONS, STEP, _DONE), label(a.RETRY_DECISION))} > 0",
                    f"{{{{{label(a.RETRY_DECISION)}}}}}",
                ),
            ),
            stacked=True,
            no_value="no policy, or nothing to decide",
        ),
        Panel(
            kind="bars",
            title="Not retried, by what blocked it",
            description=(
                "Failed attempts that the policy did not try again, by what stood in the way. `output`: the "
                "caller held what a replay would duplicate (mode `resume` may help). `budget`, `attempts`, "
                "`requests`, `deadline`: the policy's own limits. `never`: a retry could not help. `sdk`: the "
                "SDK had given up."
            ),
            unit="suffix: decisions",
            queries=(
                Query(
                    f"{total(CALLS.grown(schema.RETRY_DECISIONS, STEP, _DONE, _GIVEN_UP), label(a.RETRY_BLOCKED_BY))}"
                    " > 0",
                    f"{{{{{label(a.RETRY_BLOCKED_BY)}}}}}",
                ),
            ),
            stacked=True,
            no_value="none blocked",
        ),
        Panel(
            kind="bars",
            title="What a policy would have done",
            description=(
                "Where the policy only observes: what mode `resume` would have decided about streams that "
                "failed. `retry` and `resume` are streams that a policy could have saved."
            ),
            unit="suffix: decisions",
            queries=(
                Query(
                    f"{total(CALLS.grown(schema.RETRY_DECISIONS, STEP, _WOULD_BE), label(a.RETRY_DECISION))} > 0",
                    f"{{{{{label(a.RETRY_DECISION)}}}}}",
                ),
            ),
            stacked=True,
            no_value="a policy acts, or nothing to decide",
        ),
        Panel(
            kind="bars",
            title="Recoveries, by how",
            description=(
                "Streams that broke and went on, by how (again from the start, or continued) and what became "
                "of them in the end. Many that fail all the same: the retries cost and do not help."
            ),
            unit="suffix: streams",
            queries=(
                Query(
                    f"{total(CALLS.grown(schema.RECOVERIES, STEP), *_HOW_AND_WHAT)} > 0",
                    ": ".join(f"{{{{{name}}}}}" for name in _HOW_AND_WHAT),
                ),
            ),
            stacked=True,
            no_value="no policy, or nothing to recover",
        ),
        Panel(
            kind="timeseries",
            title="Ends, by attempt number",
            description=(
                "Streams by how many HTTP requests they needed and how they ended. If third attempts "
                "hardly ever complete, they only add load. From traces: retried and failed streams are "
                "all there, those that succeeded at once only as the sampled share."
            ),
            unit="suffix: streams/s",
            queries=(Query(counted(ENDED, a.ATTEMPT_COUNT, a.OUTCOME), form="trace metrics"),),
            no_value="none in the traces",
        ),
        Panel(
            kind="timeseries",
            title="Back-off, p50 and p95, by reason",
            description=(
                "How long was waited before a retry. Near zero in an incident: too eager. "
                "`rate_limited` should be near what `retry-after` asks for."
            ),
            unit="s",
            queries=tuple(
                Query(
                    quantile(q, CALLS.series(schema.RETRY_DELAY, suffix="_bucket"), STEP, label(a.RETRY_REASON)),
                    f"{{{{{label(a.RETRY_REASON)}}}}} p{q * 100:g}",
                )
                for q in (0.5, 0.95)
            ),
            no_value="no retries",
        ),
        Panel(
            kind="timeseries",
            title="Back-off against retry-after",
            description=(
                "Of the attempts that were told when to come again: how long they were asked to wait, "
                "and did wait, on average. Below what was asked: the server will refuse again."
            ),
            unit="s",
            queries=(
                Query(f"{ATTEMPTS} | avg_over_time({field(a.RETRY_AFTER)})", form="trace metrics"),
                Query(f"{ATTEMPTS} | avg_over_time({field(a.RETRY_DELAY)})", form="trace metrics"),
            ),
            no_value="nobody said retry-after",
        ),
        Panel(
            kind="timeseries",
            title="Tokens wasted, by reason",
            description=(
                "Output tokens per second of streams that failed, estimated. A replay pays for them "
                "again; mode `resume` keeps them."
            ),
            unit="suffix: tok/s",
            queries=(Query(rate(_WASTED, STEP, label(a.REASON)), f"{{{{{label(a.REASON)}}}}}"),),
            stacked=True,
            no_value="none",
            link=TRACES,
        ),
    ),
)

BOARD: Final = Board(
    "overload-retries",
    OVERLOAD,
    "Claude streams: overload and retries",
    "Whether Claude is overloaded, by source, model and server, and what retries do about it.",
    (_NOW, _WHO, _RETRIES),
    (*VARIABLES, SERVICE),
    traces=True,
)
