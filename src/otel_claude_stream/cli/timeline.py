"""The course of one stream: marks (what came when), gaps (when nothing came), and HTTP attempts before it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from otel_claude_stream._core.recovery.situation import Action
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute, SpanEvent
from otel_claude_stream.cli.otlp import Attributes, EventData, SpanData

MarkKind = Literal["text", "thinking", "tool_use", "other", "structure", "ping", "error", "stall", "unknown"]
GapKind = Literal["first", "silent", "pings", "caller"]

SHOWN_GAP: Final = 0.4
"""Seconds without anything that are drawn as a gap: well above the rhythm of a slow model."""
LABELLED_GAP: Final = 1.0
"""Seconds from which a gap is told in figures, counted, and part of the text alternative."""

SAME: Final = 0.9
"""Share of a gap that the longest silence must cover to be that gap: the two clocks start a little apart."""

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


@dataclass(frozen=True, slots=True)
class Mark:
    """What came: ``count`` events of one kind, from ``at`` on for ``span`` seconds, after ``gap`` of waiting."""

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
        """When the last of its events came."""
        return self.at + self.span


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without content: before the first token, without any byte, with pings only, or the caller was busy."""

    start: float
    end: float
    kind: GapKind
    pings: int

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.start

    @property
    def labelled(self) -> bool:
        """Whether it is long enough to be told in figures."""
        return self.seconds >= LABELLED_GAP


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request of several; ``delay`` seconds of back-off follow it."""

    number: int
    start: float
    end: float
    status: int | None
    reason: str
    request_id: str
    delay: float | None
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Decided:
    """What the retry policy decided at ``at`` about an attempt that had failed."""

    at: float
    decision: str
    blocked_by: str
    delay: float
    dry_run: bool


def marks_from(span: SpanData, duration: float) -> tuple[Mark, ...]:
    """The marks of a stream span by time, none before its start or after its end; events of others are left out."""
    marks = [_mark(event, span.start, duration) for event in span.events if _is_mark(event)]
    return tuple(sorted(marks, key=lambda mark: mark.at))


@dataclass(frozen=True, slots=True)
class Clocks:
    """What is known of a stream's waits as a whole, in seconds; None means not known.

    ``silence`` is its longest time without a byte, ``caller`` all the time that the caller spent in its own loop.
    """

    silence: float | None = None
    caller: float | None = None


def gaps_between(marks: Sequence[Mark], opened: float, end: float, clocks: Clocks = Clocks()) -> tuple[Gap, ...]:
    """The times without content between ``opened`` (the response was there) and ``end``, each with its kind."""
    gaps: list[Gap] = []
    last, pings, content = opened, 0, False
    for mark in [*(mark for mark in marks if mark.kind not in NOT_FROM_THE_WIRE), None]:
        if mark is not None and mark.kind == "ping":
            pings += mark.count
            continue
        if mark is not None and mark.kind == "structure" and not content:
            continue  # a message that has begun still owes its first token
        at = end if mark is None else mark.at
        if at - last >= SHOWN_GAP:
            gaps.append(Gap(last, at, _gap_kind(at - last, mark, content, pings, clocks), pings))
        if mark is not None:
            last, pings, content = max(last, mark.until), 0, content or mark.kind in CONTENT
    return tuple(gaps)


def _gap_kind(seconds: float, after: Mark | None, content: bool, pings: int, clocks: Clocks) -> GapKind:
    """Why nothing came for ``seconds`` before ``after``: by the clocks where they are known, else by the pings seen."""
    waited = after.gap or 0.0 if after is not None else seconds
    if waited < seconds / 2 and clocks.caller is not None and clocks.caller >= seconds / 2:
        return "caller"
    if not content:
        return "first"
    if clocks.silence is not None:  # pings may be told all in one, long before
        return "silent" if clocks.silence >= seconds * SAME else "pings"
    return "pings" if pings else "silent"


def attempts_from(span: SpanData, spans: Sequence[SpanData], duration: float) -> tuple[Attempt, ...]:
    """The attempts by their own spans, else by the retry events of the stream span; none if one request was enough."""
    if spans:
        found = [_attempt(one.attributes, one.start - span.start, one.end - span.start, duration) for one in spans]
        return tuple(sorted(found, key=lambda attempt: (attempt.number, attempt.start)))
    return tuple(_attempts_from_events(span, duration))


def nearest(marks: Sequence[Mark], limit: int) -> tuple[Mark, ...]:
    """At most ``limit`` marks, evenly chosen, the first and the last among them."""
    if len(marks) <= limit:
        return tuple(marks)
    step = (len(marks) - 1) / (limit - 1)
    return tuple(marks[round(n * step)] for n in range(limit))


def _attempts_from_events(span: SpanData, duration: float) -> Iterator[Attempt]:
    start, ordinal = 0.0, 1
    for event in span.events:
        if event.name == schema.RETRY.name and _is_followed(event.attributes):
            end = _clamp((event.time - span.start) / NANO, duration)
            yield _attempt({a.ATTEMPT.name: ordinal, **event.attributes}, start * NANO, end * NANO, duration)
            start, ordinal = _clamp(end + _number(event.attributes, a.RETRY_DELAY), duration), ordinal + 1
    if ordinal > 1:
        yield Attempt(ordinal, start, duration, None, "", "", None, None)


def _is_followed(attrs: Attributes) -> bool:
    """Whether another attempt followed: what was only thought of, or refused, is none."""
    return attrs.get(a.RETRY_DECISION.name) != GIVE_UP and attrs.get(a.RETRY_DRY_RUN.name) is not True


def decisions_from(span: SpanData, duration: float) -> tuple[Decided, ...]:
    """What the retry policy decided, or would have decided."""
    return tuple(
        Decided(
            at=_clamp((event.time - span.start) / NANO, duration),
            decision=str(event.attributes.get(a.RETRY_DECISION.name, "")),
            blocked_by=str(event.attributes.get(a.RETRY_BLOCKED_BY.name, "")),
            delay=_number(event.attributes, a.RETRY_DELAY),
            dry_run=event.attributes.get(a.RETRY_DRY_RUN.name) is True,
        )
        for event in span.events
        if event.name == schema.RETRY.name and a.RETRY_BLOCKED_BY.name in event.attributes
    )


def _attempt(attrs: Attributes, start: float, end: float, duration: float) -> Attempt:
    status, delay, after = (attrs.get(key.name) for key in (a.STATUS_CODE, a.RETRY_DELAY, a.RETRY_AFTER))
    begin = _clamp(start / NANO, duration)
    return Attempt(
        number=int(_number(attrs, a.ATTEMPT)) or 1,
        start=begin,
        end=max(begin, _clamp(end / NANO, duration)),
        status=status if isinstance(status, int) else None,
        reason=str(attrs.get(a.RETRY_REASON.name) or attrs.get(a.ERROR_TYPE.name) or ""),
        request_id=str(attrs.get(a.REQUEST_ID.name) or ""),
        delay=float(delay) if isinstance(delay, (int, float)) else None,
        retry_after=float(after) if isinstance(after, (int, float)) else None,
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
        count=max(1, int(_number(attrs, a.COUNT))),
        span=min(_number(attrs, a.LAST_AT), duration - at),
        gap=_number(attrs, a.GAP) if a.GAP.name in attrs else None,
        characters=int(_number(attrs, a.EVENT_CHARACTERS)),
        block=index if isinstance(index, int) else None,
    )


def _kind(event: EventData) -> MarkKind:
    if event.name == schema.CONTENT_BLOCK_DELTA.name:
        return BLOCK_KINDS.get(str(event.attributes.get(a.BLOCK_TYPE.name)), "other")
    return KINDS.get(event.name, "unknown")


def _number(attrs: Attributes, attribute: Attribute) -> float:
    """A numeric attribute, zero or more; zero if absent or odd."""
    value = attrs.get(attribute.name)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) and value > 0 else 0.0


def _clamp(at: float, duration: float) -> float:
    return min(max(0.0, at), duration)
