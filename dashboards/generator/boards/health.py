"""The health dashboard. It shows outcomes, time to first token, flow of content and open streams."""

from __future__ import annotations

from typing import Final

from dashboards.generator.boards.shared import (
    CALLS,
    COMPLETED,
    GENAI_CALLS,
    HEALTH,
    JOBS,
    NOT_CALLER,
    OVERLOAD,
    SERVICE,
    TIMEOUTS,
    TRACES,
    VARIABLES,
    completed_share,
    failed_count,
    judged_count,
)
from dashboards.generator.model import Board, Panel, Query, Row
from dashboards.generator.names import label
from dashboards.generator.promql import MODEL, RANGE, SERVER, STEP, equal, quantile, rate, share, topk, total
from dashboards.generator.traceql import PARTIAL_ANSWER, rate_by

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

_FIRST_TOKEN: Final = CALLS.series(schema.TIME_TO_FIRST_TOKEN, suffix="_bucket")
_SILENCE: Final = CALLS.series(schema.LONGEST_SILENCE, COMPLETED, suffix="_bucket")
_ENDED: Final = CALLS.series(schema.DURATION, suffix="_count")
_OUTPUT: Final = equal(a.TOKEN_TYPE, "output")

# The conventions replaced this metric. With `semconv` set to `both` a process emits both; `or` counts it once.
_OUTPUT_TOKEN_RATE: Final = (
    f"{rate(GENAI_CALLS.series(schema.GENAI_TOKEN_USAGE, _OUTPUT, suffix='_sum'), STEP, 'job', 'instance')}"
    f" or {rate(GENAI_CALLS.series(schema.GENAI_USAGE_OUTPUT), STEP, 'job', 'instance')}"
)

_SUMMARY: Final = Row(
    "Summary",
    (
        Panel(
            kind="stat",
            title="Streams per second",
            description=(
                "Rate of streams that ended, with any outcome, averaged over the selected time range. Near zero "
                "the shares on this dashboard are coarse. Select a longer range."
            ),
            unit="suffix: streams/s",
            queries=(Query(rate(_ENDED, RANGE), form="instant"),),
            width=4,
            height=4,
            no_value="no streams",
            decimals=3,
        ),
        Panel(
            kind="stat",
            title="Completed share",
            description=(
                "Share of streams in the selected time range that completed. Streams closed by their caller do "
                "not count. Below 99 %, see *Failed streams, by reason* below and the runbook of the alert."
            ),
            unit="percentunit",
            queries=(Query(f"1 - {share(failed_count(CALLS, RANGE), judged_count(CALLS, RANGE))}", form="instant"),),
            width=4,
            height=4,
            no_value="no streams",
            thresholds=((0.95, "warn"), (0.99, "good")),
            base_level="bad",
            decimals=2,
            maximum=1,
        ),
        Panel(
            kind="stat",
            title="Time to first token, p95",
            description=(
                "95 % of the streams in the selected time range had their first content within this time, SDK "
                "retries included. If it is high and retries are few, suspect thinking models or a buffering hop "
                "(*Proxy time-outs*)."
            ),
            unit="s",
            queries=(Query(quantile(0.95, _FIRST_TOKEN, RANGE), form="instant"),),
            width=4,
            height=4,
            no_value="no streams",
            thresholds=((5, "warn"), (10, "bad")),
            base_level="good",
            decimals=2,
        ),
        Panel(
            kind="stat",
            title="Longest silence, p99",
            description=(
                "99 % of the completed streams never waited longer than this for a byte. Close to the idle limit "
                "of a hop on the path, healthy streams will be cut. See *Headroom*."
            ),
            unit="s",
            queries=(Query(quantile(0.99, _SILENCE, RANGE), form="instant"),),
            width=4,
            height=4,
            no_value="no streams",
            thresholds=((30, "warn"), (55, "bad")),
            base_level="good",
            decimals=1,
            link_to=TIMEOUTS,
        ),
        Panel(
            kind="stat",
            title="Active streams",
            description=(
                "Number of streams that are open now. If it rises while *Streams per second* falls, streams hang. "
                "See *Stalls*."
            ),
            unit="suffix: streams",
            queries=(Query(total(CALLS.series(schema.ACTIVE)), form="instant"),),
            width=4,
            height=4,
            no_value="none open",
        ),
        Panel(
            kind="stat",
            title="Oldest open stream",
            description=(
                "Age of the oldest stream that is open now. Long answers take minutes. Beyond ten minutes, the "
                "read time-out of the SDK, only pings keep a stream alive. See *Stalls*."
            ),
            unit="s",
            queries=(Query(f"max({CALLS.series(schema.OLDEST_AGE)})", form="instant"),),
            width=4,
            height=4,
            no_value="none open",
            thresholds=((300, "warn"), (600, "bad")),
            base_level="good",
        ),
    ),
)

_OUTCOMES: Final = Row(
    "Outcomes",
    (
        Panel(
            kind="timeseries",
            title="Streams, by outcome",
            description=(
                "Rate of streams that ended, by outcome: completed, failed, or closed by the caller. A growing "
                "`closed` share often means users who gave up waiting."
            ),
            unit="suffix: streams/s",
            queries=(Query(rate(_ENDED, STEP, label(a.OUTCOME)), f"{{{{{label(a.OUTCOME)}}}}}"),),
            stacked=True,
            no_value="no streams",
        ),
        Panel(
            kind="bars",
            title="Failed streams, by reason",
            description=(
                "Number of streams that failed in each interval, by abort reason. For `overloaded` and "
                "`rate_limited` see *Overload and retries*. For `connection_closed`, `gateway_error` and "
                "`truncated` see *Proxy time-outs*. For `request_rejected` check the requests of the application."
            ),
            unit="suffix: streams",
            queries=(
                Query(
                    f"{total(CALLS.growth(schema.ABORTS, STEP, NOT_CALLER), label(a.REASON))} > 0",
                    f"{{{{{label(a.REASON)}}}}}",
                ),
            ),
            stacked=True,
            no_value="none failed",
            link_to=TRACES,
        ),
        Panel(
            kind="timeseries",
            title="Completed share, by server",
            description=(
                "Share of streams that completed, by server. If one server drops alone, look for a problem on the "
                "path to it. If all drop, suspect Anthropic or this application."
            ),
            unit="percentunit",
            queries=(Query(completed_share(CALLS, STEP, SERVER), f"{{{{{SERVER}}}}}"),),
            maximum=1,
            no_value="no streams",
        ),
        Panel(
            kind="timeseries",
            title="Completed with a partial answer",
            description=(
                "Rate of streams that completed with a partial answer, by stop reason. For `max_tokens` raise the "
                "limit or ask for less; the others are `refusal` and `model_context_window_exceeded`. The rate "
                "comes from traces, and healthy streams are sampled. Compare the reasons, not the height."
            ),
            unit="suffix: streams/s",
            queries=(Query(rate_by(PARTIAL_ANSWER, a.STOP_REASON), form="trace metrics"),),
            no_value="none in traces",
        ),
    ),
)

_FIRST_TOKENS: Final = Row(
    "Time to first token",
    (
        Panel(
            kind="timeseries",
            title="Time to first token, by model",
            description=(
                "p50, p95 and p99 of the time from the start of the call to the first content, SDK retries "
                "included. Shows the 20 slowest models. Points are exemplars; click one to open its trace. If p99 "
                "rises alone, suspect retries. If p50 rises, suspect the model or a buffering hop."
            ),
            unit="s",
            queries=tuple(
                Query(topk(quantile(q, _FIRST_TOKEN, STEP, MODEL)), f"{{{{{MODEL}}}}} p{q * 100:g}", exemplar=q == 0.99)
                for q in (0.5, 0.95, 0.99)
            ),
            no_value="no streams",
            link_to=TRACES,
        ),
        Panel(
            kind="heatmap",
            title="Time to first token, distribution",
            description=(
                "Rate of streams by time to first token, in seconds. Two bands mean two kinds of requests (with "
                "and without thinking), or first attempts and retries. A band at a whole number of seconds "
                "suggests a time-out."
            ),
            unit="s",
            queries=(Query(rate(_FIRST_TOKEN, STEP, "le"), "{{le}}", "heatmap"),),
            no_value="no streams",
        ),
    ),
)

_FLOW: Final = Row(
    "Flow of content",
    (
        Panel(
            kind="heatmap",
            title="Gaps between chunks",
            description=(
                "Rate of gaps between chunks after the first token, by length in seconds. Healthy gaps last tens "
                "of milliseconds. A band at 0.25 s suggests HAProxy without `option http-no-delay`. Very few gaps "
                "suggest a hop that buffers. Gaps above 10 s mean that the model is thinking or stuck."
            ),
            unit="s",
            queries=(Query(rate(CALLS.series(schema.CHUNK_GAP, suffix="_bucket"), STEP, "le"), "{{le}}", "heatmap"),),
            no_value="no streams",
        ),
        Panel(
            kind="timeseries",
            title="Longest silence, p99, by server",
            description=(
                "99 % of the completed streams of a server never waited longer than this for a byte. Shows the 20 "
                "highest servers. Idle limits on the path must lie above this line, or they cut healthy streams."
            ),
            unit="s",
            queries=(Query(topk(quantile(0.99, _SILENCE, STEP, SERVER)), f"{{{{{SERVER}}}}}"),),
            log_scale=True,
            no_value="no streams",
            link_to=TIMEOUTS,
        ),
        Panel(
            kind="timeseries",
            title="Output tokens per second of a stream",
            description=(
                "Output tokens per second of single streams from first to last token: the median (p50) and the "
                "slowest tenth (p10). If only p10 falls, some streams stall. If both fall, the model is slow."
            ),
            unit="suffix: tok/s",
            queries=tuple(
                Query(
                    topk(quantile(q, CALLS.series(schema.OUTPUT_TOKENS_RATE, suffix="_bucket"), STEP, MODEL)),
                    f"{{{{{MODEL}}}}} p{q * 100:g}",
                )
                for q in (0.5, 0.1)
            ),
            no_value="no streams",
        ),
        Panel(
            kind="timeseries",
            title="Output tokens per second, all streams",
            description=(
                "Output tokens per second that the API reported for all streams, by job. Failed streams report no "
                "usage. Their estimated tokens are under *Tokens wasted* (*Overload and retries*)."
            ),
            unit="suffix: tok/s",
            queries=(Query(f"sum by (job) ({_OUTPUT_TOKEN_RATE})", "{{job}}"),),
            no_value="no streams",
            link_to=OVERLOAD,
        ),
    ),
)

_OPEN: Final = Row(
    "Open streams",
    (
        Panel(
            kind="timeseries",
            title="Active streams, by server",
            description=(
                "Number of open streams, by server. If it only ever grows, streams hang, or the application opens "
                "streams and does not read them."
            ),
            unit="suffix: streams",
            queries=(Query(total(CALLS.series(schema.ACTIVE), SERVER), f"{{{{{SERVER}}}}}"),),
            stacked=True,
            no_value="none open",
        ),
        Panel(
            kind="timeseries",
            title="Oldest open stream, by server",
            description=(
                "Age of the oldest open stream, by server. A sawtooth with equal peaks suggests a time limit; see "
                "*Age at the cut*. A line that climbs without end is a stream that the application does not read."
            ),
            unit="s",
            queries=(Query(f"max by ({SERVER}) ({CALLS.series(schema.OLDEST_AGE)})", f"{{{{{SERVER}}}}}"),),
            no_value="none open",
        ),
        Panel(
            kind="bars",
            title="Stalls",
            description=(
                "Number of waits for content that passed a threshold in each interval, by threshold and kind. "
                "`silent`: no byte arrived, so idle limits on the path run. `pings_only`: the path is alive but "
                "the model sends nothing, so no idle limit ends the stream."
            ),
            unit="suffix: stalls",
            queries=(
                Query(
                    f"{total(CALLS.growth(schema.STALLS, STEP), label(a.STALL_THRESHOLD), label(a.STALL_KIND))} > 0",
                    f"{{{{{label(a.STALL_THRESHOLD)}}}}} {{{{{label(a.STALL_KIND)}}}}}",
                ),
            ),
            stacked=True,
            no_value="no stalls",
        ),
        Panel(
            kind="timeseries",
            title="Time in the caller's code, p95",
            description=(
                "Time that the application spent between chunks, per stream, by job. If it is close to the "
                "duration of the streams, the application is slow, not the API."
            ),
            unit="s",
            queries=(
                Query(quantile(0.95, CALLS.series(schema.CALLER_TIME, suffix="_bucket"), STEP, "job"), "{{job}}"),
            ),
            no_value="no streams",
        ),
        Panel(
            kind="bars",
            title="Instrumentation errors",
            description=(
                "Number of errors inside this package in each interval, by component. They do not reach the "
                "application, but its telemetry may be incomplete. Please report them."
            ),
            unit="suffix: errors",
            queries=(
                Query(
                    f"{total(JOBS.growth(schema.INTERNAL_ERRORS, STEP), label(a.INTERNAL_COMPONENT))} > 0",
                    f"{{{{{label(a.INTERNAL_COMPONENT)}}}}}",
                ),
            ),
            width=24,
            height=6,
            no_value="none",
        ),
    ),
)

BOARD: Final = Board(
    "stream-health",
    HEALTH,
    "Claude streams: health",
    "Whether Claude streams complete, how soon they start and how evenly they flow.",
    (_SUMMARY, _OUTCOMES, _FIRST_TOKENS, _FLOW, _OPEN),
    (*VARIABLES, SERVICE),
    traces=True,
)
