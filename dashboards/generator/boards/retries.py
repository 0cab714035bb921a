"""The rows on retries and on the bill of the dashboard for overload and retries."""

from __future__ import annotations

from typing import Final

from dashboards.generator.boards.shared import CALLS, TRACES, amplification
from dashboards.generator.model import Panel, Query, Row
from dashboards.generator.names import label
from dashboards.generator.promql import MODEL, RANGE, SERVER, STEP, equal, increase, quantile, rate, share, topk, total
from dashboards.generator.traceql import ATTEMPTS_WITH_RETRY_AFTER, ENDED, field, rate_by

from otel_claude_stream._core.retry.context import Action
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

BUDGET: Final = CALLS.series(schema.RETRY_BUDGET)
_NOT_DRY_RUN: Final = equal(a.RETRY_DRY_RUN, "false")
_DRY_RUN: Final = equal(a.RETRY_DRY_RUN, "true")
_GIVEN_UP: Final = (_NOT_DRY_RUN, equal(a.RETRY_DECISION, Action.GIVE_UP.value))
_ACTION_AND_OUTCOME: Final = (label(a.RECOVERY_ACTION), label(a.RECOVERY_OUTCOME))
_WASTED: Final = CALLS.series(schema.OUTPUT_TOKENS_WASTED)
_KINDS: Final = tuple(label(kind) for kind in (a.BILLED_TYPE, a.BILLED_SOURCE, a.BILLED_USE))


def _usage(window: str) -> str:
    """Tokens in the usage of the calls, by either version of the conventions. `or` counts a process once."""
    by = ("job", "instance")
    new = increase(CALLS.series(schema.GENAI_TOKEN_USAGE, suffix="_sum"), window, *by)
    parts = (schema.GENAI_INPUT_TOKENS, schema.GENAI_OUTPUT_TOKENS)
    old = " + ".join(increase(CALLS.series(part, suffix="_sum"), window, *by) for part in parts)
    return total(f"({new} or {old})")


def billed_count(window: str) -> str:
    """Tokens that were billed in a window, in the usage of calls and beside it."""
    usage, extra = _usage(window), total(CALLS.growth(schema.BILLED_EXTRA_TOKENS, window))
    return f"(({usage} or 0 * {extra}) + ({extra} or 0 * {usage}))"


BILL: Final = Row(
    "Bill",
    (
        Panel(
            kind="stat",
            title="Tokens billed",
            description=(
                "Number of tokens billed in the selected time range, input and output, over all HTTP requests. The "
                "output of requests that broke is an estimate. Empty if another instrumentation records the usage."
            ),
            unit="suffix: tokens",
            queries=(Query(billed_count(RANGE), form="instant"),),
            width=4,
            height=8,
            no_value="no usage",
            decimals=0,
        ),
        Panel(
            kind="stat",
            title="Wasted share of the bill",
            description=(
                "Share of the billed tokens that bought nothing: of requests whose content was not delivered, and of "
                "calls that failed. Above 1 %, see *Failed streams, by reason* (*Health*). Mode `resume` keeps what "
                "was delivered."
            ),
            unit="percentunit",
            queries=(
                Query(
                    share(
                        total(CALLS.growth(schema.BILLED_EXTRA_TOKENS, RANGE, equal(a.BILLED_USE, "wasted"))),
                        billed_count(RANGE),
                    ),
                    form="instant",
                ),
            ),
            width=4,
            height=8,
            no_value="no usage",
            thresholds=((0.01, "warn"), (0.05, "bad")),
            base_level="good",
            decimals=2,
            maximum=1,
        ),
        Panel(
            kind="bars",
            title="Tokens billed beside the usage, by type",
            description=(
                "Number of tokens in each interval that were billed and are not in the usage of a call. They are shown "
                "by type, by whether the API reported them, and by use. `delivered` is a text that a further request "
                "continued. `wasted` bought nothing. The rules of costs in the README turn tokens into money."
            ),
            unit="suffix: tokens",
            queries=(
                Query(
                    f"{total(CALLS.growth(schema.BILLED_EXTRA_TOKENS, STEP), *_KINDS)} > 0",
                    " ".join(f"{{{{{name}}}}}" for name in _KINDS),
                ),
            ),
            width=16,
            height=8,
            stacked=True,
            no_value="none",
            link_to=TRACES,
        ),
    ),
)

RETRIES: Final = Row(
    "Retries",
    (
        Panel(
            kind="timeseries",
            title="Requests per stream (amplification)",
            description=(
                "HTTP requests for each call, by server. Two retries for each call make 3. In an incident that "
                "triples the load on an overloaded API. Lower the number of attempts, or use a retry budget."
            ),
            unit="suffix:x",
            queries=(Query(topk(amplification(CALLS, STEP, SERVER)), f"{{{{{SERVER}}}}}"),),
            no_value="no requests",
        ),
        Panel(
            kind="timeseries",
            title="Retry budget left, by server and model",
            description=(
                "Retries left, as the minimum over all processes, by server and model. If it stays at 0, the "
                "incident lasts longer than retries can help. If it never falls, the budget could be smaller."
            ),
            unit="suffix: retries",
            queries=(
                Query(f"bottomk(20, min by ({SERVER}, {MODEL}) ({BUDGET}))", f"{{{{{SERVER}}}}} {{{{{MODEL}}}}}"),
            ),
            no_value="no policy",
        ),
        Panel(
            kind="bars",
            title="Retries made, by layer and action",
            description=(
                "Number of retries in each interval, by layer and action. The layer is the SDK (only before the "
                "response headers) or the policy. The action is `retry` (from the start) or `resume` (continue "
                "the text)."
            ),
            unit="suffix: retries",
            queries=(
                Query(
                    f"{total(CALLS.growth(schema.RETRIES, STEP), label(a.RETRY_LAYER), label(a.RETRY_DECISION))} > 0",
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
                "Number of retries in each interval, by the reason of the failed attempt. Many `rate_limited` "
                "retries mean that the application exceeds its rate limit. Retries do not fix that."
            ),
            unit="suffix: retries",
            queries=(
                Query(
                    f"{total(CALLS.growth(schema.RETRIES, STEP), label(a.RETRY_REASON))} > 0",
                    f"{{{{{label(a.RETRY_REASON)}}}}}",
                ),
            ),
            stacked=True,
            no_value="none",
        ),
        Panel(
            kind="bars",
            title="Policy decisions",
            description=(
                "Number of decisions about failed attempts in each interval, by action. If `give_up` dominates, "
                "see *Retries not made, by blocker*. Empty where the policy only observes."
            ),
            unit="suffix: decisions",
            queries=(
                Query(
                    f"{total(CALLS.growth(schema.RETRY_DECISIONS, STEP, _NOT_DRY_RUN), label(a.RETRY_DECISION))} > 0",
                    f"{{{{{label(a.RETRY_DECISION)}}}}}",
                ),
            ),
            stacked=True,
            no_value="no policy, or nothing to decide",
        ),
        Panel(
            kind="bars",
            title="Retries not made, by blocker",
            description=(
                "Number of failed attempts that the policy did not retry in each interval, by blocker. `output`: "
                "a retry would repeat text that the caller already has; mode `resume` may help. `budget`, "
                "`attempts`, `requests`, `deadline`: limits of the policy. `never`: a retry cannot help. `sdk`: "
                "the SDK had given up."
            ),
            unit="suffix: decisions",
            queries=(
                Query(
                    f"{total(CALLS.growth(schema.RETRY_DECISIONS, STEP, *_GIVEN_UP), label(a.RETRY_BLOCKED_BY))} > 0",
                    f"{{{{{label(a.RETRY_BLOCKED_BY)}}}}}",
                ),
            ),
            stacked=True,
            no_value="none blocked",
        ),
        Panel(
            kind="bars",
            title="Policy decisions in a dry run",
            description=(
                "Number of decisions that mode `resume` would have made about failed streams in each interval, "
                "where the policy only observes. `retry` and `resume` count streams that a policy could have "
                "recovered."
            ),
            unit="suffix: decisions",
            queries=(
                Query(
                    f"{total(CALLS.growth(schema.RETRY_DECISIONS, STEP, _DRY_RUN), label(a.RETRY_DECISION))} > 0",
                    f"{{{{{label(a.RETRY_DECISION)}}}}}",
                ),
            ),
            stacked=True,
            no_value="a policy acts, or nothing to decide",
        ),
        Panel(
            kind="bars",
            title="Recoveries, by action and outcome",
            description=(
                "Number of streams in each interval that broke and continued, by action and final outcome. If "
                "many fail anyway, the retries only add cost."
            ),
            unit="suffix: streams",
            queries=(
                Query(
                    f"{total(CALLS.growth(schema.RECOVERIES, STEP), *_ACTION_AND_OUTCOME)} > 0",
                    ": ".join(f"{{{{{name}}}}}" for name in _ACTION_AND_OUTCOME),
                ),
            ),
            stacked=True,
            no_value="no policy, or nothing to recover",
        ),
        Panel(
            kind="timeseries",
            title="Outcomes, by number of attempts",
            description=(
                "Rate of streams, by number of HTTP requests and outcome. If third attempts rarely complete, they "
                "only add load. The rate comes from traces: all retried and failed streams, but only a sample of "
                "those that succeeded at once."
            ),
            unit="suffix: streams/s",
            queries=(Query(rate_by(ENDED, a.ATTEMPT_COUNT, a.OUTCOME), form="trace metrics"),),
            no_value="none in traces",
        ),
        Panel(
            kind="timeseries",
            title="Back-off, p50 and p95, by reason",
            description=(
                "Wait before a retry, by reason. Near zero during an incident, the retries are too eager: raise "
                "the back-off. For `rate_limited` it should be close to what `retry-after` requests."
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
            title="Back-off compared with retry-after",
            description=(
                "Average wait that `retry-after` requested, and average wait before the retry, for attempts that "
                "received the header. If the wait is shorter than requested, the server will refuse again."
            ),
            unit="s",
            queries=(
                Query(f"{ATTEMPTS_WITH_RETRY_AFTER} | avg_over_time({field(a.RETRY_AFTER)})", form="trace metrics"),
                Query(f"{ATTEMPTS_WITH_RETRY_AFTER} | avg_over_time({field(a.RETRY_DELAY)})", form="trace metrics"),
            ),
            no_value="no retry-after received",
        ),
        Panel(
            kind="timeseries",
            title="Tokens wasted, by reason",
            description=(
                "Estimated output tokens per second of failed streams, by reason. A retry pays for them again. "
                "Mode `resume` keeps them."
            ),
            unit="suffix: tok/s",
            queries=(Query(rate(_WASTED, STEP, label(a.REASON)), f"{{{{{label(a.REASON)}}}}}"),),
            stacked=True,
            no_value="none",
            link_to=TRACES,
        ),
    ),
)
