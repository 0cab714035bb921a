"""The boundary of this package, which none of its failures passes on the way to the caller.

Every entry from the SDK into this package runs under `guarded` or within `guard`, or catches `Exception` itself and
passes it to `report`. A report is logged once for each place, counted, and raised again under
`OTEL_CLAUDE_STREAM_STRICT` (in tests).
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
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
    """Log and count a failure of this package at `where`. Raise it again under `strict()`, and if it is no failure."""
    if is_interrupt(error):
        try:
            raise error
        finally:
            del error  # its traceback has this frame: a cycle otherwise, which keeps the stream open
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


# --- Forks -----------------------------------------------------------------------------------------------------------
FORK_WAIT = 1.0
"""Most seconds that a fork waits for `setup_lock`."""

setup_lock = threading.RLock()
"""Held while the hooks are created and while the policy is loaded, which imports modules.

A fork waits for that. The child has no thread that would go on with it, and release this lock and those of imports. It
is re-entrant, since a garbage collection may close a stream of the application or begin another one meanwhile.
"""
_waited = False


def _before_fork() -> None:
    global _waited  # noqa: PLW0603 - one fork at a time: others wait for the lock
    _waited = setup_lock.acquire(timeout=FORK_WAIT)


def _after_fork_in_parent() -> None:
    if _waited:
        setup_lock.release()


def _after_fork_in_child() -> None:
    global _lock, setup_lock  # noqa: PLW0603 - another thread of the parent may hold them
    _lock = threading.RLock()
    if _waited:
        setup_lock.release()
    else:
        setup_lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


# --- Interrupts ------------------------------------------------------------------------------------------------------
def frames_of(error: BaseException) -> list[FrameType]:
    """Return the frames that an exception has passed, the one that raised it last."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    return frames


def is_interrupt(error: BaseException) -> bool:
    """Whether the application raised `error` while code of this package ran, and is to get it.

    A signal handler raised it, or another thread, by `PyThreadState_SetAsyncExc`. The latter has no frame of its own:
    an exception of a foreign class seems to come out of this package or OpenTelemetry.
    """
    if not isinstance(error, Exception):
        return True
    frames = frames_of(error)
    if not frames:
        return False
    raised_in = str(frames[-1].f_globals.get("__name__", "")).partition(".")[0]
    made_in = type(error).__module__.partition(".")[0]
    if raised_in in _PACKAGES and made_in not in _RAISED_HERE and made_in not in sys.stdlib_module_names:
        return True
    codes = {frame.f_code for frame in frames}
    return any(_code_of(signal.getsignal(number)) in codes for number in signal.valid_signals())


def _code_of(handler: object) -> object:
    function = getattr(handler, "func", handler)  # the function of a `functools.partial`
    return getattr(function, "__code__", getattr(type(function).__call__, "__code__", None))


_PACKAGES = frozenset({__name__.partition(".")[0], "opentelemetry"})
_RAISED_HERE = _PACKAGES | {
    "anthropic", "google", "grpc", "httpx", "httpx2", "pydantic", "pydantic_core", "wrapt", "yaml",
}  # fmt: skip
"""The packages whose exceptions code of this package and of OpenTelemetry may raise, by compiled modules too."""


def guarded(where: str, default: D) -> Callable[[Callable[P, R]], Callable[P, R | D]]:
    """Decorate a function so that it returns `default` where it would raise an `Exception`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R | D]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R | D:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                if is_interrupt(error):
                    raise
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
        if not isinstance(error, Exception) or is_interrupt(error):
            return False
        report(self._where, error)
        return True


@functools.cache  # it has no state of its own
def guard(where: str) -> Guard:
    """Return a context manager that reports an `Exception` of its body and ends it. `BaseException` passes."""
    return Guard(where)
