"""Where the end of a stream is noticed, and described to its listener. Nothing here raises."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Concatenate, ParamSpec, TypeVar

from otel_claude_stream import _guard
from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.stream.hot_path import ReadMode
from otel_claude_stream._core.vocabulary import Stop
from otel_claude_stream._sdk.read.errors import fault_of, name_of
from otel_claude_stream._sdk.read.raw_body import RawBodyReader
from otel_claude_stream._sdk.read.responses import end_by, reply_of
from otel_claude_stream._session.listener import StreamListener
from otel_claude_stream._session.session import StreamSession

_SDK = "anthropic"
_HELPERS = "anthropic.lib.streaming"
_MAX_CALLERS = 24

P = ParamSpec("P")
L = TypeVar("L", bound=StreamListener)

Annotate = Callable[[Exception], None]
"""Adds a note about the attempts to the exception that the caller gets."""


def _ending(where: str) -> Callable[[Callable[Concatenate[L, P], None]], Callable[Concatenate[L, P], None]]:
    """Guard a function that describes an end. If it fails, the stream ends without an outcome."""

    def decorate(function: Callable[Concatenate[L, P], None]) -> Callable[Concatenate[L, P], None]:
        @functools.wraps(function)
        def wrapper(listener: L, /, *args: P.args, **kwargs: P.kwargs) -> None:
            try:
                function(listener, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the boundary
                end_without_outcome(listener)
                _guard.report(where, error)

        return wrapper

    return decorate


@_guard.guarded("give_up", None)
def end_without_outcome(listener: StreamListener) -> None:
    """End a stream whose end could not be described, so that it does not count as open."""
    listener.ended(None)


@_guard.guarded("read_event", None)
def record_again(listener: StreamListener, event: object) -> None:
    """Report an event to the listener that did not have the shape which the shell expected in a burst."""
    listener.event(event, listener.hot.arrival)


# --- The iteration of the events -------------------------------------------------------------------------------------
@_ending("stream_ended")
def stream_ended(listener: StreamListener) -> None:
    """End a stream whose iteration ended without an exception."""
    listener.ended(End(Stop.EXHAUSTED))


@_ending("stream_failed")
def stream_failed(listener: StreamListener, error: BaseException, annotate: Annotate | None = None) -> None:
    """End a stream whose iteration raised, or whose iterator was dropped."""
    if isinstance(error, GeneratorExit):
        listener.ended(End(Stop.DROPPED))
        return
    end = end_by(error)
    if annotate is not None and end.stop is Stop.RAISED and isinstance(error, Exception):
        annotate(error)
    listener.ended(end)


@_ending("request_failed")
def request_failed(session: StreamSession, error: BaseException) -> None:
    """End a call that raised before there was a stream."""
    record_error_response(session, error)
    stream_failed(session, error)


@_guard.guarded("request_failed", None)
def record_error_response(session: StreamSession, error: BaseException) -> None:
    """Record the response in an error of the SDK, which does not ask whether to retry the last one."""
    response = getattr(error, "response", None)
    if response is not None:
        session.state.attempts.answered(reply_of(response))


@_ending("stream_closed")
def stream_closed(listener: StreamListener) -> None:
    """End a stream that the caller closed, maybe at the end of a `with` block that an exception left."""
    if listener.is_over:
        return
    error = sys.exc_info()[1] if _closed_by_exit() else None
    if error is None:
        listener.ended(End(Stop.CLOSED))
    elif _raised_by_helper(error):
        listener.ended(end_by(error))
    else:
        listener.ended(End(Stop.CLOSED, fault_of(error), name_of(error)))


def _raised_by_helper(error: BaseException) -> bool:
    """Whether the SDK's helper that accumulates a message raised, on an event that had passed through a shell."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__", "")) if trace is not None else ""
    return module.startswith(_HELPERS)


def _closed_by_exit() -> bool:
    """Whether an `__exit__` of the SDK closes; otherwise an exception that is being handled is not the reason."""
    # The only way to distinguish the end of a `with` from a plain `close()` in an `except` block.
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - see above
    for _ in range(_MAX_CALLERS):
        frame = frame.f_back if frame is not None else None
        if frame is None:
            return False
        if frame.f_code.co_name in {"__exit__", "__aexit__"}:
            return str(frame.f_globals.get("__name__", "")).partition(".")[0] in {_SDK, "contextlib"}
    return False


# --- The body --------------------------------------------------------------------------------------------------------
@_guard.guarded("body_ended", None)
def body_ended(listener: StreamListener, raw: RawBodyReader) -> None:
    """Record the end of the body. If the SDK decodes it, the end of the iteration follows at once, and describes more.

    It is not known whether an opaque body was complete, so the stream ends without an outcome.
    """
    listener.hot.read_ended()
    if listener.hot.read_mode is not ReadMode.EVENTS:
        listener.ended(None if raw.opaque else raw.with_error(End(Stop.EXHAUSTED)))


@_guard.guarded("body_failed", None)
def body_failed(listener: StreamListener, error: BaseException, raw: RawBodyReader) -> None:
    """Record that a read of the body raised. A dropped iterator is no end: the close of the response is."""
    if isinstance(error, GeneratorExit):
        return
    listener.hot.read_ended()
    if listener.hot.read_mode is not ReadMode.EVENTS:
        listener.ended(raw.with_error(end_by(error)))


@_guard.guarded("body_closed", None)
def body_closed(listener: StreamListener, raw: RawBodyReader) -> None:
    """Record that the body was closed. If the SDK decodes it, that is the SDK's doing, and the stream's end follows."""
    if listener.hot.read_mode is ReadMode.EVENTS:
        return
    if raw.has_error:  # the reason of the end, rather than the caller's close
        listener.ended(raw.with_error(End(Stop.EXHAUSTED)))
    elif raw.broken is not None:  # the HTTP library raises for the same bytes, above this shell
        listener.ended(End(Stop.RAISED, fault_of(raw.broken)))
    else:
        stream_closed(listener)
