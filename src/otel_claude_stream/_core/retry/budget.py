"""How many retries a process may still make: a share of its recent calls, and a floor.

During an incident each client that retries makes it worse; a share of the calls bounds what all of them add (Finagle's
and Linkerd's retry budgets). An empty budget holds back retries alone, never a first attempt.

Times are nanoseconds of a monotonic clock, as everywhere in the core.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

from otel_claude_stream._core.retry.policy import Budget, Scope

BUCKETS = 12
"""Parts of a window. One more or less of them is what the window is uncertain by: 8 %."""

MAX_KEYS = 256
"""Hosts and models come from requests: further ones share one budget, so that memory is bounded."""

BudgetKey: TypeAlias = tuple[str, str]
"""Host and model; empty where the scope leaves it out."""

OVERFLOW: BudgetKey = ("other", "other")
"""What streams count under once there are too many keys: the budget of the first that came too late holds for all."""


def key_of(scope: Scope, host: str, model: str) -> BudgetKey:
    """Which budget a stream counts in."""
    if scope is Scope.HOST_MODEL:
        return (host, model)
    return (host, "") if scope is Scope.HOST else ("", "")


_RING = BUCKETS + 1
"""A window of whole buckets, and the one before it that it still reaches into."""


class RetryBudget:
    """The account of one key: a sliding window of buckets. `RetryBudgets` makes it safe for threads.

    Whenever a retry is granted, those of the window that ends there, itself included, are at most ``ratio * first
    attempts of that window + floor``. To hold that with buckets, first attempts count for up to a bucket less than the
    window, and retries for up to a bucket more.
    """

    __slots__ = ("_firsts", "_newest", "_retries", "_size", "budget")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._size = max(1, round(budget.window * 1e9 / BUCKETS))
        self._newest = 0
        self._firsts = [0] * _RING
        self._retries = [0] * _RING

    def first(self, now: int) -> None:
        """Count a call: its first attempt, which is never held back."""
        self._firsts[self._bucket(now)] += 1

    def take(self, now: int) -> bool:
        """Take a token for one retry. False: there is none, and nothing is counted."""
        if self.left(now) < 1.0:
            return False
        self._retries[self._newest % _RING] += 1
        return True

    def left(self, now: int) -> float:
        """Retries that could be taken now, fractions included."""
        at = self._bucket(now)
        return max(0.0, self._allowed(at) - sum(self._retries))

    def _allowed(self, at: int) -> float:
        """Retries that the first attempts of the window allow; its oldest bucket is only partly inside."""
        firsts = sum(self._firsts) - self._firsts[(at + 1) % _RING]
        return self.budget.ratio * firsts + self.budget.min_per_window

    def _bucket(self, now: int) -> int:
        """Move the window on to `now`, and say which bucket that is.

        A clock that goes back a little counts in the newest bucket. One that goes back by more than the window is
        another clock: the account begins anew, rather than to stand still until that clock has caught up.
        """
        number = now // self._size
        passed = number - self._newest
        if abs(passed) > BUCKETS:
            self._firsts = [0] * _RING
            self._retries = [0] * _RING
            self._newest = number
        elif passed > 0:
            for emptied in range(self._newest + 1, number + 1):
                self._firsts[emptied % _RING] = 0
                self._retries[emptied % _RING] = 0
            self._newest = number
        return self._newest % _RING


class RetryBudgets:
    """The budgets of a process, by key. Safe for threads; call `reset` in a forked child.

    The lock comes in as a value, like time: `threading.RLock` itself, say. A re-entrant one, since a finaliser may run
    in the middle of a count.
    """

    __slots__ = ("_budgets", "_lock", "_new_lock")

    def __init__(self, new_lock: Callable[[], AbstractContextManager[object]]) -> None:
        self._new_lock = new_lock
        self._lock = new_lock()
        self._budgets: dict[tuple[BudgetKey, Budget | None], RetryBudget] = {}

    def first(self, key: BudgetKey, budget: Budget, now: int) -> None:
        """Count a call. Policies whose budgets differ are counted apart, even where their keys are equal."""
        with self._lock:
            self._of(key, budget).first(now)

    def take(self, key: BudgetKey, budget: Budget, now: int) -> bool:
        """Take a token for one retry. False: there is none."""
        with self._lock:
            return self._of(key, budget).take(now)

    def left(self, key: BudgetKey, budget: Budget, now: int) -> float:
        """Retries that could be taken now, fractions included."""
        with self._lock:
            return self._of(key, budget).left(now)

    def all_left(self, now: int) -> list[tuple[BudgetKey, float]]:
        """What is left of each budget that was ever used, for a gauge; the least where several share a key."""
        found: dict[BudgetKey, float] = {}
        with self._lock:
            for (key, _), account in self._budgets.items():
                found[key] = min(found.get(key, float("inf")), account.left(now))
        return list(found.items())

    def reset(self) -> None:
        """Forget everything: a forked child has made no calls, and a lock that another thread held stays held."""
        self._lock = self._new_lock()
        self._budgets = {}

    def _of(self, key: BudgetKey, budget: Budget) -> RetryBudget:
        found = self._budgets.get((key, budget))
        if found is None:
            full = len(self._budgets) >= MAX_KEYS
            found = self._budgets.setdefault((OVERFLOW, None) if full else (key, budget), RetryBudget(budget))
        return found
