"""The concurrency limiter. It bounds the number of open requests; further ones wait in the order of arrival.

An adaptive limit begins at its ceiling. A rejection lowers it to a share of the open requests (multiplicative
decrease). As many accepted requests as the limit raise it by one (additive increase). After a while without a
rejection they raise it faster.

Times are nanoseconds of a monotonic clock, as everywhere in the core.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from otel_claude_stream._core.diagnosis.classify import Diagnosis
from otel_claude_stream._core.durations import format_duration
from otel_claude_stream._core.retry.budget import MAX_KEYS, OVERFLOW, BudgetKey
from otel_claude_stream._core.retry.policy import AUTO, MAX_CONCURRENCY, Concurrency
from otel_claude_stream._core.vocabulary import AbortReason

DECREASE = 0.9
"""The factor of a decrease, as in Netflix's concurrency-limits. Streams are long, so a limit takes long to regain."""
QUIET_NS = 2_000_000_000
"""The time without a decrease after which the limit grows faster, since the overload may be over."""
FAST_SHARE = 10
"""Each accepted request then raises the limit by the tenth part of it."""


def is_pushback(found: Diagnosis) -> bool:
    """Whether a failure shows that fewer requests should be open. A 429 without `retry-after` is a spend limit."""
    reason = found.verdict.reason
    limited = reason is AbortReason.RATE_LIMITED and found.facts.retry_after is not None
    return limited or reason is AbortReason.OVERLOADED


class AdaptiveLimit:
    """The number of requests that may be open, from 1 to `MAX_CONCURRENCY`."""

    __slots__ = ("_decreased_at", "value")

    def __init__(self) -> None:
        self.value = float(MAX_CONCURRENCY)
        self._decreased_at: int | None = None

    def may_grow(self, in_flight: int) -> bool:
        """Whether it was lowered, and the requests in flight use it."""
        return self._decreased_at is not None and in_flight >= int(self.value)

    def accepted(self, now: int, in_flight: int) -> None:
        """Raise the limit after a request was accepted, if it may grow."""
        if self._decreased_at is None or not self.may_grow(in_flight):
            return
        quiet = abs(now - self._decreased_at) > QUIET_NS  # if the clock went back, it is another one
        step = max(1.0, self.value / FAST_SHARE) if quiet else 1.0 / self.value
        self.value = min(float(MAX_CONCURRENCY), self.value + step)

    def rejected(self, now: int, in_flight: int, started: int) -> None:
        """Lower the limit after a request was rejected that began at `started`.

        A request that began before the last decrease was sent under the old limit, and lowers it no further.
        """
        since = self._decreased_at
        if since is None or started >= since or now < since:
            self.value = max(1.0, min(self.value, float(in_flight)) * DECREASE)
            self._decreased_at = now


class WaitLimit(NamedTuple):
    """A limit on the wait for a permit."""

    left: float
    """Seconds of it that are left."""
    name: str
    total: float
    """Seconds of it from its start."""


_QUEUE = "concurrency.queue"


def longest_wait(concurrency: Concurrency, deadline: float | None, age: float, read_timeout: float | None) -> WaitLimit:
    """Return the shortest of the limits on the wait of a call that began `age` seconds ago."""
    limits = [WaitLimit(concurrency.queue, _QUEUE, concurrency.queue)]
    if read_timeout is not None:
        timeout = max(0.0, read_timeout)
        limits.append(WaitLimit(timeout, "the read timeout of the client or the request", timeout))
    if deadline is not None:
        limits.append(WaitLimit(max(0.0, deadline - age), "limits.deadline", deadline))
    return min(limits, key=lambda limit: limit.left)


def no_permit(concurrency: Concurrency, limit: WaitLimit, most: int) -> str:
    """Return the message for a call that got no permit: `limit` ended its wait, with `most` open requests."""
    within = f"{limit.name} ({format_duration(limit.total)})"
    if limit.name != _QUEUE:
        within += f", which ends the wait before {_QUEUE} ({format_duration(concurrency.queue)})"
    return (
        f"No request was sent: no permit became free within {within}, with at most {most} open requests "
        f"(concurrency.max). Send fewer calls at once, or raise {limit.name} or concurrency.max."
    )


class Permit:
    """The permit of one request: waiting, granted, or returned."""

    __slots__ = ("granted", "returned", "started", "wake")

    def __init__(self) -> None:
        self.granted = False
        self.returned = False
        """It is granted no more, or never will be."""
        self.started = 0
        """The time at which its request began."""
        self.wake: Callable[[], object] | None = None
        """Called in any thread when it is granted. Must not block or raise."""

    def wake_by(self, wake: Callable[[], object]) -> None:
        """Set what is called when it is granted. It is called at once if that has happened."""
        self.wake = wake
        if self.granted:
            wake()

    def grant(self, now: int) -> None:
        """Let its request begin."""
        self.started = now
        self.granted = True

    def begin_again(self, now: int) -> None:
        """Record that another request may begin with it."""
        self.started = now

    def give_back(self) -> None:
        """Mark it as returned."""
        self.returned = True


_Change = Callable[[Permit, int], None]


class Limiter:
    """The permits of one key. Safe for threads, and for finalisers that strike in the middle of a change.

    Nothing here waits for a lock. Each change goes into a queue. One thread applies them all, and a second one leaves
    its own to that thread. Changes may be applied twice, after an interrupt, and have the same effect.
    """

    __slots__ = ("_adaptive", "_changes", "_granted", "_most", "_owner", "_waiting")

    def __init__(self, concurrency: Concurrency) -> None:
        self._adaptive = AdaptiveLimit() if concurrency.max == AUTO else None
        self._most = concurrency.max if isinstance(concurrency.max, int) else MAX_CONCURRENCY
        self._changes: deque[tuple[_Change, Permit, int]] = deque()
        self._owner: dict[str, object] = {}  # `setdefault` is atomic: one thread applies changes
        self._granted: set[Permit] = set()
        self._waiting: OrderedDict[Permit, None] = OrderedDict()

    @property
    def limit(self) -> int:
        """The number of requests that may be open now."""
        return self._most if self._adaptive is None else int(self._adaptive.value)

    @property
    def in_flight(self) -> int:
        """The number of requests that are open."""
        return len(self._granted)

    @property
    def queued(self) -> int:
        """The number of requests that wait."""
        return len(self._waiting)

    def enter(self, permit: Permit, now: int) -> None:
        """Ask for a permit. It is granted at once, or when those before it have been and one is free."""
        self._change(self._enter, permit, now)

    def enter_anyway(self, permit: Permit, now: int) -> bool:
        """Take a permit without waiting. Return whether there was a free one."""
        free = self.in_flight < self.limit
        self._change(self._grant, permit, now)
        return free

    def accepted(self, permit: Permit, now: int) -> None:
        """Record that the API accepted a request."""
        if self._adaptive is not None and self._adaptive.may_grow(self.in_flight):  # without a change in most calls
            self._change(self._accepted, permit, now)

    def rejected(self, permit: Permit, now: int) -> None:
        """Record that the API rejected a request, since it is overloaded or limits the rate."""
        if self._adaptive is not None:
            self._change(self._rejected, permit, now)

    def leave(self, permit: Permit, now: int) -> None:
        """Return a permit, or give up waiting for it. Any further return has no effect."""
        if not permit.returned:
            permit.give_back()
            self._change(self._leave, permit, now)

    # --- Changes -------------------------------------------------------------------------------------------------
    def _change(self, change: _Change, permit: Permit, now: int) -> None:
        """Apply a change, and those that others leave to this thread meanwhile."""
        changes, owner, this = self._changes, self._owner, object()
        changes.append((change, permit, now))
        while changes:
            try:
                if owner.setdefault("owner", this) is this:
                    while changes:
                        change, permit, now = changes[0]
                        change(permit, now)
                        if self._waiting:
                            self._grant_waiting(now)
                        changes.popleft()
                else:  # another thread, or this one below the finaliser that runs now, goes on with them
                    changes = deque()
            finally:
                try:  # no call here: an interrupt could strike after it, and nothing would be granted any more
                    if owner["owner"] is this:
                        del owner["owner"]
                except KeyError:  # it was another thread, which is done
                    pass

    def _enter(self, permit: Permit, _: int) -> None:
        if permit not in self._granted and not permit.returned:
            self._waiting[permit] = None

    def _grant(self, permit: Permit, now: int) -> None:
        if not permit.returned:
            self._granted.add(permit)
            permit.grant(now)

    def _leave(self, permit: Permit, _: int) -> None:
        self._granted.discard(permit)
        self._waiting.pop(permit, None)

    def _accepted(self, permit: Permit, now: int) -> None:
        if self._adaptive is not None and permit in self._granted:
            self._adaptive.accepted(now, self.in_flight)

    def _rejected(self, permit: Permit, now: int) -> None:
        if self._adaptive is not None and permit in self._granted:
            self._adaptive.rejected(now, self.in_flight, permit.started)
            permit.begin_again(now)  # the SDK may send it again

    def _grant_waiting(self, now: int) -> None:
        while self._waiting and len(self._granted) < self.limit:
            permit = next(iter(self._waiting))
            self._grant(permit, now)
            del self._waiting[permit]
            if permit.wake is not None:
                permit.wake()


class Limiters:
    """The limiters of a process, by key. Call `reset` in a forked child."""

    __slots__ = ("_limiters",)

    def __init__(self) -> None:
        self._limiters: dict[tuple[BudgetKey, Concurrency | None], Limiter] = {}

    def limiter(self, key: BudgetKey, concurrency: Concurrency) -> Limiter:
        """Return the limiter of a key. Policies with different limits have different ones, even for the same key."""
        found = self._limiters.get((key, concurrency))
        if found is None:
            full = len(self._limiters) >= MAX_KEYS
            found = self._limiters.setdefault((OVERFLOW, None) if full else (key, concurrency), Limiter(concurrency))
        return found

    def by_key(self) -> list[tuple[BudgetKey, Limiter]]:
        """Return the limiters in use, for gauges."""
        return [(key, limiter) for (key, _), limiter in list(self._limiters.items())]

    def reset(self) -> None:
        """Discard all limiters. A forked child has no open requests, and no thread that would go on with a change."""
        self._limiters = {}
