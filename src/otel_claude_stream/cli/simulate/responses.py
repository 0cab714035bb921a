"""Responses of a simulated API as plain data, and how far a client reads them. Times are in seconds."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from otel_claude_stream._core.diagnosis.limits import NO_MATCH
from otel_claude_stream._core.retry.clocks import Clock, ClockLimits, Due, Progress, limits_for, next_due
from otel_claude_stream._core.retry.policy import Watchdog
from otel_claude_stream._core.vocabulary import AbortReason, Phase

READ_TIMEOUT: Final = 600.0
"""The default read timeout of the SDK's clients."""
MOST_READINGS: Final = 10_000
_NS: Final = 1_000_000_000


class Arriving(str, Enum):
    """The kind of frames that arrive in a stretch of a response."""

    NOTHING = "nothing"
    PING = "ping"
    START = "start"
    """`message_start`."""
    THOUGHT = "thought"
    """The empty start of a block of thinking whose content is not sent."""
    TEXT = "text"
    """A delta of text."""


_DELTA: Final = {"index": 0, "delta": {"type": "text_delta", "text": "..."}}
_FRAMES: Final[dict[Arriving, tuple[tuple[str, dict[str, Any]], ...]]] = {
    Arriving.NOTHING: (),
    Arriving.PING: (("ping", {}),),
    Arriving.START: (("message_start", {}),),
    Arriving.THOUGHT: (("content_block_start", {"index": 0, "content_block": {"type": "thinking", "thinking": ""}}),),
    Arriving.TEXT: (
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", _DELTA),
    ),
}
"""The frames by which the clocks see what arrives."""

CLOCK_REASONS: Final = {
    Clock.FIRST_EVENT: AbortReason.FIRST_EVENT_TIMEOUT,
    Clock.FIRST_CONTENT: AbortReason.FIRST_CONTENT_TIMEOUT,
    Clock.SILENCE: AbortReason.SILENT,
    Clock.NO_PROGRESS: AbortReason.NO_PROGRESS,
    Clock.LIFETIME: AbortReason.LIFETIME_EXCEEDED,
}
"""The abort reason of a clock. A silence before the first event is `first_event_timeout`."""


class Stretch(NamedTuple):
    """A part of a response, in which something arrives `times` times, each time after a wait of `every` seconds."""

    arriving: Arriving
    every: float
    times: int = 1


class Ending(NamedTuple):
    """Why a response breaks off."""

    reason: AbortReason
    status: int | None = None
    """The HTTP error status that comes instead of a stream."""
    retry_after: float | None = None
    limit_match: str = NO_MATCH


class Response(NamedTuple):
    """The response to one request."""

    headers: float
    """The wait for its headers, or until the request fails."""
    stretches: tuple[Stretch, ...] = ()
    """Empty if the request failed before there was a stream."""
    ending: Ending | None = None
    """None for a whole answer."""

    @property
    def seconds(self) -> float:
        """The time from its headers to its end."""
        return sum(stretch.every * stretch.times for stretch in self.stretches)

    def cut(self, after: float, ending: Ending) -> Response:
        """Return the response cut so long after its headers, if it takes longer."""
        if after >= self.seconds:
            return self
        kept: list[Stretch] = []
        for stretch in self.stretches:
            times = min(stretch.times, int(after / stretch.every)) if stretch.every else stretch.times
            if times:
                kept.append(stretch._replace(times=times))
            after -= times * stretch.every
            if times < stretch.times:
                break
        return Response(self.headers, (*kept, Stretch(Arriving.NOTHING, after)), ending)


class Reading(NamedTuple):
    """The part of a response that a client got, until it ended or a time-out expired."""

    seconds: float
    """From the headers to the end."""
    ending: Ending | None
    phase: Phase
    first_content: float | None
    """From the headers to the first content; None without any."""
    deltas: int
    """Deltas of text."""


class Reader:
    """Reads responses under a watchdog, by the clocks that are used in production."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._limits: dict[tuple[Phase, str], ClockLimits] = {}
        self.read: Callable[[Response], Reading] = lru_cache(MOST_READINGS)(self._read)
        """Return what the client gets of a response. Many are equal."""

    def _read(self, response: Response) -> Reading:
        progress, age, deltas, first = Progress(), 0, 0, None
        for arriving, every, times in response.stretches:
            wait = round(every * _NS)
            # A clock that begins anew with each wait expires in the first one, or in none. One that goes on has expired
            # by the last wait, or it does not expire in this stretch.
            for number in (0, times - 1) if times > 1 else (0,):
                begun = age + number * wait
                if number:
                    _arrive(progress, arriving, begun)
                due = self._due(progress, begun)
                if due is not None and due.left < wait:
                    at = max(age, begun + due.left)
                    if arriving is Arriving.TEXT and at >= age + wait:
                        first = age + wait if first is None else first
                        deltas += (at - age) // wait
                    return _reading(at, Ending(_reason(due.clock, progress)), progress, first, deltas)
            if arriving is Arriving.TEXT:
                first = age + wait if first is None else first
                deltas += times
            age += wait * times
            _arrive(progress, arriving, age)
        return _reading(age, response.ending, progress, first, deltas)

    def _due(self, progress: Progress, age: int) -> Due | None:
        key = progress.phase, progress.block
        limits = self._limits.get(key)
        if limits is None:
            found = limits_for(self._watchdog, *key)
            own = round(READ_TIMEOUT * _NS)
            limits = self._limits[key] = found._replace(silence=min(own, found.silence or own))
        gap = age - progress.waited
        return next_due(limits, age=age, waited=age, gap=gap, event=progress.event, content=progress.content)


def _arrive(progress: Progress, arriving: Arriving, age: int) -> None:
    for kind, data in _FRAMES[arriving]:
        progress.frame(kind, data, age)


def _reason(clock: Clock, progress: Progress) -> AbortReason:
    if clock is Clock.SILENCE and progress.phase is Phase.AWAITING_FIRST_EVENT:
        return AbortReason.FIRST_EVENT_TIMEOUT
    return CLOCK_REASONS[clock]


def _reading(age: int, ending: Ending | None, progress: Progress, first: int | None, deltas: int) -> Reading:
    return Reading(age / _NS, ending, progress.phase, None if first is None else first / _NS, deltas)
