"""The front page. It answers the two questions of the runbook for all applications, on one screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dashboards.generator.boards import health, overload, timeouts
from dashboards.generator.boards.overload import overload_rate
from dashboards.generator.boards.shared import (
    CALLS,
    HEALTH,
    OVERLOAD,
    OVERVIEW,
    TIMEOUTS,
    VARIABLES,
    failed_count,
    judged_count,
    request_rate,
)
from dashboards.generator.boards.timeouts import LIMIT, MATCHED
from dashboards.generator.model import Board, Panel, Query, Row
from dashboards.generator.promql import MODEL, RANGE, SERVER, STEP, quantile, share, topk, total

from otel_claude_stream._telemetry import schema

_WORST: Final = 6
"""Bars of a panel. More would be too thin to read."""


def _from(board: Board, title: str, width: int, height: int = 3) -> Panel:
    """Return a panel of another dashboard, with a link to that dashboard."""
    panel = next(panel for panel in board.panels if panel.title == title)
    return replace(panel, width=width, height=height, link_to=board.uid)


_CUTS: Final = topk(total(CALLS.growth(schema.ATTEMPT_ABORTS, RANGE, MATCHED), SERVER, LIMIT), _WORST)
_FAILED: Final = topk(share(failed_count(CALLS, RANGE, "job"), judged_count(CALLS, RANGE, "job")), _WORST)

_ANSWERS: Final = Row(
    "Does a hop cut streams? Is Claude overloaded?",
    (
        _from(health.BOARD, "Completed share", 3),
        _from(health.BOARD, "Time to first token, p95", 4),
        _from(timeouts.BOARD, "Cuts at a known limit", 4),
        _from(timeouts.BOARD, "Streams lost to cuts", 4),
        _from(overload.BOARD, "Overloaded share of requests", 5),
        _from(overload.BOARD, "Requests per stream", 4),
        Panel(
            kind="bargauge",
            title="Does a hop cut streams? Cuts, by server and limit",
            description=(
                "Number of HTTP requests in the selected time range that were cut at a known limit, for the largest "
                "pairs of server and limit. If one bar is high and the others are low, a hop on the path to that "
                "server cuts streams. *Proxy time-outs* lists the products with that limit, and the remedy."
            ),
            unit="suffix: requests",
            queries=(
                Query(
                    f"sort_desc({_CUTS} > 0.5)",
                    f"{{{{{SERVER}}}}} {{{{{LIMIT}}}}}",
                    "instant",
                ),
            ),
            width=12,
            height=8,
            no_value="No: none was cut at a known limit",
            thresholds=((0.5, "warn"), (2.5, "bad")),
            decimals=0,
            link_to=TIMEOUTS,
        ),
        Panel(
            kind="timeseries",
            title="Is Claude overloaded? Overloaded share, by model and server",
            description=(
                "Share of the HTTP requests that were overloaded, for the worst pairs of model and server. Above 5 % "
                "for minutes, on one model and all servers, Claude is overloaded. On one server alone, suspect that "
                "gateway. *Overload and retries* shows whether retries help."
            ),
            unit="percentunit",
            queries=(
                Query(
                    topk(
                        share(overload_rate(CALLS, STEP, MODEL, SERVER), request_rate(CALLS, STEP, MODEL, SERVER)),
                        _WORST,
                    ),
                    f"{{{{{MODEL}}}}} {{{{{SERVER}}}}}",
                ),
            ),
            width=12,
            height=8,
            maximum=1,
            no_value="no requests",
            link_to=OVERLOAD,
        ),
        _from(health.BOARD, "Failed streams, by reason", 8, 7),
        Panel(
            kind="bargauge",
            title="Failed share, by job",
            description=(
                "Share of the completed and failed streams in the selected time range that failed, for the worst jobs. "
                "Select the job above to see only its streams. If all jobs are equal, the cause is outside of them."
            ),
            unit="percentunit",
            queries=(
                Query(
                    f"sort_desc({_FAILED} > 0.001)",
                    "{{job}}",
                    "instant",
                ),
            ),
            width=8,
            height=7,
            no_value="none failed",
            thresholds=((0.01, "warn"), (0.05, "bad")),
            base_level="good",
            decimals=1,
            maximum=1,
            link_to=HEALTH,
        ),
        Panel(
            kind="timeseries",
            title="Time to first token, p95, by job",
            description=(
                "95 % of the streams of a job had their first content within this time, SDK retries included. Shows "
                "the slowest jobs. If all rise together, suspect the model. If one rises, suspect its path or its "
                "retries."
            ),
            unit="s",
            queries=(
                Query(
                    topk(
                        quantile(0.95, CALLS.series(schema.TIME_TO_FIRST_TOKEN, suffix="_bucket"), STEP, "job"), _WORST
                    ),
                    "{{job}}",
                ),
            ),
            width=8,
            height=7,
            no_value="no streams",
            link_to=HEALTH,
        ),
    ),
)

BOARD: Final = Board(
    "overview",
    OVERVIEW,
    "Claude streams: overview",
    "Whether a hop cuts streams and whether Claude is overloaded, for all applications on one screen. Start here.",
    (_ANSWERS,),
    VARIABLES,
)
