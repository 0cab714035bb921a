"""The policy of each call, and the retry budgets of the process."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.retry.budget import MAX_KEYS, BudgetKey, RetryBudgets, key_of
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy
from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._session.call_policy import BudgetTokens, CallPolicy
from otel_claude_stream._telemetry import attributes as a

_budgets = RetryBudgets(threading.RLock)
"""The budgets of the process, which all instrumentations and clients share."""

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_budgets.reset)


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

    @property
    def active(self) -> bool:
        """Whether the policy does more than observe, for some model."""
        policies = (self._policy, *(policy for _, policy in self._policy.models))
        return any(policy.mode is not Mode.OBSERVE for policy in policies)

    def call_policy(
        self,
        call: Call,
        labels: dict[str, Any],
        fallback_for: Callable[[Sequence[str]], str],
        *,
        measured: bool = True,
    ) -> CallPolicy:
        """Return the policy of a call that begins now.

        Args:
            call: The call.
            labels: Those of its metrics, if they are `measured`.
            fallback_for: Returns the first of some models that takes the request, empty if none does. It is called at
                the first failure only.
            measured: Whether the call has metrics.
        """
        override = self._override() if self._override is not None else None
        policy = (override or self._policy).for_model(call.model)
        models = policy.fallbacks_for(call.model)
        fallback = partial(fallback_for, models) if models else None
        if policy.mode is Mode.OBSERVE or policy.kill_switch:
            if models:
                return CallPolicy(policy, tokens=None, random=self._chance, find_fallback=fallback)
            return self._observed(policy)
        if self._killed is not None and self._killed():
            return CallPolicy(policy, tokens=None, random=self._chance, killed=True, find_fallback=fallback)
        # Those of the caller are taken from the metrics, where they have a bounded number of values.
        of_caller = tuple(pair for pair in labels.items() if pair[0] not in _CALL) if call.labels else ()
        key = key_of(policy.budget.scope, call.server_address, call.model, of_caller)
        if measured and key not in self._labels and len(self._labels) < MAX_KEYS:
            named = {name: labels[name] for name, part in zip(_CALL, key, strict=False) if part}
            self._labels[key] = {**named, **dict(key[2])}
        tokens = BudgetTokens(_budgets, key, policy.budget, self._clock)
        tokens.first()
        return CallPolicy(policy, tokens=tokens, random=self._chance, find_fallback=fallback)

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


_CALL = (a.SERVER_ADDRESS.name, a.REQUEST_MODEL.name)
"""The labels of a budget that are not the caller's, in the order of its key."""
_MAX_OBSERVED = 64
"""Most policies whose shared object is kept. Code around calls may create a new policy each time."""
