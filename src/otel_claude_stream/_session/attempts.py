"""The account of one call's HTTP requests: those that are over, the one that is under way, and their responses."""

from __future__ import annotations

from typing import NamedTuple

from otel_claude_stream._core.stream.call import Attempt, Reply
from otel_claude_stream._core.vocabulary import AbortReason

_NS = 1_000_000_000


class Totals(NamedTuple):
    """What came so far, over all attempts of a call."""

    bytes: int
    events: int
    characters: int


class Attempts:
    """The requests of one call. Times are nanoseconds of the monotonic clock."""

    __slots__ = ("_before", "_under_way", "_unanswered", "over", "pending", "reply", "said", "started")

    def __init__(self, started: int) -> None:
        self.over: list[Attempt] = []
        self.started = started
        """When the one under way began, or begins once its back-off is over."""
        self.pending: Reply | None = None
        """The response of the one under way, as long as it may lead to a retry."""
        self.reply: Reply | None = None
        """The last response whose body was the stream."""
        self.said = (0, 0)
        """Input tokens (cache included) and output tokens that the one under way has said."""
        self._under_way = True
        """There is one that `over` does not have yet."""
        self._unanswered = False
        """It is a further one of the policy without a response yet: `reply` is that of the one before."""
        self._before = Totals(0, 0, 0)

    @property
    def sent(self) -> int:
        """HTTP requests so far, the one under way included."""
        return len(self.over) + self._under_way

    @property
    def last_reply(self) -> Reply | None:
        """The response that counts: that of the stream, else the one that led to no stream."""
        return self.reply or self.pending

    def take_pending(self) -> Reply | None:
        """The response of the one under way, which is told now."""
        reply, self.pending = self.pending, None
        return reply

    def end(
        self,
        now: int,
        layer: str,
        reply: Reply | None,
        reason: AbortReason | None,
        totals: Totals,
        *,
        delay: float | None = None,
    ) -> Attempt:
        """The one under way is over. `delay` is the back-off, in seconds, of the one that follows; None for none."""
        characters = totals.characters - self._before.characters
        said_input, said_output = self.said
        attempt = Attempt(
            number=len(self.over) + 1,
            started=self.started,
            ended=now,
            layer=layer,
            reply=reply,
            reason=reason,
            delay=delay,
            characters=characters,
            input_tokens=said_input,
            output_tokens=said_output,
        )
        self.over.append(attempt)
        self._before, self.said = totals, (0, 0)
        if delay is not None:
            self.started = now + int(max(delay, 0.0) * _NS)
        return attempt

    def give_up(self) -> None:
        """No other one follows."""
        self._under_way = False

    def follow(self) -> None:
        """A further one of the policy is sent, and has no response yet."""
        self._unanswered = True

    def opened(self, reply: Reply) -> None:
        """The response of the one under way is there, and its body is the stream."""
        self.pending = None
        self._unanswered = False
        self.reply = reply

    def is_under_way(self, now: int) -> bool:
        """Whether one was sent that is not over. In a back-off none was: the caller has left before."""
        return self._under_way and now >= self.started

    @property
    def is_unanswered(self) -> bool:
        """Whether the one under way has no response whose body is the stream."""
        return self.reply is None or self._unanswered

    def of_this_one(self, totals: Totals) -> Totals:
        """What came with the one under way."""
        before = self._before
        return Totals(totals.bytes - before.bytes, totals.events - before.events, totals.characters - before.characters)
