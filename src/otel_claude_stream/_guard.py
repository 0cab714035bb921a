"""The one boundary where failures of this package end: nothing of ours ever reaches the caller.

Every entry from the SDK into this package either runs under `guarded`, or catches `Exception` itself and hands it to
`report`. A report is logged once per place, counted, and raised again under `OTEL_CLAUDE_STREAM_STRICT` (tests).
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

_log = logging.getLogger("otel_claude_stream")
_lock = threading.RLock()  # re-entrant: a finalizer may report while a report is being made
_counts: dict[str, int] = {}
_listener: Callable[[str], None] | None = None


def strict() -> bool:
    """Whether our own failures are raised instead of hidden: only for tests of this package."""
    return os.environ.get("OTEL_CLAUDE_STREAM_STRICT", "").lower() in {"1", "true"}


def on_report(listener: Callable[[str], None] | None) -> None:
    """Set who is told of each failure, by the name of the place where it happened. None for nobody."""
    global _listener  # noqa: PLW0603 - one guard a process, as there is one instrumentor
    _listener = listener


def counts() -> dict[str, int]:
    """How many failures there were, by place, since the start of the process."""
    with _lock:
        return dict(_counts)


def report(where: str, error: Exception) -> None:
    """Take note of a failure of our own at `where`. Raises it again only under `strict()`."""
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
        except Exception as failure:  # noqa: BLE001 - the last resort: there is nobody left to tell but the log
            _log.debug("could not count a failure in %s", where, exc_info=failure)
    if strict():
        raise error


def guarded(where: str, default: D) -> Callable[[Callable[P, R]], Callable[P, R | D]]:
    """Decorate a function of ours so that it returns `default` where it would raise. `BaseException` passes."""

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
