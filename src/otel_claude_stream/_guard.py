"""The boundary of this package, which none of its failures passes on the way to the caller.

Every entry from the SDK into this package runs under `guarded` or within `guard`, or catches `Exception` itself and
passes it to `report`. A report is logged once for each place, counted, and raised again under
`OTEL_CLAUDE_STREAM_STRICT` (in tests).
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

_log = logging.getLogger("otel_claude_stream")
_lock = threading.RLock()  # re-entrant: a finalizer may report while a report is being made
_counts: dict[str, int] = {}
_listener: Callable[[str], None] | None = None


def strict() -> bool:
    """Whether failures of this package are raised instead of hidden, as in its own tests."""
    return os.environ.get("OTEL_CLAUDE_STREAM_STRICT", "").lower() in {"1", "true"}


def on_report(listener: Callable[[str], None] | None) -> None:
    """Set what is called with the place of each failure; None for nothing."""
    global _listener  # noqa: PLW0603 - one guard a process, as there is one instrumentor
    _listener = listener


def counts() -> dict[str, int]:
    """Return the number of failures by place since the start of the process."""
    with _lock:
        return dict(_counts)


def report(where: str, error: Exception) -> None:
    """Log and count a failure of this package at `where`. Raise it again only under `strict()`."""
    with _lock:
        seen = _counts.get(where, 0)
        _counts[where] = seen + 1
    if not seen:
        _log.warning(
            "otel-claude-stream failed in %s; the application is not affected, this telemetry may be incomplete "
            "(logged once, then counted as claude.stream.internal.errors): %s",
            where,
            type(error).__name__,  # never its message: that may hold content
            exc_info=_log.isEnabledFor(logging.DEBUG),
        )
    listener = _listener
    if listener is not None:
        try:
            listener(where)
        except Exception as failure:  # noqa: BLE001 - the last resort: only the log is left
            _log.debug("could not count a failure in %s", where, exc_info=failure)
    if strict():
        raise error


def guarded(where: str, default: D) -> Callable[[Callable[P, R]], Callable[P, R | D]]:
    """Decorate a function so that it returns `default` where it would raise an `Exception`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R | D]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R | D:
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - this is the boundary
                report(where, error)
                return default

        return wrapper

    return decorate


class Guard:
    """The context manager that `guard` returns."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        report(self._where, error)
        return True


@functools.cache  # it has no state of its own
def guard(where: str) -> Guard:
    """Return a context manager that reports an `Exception` of its body and ends it. `BaseException` passes."""
    return Guard(where)
