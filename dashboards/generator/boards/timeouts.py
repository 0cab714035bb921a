"""Proxy time-outs: is something between us and Claude cutting streams, and which limit is it."""

from __future__ import annotations

from typing import Final

from dashboards.generator.bands import DURATION, IDLE, Band, suspicions
from dashboards.generator.boards.shared import (
    BEFORE_HEADERS,
    CALLS,
    COMPLETED,
    NOT_CALLER,
    SERVICE,
    TIMEOUTS,
    TRACES,
    VARIABLES,
    ends,
    failed,
    failures,
)
from dashboards.generator.model import Board, Column, Panel, Query, Row
from dashboards.generator.names import PROXY_ABORTS, PROXY_CAUSE, PROXY_PHASE, PROXY_PRODUCT, label
from dashboards.generator.promql import (
    RANGE,
    SERVER,
    STEP,
    increase,
    le,
    like,
    rate,
    share,
    top,
    total,
    unlike,
)
from dashboards.generator.traceql import HELD_BACK, columns

from otel_claude_stream._core.diagnosis.limits import NO_MATCH
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Metric

LIMIT: Final = label(a.LIMIT_MATCH)
PHASE: Final = label(a.PHASE)
MATCHED: Final = (NOT_CALLER, unlike(a.LIMIT_MATCH, NO_MATCH))
"""Conditions: the cut is consistent with a known limit."""

_SUSPICIONS: Final = suspicions()


def within(spec: Metric, band: Band) -> str:
    """How many ends fell into a band, in the time shown."""
    below, above = (total(CALLS.grown(spec, RANGE, le(bound), suffix="_bucket")) for bound in (band.low, band.high))
    return f"{above} - {below}"


def over(band: Band) -> str:
    """The share of completed streams that were once silent for longer than the foot of a band."""
    counted = increase(CALLS.series(schema.LONGEST_SILENCE, COMPLETED, suffix="_count"), RANGE)
    within_limit = increase(CALLS.series(schema.LONGEST_SILENCE, COMPLETED, le(band.low), suffix="_bucket"), RANGE)
    return f"1 - {within_limit} / ({counted} > 0)"


def waits(window: str) -> str:
    """Waits between chunks for each stream that began to write, by server."""
    first = rate(CALLS.series(schema.TIME_TO_FIRST_TOKEN, suffix="_count"), window, SERVER)
    return share(rate(CALLS.series(schema.CHUNK_GAP, suffix="_count"), window, SERVER), first)


def waiting(window: str) -> str:
    """The share of the streams' time that passed before their first token, by server."""
    whole = rate(CALLS.series(schema.DURATION, suffix="_sum"), window, SERVER)
    return share(rate(CALLS.series(schema.TIME_TO_FIRST_TOKEN, suffix="_sum"), window, SERVER), whole)


_CUTS: Final = total(CALLS.grown(schema.ABORTS, RANGE, *MATCHED))
_FAILURES: Final = failures(CALLS, RANGE)

_ANSWER: Final = Row(
    "Is it a limit, and which",
    (
        Panel(
            kind="stat",
            title="Cuts at a known limit",
            description=(
                "Streams in the time shown whose silence or age, when they were cut, equals a known "
                "limit of a proxy, load balancer or NAT. A single one can be chance; three at one limit"
                " are not."
            ),
            unit="suffix: streams",
            queries=(Query(f"{_CUTS} or 0 * {_FAILURES}", form="instant"),),
            width=6,
            height=4,
            no_value="none failed",
            steps=((1, "warn"), (3, "bad")),
            first="good",
            decimals=0,
            link=TRACES,
        ),
        Panel(
            kind="stat",
            title="Share of all failures",
            description=(
                "Share of the failed streams that were cut at a known limit. Most of them: fix the hop."
                " Few: the failures have another cause, see *Failed, by reason* (*Health*)."
            ),
            unit="percentunit",
            queries=(Query(share(_CUTS, _FAILURES), form="instant"),),
            width=6,
            height=4,
            no_value="none failed",
            steps=((0.2, "warn"), (0.5, "bad")),
            first="good",
            decimals=1,
            most=1,
        ),
        Panel(
            kind="stat",
            title="Share of all streams",
            description="Share of the streams in the time shown that were cut at a known limit.",
            unit="percentunit",
            queries=(Query(share(_CUTS, ends(CALLS, RANGE)), form="instant"),),
            width=6,
            height=4,
            no_value="no streams",
            steps=((0.001, "warn"), (0.01, "bad")),
            first="good",
            decimals=2,
            most=1,
        ),
        Panel(
            kind="stat",
            title="Servers affected",
            description=(
                "Hosts whose streams were cut at a known limit. One of several: that gateway. All of "
                "them: our own way out (NAT, egress proxy)."
            ),
            unit="suffix: servers",
            queries=(
                Query(
                    f"count({total(CALLS.grown(schema.ABORTS, RANGE, *MATCHED), SERVER)} > 0.5) or 0 * {_FAILURES}",
                    form="instant",
                ),
            ),
            width=6,
            height=4,
            no_value="none failed",
            steps=((1, "warn"),),
            first="good",
            decimals=0,
        ),
        Panel(
            kind="bargauge",
            title="Silence before the cut",
            description=(
                "How many failed streams had been silent for just so long when they ended: each bar is "
                "a narrow bucket around a known idle limit. One bar high and the rest low names the "
                "hop: raise its idle time-out, or let pings through. Bars of equal height: chance."
            ),
            unit="suffix: streams",
            queries=tuple(Query(within(schema.ABORT_IDLE, band), band.title, "instant") for band in IDLE),
            width=12,
            height=11,
            no_value="none failed",
            steps=((0.5, "warn"), (2.5, "bad")),
            decimals=0,
            link=TRACES,
        ),
        Panel(
            kind="bargauge",
            title="Age at the cut",
            description=(
                "How many failed streams were just so old when they ended: each bar is a narrow bucket "
                "around a known limit on the whole response. Nothing resets such a limit: raise it, or "
                "ask for shorter answers. A stream that never got a byte has the same age as silence "
                "and shows on both sides."
            ),
            unit="suffix: streams",
            queries=tuple(Query(within(schema.ABORT_ELAPSED, band), band.title, "instant") for band in DURATION),
            width=12,
            height=11,
            no_value="none failed",
            steps=((0.5, "warn"), (2.5, "bad")),
            decimals=0,
            link=TRACES,
        ),
        Panel(
            kind="table",
            title="Cuts, by server, limit and phase",
            description=(
                "Each kind of cut in the time shown, with who is known for that limit, and what helps. "
                "Consistent with, no more: an installation may have changed its limits."
            ),
            unit="none",
            queries=(
                Query(
                    f"label_replace(label_replace(sort_desc(round("
                    f"{total(CALLS.grown(schema.ABORTS, RANGE, *MATCHED), SERVER, LIMIT, PHASE)}"
                    f') > 0), "suspects", "$1", "{LIMIT}", "(.*)"), "remedy", "$1", "{LIMIT}", "(.*)")',
                    form="table",
                ),
            ),
            width=24,
            height=8,
            no_value="none at a known limit",
            columns=(
                Column(SERVER, "Server", width=220),
                Column(LIMIT, "Limit", width=120),
                Column(PHASE, "Phase", width=160),
                Column("Value", "Streams", width=90),
                Column("suspects", "Suspects", tuple((x.label, x.suspects) for x in _SUSPICIONS), 320),
                Column("remedy", "What helps", tuple((x.label, x.remedy) for x in _SUSPICIONS)),
            ),
            link=TRACES,
        ),
    ),
)

_WHEN: Final = Row(
    "Since when, and how far streams had come",
    (
        Panel(
            kind="bars",
            title="Cuts, by limit",
            description=(
                "Streams that were cut at a known limit, in each interval. A limit that begins at a "
                "moment: look for a deployment of the proxy. One that was always there: long thinking "
                "has begun to reach it."
            ),
            unit="suffix: streams",
            queries=(Query(f"{total(CALLS.grown(schema.ABORTS, STEP, *MATCHED), LIMIT)} > 0", f"{{{{{LIMIT}}}}}"),),
            stacked=True,
            no_value="none at a known limit",
        ),
        Panel(
            kind="bars",
            title="Failed, before headers or in the body",
            description=(
                "Streams that failed for any cause but their caller's, in each interval. Before the "
                "headers, proxies' access logs show them (499, 502, 504). In the body those logs say "
                "200: only nginx's *error* log and HAProxy's termination state know."
            ),
            unit="suffix: streams",
            queries=(
                Query(
                    f"{total(CALLS.grown(schema.ABORTS, STEP, NOT_CALLER, like(a.PHASE, *BEFORE_HEADERS)))} > 0",
                    "before headers",
                ),
                Query(
                    f"{total(CALLS.grown(schema.ABORTS, STEP, NOT_CALLER, unlike(a.PHASE, *BEFORE_HEADERS)))} > 0",
                    "in the body",
                ),
            ),
            stacked=True,
            no_value="none failed",
        ),
        Panel(
            kind="heatmap",
            title="Silence before the cut, over time",
            description=(
                "The silence before the end of failed streams. A line at one height is an idle limit; a"
                " cloud is crashes and restarts; a line at the bottom is errors that were said."
            ),
            unit="s",
            queries=(Query(total(CALLS.grown(schema.ABORT_IDLE, STEP, suffix="_bucket"), "le"), "{{le}}", "heatmap"),),
            no_value="none failed",
        ),
        Panel(
            kind="heatmap",
            title="Age at the cut, over time",
            description=(
                "The age of failed streams at their end. A line at one height, with scattered silences "
                "beside it, is a limit on the whole response."
            ),
            unit="s",
            queries=(
                Query(total(CALLS.grown(schema.ABORT_ELAPSED, STEP, suffix="_bucket"), "le"), "{{le}}", "heatmap"),
            ),
            no_value="none failed",
        ),
    ),
)

_BEFORE: Final = Row(
    "Before it hurts: headroom, and hops that buffer",
    (
        Panel(
            kind="bargauge",
            title="Headroom: healthy streams that a limit would have cut",
            description=(
                "Share of the *completed* streams that were once silent for longer than an idle limit. "
                "Put such a limit in the way, and that share is cut. Zero at the limits of your own "
                "hops is what you want; if not, raise them before they hurt."
            ),
            unit="percentunit",
            queries=tuple(Query(over(band), band.title, "instant") for band in IDLE),
            width=12,
            height=11,
            no_value="no streams",
            steps=((0.001, "warn"), (0.01, "bad")),
            first="good",
            decimals=2,
            most=1,
        ),
        Panel(
            kind="timeseries",
            title="Waits between chunks, per stream",
            description=(
                "How many times a stream waited for its next chunk. Dozens in a healthy one. Near zero "
                "at one server: a hop holds the answer back and hands it out at once; nobody sees it "
                "stream, and its idle limit cannot be seen either. Switch its buffering off."
            ),
            unit="suffix: waits",
            queries=(Query(top(waits(STEP)), f"{{{{{SERVER}}}}}"),),
            height=11,
            no_value="no streams",
        ),
        Panel(
            kind="timeseries",
            title="Time before the first token, of all the time",
            description=(
                "Share of the streams' time that passed before the first token. Near 1 at one server "
                "only: a hop that buffers. Near 1 everywhere: short answers, or thinking that is not "
                "streamed."
            ),
            unit="percentunit",
            queries=(Query(top(waiting(STEP)), f"{{{{{SERVER}}}}}"),),
            most=1,
            no_value="no streams",
        ),
        Panel(
            kind="traces",
            title="Streams that were held back",
            description=(
                "Streams whose events came in few large reads. Their `intermediary` is what the "
                "response said about who passed it on."
            ),
            unit="none",
            queries=(
                Query(
                    columns(
                        HELD_BACK, a.SERVER_ADDRESS, a.INTERMEDIARY, a.READ_EVENTS, a.EVENT_COUNT, a.TIME_TO_FIRST_TOKEN
                    ),
                    form="traces",
                ),
            ),
            no_value="none in the traces",
        ),
    ),
)

_LOGS: Final = Row(
    "What the proxies say themselves (the Collector's overlay for proxy logs)",
    (
        Panel(
            kind="timeseries",
            title="Aborts in proxies' logs, and ours",
            description=(
                "Upstream aborts that nginx and HAProxy logged, by cause and phase, beside the failures"
                " that the application saw. Ours without theirs: another hop, or its log is not read. "
                "Theirs without ours: other clients of that proxy. Empty without the overlay."
            ),
            unit="suffix: per second",
            queries=(
                Query(
                    rate(PROXY_ABORTS, STEP, PROXY_PRODUCT, PROXY_CAUSE, PROXY_PHASE),
                    f"{{{{{PROXY_PRODUCT}}}}}: {{{{{PROXY_CAUSE}}}}}, {{{{{PROXY_PHASE}}}}}",
                ),
                Query(failed(CALLS, STEP), "application: failed streams"),
            ),
            width=24,
            height=8,
            no_value="the overlay is not in use",
        ),
    ),
)

BOARD: Final = Board(
    "proxy-timeouts",
    TIMEOUTS,
    "Claude streams: proxy time-outs",
    "Whether something between the application and Claude cuts streams, which limit it is, and who is known for it.",
    (_ANSWER, _WHEN, _BEFORE, _LOGS),
    (*VARIABLES, SERVICE),
    traces=True,
)
