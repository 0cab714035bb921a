"""The policy of a process, loaded once, when it is first asked for."""

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

_OTHERS = frozenset(
    {
        KILL_SWITCH,
        *(setting.variable for setting in SETTINGS),
        *(PREFIX + name for name in OTHER_VARIABLES - {"CONFIG"}),
    }
)
"""Variables that say nothing about a policy, or (the kill switch) are read at each stream."""


class PolicySource:
    """Where the policy comes from. Nothing is read, and pydantic not imported, before `load`."""

    def __init__(self, environment: Mapping[str, str], given: object = None, declared: object = None) -> None:
        self.environment = environment
        self.given = given
        self.declared = declared
        # Re-entrant: a garbage collection may run code of the application while this is held.
        self._lock = threading.RLock()
        self._loaded: Loaded | None = None

    def loaded(self) -> Loaded:
        """What was found, once."""
        from otel_claude_stream._config.policy.loading import load

        with self._lock:
            if self._loaded is None:
                self._loaded = load(self.environment, self.given, declared=self.declared)
            return self._loaded

    def load(self) -> tuple[RetryPolicy, tuple[Problem, ...]]:
        """The policy and all problems. Never raises."""
        if self.given is None and self.declared is None and not self.environment:
            return RetryPolicy(), ()
        found = self.loaded()
        return found.policy, found.problems


def policy_source(environment: Mapping[str, str], given: object = None, *, declared: object = None) -> PolicySource:
    """Where the policy of a process comes from: the environment, what code gave, what a configuration file declares.

    The environment is copied if it says anything: what holds is what was there when the process was instrumented.
    """
    asked = any(name.startswith(PREFIX) and name not in _OTHERS for name in environment)
    return PolicySource(
        dict(environment) if asked or given is not None or declared is not None else {}, given, declared
    )
