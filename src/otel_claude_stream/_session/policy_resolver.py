"""The policy of each call, and the retry budgets of the process."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.retry.budget import MAX_KEYS, BudgetKey, RetryBudgets, key_of
from otel_claude_stream._core.retry.concurrency import Limiter, Limiters
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy, Scope
from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._session.call_policy import BudgetTokens, CallPolicy
from otel_claude_stream._session.permits import CallPermits
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Metric

_budgets = RetryBudgets(threading.RLock)
"""The budgets of the process, which all instrumentations and clients share."""

_limiters = Limiters()
"""The concurrency limiters of the process, which are shared likewise."""

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_budgets.reset)
    os.register_at_fork(after_in_child=_limiters.reset)


class PolicyResolver:
    """The policies of one instrumentation.

    Args:
        policy: The policy of calls without an override.
        override: Returns the policy that the code around the current call has set; None for none.
        killed: Whether the kill switch is on now.
        clock: The monotonic clock, in nanoseconds.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        override: Callable[[], RetryPolicy | None] | None = None,
        killed: Callable[[], bool] | None = None,
        clock: Callable[[], int],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._override = override
        self._killed = killed
        self._clock = clock
        self._chance = chance
        self._observing: dict[int, tuple[RetryPolicy, CallPolicy]] = {}
        self._labels: dict[BudgetKey, dict[str, Any]] = {}

    def observed(self) -> dict[Metric, Callable[[], Iterable[tuple[float, dict[str, Any]]]]]:
        """Return what reads the figures of budgets and limiters, for those that the policy has for some model."""
        policies = (self._policy, *(policy for _, policy in self._policy.models))
        found: dict[Metric, Callable[[], Iterable[tuple[float, dict[str, Any]]]]] = {}
        if any(policy.mode is not Mode.OBSERVE for policy in policies):
            found[schema.RETRY_BUDGET] = self.left
        if any(policy.concurrency.max is not None for policy in policies):
            found[schema.CONCURRENCY_LIMIT] = lambda: self._concurrency(lambda limiter: limiter.limit)
            found[schema.CONCURRENCY_IN_FLIGHT] = lambda: self._concurrency(lambda limiter: limiter.in_flight)
            found[schema.CONCURRENCY_QUEUED] = lambda: self._concurrency(lambda limiter: limiter.queued)
        return found

    def call_policy(
        self,
        call: Call,
        labels: dict[str, Any],
        fallback_finder: Callable[[Sequence[str]], Callable[[], str] | None],
        *,
        measured: bool = True,
        record_wait: Callable[[float, str], object] = lambda *_: None,
    ) -> CallPolicy:
        """Return the policy of a call that begins now.

        Args:
            call: The call.
            labels: Those of its metrics, if they are `measured`.
            fallback_finder: Returns what looks for the first of some models that takes the request, at the first
                failure. It is called if the policy has such models.
            measured: Whether the call has metrics.
            record_wait: Records the seconds of a wait for a permit, and its outcome.
        """
        override = self._override() if self._override is not None else None
        policy = (override or self._policy).for_model(call.model)
        models = policy.fallbacks_for(call.model)
        fallback = fallback_finder(models) if models else None
        permits, concurrency = None, policy.concurrency
        if concurrency.max is not None:
            key = self._key(concurrency.scope, call, labels, measured=measured)
            permits = CallPermits(_limiters, key, concurrency, self._clock, record_wait)
        observes = policy.mode is Mode.OBSERVE or policy.kill_switch
        killed = not observes and self._killed is not None and self._killed()
        if observes or killed:
            if not killed and not models and permits is None:
                return self._observed(policy)
            if permits is not None:
                permits.take_anyway()
            return CallPolicy(
                policy, tokens=None, random=self._chance, killed=killed, find_fallback=fallback, permits=permits
            )
        key = self._key(policy.budget.scope, call, labels, measured=measured)
        tokens = BudgetTokens(_budgets, key, policy.budget, self._clock)
        tokens.first()
        return CallPolicy(policy, tokens=tokens, random=self._chance, find_fallback=fallback, permits=permits)

    def _key(self, scope: Scope, call: Call, labels: dict[str, Any], *, measured: bool) -> BudgetKey:
        # Those of the caller are taken from the metrics, where they have a bounded number of values.
        of_caller = tuple(pair for pair in labels.items() if pair[0] not in _CALL) if call.labels else ()
        key = key_of(scope, call.server_address, call.model, of_caller)
        if measured and key not in self._labels and len(self._labels) < MAX_KEYS:
            named = {name: labels[name] for name, part in zip(_CALL, key, strict=False) if part}
            self._labels[key] = {**named, **dict(key[2])}
        return key

    def _observed(self, policy: RetryPolicy) -> CallPolicy:
        """Return the policy that all observed calls share, since nothing is counted on it."""
        found = self._observing.get(id(policy))
        if found is None or found[0] is not policy:
            call_policy = CallPolicy(policy, tokens=None, random=self._chance)
            if len(self._observing) > _MAX_OBSERVED:
                self._observing.clear()
            found = self._observing[id(policy)] = (policy, call_policy)
        return found[1]

    @_guard.guarded("budget", ())
    def left(self) -> Iterable[tuple[float, dict[str, Any]]]:
        """Return what is left of each budget by labels. If several have the same labels, it is the least."""
        found: dict[tuple[Any, ...], tuple[float, dict[str, Any]]] = {}
        for key, left in _budgets.remaining_by_key(self._clock()):
            labels = self._labels.get(key)
            if labels is not None:
                same = tuple(labels.items())
                found[same] = (min(left, found[same][0]) if same in found else left, labels)
        return list(found.values())

    @_guard.guarded("permit", ())
    def _concurrency(self, figure: Callable[[Limiter], int]) -> Iterable[tuple[float, dict[str, Any]]]:
        """Return a figure of each limiter by labels. If several have the same labels, it is the sum."""
        found: dict[tuple[Any, ...], tuple[float, dict[str, Any]]] = {}
        for key, limiter in _limiters.by_key():
            labels = self._labels.get(key)
            if labels is not None:
                same = tuple(labels.items())
                found[same] = (found.get(same, (0,))[0] + figure(limiter), labels)
        return list(found.values())


_CALL = (a.SERVER_ADDRESS.name, a.REQUEST_MODEL.name)
"""The labels of a budget that are not the caller's, in the order of its key."""
_MAX_OBSERVED = 64
"""Most policies whose shared object is kept. Code around calls may create a new policy each time."""
