"""The proxy time-outs dashboard. It shows whether a hop on the path cuts streams, and at which limit."""

from __future__ import annotations

from typing import Final

from dashboards.generator.boards.shared import (
    BEFORE_HEADERS,
    CALLS,
    COMPLETED,
    NOT_CALLER,
    SERVICE,
    TIMEOUTS,
    TRACES,
    VARIABLES,
    judged_count,
)
from dashboards.generator.limit_bands import DURATION, IDLE, Band, limit_advice
from dashboards.generator.model import Board, Column, Panel, Query, Row
from dashboards.generator.names import PROXY_ABORTS, PROXY_CAUSE, PROXY_PHASE, PROXY_PRODUCT, label
from dashboards.generator.promql import (
    RANGE,
    SERVER,
    STEP,
    increase,
    le,
    none_of,
    one_of,
    rate,
    share,
    topk,
    total,
)
from dashboards.generator.traceql import BUFFERED, select

from otel_claude_stream._core.diagnosis.limits import NO_MATCH
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Metric

LIMIT: Final = label(a.LIMIT_MATCH)
PHASE: Final = label(a.PHASE)
MATCHED: Final = none_of(a.LIMIT_MATCH, NO_MATCH)
"""Matcher for aborts that are consistent with a known limit."""

_LIMIT_ADVICE: Final = limit_advice()


def failures_in_band(spec: Metric, band: Band) -> str:
    """Count the failed requests whose value lies in a band, over the selected time range."""
    below, above = (total(CALLS.growth(spec, RANGE, le(bound), suffix="_bucket")) for bound in (band.low, band.high))
    return f"{above} - {below}"


def share_silent_beyond(band: Band) -> str:
    """The share of completed streams with a silence above the lower bound of a band."""
    counted = increase(CALLS.series(schema.LONGEST_SILENCE, COMPLETED, suffix="_count"), RANGE)
    within_limit = increase(CALLS.series(schema.LONGEST_SILENCE, COMPLETED, le(band.low), suffix="_bucket"), RANGE)
    return f"1 - {within_limit} / ({counted} > 0)"


def waits_per_stream(window: str) -> str:
    """Waits between chunks for each stream that reached its first token, by server."""
    first = rate(CALLS.series(schema.TIME_TO_FIRST_TOKEN, suffix="_count"), window, SERVER)
    return share(rate(CALLS.series(schema.CHUNK_GAP, suffix="_count"), window, SERVER), first)


def share_before_first_token(window: str) -> str:
    """The share of the duration of streams that passed before the first token, by server."""
    whole = rate(CALLS.series(schema.DURATION, suffix="_sum"), window, SERVER)
    return share(rate(CALLS.series(schema.TIME_TO_FIRST_TOKEN, suffix="_sum"), window, SERVER), whole)


_CUTS: Final = total(CALLS.growth(schema.ATTEMPT_ABORTS, RANGE, MATCHED))
_FAILURES: Final = total(CALLS.growth(schema.ATTEMPT_ABORTS, RANGE))
_LOST: Final = total(CALLS.growth(schema.ABORTS, RANGE, NOT_CALLER, MATCHED))

_CUTS_AT_LIMITS: Final = Row(
    "Cuts at known limits",
    (
        Panel(
            kind="stat",
            title="Cuts at a known limit",
            description=(
                "Number of HTTP requests in the selected time range that were cut at a known limit of a proxy, load "
                "balancer or NAT. Cuts that a retry or resume recovered count too. One can be chance. Three at one "
                "limit are not."
            ),
            unit="suffix: requests",
            queries=(Query(f"{_CUTS} or 0 * {_FAILURES}", form="instant"),),
            width=6,
            height=4,
            no_value="none failed",
            thresholds=((1, "warn"), (3, "bad")),
            base_level="good",
            decimals=0,
            link_to=TRACES,
        ),
        Panel(
            kind="stat",
            title="Cuts as a share of failures",
            description=(
                "Share of the failed HTTP requests that were cut at a known limit. If it is high, fix the hop. If it "
                "is low, look for another cause in *Failed streams, by reason* (*Health*)."
            ),
            unit="percentunit",
            queries=(Query(share(_CUTS, _FAILURES), form="instant"),),
            width=6,
            height=4,
            no_value="none failed",
            thresholds=((0.2, "warn"), (0.5, "bad")),
            base_level="good",
            decimals=1,
            maximum=1,
        ),
        Panel(
            kind="stat",
            title="Streams lost to cuts",
            description=(
                "Share of all completed and failed streams in the selected time range that failed at a known limit. "
                "Above 0.1 %, find the hop in *Silence before the cut* or *Age at the cut*. Near 0 with many cuts, "
                "retries and resumes save the streams, and cost time and tokens."
            ),
            unit="percentunit",
            queries=(Query(share(_LOST, judged_count(CALLS, RANGE)), form="instant"),),
            width=6,
            height=4,
            no_value="no streams",
            thresholds=((0.001, "warn"), (0.01, "bad")),
            base_level="good",
            decimals=2,
            maximum=1,
        ),
        Panel(
            kind="stat",
            title="Servers affected",
            description=(
                "Number of servers whose responses were cut at a known limit. If one of several is affected, check "
                "that gateway. If all are affected, check the way out (NAT, egress proxy)."
            ),
            unit="suffix: servers",
            queries=(
                Query(
                    f"count({total(CALLS.growth(schema.ATTEMPT_ABORTS, RANGE, MATCHED), SERVER)} > 0.5)"
                    f" or 0 * {_FAILURES}",
                    form="instant",
                ),
            ),
            width=6,
            height=4,
            no_value="none failed",
            thresholds=((1, "warn"),),
            base_level="good",
            decimals=0,
        ),
        Panel(
            kind="bargauge",
            title="Silence before the cut",
            description=(
                "Number of failed HTTP requests by the silence before they ended. Each bar is a narrow bucket around "
                "a known idle limit. One high bar points to the hop: raise its idle time-out, or let pings through. "
                "Bars of equal height are chance."
            ),
            unit="suffix: requests",
            queries=tuple(Query(failures_in_band(schema.ABORT_IDLE, band), band.title, "instant") for band in IDLE),
            width=12,
            height=11,
            no_value="none failed",
            thresholds=((0.5, "warn"), (2.5, "bad")),
            decimals=0,
            link_to=TRACES,
        ),
        Panel(
            kind="bargauge",
            title="Age at the cut",
            description=(
                "Number of failed HTTP requests by their age at the end. Each bar is a narrow bucket around a known "
                "limit on the whole response. Nothing resets such a limit: raise it, or ask for shorter answers. "
                "A request that never received a byte counts in both panels."
            ),
            unit="suffix: requests",
            queries=tuple(
                Query(failures_in_band(schema.ABORT_ELAPSED, band), band.title, "instant") for band in DURATION
            ),
            width=12,
            height=11,
            no_value="none failed",
            thresholds=((0.5, "warn"), (2.5, "bad")),
            decimals=0,
            link_to=TRACES,
        ),
        Panel(
            kind="table",
            title="Cuts, by server, limit and phase",
            description=(
                "Number of cuts in the selected time range, by server, limit and phase, with the products known "
                "for that limit and the remedy. Cuts after which a retry or resume saved the stream count too. The "
                "match is evidence, not proof: an installation may have changed its limits."
            ),
            unit="none",
            queries=(
                Query(
                    f"label_replace(label_replace(sort_desc(round("
                    f"{total(CALLS.growth(schema.ATTEMPT_ABORTS, RANGE, MATCHED), SERVER, LIMIT, PHASE)}"
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
                Column("Value", "Requests", width=90),
                Column("suspects", "Suspects", tuple((x.label, x.suspects) for x in _LIMIT_ADVICE), 320),
                Column("remedy", "Remedy", tuple((x.label, x.remedy) for x in _LIMIT_ADVICE)),
            ),
            link_to=TRACES,
        ),
    ),
)

_CUTS_OVER_TIME: Final = Row(
    "Cuts over time",
    (
        Panel(
            kind="bars",
            title="Cuts, by limit",
            description=(
                "Number of HTTP requests cut at a known limit in each interval. If a limit appears suddenly, look for "
                "a deployment of the proxy. If it was always present, longer thinking may have begun to reach it."
            ),
            unit="suffix: requests",
            queries=(
                Query(f"{total(CALLS.growth(schema.ATTEMPT_ABORTS, STEP, MATCHED), LIMIT)} > 0", f"{{{{{LIMIT}}}}}"),
            ),
            stacked=True,
            no_value="none at a known limit",
        ),
        Panel(
            kind="bars",
            title="Failed requests, before headers or in the body",
            description=(
                "Number of HTTP requests that failed in each interval. Access logs of proxies show failures before "
                "the headers as 499, 502 or 504. For failures in the body they log 200. Check the *error* log of "
                "nginx or the termination state of HAProxy."
            ),
            unit="suffix: requests",
            queries=(
                Query(
                    f"{total(CALLS.growth(schema.ATTEMPT_ABORTS, STEP, one_of(a.PHASE, *BEFORE_HEADERS)))} > 0",
                    "before headers",
                ),
                Query(
                    f"{total(CALLS.growth(schema.ATTEMPT_ABORTS, STEP, none_of(a.PHASE, *BEFORE_HEADERS)))} > 0",
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
                "Number of failed HTTP requests by silence before the end, in seconds, over time. A line at one "
                "height is an idle limit. A cloud means crashes and restarts. A line at the bottom means errors that "
                "the API reported."
            ),
            unit="s",
            queries=(Query(total(CALLS.growth(schema.ABORT_IDLE, STEP, suffix="_bucket"), "le"), "{{le}}", "heatmap"),),
            no_value="none failed",
        ),
        Panel(
            kind="heatmap",
            title="Age at the cut, over time",
            description=(
                "Number of failed HTTP requests by age at the end, in seconds, over time. A line at one height, while "
                "the silences are scattered, is a limit on the whole response."
            ),
            unit="s",
            queries=(
                Query(total(CALLS.growth(schema.ABORT_ELAPSED, STEP, suffix="_bucket"), "le"), "{{le}}", "heatmap"),
            ),
            no_value="none failed",
        ),
    ),
)

_HEADROOM: Final = Row(
    "Headroom and buffering",
    (
        Panel(
            kind="bargauge",
            title="Headroom: healthy streams that a limit would have cut",
            description=(
                "Share of the *completed* streams that were silent for longer than an idle limit. A hop with that "
                "limit would cut this share. For the limits of your own hops it should be zero. If it is not, "
                "raise them."
            ),
            unit="percentunit",
            queries=tuple(Query(share_silent_beyond(band), band.title, "instant") for band in IDLE),
            width=12,
            height=11,
            no_value="no streams",
            thresholds=((0.001, "warn"), (0.01, "bad")),
            base_level="good",
            decimals=2,
            maximum=1,
        ),
        Panel(
            kind="timeseries",
            title="Waits between chunks, per stream",
            description=(
                "Average number of waits for the next chunk, per stream and server. Healthy streams have dozens. "
                "Near zero at one server, a hop buffers the answer and delivers it at once, which also hides its "
                "idle limit. Disable its buffering."
            ),
            unit="suffix: waits",
            queries=(Query(topk(waits_per_stream(STEP)), f"{{{{{SERVER}}}}}"),),
            height=11,
            no_value="no streams",
        ),
        Panel(
            kind="timeseries",
            title="Share of time before the first token",
            description=(
                "Share of the total duration of streams that passed before the first token, by server. Near 1 at "
                "one server only, suspect a hop that buffers. Near 1 everywhere, answers are short or thinking is "
                "not streamed."
            ),
            unit="percentunit",
            queries=(Query(topk(share_before_first_token(STEP)), f"{{{{{SERVER}}}}}"),),
            maximum=1,
            no_value="no streams",
        ),
        Panel(
            kind="traces",
            title="Buffered streams",
            description=(
                "Streams whose events arrived in few large reads. The column `intermediary` names the proxies "
                "that the response headers report. Disable buffering there."
            ),
            unit="none",
            queries=(
                Query(
                    select(
                        BUFFERED, a.SERVER_ADDRESS, a.INTERMEDIARY, a.READ_EVENTS, a.EVENT_COUNT, a.TIME_TO_FIRST_TOKEN
                    ),
                    form="traces",
                ),
            ),
            no_value="none in traces",
        ),
    ),
)

_PROXY_LOGS: Final = Row(
    "Proxy logs (needs the Collector's overlay for proxy logs)",
    (
        Panel(
            kind="timeseries",
            title="Aborts in proxy logs and in the application",
            description=(
                "Rate of upstream aborts that nginx and HAProxy logged, by cause and phase, next to the failures "
                "that the application saw. Failures without a logged abort point to another hop, or to a log that "
                "is not collected. Aborts without failures belong to other clients of that proxy."
            ),
            unit="suffix: per second",
            queries=(
                Query(
                    rate(PROXY_ABORTS, STEP, PROXY_PRODUCT, PROXY_CAUSE, PROXY_PHASE),
                    f"{{{{{PROXY_PRODUCT}}}}}: {{{{{PROXY_CAUSE}}}}}, {{{{{PROXY_PHASE}}}}}",
                ),
                Query(rate(CALLS.series(schema.ATTEMPT_ABORTS), STEP), "application: failed requests"),
            ),
            width=24,
            height=8,
            no_value="overlay not in use",
        ),
    ),
)

BOARD: Final = Board(
    "proxy-timeouts",
    TIMEOUTS,
    "Claude streams: proxy time-outs",
    "Whether a hop between the application and Claude cuts streams, at which limit, and which products have it.",
    (_CUTS_AT_LIMITS, _CUTS_OVER_TIME, _HEADROOM, _PROXY_LOGS),
    (*VARIABLES, SERVICE),
    traces=True,
)
