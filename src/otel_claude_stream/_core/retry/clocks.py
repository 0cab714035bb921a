"""The clocks of the watchdog, which limit how long a read may block.

A clock runs over one response. All but `lifetime` count only the time for which reads block, so a slow caller expires
none of them. Times are in nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from otel_claude_stream._core.retry.policy import PLACES, Watchdog
from otel_claude_stream._core.stream.frames import has_content, has_stop_reason
from otel_claude_stream._core.stream.message_state import CORE_TYPES, MessageState, block_kind
from otel_claude_stream._core.vocabulary import Phase

_NS = 1_000_000_000


class Clock(str, Enum):
    """A clock, by its key in the policy. If two expire together, the first in this order is reported."""

    FIRST_EVENT = "first_event"
    FIRST_CONTENT = "first_content"
    SILENCE = "silence"
    NO_PROGRESS = "no_progress"
    LIFETIME = "lifetime"


class ClockLimits(NamedTuple):
    """The limit of each clock, in the order of `Clock`; None for a clock that is off."""

    first_event: int | None
    first_content: int | None
    silence: int | None
    no_progress: int | None
    lifetime: int | None


class Due(NamedTuple):
    """The clock that expires first, and how long the read that begins may block until then; not positive if overdue."""

    left: int
    clock: Clock


@dataclass(slots=True)
class Progress:
    """The part of one response that has arrived, whether it was delivered or not."""

    event: bool = False
    content: bool = False
    finished: bool = False
    block: str = ""
    """Kind of the open block; empty without one."""
    waited: int = 0
    """How long reads had blocked by the last event of the message, or by the headers before the first one."""

    def frame(self, kind: str | None, data: dict[str, Any], waited: int) -> None:
        """Record a frame that came after `waited` ns of reads."""
        self.event = True
        if kind not in CORE_TYPES:
            return
        self.waited = waited
        if kind == "content_block_start":
            block = data.get("content_block")
            self.block = block_kind(str(block.get("type"))) if isinstance(block, dict) else "other"
        elif kind == "content_block_stop":
            self.block = ""
        elif kind == "message_delta" and has_stop_reason(data):
            self.finished = True
        self.content = self.content or has_content(kind, data)

    def follow(self, message: MessageState) -> None:
        """Take over the state of a message whose frames are not recorded here."""
        self.event, self.content = message.events > 0, message.all_characters > 0 or message.ledger.thinking
        self.finished, self.block = message.ledger.finished, message.open_block

    @property
    def phase(self) -> Phase:
        """The phase of the response."""
        if self.finished:
            return Phase.FINISHING
        if self.content:
            return Phase.STREAMING
        return Phase.AWAITING_FIRST_TOKEN if self.event else Phase.AWAITING_FIRST_EVENT


def limits_for(watchdog: Watchdog, phase: Phase, block: str) -> ClockLimits:
    """Return the limits in a phase, with an open block of this kind; the empty text for none."""
    places = [getattr(watchdog, name, None) for name in (block, phase.value) if name]
    limits: list[int | None] = []
    for clock in Clock:
        values = [getattr(place, clock.value, None) for place in (*places, watchdog)]
        seconds = next((value for value in values if value is not None), None)
        limits.append(None if seconds is None else int(seconds * _NS))
    return ClockLimits(*limits)


def longest_silence(watchdog: Watchdog) -> float | None:
    """Return the longest silence in seconds that any phase or block allows; None if one of them has no limit."""
    values = [getattr(watchdog, name).silence or 0.0 for name in PLACES]
    return None if watchdog.silence is None else max(watchdog.silence, *values)


def next_due(limits: ClockLimits, *, age: int, waited: int, gap: int, event: bool, content: bool) -> Due | None:
    """Return the clock that expires first if nothing arrives, None if none is running.

    Args:
        limits: The limits in the present phase and block.
        age: The time since the response headers.
        waited: How long reads have blocked since then.
        gap: How long reads have blocked since the last event of the message, or since the headers.
        event: Whether an event has arrived.
        content: Whether content has arrived.
    """
    left: int | None = None
    due = Clock.LIFETIME
    if limits.first_event is not None and not event:
        left, due = limits.first_event - waited, Clock.FIRST_EVENT
    if limits.first_content is not None and not content and (left is None or limits.first_content - waited < left):
        left, due = limits.first_content - waited, Clock.FIRST_CONTENT
    if limits.silence is not None and (left is None or limits.silence < left):
        left, due = limits.silence, Clock.SILENCE
    if limits.no_progress is not None and (left is None or limits.no_progress - gap < left):
        left, due = limits.no_progress - gap, Clock.NO_PROGRESS
    if limits.lifetime is not None and (left is None or limits.lifetime - age < left):
        left, due = limits.lifetime - age, Clock.LIFETIME
    return None if left is None else Due(left, due)
