"""The permits of one call, from a concurrency limiter of the process. A request has one until its stream ends."""

from __future__ import annotations

from collections.abc import Callable

from otel_claude_stream import _guard
from otel_claude_stream._core.retry.budget import BudgetKey
from otel_claude_stream._core.retry.concurrency import Limiters, Permit
from otel_claude_stream._core.retry.policy import Concurrency
from otel_claude_stream._core.summary import QueueOutcome
from otel_claude_stream._session.attempts import Attempts

_NS = 1_000_000_000


class CallPermits:
    """The permits of one call, one at a time. During a back-off it has none.

    `record_wait` records the seconds of a wait and its outcome.
    """

    __slots__ = ("_asked_at", "_clock", "_concurrency", "_key", "_limit", "_limiters", "_permit", "_record", "_waited")

    def __init__(
        self,
        limiters: Limiters,
        key: BudgetKey,
        concurrency: Concurrency,
        clock: Callable[[], int],
        record_wait: Callable[[float, str], object],
    ) -> None:
        self._limiters = limiters
        self._key = key
        self._concurrency = concurrency
        self._clock = clock
        self._record = record_wait
        self._permit: Permit | None = None
        self._limit = limiters.limiter(key, concurrency)
        self._asked_at: int | None = None
        """When the wait began that goes on."""
        self._waited: int | None = 0
        """All waits that are over; None if nothing may wait, and the request would have."""

    def __del__(self) -> None:
        """Return the permit of a call that did not end. No session does so; a failure of this package might."""
        self.leave()

    # --- Waiting -------------------------------------------------------------------------------------------------
    def ask(self, attempts: Attempts) -> bool:
        """Ask for a permit for the next request. Return False if it has to wait."""
        permit = self._permit
        if permit is not None and permit.granted and not permit.returned:
            return True
        now = self._clock()
        self._permit = permit = Permit()
        self._limit.enter(permit, now)
        if permit.granted:
            self._record(0.0, "admitted")
        else:
            self._asked_at = now
            attempts.hold()
        return permit.granted

    def take_anyway(self) -> None:
        """Take a permit in a dry run, in which nothing waits."""
        self._permit = Permit()
        free = self._limit.enter_anyway(self._permit, self._clock())
        self._waited = 0 if free else None
        self._record(0.0, "admitted" if free else "would_wait")

    def wake_by(self, wake: Callable[[], object]) -> None:
        """Set what is called when the permit is granted, in any thread. It is called at once if that has happened."""
        if self._permit is not None:
            self._permit.wake_by(wake)

    def wait_over(self, attempts: Attempts, *, left: bool) -> bool:
        """Record the end of a wait, maybe since the caller `left`. Return whether there is a permit.

        Without one, the request leaves the queue.
        """
        now, granted = self._clock(), self._permit is not None and self._permit.granted and not left
        self._end_wait(now, "left" if left else "admitted" if granted else "expired")
        if granted:
            attempts.admitted(now)
        else:
            self.leave()
        return granted

    def _end_wait(self, now: int, outcome: str) -> None:
        if self._asked_at is not None:
            waited, self._asked_at = now - self._asked_at, None
            self._waited = (self._waited or 0) + waited
            self._record(waited / _NS, outcome)

    @property
    def waiting(self) -> float | None:
        """Seconds for which the request has been waiting; None if it is not."""
        asked_at = self._asked_at
        return (self._clock() - asked_at) / _NS if asked_at is not None else None

    @property
    def queued(self) -> int:
        """The number of requests that wait for a permit of the same limiter."""
        return self._limit.queued

    @property
    def unserved(self) -> bool:
        """Whether the last request got no permit."""
        return self._permit is not None and not self._permit.granted

    @property
    def outcome(self) -> QueueOutcome:
        """The limit and the waits, for the summary."""
        would_wait = self._waited is None
        wait = None if would_wait or self._permit is None else (self._waited or 0) / _NS + (self.waiting or 0.0)
        return QueueOutcome(self._limit.limit, wait, would_wait)

    # --- The request ---------------------------------------------------------------------------------------------
    def accepted(self) -> None:
        """Record that the API accepted the request."""
        if self._permit is not None:
            self._limit.accepted(self._permit, self._clock())

    def rejected(self) -> None:
        """Record that the API rejected the request, since it is overloaded or limits the rate."""
        if self._permit is not None:
            self._limit.rejected(self._permit, self._clock())

    def back_off(self, model: str) -> None:
        """Return the permit until the next request, which is for another model if one is named."""
        self.leave()
        host, own, labels = self._key
        if model and own:
            self._key = (host, model, labels)
            self._limit = self._limiters.limiter(self._key, self._concurrency)

    @_guard.guarded("permit", None)
    def leave(self) -> None:
        """Return the permit, or leave the queue. Called in any thread, and inside a garbage collection."""
        permit = self._permit
        if permit is not None and not permit.returned:
            now = self._clock()
            self._end_wait(now, "left")
            self._limit.leave(permit, now)
