"""The timeline of one stream: marks (arrived events), gaps between them, HTTP attempts, decisions and seams."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from otel_claude_stream._core.retry.context import Action
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute, SpanEvent
from otel_claude_stream.cli.otlp.decode import Attributes, EventData, SpanData
from otel_claude_stream.cli.view.attribute_values import text, texts
from otel_claude_stream.cli.view.formatting import limit_text

MarkKind = Literal["text", "thinking", "tool_use", "other", "structure", "ping", "error", "stall", "unknown"]
GapKind = Literal["first", "silent", "pings", "caller", "seam"]

SHOWN_GAP: Final = 0.4
"""Seconds without content that are drawn as a gap, well above the pace of a slow model."""
LABELLED_GAP: Final = 1.0
"""Seconds from which on a gap is labelled with its length, counted, and part of the text alternative."""

SAME: Final = 0.9
"""Share of a gap that the longest silence must cover to be that gap, since the two clocks start a little apart."""

BLOCK_KINDS: Final[dict[str, MarkKind]] = {"text": "text", "thinking": "thinking", "tool_use": "tool_use"}
STRUCTURE: Final[dict[SpanEvent, MarkKind]] = {
    schema.MESSAGE_START: "structure",
    schema.CONTENT_BLOCK_START: "structure",
    schema.CONTENT_BLOCK_STOP: "structure",
    schema.MESSAGE_DELTA: "structure",
    schema.MESSAGE_STOP: "structure",
    schema.PING: "ping",
    schema.ERROR: "error",
    schema.STALL: "stall",
}
KINDS: Final[dict[str, MarkKind]] = {event.name: kind for event, kind in STRUCTURE.items()}
NOT_MARKS: Final = frozenset({schema.RETRY.name, schema.RESUME.name, schema.ABORT.name})
CONTENT: Final = frozenset({"text", "thinking", "tool_use", "other"})
NOT_FROM_THE_WIRE: Final = frozenset({"stall"})
NANO: Final = 1e9
GIVE_UP: Final = Action.GIVE_UP.value
ERROR_STATUS: Final = 400  # HTTP statuses from here on answer with an error instead of a stream
FITTING: Final = frozenset({"anchor", "overlap", "exact", "preamble"})
"""Seams at which the text continues."""


@dataclass(frozen=True, slots=True)
class Mark:
    """``count`` events of one kind that arrived from ``at`` on for ``span`` seconds, after a wait of ``gap``."""

    at: float
    kind: MarkKind
    name: str
    count: int
    span: float
    gap: float | None
    characters: int
    block: int | None

    @property
    def until(self) -> float:
        """When the last of its events arrived."""
        return self.at + self.span


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without content: before the first token, without any byte, with pings only, or while the caller was busy.

    The kind ``seam`` is the time in which the text of a resumed attempt was buffered until its seam was found.
    """

    start: float
    end: float
    kind: GapKind
    pings: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    @property
    def labelled(self) -> bool:
        """Whether it is long enough to be labelled with its length."""
        return self.seconds >= LABELLED_GAP


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request of several; a backoff of ``delay`` seconds follows it."""

    number: int
    start: float
    end: float
    status: int | None
    reason: str
    request_id: str
    delay: float | None
    retry_after: float | None
    limit_match: str = ""
    suspects: tuple[str, ...] = ()
    advice: str = ""

    @property
    def limit(self) -> str:
        """The known limit that cut it, and products that have it; empty if no limit fits."""
        return limit_text(self.limit_match, self.suspects)

    @property
    def streamed(self) -> bool:
        """Whether its response was a stream."""
        return self.status is not None and self.status < ERROR_STATUS


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision of the retry policy, ``at`` seconds after the start, about an attempt that had failed.

    In a dry run it was recorded and not carried out. ``budget_left`` is None if the policy has no budget, ``model`` is
    empty unless the request goes to a fallback model.
    """

    at: float
    attempt: int
    reason: str
    phase: str
    decision: str
    blocked_by: str
    delay: float
    delay_source: str
    budget_left: float | None
    dry_run: bool
    model: str = ""


@dataclass(frozen=True, slots=True)
class Seam:
    """Where a resumed text met the text before it, after ``characters`` that had been delivered."""

    at: float
    attempt: int
    strategy: str
    result: str
    characters: int

    @property
    def fits(self) -> bool:
        """Whether the text could be continued."""
        return self.result in FITTING


def marks_from(span: SpanData, duration: float) -> tuple[Mark, ...]:
    """Return the marks of a stream span by time, moved into its duration. Events of other libraries are left out."""
    marks = [_mark(event, span.start, duration) for event in span.events if _is_mark(event)]
    return tuple(sorted(marks, key=lambda mark: mark.at))


@dataclass(frozen=True, slots=True)
class Clocks:
    """A stream's longest ``silence`` and the total time in the ``caller``'s loop, in seconds; None if not known."""

    silence: float | None = None
    caller: float | None = None


def gaps_between(marks: Sequence[Mark], opened: float, end: float, clocks: Clocks = Clocks()) -> tuple[Gap, ...]:
    """Return the gaps between ``opened``, when the response arrived, and ``end``, each with its kind."""
    gaps: list[Gap] = []
    last, pings, content = opened, 0, False
    for mark in [*(mark for mark in marks if mark.kind not in NOT_FROM_THE_WIRE), None]:
        if mark is not None and mark.kind == "ping":
            pings += mark.count
            continue
        if mark is not None and mark.kind == "structure" and not content:
            continue  # the message has begun, but its first token has not arrived
        at = end if mark is None else mark.at
        if at - last >= SHOWN_GAP:
            gaps.append(Gap(last, at, _gap_kind(at - last, mark, content, pings, clocks), pings))
        if mark is not None:
            last, pings, content = max(last, mark.until), 0, content or mark.kind in CONTENT
    return tuple(gaps)


def gaps_of_attempts(
    marks: Sequence[Mark],
    attempts: Sequence[Attempt],
    opened: float,
    end: float,
    *,
    seams: Sequence[Seam] = (),
    clocks: Clocks = Clocks(),
) -> tuple[Gap, ...]:
    """Return the gaps of each attempt that streamed, so that a backoff is no gap."""
    if not any(attempt.streamed for attempt in attempts[:-1]):
        return gaps_between(marks, opened, end, clocks)
    gaps: list[Gap] = []
    for attempt in attempts:
        here = within(marks, attempt)
        if not here and (attempt is not attempts[-1] or not attempt.streamed):
            continue
        earlier = [mark.until for mark in marks if mark.at < attempt.start]  # a mark may span the break
        found = gaps_between(here, max([opened, attempt.start, *earlier]), attempt.end, clocks)
        joined = any(attempt.start <= seam.at <= attempt.end for seam in seams)
        gaps += [replace(gap, kind="seam") if joined and gap.kind == "first" else gap for gap in found]
    return tuple(gaps)


def within(marks: Sequence[Mark], attempt: Attempt) -> list[Mark]:
    """Return the marks that arrived during an attempt."""
    return [mark for mark in marks if attempt.start <= mark.at <= attempt.end]


def _gap_kind(seconds: float, after: Mark | None, content: bool, pings: int, clocks: Clocks) -> GapKind:
    """Return why no content arrived for ``seconds`` before ``after``: by the clocks if known, else by the pings."""
    waited = after.gap or 0.0 if after is not None else seconds
    if waited < seconds / 2 and clocks.caller is not None and clocks.caller >= seconds / 2:
        return "caller"
    if not content:
        return "first"
    if clocks.silence is not None:  # pings may be joined in one mark, long before
        return "silent" if clocks.silence >= seconds * SAME else "pings"
    return "pings" if pings else "silent"


def attempts_from(span: SpanData, spans: Sequence[SpanData], duration: float) -> tuple[Attempt, ...]:
    """Return the attempts from their spans, else from retry events; none if there was a single request."""
    if spans:
        found = [_attempt(one.attributes, one.start - span.start, one.end - span.start, duration) for one in spans]
        return tuple(sorted(found, key=lambda attempt: (attempt.number, attempt.start)))
    return tuple(_attempts_from_events(span, duration))


def _attempts_from_events(span: SpanData, duration: float) -> Iterator[Attempt]:
    start, ordinal = 0.0, 1
    for event in span.events:
        if event.name == schema.RETRY.name and _is_followed(event.attributes):
            end = _clamp((event.time - span.start) / NANO, duration)
            yield _attempt({a.ATTEMPT_NUMBER.name: ordinal, **event.attributes}, start * NANO, end * NANO, duration)
            start, ordinal = _clamp(end + _number(event.attributes, a.RETRY_DELAY), duration), ordinal + 1
    if ordinal > 1:
        yield Attempt(ordinal, start, duration, None, "", "", None, None)


def _is_followed(attrs: Attributes) -> bool:
    """Whether another attempt followed, rather than a dry run or a refusal."""
    return attrs.get(a.RETRY_DECISION.name) != GIVE_UP and attrs.get(a.RETRY_DRY_RUN.name) is not True


def decisions_from(span: SpanData, duration: float) -> tuple[Decision, ...]:
    """Return the decisions of the retry policy, dry runs included."""
    return tuple(
        Decision(
            at=_clamp((event.time - span.start) / NANO, duration),
            attempt=int(_number(event.attributes, a.ATTEMPT_NUMBER)) or 1,
            reason=str(event.attributes.get(a.RETRY_REASON.name, "")),
            phase=str(event.attributes.get(a.PHASE.name, "")),
            decision=str(event.attributes.get(a.RETRY_DECISION.name, "")),
            blocked_by=str(event.attributes.get(a.RETRY_BLOCKED_BY.name, "")),
            delay=_number(event.attributes, a.RETRY_DELAY),
            delay_source=str(event.attributes.get(a.RETRY_DELAY_SOURCE.name, "")),
            budget_left=(
                _number(event.attributes, a.RETRY_BUDGET) if a.RETRY_BUDGET.name in event.attributes else None
            ),
            dry_run=event.attributes.get(a.RETRY_DRY_RUN.name) is True,
            model=text(event.attributes, a.FALLBACK_MODEL),
        )
        for event in span.events
        if event.name == schema.RETRY.name and a.RETRY_BLOCKED_BY.name in event.attributes
    )


def seams_from(span: SpanData, duration: float) -> tuple[Seam, ...]:
    """Return the seams at which resumed texts met the text before them."""
    return tuple(
        Seam(
            at=_clamp((event.time - span.start) / NANO, duration),
            attempt=int(_number(event.attributes, a.ATTEMPT_NUMBER)) or 1,
            strategy=str(event.attributes.get(a.STRATEGY.name, "")),
            result=str(event.attributes.get(a.SEAM.name, "")),
            characters=int(_number(event.attributes, a.CONTENT_CHARACTERS)),
        )
        for event in span.events
        if event.name == schema.RESUME.name
    )


def _attempt(attrs: Attributes, start: float, end: float, duration: float) -> Attempt:
    status, delay, after = (attrs.get(key.name) for key in (a.STATUS_CODE, a.RETRY_DELAY, a.RETRY_AFTER))
    begin = _clamp(start / NANO, duration)
    return Attempt(
        number=int(_number(attrs, a.ATTEMPT_NUMBER)) or 1,
        start=begin,
        end=max(begin, _clamp(end / NANO, duration)),
        status=status if isinstance(status, int) else None,
        reason=str(attrs.get(a.REASON.name) or attrs.get(a.RETRY_REASON.name) or attrs.get(a.ERROR_TYPE.name) or ""),
        request_id=str(attrs.get(a.REQUEST_ID.name) or ""),
        delay=float(delay) if isinstance(delay, (int, float)) else None,
        retry_after=float(after) if isinstance(after, (int, float)) else None,
        limit_match=text(attrs, a.LIMIT_MATCH),
        suspects=texts(attrs, a.SUSPECTS),
        advice=text(attrs, a.ADVICE),
    )


def _is_mark(event: EventData) -> bool:
    return event.name.startswith(schema.EVENT_PREFIX) and event.name not in NOT_MARKS


def _mark(event: EventData, start: int, duration: float) -> Mark:
    attrs = event.attributes
    at = _clamp((event.time - start) / NANO, duration)
    index = attrs.get(a.BLOCK_INDEX.name)
    return Mark(
        at=at,
        kind=_kind(event),
        name=event.name.removeprefix(schema.EVENT_PREFIX),
        count=max(1, int(_number(attrs, a.EVENT_COALESCED))),
        span=min(_number(attrs, a.EVENT_DURATION), duration - at),
        gap=_number(attrs, a.GAP) if a.GAP.name in attrs else None,
        characters=int(_number(attrs, a.EVENT_CHARACTERS)),
        block=index if isinstance(index, int) else None,
    )


def _kind(event: EventData) -> MarkKind:
    if event.name == schema.CONTENT_BLOCK_DELTA.name:
        return BLOCK_KINDS.get(str(event.attributes.get(a.BLOCK_TYPE.name)), "other")
    return KINDS.get(event.name, "unknown")


def _number(attrs: Attributes, attribute: Attribute) -> float:
    """Return a numeric attribute if it is positive and finite, else zero."""
    value = attrs.get(attribute.name)
    return float(value) if isinstance(value, (int, float)) and 0 < value < math.inf else 0.0


def _clamp(at: float, duration: float) -> float:
    return min(max(0.0, at), duration)
