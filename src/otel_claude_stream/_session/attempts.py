"""The HTTP requests of one call: those that are over, the one under way, and their responses."""

from __future__ import annotations

from typing import NamedTuple

from otel_claude_stream._core.diagnosis.classify import Diagnosis
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.stream.usage import NO_USAGE, Usage
from otel_claude_stream._core.summary import Attempt

_NS = 1_000_000_000


class Totals(NamedTuple):
    """Sums over a number of attempts."""

    bytes: int
    events: int
    characters: int


_NOTHING = Totals(0, 0, 0)


class Attempts:
    """The requests of one call. Times are nanoseconds of the monotonic clock."""

    __slots__ = (
        "_before",
        "_unanswered",
        "_under_way",
        "_usage",
        "buffered_events",
        "model",
        "over",
        "pending",
        "read_timeout",
        "reply",
        "started",
    )

    def __init__(self, started: int, read_timeout: float | None) -> None:
        self.over: list[Attempt] = []
        self.started = started
        """When the one under way began, or begins after its back-off."""
        self.read_timeout = read_timeout
        """Seconds after which the transport gives up a read of the body; None for never."""
        self.pending: Reply | None = None
        """The response of the one under way, as long as it may lead to a retry."""
        self.reply: Reply | None = None
        """The last response whose body was the stream."""
        self.buffered_events = 0
        """Events of the one under way that are buffered until its first content."""
        self._usage = NO_USAGE
        """The usage of the one under way, unless it is the first and its message is delivered."""
        self._under_way = True
        """There is one that is not in `over` yet."""
        self._unanswered = False
        """It is a later one of the policy without a response yet, and `reply` belongs to the one before."""
        self._before = _NOTHING
        self.model = ""
        """The model of the one under way, if it is not that of the call."""

    # --- The one under way ---------------------------------------------------------------------------------------
    def answered(self, reply: Reply) -> None:
        """Record a response that may lead to a retry."""
        self.pending = reply

    def opened(self, reply: Reply) -> None:
        """Record the response whose body is the stream."""
        self.pending = None
        self._unanswered = False
        self.reply = reply

    def record_usage(self, found: Usage) -> None:
        """Record the usage in an event of the one under way. That of the first is in its message, once delivered."""
        self._usage = self._usage.updated(found)

    def buffer_event(self) -> None:
        """Count an event of the message that is buffered."""
        self.buffered_events += 1

    def discard_buffer(self) -> None:
        """Record that nothing is buffered any more: it was delivered, or its attempt failed."""
        self.buffered_events = 0

    def take_pending(self) -> Reply | None:
        """Return the response of the one under way, which is reported now."""
        reply, self.pending = self.pending, None
        return reply

    def end(
        self,
        now: int,
        layer: str,
        reply: Reply | None,
        diagnosis: Diagnosis | None,
        totals: Totals,
        *,
        usage: Usage,
        delay: float | None = None,
    ) -> Attempt:
        """Record the end of the one under way. `delay` is the back-off, in seconds, before the next; None for none.

        `totals` and `usage` are those of the message so far, over all attempts.
        """
        attempt = Attempt(
            number=len(self.over) + 1,
            started=self.started,
            ended=now,
            layer=layer,
            reply=reply,
            diagnosis=diagnosis,
            delay=delay,
            characters=totals.characters - self._before.characters,
            usage=self._usage if self.over or usage is NO_USAGE else usage,
            model=self.model,
        )
        self.over.append(attempt)
        self._before, self._usage = totals, NO_USAGE
        if delay is not None:
            self.started = now + int(max(delay, 0.0) * _NS)
        return attempt

    def give_up(self) -> None:
        """Record that no other one follows."""
        self._under_way = False

    def hold(self) -> None:
        """Record that the one under way is not sent yet, since it waits for a permit."""
        self._under_way = False

    def admitted(self, now: int) -> None:
        """Record that the one that waited for a permit begins."""
        self._under_way = True
        self.started = now

    def follow(self, model: str) -> None:
        """Record that the policy sends another one, which has no response yet; `model` if it is another one."""
        self._unanswered = True
        self.model = model or self.model
        self.discard_buffer()

    # --- All of them ---------------------------------------------------------------------------------------------
    @property
    def sent(self) -> int:
        """HTTP requests so far, including the one under way."""
        return len(self.over) + self._under_way

    @property
    def last_reply(self) -> Reply | None:
        """The response of the stream, or else the one that led to no stream."""
        return self.reply or self.pending

    @property
    def is_unanswered(self) -> bool:
        """Whether the one under way has no response whose body is the stream."""
        return self.reply is None or self._unanswered

    def is_under_way(self, now: int) -> bool:
        """Whether one was sent that is not over. During a back-off none was."""
        return self._under_way and now >= self.started

    def of_current(self, totals: Totals) -> Totals:
        """Return what the one under way brought."""
        before = self._before
        return Totals(totals.bytes - before.bytes, totals.events - before.events, totals.characters - before.characters)
