"""The retry budget. A process may make as many retries as a share of its recent calls, plus a floor.

In an incident, every client that retries adds load. A share of the calls bounds that load (retry budgets of Finagle
and Linkerd). An empty budget prevents retries only, never a first attempt.

Times are nanoseconds of a monotonic clock, as everywhere in the core.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

from otel_claude_stream._core.retry.policy import Budget, Scope

BUCKETS = 12
"""Parts of a window. The length of the window is uncertain by one of them, 8 %."""

MAX_KEYS = 256
"""Hosts, models and labels come from callers. Further keys share one budget, so that memory is bounded."""

Pairs: TypeAlias = tuple[tuple[str, str], ...]
BudgetKey: TypeAlias = tuple[str, str, Pairs]
"""Host, model and labels of the caller, each empty if the scope excludes it."""

OVERFLOW: BudgetKey = ("other", "other", ())
"""The key for all streams beyond `MAX_KEYS`. The first of them sets the budget for all."""


def key_of(scope: Scope, host: str, model: str, labels: Pairs = ()) -> BudgetKey:
    """Return the key of the budget that a stream counts in. The name of a scope lists the parts of its keys."""
    parts = scope.value.split("_")
    return (host if "host" in parts else "", model if "model" in parts else "", labels if "label" in parts else ())


_RING_SIZE = BUCKETS + 1
"""The buckets of a window, and the one before that the window still overlaps."""


class RetryBudget:
    """The budget of one key, as a sliding window of buckets. `RetryBudgets` makes it safe for threads.

    When a retry is granted, the window that ends there holds at most ``ratio * calls + floor`` retries, with this one.
    To guarantee that with buckets, calls count for up to a bucket less than the window, and retries for up to a bucket
    more.
    """

    __slots__ = ("_bucket_size", "_calls", "_newest", "_retries", "budget")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._bucket_size = max(1, round(budget.window * 1e9 / BUCKETS))
        self._newest = 0
        self._calls = [0] * _RING_SIZE
        self._retries = [0] * _RING_SIZE

    def count_call(self, now: int) -> None:
        """Count a call. Its first attempt needs no token."""
        self._calls[self._bucket(now)] += 1

    def take(self, now: int) -> bool:
        """Take a token for one retry. Return False, and count nothing, if there is none."""
        if self.remaining(now) < 1.0:
            return False
        self._retries[self._newest % _RING_SIZE] += 1
        return True

    def remaining(self, now: int) -> float:
        """Return how many retries could be taken now, fractions included."""
        bucket = self._bucket(now)
        return max(0.0, self._limit(bucket) - sum(self._retries))

    def _limit(self, bucket: int) -> float:
        """Return the retries that the window allows, without its oldest bucket, which it only overlaps."""
        calls = sum(self._calls) - self._calls[(bucket + 1) % _RING_SIZE]
        return self.budget.ratio * calls + self.budget.min_per_window

    def _bucket(self, now: int) -> int:
        """Move the window to `now` and return the index of its bucket.

        If the clock goes back a little, the newest bucket counts. If it goes back by more than the window, it is
        another clock. The budget then starts again, instead of standing still until that clock has caught up.
        """
        newest = now // self._bucket_size
        passed = newest - self._newest
        if abs(passed) > BUCKETS:
            self._calls = [0] * _RING_SIZE
            self._retries = [0] * _RING_SIZE
            self._newest = newest
        elif passed > 0:
            for skipped in range(self._newest + 1, newest + 1):
                self._calls[skipped % _RING_SIZE] = 0
                self._retries[skipped % _RING_SIZE] = 0
            self._newest = newest
        return self._newest % _RING_SIZE


class RetryBudgets:
    """The budgets of a process, by key. Safe for threads. Call `reset` in a forked child.

    `new_lock` makes a re-entrant lock, such as `threading.RLock`, since a finaliser may run in the middle of a count.
    """

    __slots__ = ("_budgets", "_lock", "_new_lock")

    def __init__(self, new_lock: Callable[[], AbstractContextManager[object]]) -> None:
        self._new_lock = new_lock
        self._lock = new_lock()
        self._budgets: dict[tuple[BudgetKey, Budget | None], RetryBudget] = {}

    def count_call(self, key: BudgetKey, budget: Budget, now: int) -> None:
        """Count a call. Policies with different budgets are counted apart, even for the same key."""
        with self._lock:
            self._budget_of(key, budget).count_call(now)

    def take(self, key: BudgetKey, budget: Budget, now: int) -> bool:
        """Take a token for one retry. Return False if there is none."""
        with self._lock:
            return self._budget_of(key, budget).take(now)

    def remaining(self, key: BudgetKey, budget: Budget, now: int) -> float:
        """Return how many retries could be taken now, fractions included."""
        with self._lock:
            return self._budget_of(key, budget).remaining(now)

    def remaining_by_key(self, now: int) -> list[tuple[BudgetKey, float]]:
        """Return the remaining retries of each budget in use, for a gauge. For a shared key the least counts."""
        found: dict[BudgetKey, float] = {}
        with self._lock:
            for (key, _), account in self._budgets.items():
                found[key] = min(found.get(key, float("inf")), account.remaining(now))
        return list(found.items())

    def reset(self) -> None:
        """Discard all counts. A forked child has made no calls, and a lock that another thread held stays locked."""
        self._lock = self._new_lock()
        self._budgets = {}

    def _budget_of(self, key: BudgetKey, budget: Budget) -> RetryBudget:
        found = self._budgets.get((key, budget))
        if found is None:
            full = len(self._budgets) >= MAX_KEYS
            found = self._budgets.setdefault((OVERFLOW, None) if full else (key, budget), RetryBudget(budget))
        return found
