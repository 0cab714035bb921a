"""The policy of the process, which is loaded on first use, and policies for the calls that begin within a block."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from otel_claude_stream import _guard
from otel_claude_stream._config.block import Block
from otel_claude_stream._config.policy.kill_switch import VARIABLE as KILL_SWITCH
from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import OTHER_VARIABLES, PREFIX, SETTINGS
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy

if TYPE_CHECKING:
    from otel_claude_stream._config.policy.loading import Loaded
    from otel_claude_stream._config.policy.sources import PolicyLike

_SOURCE = "retry_policy()"
_log = logging.getLogger("otel_claude_stream")
_logged: set[str] = set()
"""Problems that were logged, since many calls may enter the same block."""

_NOT_POLICY = frozenset(
    {
        KILL_SWITCH,
        *(setting.variable for setting in SETTINGS),
        *(PREFIX + name for name in OTHER_VARIABLES - {"CONFIG"}),
    }
)
"""Variables that do not require loading a policy. The kill switch is read for each stream instead."""


# --- The process ------------------------------------------------------------------------------------------------------
class PolicySource:
    """The sources of the policy of a process. Nothing is read before `load`."""

    def __init__(self, environment: Mapping[str, str], argument: object = None, declared: object = None) -> None:
        self.environment = environment
        self.argument = argument
        self.declared = declared
        self._loaded: Loaded | None = None

    def loaded(self) -> Loaded:
        """Load the policy on the first call, and return it with its layers."""
        from otel_claude_stream._config.policy.loading import load

        with _guard.setup_lock:
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


_process = PolicySource({})
"""The policy of the process, which partial policies override."""


def set_process_policy(source: PolicySource | None) -> None:
    """Set the policy of the process; None for the default policy."""
    global _process  # noqa: PLW0603 - one policy for each process, as there is one instrumentor
    _process = source or PolicySource({})


# --- Single calls -----------------------------------------------------------------------------------------------------
class Override(Block):
    """A policy for some calls."""

    __slots__ = ("_resolve", "_resolved", "_resolved_for")

    current: ClassVar[ContextVar[tuple[Override, Any] | None]] = ContextVar(
        "otel_claude_stream_retry_policy", default=None
    )

    def __init__(self, resolve: Callable[[PolicySource], RetryPolicy]) -> None:
        self._resolve = resolve
        self._resolved_for: PolicySource | None = None
        self._resolved = RetryPolicy()

    def policy(self) -> RetryPolicy:
        """Return the whole policy, which is computed once for each policy of the process."""
        process = _process
        if self._resolved_for is not process:
            self._resolved = self._resolve(process)
            self._resolved_for = process
        return self._resolved


def current_override() -> RetryPolicy | None:
    """Return the policy for calls that begin in this context; None for that of the process. Never raises."""
    current = Override.current.get()
    return None if current is None else current[0].policy()


def retry_policy(policy: PolicyLike) -> Override:
    """Return a policy for the calls that begin within a block.

    Args:
        policy: A mapping as in a file, which overrides parts of the policy of the process. A `RetryPolicy`, the name
            of a preset, or the path of a file with a preset replaces that policy.

    Raises:
        ValueError: The policy is not valid. The message names every error.
    """
    from otel_claude_stream._config.policy.loading import Loaded, PolicyError, load_override

    if errors := load_override(Loaded(), policy, _SOURCE, os.environ).errors:
        raise PolicyError(errors)

    def resolve(process: PolicySource) -> RetryPolicy:
        found = load_override(process.loaded(), policy, _SOURCE, os.environ)
        # Valid by itself, it may contradict the policy of the process. That is no error of the code that calls.
        for text in {str(problem) for problem in found.errors} - _logged:
            _logged.add(text)
            _log.error("otel-claude-stream: %s; these calls are only observed, nothing is retried", text)
        return found.policy

    return Override(resolve)


def no_retry() -> Override:
    """Return a policy that retries and resumes nothing within a block. Decisions are recorded as a dry run."""
    return Override(lambda process: _observing(process.load()[0]))


def _observing(policy: RetryPolicy) -> RetryPolicy:
    models = tuple((pattern, replace(other, mode=Mode.OBSERVE)) for pattern, other in policy.models)
    return replace(policy, mode=Mode.OBSERVE, models=models)
