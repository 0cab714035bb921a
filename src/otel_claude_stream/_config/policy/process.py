"""The policy of the process, which is loaded once, on first use."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from otel_claude_stream._config.policy.kill_switch import VARIABLE as KILL_SWITCH
from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import OTHER_VARIABLES, PREFIX, SETTINGS
from otel_claude_stream._core.retry.policy import RetryPolicy

if TYPE_CHECKING:
    from otel_claude_stream._config.policy.loading import Loaded

_NOT_POLICY = frozenset(
    {
        KILL_SWITCH,
        *(setting.variable for setting in SETTINGS),
        *(PREFIX + name for name in OTHER_VARIABLES - {"CONFIG"}),
    }
)
"""Variables that do not require loading a policy. The kill switch is read for each stream instead."""


class PolicySource:
    """The sources of the policy of a process. Nothing is read before `load`."""

    def __init__(self, environment: Mapping[str, str], argument: object = None, declared: object = None) -> None:
        self.environment = environment
        self.argument = argument
        self.declared = declared
        # Re-entrant, since a garbage collection may run code of the application while the lock is held.
        self._lock = threading.RLock()
        self._loaded: Loaded | None = None

    def loaded(self) -> Loaded:
        """Load the policy on the first call, and return it with its layers."""
        from otel_claude_stream._config.policy.loading import load

        with self._lock:
            if self._loaded is None:
                self._loaded = load(self.environment, self.argument, declared=self.declared)
            return self._loaded

    def load(self) -> tuple[RetryPolicy, tuple[Problem, ...]]:
        """Return the policy and all problems. Never raises."""
        if self.argument is None and self.declared is None and not self.environment:
            return RetryPolicy(), ()
        found = self.loaded()
        return found.policy, found.problems


def policy_source(environment: Mapping[str, str], argument: object = None, *, declared: object = None) -> PolicySource:
    """Return the source of the policy of a process.

    Args:
        environment: The variables of the process. They are copied, so that later changes have no effect.
        argument: The policy that code passed to `instrument()`.
        declared: The policy of a declarative configuration file.
    """
    configured = any(name.startswith(PREFIX) and name not in _NOT_POLICY for name in environment)
    if configured or argument is not None or declared is not None:
        return PolicySource(dict(environment), argument, declared)
    return PolicySource({})
