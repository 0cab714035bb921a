"""The drill-down dashboard, which leads from a metric to the traces of single streams in Tempo."""

from __future__ import annotations

from typing import Final

from dashboards.generator.boards.shared import CALLS, SERVICE, TRACES, VARIABLES
from dashboards.generator.model import Board, Panel, Query, Row
from dashboards.generator.promql import SERVER, STEP, quantile, topk
from dashboards.generator.traceql import (
    FAILED,
    PARTIAL_ANSWER,
    RETRIED,
    SLOW_TO_START,
    STALLED,
    rate_by,
    select,
)

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

_READING_GUIDE: Final = """\
Click a trace. It has a span for the stream and events for what arrived over the network. If the stream needed more
than one HTTP request, it also has a span for each attempt. Check in this order:

1. `claude.stream.abort.reason` and `claude.stream.abort.also_possible`: the most likely cause, and the alternatives.
2. `claude.stream.abort.limit_match`, `.suspects`, `.advice`: the matching limit, the products known for it, the remedy.
3. The events. A `stall` before the `abort` is a silence. An `error` was sent by the API.
4. `claude.stream.request_id`: the identifier that Anthropic's support asks for.

With the Collector's tail sampling all failed, retried, stalled and slow streams are here, and a sample of the others.
"""

_FROM_METRIC: Final = Row(
    "From a metric to a stream",
    (
        Panel(
            kind="text",
            title="How to read a trace",
            description="The attributes and events to check in the trace of a stream, in order.",
            width=12,
            content=_READING_GUIDE,
        ),
        Panel(
            kind="timeseries",
            title="Time to first token, p99, with exemplars",
            description=(
                "p99 of the time to first token, for the 20 slowest servers. Points are exemplars; click one to "
                "open the trace of that stream. Without points, exemplars are not stored, or the metrics came "
                "from the Prometheus reader of the Python SDK, which has none."
            ),
            unit="s",
            queries=(
                Query(
                    topk(quantile(0.99, CALLS.series(schema.TIME_TO_FIRST_TOKEN, suffix="_bucket"), STEP, SERVER)),
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
                "The most recent streams that failed, with reason, phase and the silence before the end. Sort by "
                "silence. Equal values point to a time limit."
            ),
            unit="none",
            queries=(
                Query(
                    select(
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
            title="Failed streams in traces, by reason",
            description=(
                "Failed streams as spans per second, by abort reason. If it is lower than the metric in *Health*, "
                "the Collector sampled or lost traces. See *Pipeline*."
            ),
            unit="suffix: streams/s",
            queries=(Query(rate_by(FAILED, a.REASON), form="trace metrics"),),
            no_value="none failed",
        ),
        Panel(
            kind="traces",
            title="Stalled streams",
            description=(
                "Streams that waited for content beyond a stall threshold, whatever their outcome. The event "
                "`stall` has the length of the wait and whether pings arrived."
            ),
            unit="none",
            queries=(
                Query(
                    select(
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
                "Streams that needed more than one HTTP request. Each attempt is a child span with its status, "
                "its reason, and the wait before the next attempt."
            ),
            unit="none",
            queries=(
                Query(
                    select(
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
            title="Streams slow to start",
            description=(
                "Streams that took more than 10 s to their first token. Compare the time to the headers with the "
                "time to the first token to see where they waited."
            ),
            unit="none",
            queries=(
                Query(
                    select(
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
            title="Completed with a partial answer",
            description=(
                "Streams that completed with a partial answer, with stop reason and token limit. For `max_tokens` "
                "raise the limit, or ask for less."
            ),
            unit="none",
            queries=(
                Query(
                    select(PARTIAL_ANSWER, a.REQUEST_MODEL, a.STOP_REASON, a.OUTPUT_TOKENS, a.REQUEST_MAX_TOKENS),
                    form="traces",
                ),
            ),
            width=24,
            no_value="none with a partial answer",
        ),
    ),
)

BOARD: Final = Board(
    "drill-down",
    TRACES,
    "Claude streams: drill-down",
    "Traces of single streams: failed, stalled, retried, slow to start, or completed with a partial answer.",
    (_FROM_METRIC, _STREAMS),
    (*VARIABLES, SERVICE),
    traces=True,
)
