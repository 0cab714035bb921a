"""A policy for the calls that begin within a block: ``with retry_policy(...)``, ``with no_retry()``, and decorators."""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from otel_claude_stream._config.policy.process import PolicySource
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy

if TYPE_CHECKING:
    from types import TracebackType

    from otel_claude_stream._config.policy.sources import Given

F = TypeVar("F", bound=Callable[..., Any])

_SOURCE = "retry_policy()"
_log = logging.getLogger("otel_claude_stream")
_told: set[str] = set()
"""What was told: the same block may be entered for each of many calls."""

_process = PolicySource({})
"""The policy of the process, which a part of a policy is laid over."""


def use(source: PolicySource | None) -> None:
    """Say what the policy of the process is; None for the default."""
    global _process  # noqa: PLW0603 - one policy a process, as there is one instrumentor
    _process = source or PolicySource({})


class Override:
    """A policy for some calls. Enter it with ``with`` (in async code too), or decorate a function with it.

    May be entered any number of times, also at once by several threads and tasks.
    """

    __slots__ = ("_of_process", "_resolve", "_resolved")

    def __init__(self, resolve: Callable[[PolicySource], RetryPolicy]) -> None:
        self._resolve = resolve
        self._of_process: PolicySource | None = None
        self._resolved = RetryPolicy()

    def policy(self) -> RetryPolicy:
        """The whole policy, made once for the policy of the process that is in force."""
        process = _process
        if self._of_process is not process:
            self._resolved = self._resolve(process)
            self._of_process = process
        return self._resolved

    def __enter__(self) -> None:
        _current.set((self, _current.get()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Not by a token: an async generator may be closed in another context than it was entered in, and a token
        # raises there. What was entered there is not ours to leave.
        inside = _current.get()
        if inside is not None and inside[0] is self:
            _current.set(inside[1])

    def __call__(self, function: F) -> F:
        """Decorate a function, or a coroutine function. Raises `TypeError` for a generator, which runs in pieces."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("a generator runs in the context of whoever reads it: put the `with` around the call in it")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def waiting(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("F", waiting)

        @functools.wraps(function)
        def calling(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast("F", calling)


_current: ContextVar[tuple[Override, Any] | None] = ContextVar("otel_claude_stream_retry_policy", default=None)
"""The override of this context, and what it replaced."""


def current_override() -> RetryPolicy | None:
    """The policy for a call that begins in this context; None for that of the process. Never raises."""
    inside = _current.get()
    return None if inside is None else inside[0].policy()


def retry_policy(policy: Given) -> Override:
    """A policy for the calls that begin within a block.

    Args:
        policy: A part of a policy, as a file has it, laid over the policy of the process; or a whole one: a
            `RetryPolicy`, the name of a preset, the path of a file.

    Raises:
        ValueError: The policy is not valid. All that is wrong is named.
    """
    from otel_claude_stream._config.policy.loading import Loaded, PolicyError, over

    if errors := over(Loaded(), policy, _SOURCE, os.environ).errors:
        raise PolicyError(errors)

    def resolve(process: PolicySource) -> RetryPolicy:
        found = over(process.loaded(), policy, _SOURCE, os.environ)
        # It is right by itself, and contradicts the policy of the process, for which the caller's code is not to blame.
        for text in {str(problem) for problem in found.errors} - _told:
            _told.add(text)
            _log.error("otel-claude-stream: %s; the calls are observed, nothing is retried", text)
        return found.policy

    return Override(resolve)


def no_retry() -> Override:
    """No retry and no resume for the calls that begin within a block; what would be done is recorded as a dry run."""
    return Override(lambda process: _observing(process.load()[0]))


def _observing(policy: RetryPolicy) -> RetryPolicy:
    models = tuple((pattern, replace(other, mode=Mode.OBSERVE)) for pattern, other in policy.models)
    return replace(policy, mode=Mode.OBSERVE, models=models)
