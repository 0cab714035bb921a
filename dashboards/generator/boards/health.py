"""Stream health: what users of the application feel, in the order in which they feel it."""

from __future__ import annotations

from typing import Final

from dashboards.generator.boards.shared import (
    CALLS,
    COMPLETED,
    HEALTH,
    JOBS,
    NOT_CALLER,
    OVERLOAD,
    SERVICE,
    TIMEOUTS,
    TRACES,
    VARIABLES,
    completed_share,
    ends,
    failures,
)
from dashboards.generator.model import Board, Panel, Query, Row
from dashboards.generator.names import label
from dashboards.generator.promql import MODEL, RANGE, SERVER, STEP, equal, quantile, rate, share, top, total
from dashboards.generator.traceql import CUT_SHORT, counted

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

_FIRST_TOKEN: Final = CALLS.series(schema.TIME_TO_FIRST_TOKEN, suffix="_bucket")
_SILENCE: Final = CALLS.series(schema.LONGEST_SILENCE, COMPLETED, suffix="_bucket")
_ENDED: Final = CALLS.series(schema.DURATION, suffix="_count")
_OUTPUT: Final = equal(a.TOKEN_TYPE, "output")

# The conventions are changing a name: whichever a process emits, and never both (`semconv` = `both` emits both).
_WRITTEN: Final = (
    f"{rate(CALLS.series(schema.GENAI_TOKEN_USAGE, _OUTPUT, suffix='_sum'), STEP, 'job', 'instance')}"
    f" or {rate(CALLS.series(schema.GENAI_OUTPUT_TOKENS, suffix='_sum'), STEP, 'job', 'instance')}"
)

_NOW: Final = Row(
    "Now, and in the time shown",
    (
        Panel(
            kind="stat",
            title="Streams per second",
            description=(
                "Streams that ended, whatever way, on average over the time shown. A figure near zero "
                "makes every share below coarse: look at a longer time."
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
                "Share of the streams in the time shown that completed. Streams that their caller ended"
                " are left out. Below 99 %: *Failed, by reason* below says why, and the alert's runbook"
                " goes on."
            ),
            unit="percentunit",
            queries=(Query(f"1 - {share(failures(CALLS, RANGE), ends(CALLS, RANGE))}", form="instant"),),
            width=4,
            height=4,
            no_value="no streams",
            steps=((0.95, "warn"), (0.99, "good")),
            first="bad",
            decimals=2,
            most=1,
        ),
        Panel(
            kind="stat",
            title="Time to first token, p95",
            description=(
                "95 % of the streams in the time shown had their first content sooner, SDK retries "
                "included. High with few retries: thinking models, or a hop that buffers (*Proxy "
                "time-outs*)."
            ),
            unit="s",
            queries=(Query(quantile(0.95, _FIRST_TOKEN, RANGE), form="instant"),),
            width=4,
            height=4,
            no_value="no streams",
            steps=((5, "warn"), (10, "bad")),
            first="good",
            decimals=2,
        ),
        Panel(
            kind="stat",
            title="Longest silence, p99",
            description=(
                "Of the streams that completed, 99 % never waited longer than this for a byte. Near the"
                " idle limit of a hop on the way, healthy streams will be cut: see *Headroom*."
            ),
            unit="s",
            queries=(Query(quantile(0.99, _SILENCE, RANGE), form="instant"),),
            width=4,
            height=4,
            no_value="no streams",
            steps=((30, "warn"), (55, "bad")),
            first="good",
            decimals=1,
            link=TIMEOUTS,
        ),
        Panel(
            kind="stat",
            title="Active streams",
            description="Streams that are open now. Rising while *Streams per second* falls: they hang.",
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
                "Age of the oldest stream that is open now. Long answers take minutes; beyond ten (the "
                "SDK's read time-out) only pings keep a stream alive: look at *Stalls*."
            ),
            unit="s",
            queries=(Query(f"max({CALLS.series(schema.OLDEST_AGE)})", form="instant"),),
            width=4,
            height=4,
            no_value="none open",
            steps=((300, "warn"), (600, "bad")),
            first="good",
        ),
    ),
)

_ENDS: Final = Row(
    "How streams end",
    (
        Panel(
            kind="timeseries",
            title="Streams by outcome",
            description=(
                "Streams that ended, per second: completed, failed, or closed by their caller. A "
                "growing `closed` share is often users who gave up waiting."
            ),
            unit="suffix: streams/s",
            queries=(Query(rate(_ENDED, STEP, label(a.OUTCOME)), f"{{{{{label(a.OUTCOME)}}}}}"),),
            stacked=True,
            no_value="no streams",
        ),
        Panel(
            kind="bars",
            title="Failed, by reason",
            description=(
                "Streams that failed, by reason, in each interval. `overloaded` and `rate_limited`: "
                "*Overload and retries*. `connection_closed`, `gateway_error`, `truncated`: *Proxy "
                "time-outs*. `request_rejected`: the application's own requests."
            ),
            unit="suffix: streams",
            queries=(
                Query(
                    f"{total(CALLS.grown(schema.ABORTS, STEP, NOT_CALLER), label(a.REASON))} > 0",
                    f"{{{{{label(a.REASON)}}}}}",
                ),
            ),
            stacked=True,
            no_value="none failed",
            link=TRACES,
        ),
        Panel(
            kind="timeseries",
            title="Completed share, by server",
            description=(
                "Share of streams that completed, by server. One server down and the others well: "
                "something on the way to that one. All of them: Anthropic or this application."
            ),
            unit="percentunit",
            queries=(Query(completed_share(CALLS, STEP, SERVER), f"{{{{{SERVER}}}}}"),),
            most=1,
            no_value="no streams",
        ),
        Panel(
            kind="timeseries",
            title="Completed, but cut short",
            description=(
                "Streams that completed with only a part of the answer: `max_tokens` (raise it, or ask "
                "for less), `refusal`, `model_context_window_exceeded`. Counted from traces, so of "
                "healthy streams only the sampled share is here: compare the kinds, not the height."
            ),
            unit="suffix: streams/s",
            queries=(Query(counted(CUT_SHORT, a.STOP_REASON), form="trace metrics"),),
            no_value="none in the traces",
        ),
    ),
)

_FIRST: Final = Row(
    "The first token",
    (
        Panel(
            kind="timeseries",
            title="Time to first token, by model",
            description=(
                "p50, p95 and p99 from the start of the call to the first content, SDK retries "
                "included; the 20 slowest models. Points are exemplars: click one for its trace. p99 "
                "alone rising is often retries; p50 rising is the model, or a buffering hop."
            ),
            unit="s",
            queries=tuple(
                Query(top(quantile(q, _FIRST_TOKEN, STEP, MODEL)), f"{{{{{MODEL}}}}} p{q * 100:g}", exemplar=q == 0.99)
                for q in (0.5, 0.95, 0.99)
            ),
            no_value="no streams",
            link=TRACES,
        ),
        Panel(
            kind="heatmap",
            title="Time to first token, spread",
            description=(
                "How many streams had their first token after how long. Two bands: two kinds of "
                "requests (thinking and not), or first tries and retries. A band at a whole number of "
                "seconds: a time-out."
            ),
            unit="s",
            queries=(Query(rate(_FIRST_TOKEN, STEP, "le"), "{{le}}", "heatmap"),),
            no_value="no streams",
        ),
    ),
)

_WRITING: Final = Row(
    "While it writes",
    (
        Panel(
            kind="heatmap",
            title="Gaps between chunks",
            description=(
                "Waits before each chunk after the first token. The healthy band is tens of "
                "milliseconds. A second band at 0.25 s is HAProxy without `option http-no-delay`; few "
                "gaps at all is a hop that buffers; above 10 s the model is thinking, or stuck."
            ),
            unit="s",
            queries=(Query(rate(CALLS.series(schema.CHUNK_GAP, suffix="_bucket"), STEP, "le"), "{{le}}", "heatmap"),),
            no_value="no streams",
        ),
        Panel(
            kind="timeseries",
            title="Longest silence, p99, by server",
            description=(
                "The longest wait for a byte, for 99 % of the completed streams. Idle limits cut above "
                "this line; one that lies below it cuts healthy streams."
            ),
            unit="s",
            queries=(Query(top(quantile(0.99, _SILENCE, STEP, SERVER)), f"{{{{{SERVER}}}}}"),),
            log=True,
            no_value="no streams",
            link=TIMEOUTS,
        ),
        Panel(
            kind="timeseries",
            title="Tokens per second of a stream",
            description=(
                "Output tokens per second of single streams, from first to last token: the median, and "
                "the slowest tenth. The tenth falling alone: some streams stall. Both: the model."
            ),
            unit="suffix: tok/s",
            queries=tuple(
                Query(
                    top(quantile(q, CALLS.series(schema.OUTPUT_TOKENS_RATE, suffix="_bucket"), STEP, MODEL)),
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
                "What all streams together were billed for, by job. Streams that failed said no usage: "
                "their tokens are under *Tokens wasted* (*Overload and retries*)."
            ),
            unit="suffix: tok/s",
            queries=(Query(f"sum by (job) ({_WRITTEN})", "{{job}}"),),
            no_value="no streams",
            link=OVERLOAD,
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
                "Open streams, by server. A staircase that never comes down: streams are made and not "
                "read (a leak in the application), or they hang."
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
                "Age of the oldest open stream, by server. A saw with teeth of one height is a limit: "
                "see *Age at the cut*. A line that climbs without end is a stream that nobody reads."
            ),
            unit="s",
            queries=(Query(f"max by ({SERVER}) ({CALLS.series(schema.OLDEST_AGE)})", f"{{{{{SERVER}}}}}"),),
            no_value="none open",
        ),
        Panel(
            kind="bars",
            title="Stalls",
            description=(
                "Waits for content that passed a threshold, in each interval. `silent`: not a byte "
                "came, so idle limits count down. `pings_only`: the path is alive and the model is not;"
                " no limit on silence will cut it."
            ),
            unit="suffix: stalls",
            queries=(
                Query(
                    f"{total(CALLS.grown(schema.STALLS, STEP), label(a.STALL_THRESHOLD), label(a.STALL_KIND))} > 0",
                    f"{{{{{label(a.STALL_THRESHOLD)}}}}} {{{{{label(a.STALL_KIND)}}}}}",
                ),
            ),
            stacked=True,
            no_value="no stalls",
        ),
        Panel(
            kind="timeseries",
            title="Time in the caller's loop, p95",
            description=(
                "Time that the application itself spent between chunks, per stream. Near the duration "
                "of a stream: the reader is slow, not the API."
            ),
            unit="s",
            queries=(
                Query(quantile(0.95, CALLS.series(schema.CALLER_TIME, suffix="_bucket"), STEP, "job"), "{{job}}"),
            ),
            no_value="no streams",
        ),
        Panel(
            kind="bars",
            title="Errors of the instrumentation",
            description=(
                "Failures inside of this package, by part. The application noticed nothing, but its "
                "telemetry may be incomplete: please report them."
            ),
            unit="suffix: errors",
            queries=(
                Query(
                    f"{total(JOBS.grown(schema.INTERNAL_ERRORS, STEP), label(a.INTERNAL_COMPONENT))} > 0",
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
    "Whether streams of Claude end well, how soon they begin and how evenly they flow. Start here.",
    (_NOW, _ENDS, _FIRST, _WRITING, _OPEN),
    (*VARIABLES, SERVICE),
    traces=True,
)
