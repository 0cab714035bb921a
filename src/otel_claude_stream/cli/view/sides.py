"""Spans of the API and log lines of proxies, joined with streams by the request ID, else by the parent span."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from otel_claude_stream._core.diagnosis.both_ends import ApiOutcome, BothEnds, join
from otel_claude_stream._core.diagnosis.limits import NO_MATCH
from otel_claude_stream._core.vocabulary import Origin, Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.otlp.decode import LogData, SpanData
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.attribute_values import line
from otel_claude_stream.cli.view.model import NANO, Side, StreamView

API_SCOPE: Final = "com.anthropic.claude-platform"
API_SERVICE: Final = "claude-platform"
API_REQUEST_ID: Final = "anthropic.request.id"
SERVER: Final = 2  # kind of the span of a request; spans of model runs and tools are internal
OUTCOMES: Final = {0: ApiOutcome.CANCELLED, 1: ApiOutcome.COMPLETED, 2: ApiOutcome.FAILED}
"""By the code of the status."""
OUTCOMES_OF_STREAMS: Final = frozenset(one.value for one in Outcome)
ORIGINS: Final = {one.value: one for one in Origin}
DIFFERS: Final = "; another span of this request differs"
MOST: Final = 20_000
"""Spans and lines that are kept; the oldest are dropped first."""

PRODUCT, CAUSE, PHASE = "proxy.product", "proxy.cause", "proxy.phase"
CONNECTION, SECONDS, STATUS = "proxy.connection", "proxy.seconds", "http.response.status_code"
"""Attributes of the lines that the Collector reads from the logs of proxies."""


def is_api_request(span: SpanData) -> bool:
    """Whether the API recorded the span, for a whole request. Scope and service are checked, since either is a name."""
    return span.scope == API_SCOPE and span.service == API_SERVICE and span.kind == SERVER


class Sides:
    """Collects the spans of the API and the lines of proxies, in any order and bounded."""

    def __init__(self) -> None:
        self._spans: OrderedDict[tuple[str, str], SpanData] = OrderedDict()
        self._lines: list[LogData] = []

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._spans or self._lines)

    def add_spans(self, spans: Iterable[SpanData]) -> None:
        """Add the API's spans among ``spans``. One that came before counts once."""
        for span in spans:
            if is_api_request(span):
                self._spans[span.trace_id, span.span_id] = replace(span, events=())
        while len(self._spans) > MOST:
            self._spans.popitem(last=False)

    def add_lines(self, lines: Iterable[LogData]) -> None:
        """Add the lines of proxies among log records."""
        self._lines += [one for one in lines if PRODUCT in one.attributes]
        del self._lines[:-MOST]

    def join(self, views: Sequence[StreamView]) -> tuple[StreamView, ...]:
        """Return the views with what is known of each from the other sides, and the origin that follows."""
        if not self:
            return tuple(views)
        by_id: dict[str, list[SpanData]] = {}
        by_parent: dict[tuple[str, str], list[SpanData]] = {}
        for span in self._spans.values():
            by_id.setdefault(_id(span), []).append(span)
            by_parent.setdefault((span.trace_id, span.parent_id), []).append(span)
        lines: dict[tuple[str, str], list[LogData]] = {}
        for one in self._lines:
            for key in (a.REQUEST_ID.name, CONNECTION):
                if found := line(one.attributes.get(key)):
                    lines.setdefault((key, found), []).append(one)
        return tuple(self._joined(view, by_id, by_parent, lines) for view in views)

    def _joined(
        self,
        view: StreamView,
        by_id: dict[str, list[SpanData]],
        by_parent: dict[tuple[str, str], list[SpanData]],
        lines: dict[tuple[str, str], list[LogData]],
    ) -> StreamView:
        sides = [_proxy(view, one) for one in _lines_of(view, lines)]
        if not self._spans or view.outcome not in OUTCOMES_OF_STREAMS:
            return replace(view, sides=tuple(sides)) if sides else view
        last, others = _requests_of(view, by_id, by_parent)
        for request in others:
            sides += [_api(view, span) for span in {span.status: span for span in request}.values()]
        found = _verdicts(view, last)
        sides += [_api(view, span, DIFFERS if len(found) > 1 else "") for span in found.values()]
        ends = _both_ends(view, next(iter(found.values())) if len(found) == 1 else None)
        rule = join(ends)
        fits = rule.origin is Origin.INTERMEDIARY and view.limit_match not in ("", NO_MATCH)  # its advice is better
        advised = rule.origin not in (None, ends.origin) and not fits
        return replace(
            view,
            sides=tuple(sorted(sides, key=lambda side: side.end)),
            api=ends.api.value,
            join_rule=rule.id,
            origin=rule.origin.value if rule.origin else view.origin,
            advice=rule.advice if advised else view.advice,
        )


def _requests_of(
    view: StreamView, by_id: dict[str, list[SpanData]], by_parent: dict[tuple[str, str], list[SpanData]]
) -> tuple[list[SpanData], list[list[SpanData]]]:
    """Return the API's spans of a stream's last request, none if it is not certain, and those of each other request.

    A request whose ID the client knows is found by it. One that got no response has none. It is what remains of the
    spans below the client's, provided that there is one for each of the other requests. Spans with one ID are of one
    request.
    """
    ids = dict.fromkeys(filter(None, (*(one.request_id for one in view.attempts), view.text(a.REQUEST_ID))))
    known = {one: by_id[one] for one in ids if one in by_id}
    trace = view.key.partition("/")[0]
    below = [span for one in view.span_ids for span in by_parent.get((trace, one), ()) if _id(span) not in known]
    earlier = [one.request_id for one in view.attempts[:-1]]
    wanted = (view.attempts[-1].request_id if view.attempts else "") or view.text(a.REQUEST_ID)
    wanted = "" if wanted in earlier else wanted  # the last request got no response
    if wanted in known:
        return known.pop(wanted), [*known.values()]
    # Spans with an ID that the client does not know belong to requests without a response; without any ID, to all.
    rest: dict[str, list[SpanData]] = {}
    for span in sorted(below, key=lambda span: span.start):
        if not wanted or not _id(span):
            rest.setdefault(_id(span) or f"span {span.span_id}", []).append(span)
    if rest and len(rest) == view.requests - len(known):
        *others, last = rest.values()
        return last, [*known.values(), *others]
    return [], [*known.values()]


def _id(span: SpanData) -> str:
    return line(span.attributes.get(API_REQUEST_ID))


def _verdicts(view: StreamView, spans: Iterable[SpanData]) -> dict[tuple[ApiOutcome, str], SpanData]:
    """Return the API's spans of the last request by what follows from each; more than one contradict each other."""
    ordered = sorted(spans, key=lambda span: (span.end, span.start))  # so the order in a file decides nothing
    found = ((_both_ends(view, span), span) for span in ordered)
    return {(ends.api, join(ends).id): span for ends, span in found}


def _both_ends(view: StreamView, span: SpanData | None) -> BothEnds:
    begin = view.attempts[-1].start if view.attempts else 0.0
    api = ApiOutcome.ABSENT if span is None else OUTCOMES.get(span.status, ApiOutcome.ABSENT)
    longer = later = 0.0
    if span is not None:
        longer = max(0, span.end - span.start) / NANO - (view.duration - begin)
        later = (span.end - view.end) / NANO
    return BothEnds(Outcome(view.outcome), ORIGINS.get(view.origin, Origin.UNKNOWN), api, longer, later)


def _api(view: StreamView, span: SpanData, doubt: str = "") -> Side:
    outcome = OUTCOMES.get(span.status, ApiOutcome.ABSENT).value
    error = line(span.attributes.get(a.ERROR_TYPE.name))
    seconds = formatting.seconds(max(0, span.end - span.start) / NANO)
    text = f"the API: request {outcome} after {seconds}{f', {error}' if error else ''}{doubt}"
    return Side("api", _at(view, span.start), _at(view, span.end), text)


def _proxy(view: StreamView, one: LogData) -> Side:
    product, cause, phase = (line(one.attributes.get(name)) for name in (PRODUCT, CAUSE, PHASE))
    seconds, status = one.attributes.get(SECONDS), line(one.attributes.get(STATUS))
    took = float(seconds) if isinstance(seconds, (int, float)) and 0 < seconds < math.inf else 0.0
    parts = [formatting.readable(cause) if cause else "request logged"]
    parts += [formatting.readable(phase)] if phase else []
    parts += [f"status {status}"] if status else []
    parts += [f"after {formatting.seconds(took)}"] if took else []
    # The time of a line is that of the end in nginx, and of the beginning in HAProxy.
    end = max(_at(view, one.time), min(took, view.duration))
    return Side(product, None, end, f"{product}: {', '.join(parts)}")


def _lines_of(view: StreamView, lines: dict[tuple[str, str], list[LogData]]) -> list[LogData]:
    """Return the lines with a request ID of the stream, and those that share a connection with one of them."""
    ids = dict.fromkeys((view.text(a.REQUEST_ID), *(one.request_id for one in view.attempts)))
    found = [one for wanted in ids if wanted for one in lines.get((a.REQUEST_ID.name, wanted), ())]
    connections = {line(one.attributes.get(CONNECTION)) for one in found} - {""}
    begin, end = view.start - NANO, view.end + 2 * NANO  # a connection carries many requests; nginx logs whole seconds
    for wanted in connections:
        others = [one for one in lines[CONNECTION, wanted] if CAUSE in one.attributes and one not in found]
        found += [one for one in others if begin <= one.time <= end]
    return list({(one.time, str(one.attributes)): one for one in found}.values())  # two files may have the same line


def _at(view: StreamView, time: int) -> float:
    return min(max(0.0, (time - view.start) / NANO), view.duration)
