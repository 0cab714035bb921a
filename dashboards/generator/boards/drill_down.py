"""Drill-down: from a figure to single streams, in Tempo."""

from __future__ import annotations

from typing import Final

from dashboards.generator.boards.shared import CALLS, SERVICE, TRACES, VARIABLES
from dashboards.generator.model import Board, Panel, Query, Row
from dashboards.generator.promql import SERVER, STEP, quantile, top
from dashboards.generator.traceql import (
    CUT_SHORT,
    FAILED,
    RETRIED,
    SLOW_TO_START,
    STALLED,
    columns,
    counted,
)

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

_HOW: Final = """\
Click a trace: its waterfall has the stream's span, an attempt span for each HTTP request if it needed more than one,
and events for what came over the wire. Read in this order:

1. `claude.stream.abort.reason` and `claude.stream.abort.also_possible`: what happened, or could have.
2. `claude.stream.abort.limit_match`, `.suspects`, `.advice`: whose limit it is consistent with, and what helps.
3. The events: a `stall` before the `abort` is a silence; an `error` is Anthropic's own word.
4. `claude.stream.request_id`: what Anthropic's support asks for.

With the Collector's tail sampling every failed, retried, stalled and slow stream is here, and a share of the healthy.
"""

_FIND: Final = Row(
    "From a figure to a stream",
    (
        Panel(
            kind="text",
            title="How to read a trace",
            description="What to look at in a stream's trace, and in which order.",
            width=12,
            content=_HOW,
        ),
        Panel(
            kind="timeseries",
            title="Time to first token, p99, with exemplars",
            description=(
                "The slowest first tokens, by server. The points are exemplars: click one for the trace"
                " of that stream. No points: exemplars are not stored, or the metrics came by the "
                "Python SDK's own Prometheus reader, which has none."
            ),
            unit="s",
            queries=(
                Query(
                    top(quantile(0.99, CALLS.series(schema.TIME_TO_FIRST_TOKEN, suffix="_bucket"), STEP, SERVER)),
                    f"{{{{{SERVER}}}}}",
                    exemplar=True,
                ),
            ),
            no_value="no streams",
        ),
    ),
)

_STREAMS: Final = Row(
    "Streams",
    (
        Panel(
            kind="traces",
            title="Failed streams",
            description=(
                "The newest streams that failed, with reason, phase and the silence before the end. "
                "Sort by the silence: equal figures are a limit."
            ),
            unit="none",
            queries=(
                Query(
                    columns(
                        FAILED,
                        a.SERVER_ADDRESS,
                        a.REQUEST_MODEL,
                        a.REASON,
                        a.PHASE,
                        a.LIMIT_MATCH,
                        a.ABORT_IDLE,
                        a.ABORT_ELAPSED,
                        a.REQUEST_ID,
                    ),
                    form="traces",
                ),
            ),
            width=24,
            height=10,
            no_value="none failed",
        ),
        Panel(
            kind="timeseries",
            title="Failed streams in the traces, by reason",
            description=(
                "The same as spans per second. Less than the metric of *Health* says: the Collector's "
                "sampling, or traces that were lost; see *Pipeline*."
            ),
            unit="suffix: streams/s",
            queries=(Query(counted(FAILED, a.REASON), form="trace metrics"),),
            no_value="none failed",
        ),
        Panel(
            kind="traces",
            title="Stalled streams",
            description=(
                "Streams that waited for content beyond a threshold, whether or not they came through. "
                "The event `stall` says how long, and whether pings came meanwhile."
            ),
            unit="none",
            queries=(
                Query(
                    columns(
                        STALLED,
                        a.SERVER_ADDRESS,
                        a.REQUEST_MODEL,
                        a.OUTCOME,
                        a.LONGEST_SILENCE,
                        a.CHUNK_LONGEST_GAP,
                        a.PING_LONGEST_GAP,
                    ),
                    form="traces",
                ),
            ),
            no_value="none stalled",
        ),
        Panel(
            kind="traces",
            title="Retried streams",
            description=(
                "Streams that needed more than one HTTP request. Each attempt is a child span with "
                "status, reason, and the wait before the next."
            ),
            unit="none",
            queries=(
                Query(
                    columns(
                        RETRIED,
                        a.SERVER_ADDRESS,
                        a.REQUEST_MODEL,
                        a.OUTCOME,
                        a.ATTEMPT_COUNT,
                        a.STATUS_CODE,
                        a.TIME_TO_FIRST_TOKEN,
                    ),
                    form="traces",
                ),
            ),
            no_value="none retried",
        ),
        Panel(
            kind="traces",
            title="Slow to start",
            description="Streams that took more than 10 s to their first token.",
            unit="none",
            queries=(
                Query(
                    columns(
                        SLOW_TO_START,
                        a.SERVER_ADDRESS,
                        a.REQUEST_MODEL,
                        a.TIME_TO_FIRST_TOKEN,
                        a.TIME_TO_HEADERS,
                        a.ATTEMPT_COUNT,
                        a.READ_EVENTS,
                    ),
                    form="traces",
                ),
            ),
            no_value="none slow",
        ),
        Panel(
            kind="traces",
            title="Completed, but cut short",
            description="Streams that ended as they should, with a part of the answer.",
            unit="none",
            queries=(
                Query(
                    columns(CUT_SHORT, a.REQUEST_MODEL, a.STOP_REASON, a.OUTPUT_TOKENS, a.REQUEST_MAX_TOKENS),
                    form="traces",
                ),
            ),
            width=24,
            no_value="none cut short",
        ),
    ),
)

BOARD: Final = Board(
    "drill-down",
    TRACES,
    "Claude streams: drill-down",
    "Single streams: the failed, the stalled, the retried, and the slow ones, as traces.",
    (_FIND, _STREAMS),
    (*VARIABLES, SERVICE),
    traces=True,
)
