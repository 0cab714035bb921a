"""Where endings are noticed, and turned into the one ending of a session. Nothing here raises."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Concatenate, ParamSpec

from otel_claude_stream import _guard
from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.vocabulary import ErrorSource, Stop
from otel_claude_stream._sdk.read.errors import fault_of, name_of
from otel_claude_stream._sdk.read.raw_body import RawBodyReader
from otel_claude_stream._sdk.read.responses import end_by, reply_of
from otel_claude_stream._session import StreamSession

_SDK = "anthropic"
_HELPERS = "anthropic.lib.streaming"
_CALLERS_LOOKED_AT = 24

P = ParamSpec("P")


def _ending(
    where: str,
) -> Callable[[Callable[Concatenate[StreamSession, P], None]], Callable[Concatenate[StreamSession, P], None]]:
    """Guard a function that ends a session: if it fails, the session ends all the same, with nothing to say."""

    def decorate(
        function: Callable[Concatenate[StreamSession, P], None],
    ) -> Callable[Concatenate[StreamSession, P], None]:
        @functools.wraps(function)
        def wrapper(session: StreamSession, /, *args: P.args, **kwargs: P.kwargs) -> None:
            try:
                function(session, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the boundary
                give_up(session)
                _guard.report(where, error)

        return wrapper

    return decorate


@_guard.guarded("give_up", None)
def give_up(session: StreamSession) -> None:
    """Its end could not be told: it is none of the open ones any more."""
    session.forget()


@_ending("stream_ended")
def stream_ended(session: StreamSession) -> None:
    """The iteration of the stream came to its end, and raised nothing."""
    session.end(End(Stop.EXHAUSTED))


@_ending("stream_failed")
def stream_failed(session: StreamSession, error: BaseException) -> None:
    """An exception came out of the SDK while the caller was reading."""
    if isinstance(error, GeneratorExit):
        session.drop()
    else:
        session.end(end_by(error))


@_guard.guarded("annotate", None)
def annotate(session: StreamSession, error: BaseException) -> None:
    """Say on the exception what had been tried before, if the policy tried anything."""
    if session.annotate is not None and isinstance(error, Exception):
        session.annotate(error)


@_ending("request_failed")
def request_failed(session: StreamSession, error: BaseException) -> None:
    """The call raised before there was a stream."""
    answered(session, error)
    stream_failed(session, error)


@_guard.guarded("request_failed", None)
def answered(session: StreamSession, error: BaseException) -> None:
    """The error may have the response of the last attempt, which the SDK does not ask itself whether to retry."""
    response = getattr(error, "response", None)
    if response is not None:
        session.attempt_answered(reply_of(response))


@_ending("stream_closed")
def stream_closed(session: StreamSession) -> None:
    """The caller closed the stream: by itself, or at the end of a `with` block that an exception may have left."""
    if session.ended:
        return
    error = sys.exc_info()[1] if _closed_by_exit() else None
    if error is None:
        session.end(End(Stop.CLOSED))
    elif _raised_by_helper(error):
        session.end(end_by(error))
    else:
        session.end(End(Stop.CLOSED, fault_of(error), name_of(error)))


def _raised_by_helper(error: BaseException) -> bool:
    """Whether the SDK's helper that puts a message together raised: it choked on an event that had passed by here."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__", "")) if trace is not None else ""
    return module.startswith(_HELPERS)


def _closed_by_exit() -> bool:
    """Whether an `__exit__` of the SDK closes: else an exception that is being handled has nothing to do with it."""
    # The only way to tell the end of a `with` from a plain `close()` in an `except` block.
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - see above
    for _ in range(_CALLERS_LOOKED_AT):
        frame = frame.f_back if frame is not None else None
        if frame is None:
            return False
        if frame.f_code.co_name in {"__exit__", "__aexit__"}:
            return str(frame.f_globals.get("__name__", "")).partition(".")[0] in {_SDK, "contextlib"}
    return False


@_guard.guarded("body_ended", None)
def body_ended(session: StreamSession, unread: RawBodyReader) -> None:
    """The body came to its end. If the SDK decodes it, the stream's end tells more and follows at once.

    Of an opaque body nobody of us knows whether it was whole: its span ends, and says nothing of an outcome.
    """
    session.clocks.stop_waiting()
    if session.decoded:
        return
    if unread.opaque:
        session.forget()
    else:
        session.end(_with_error_event(End(Stop.EXHAUSTED), session, unread))


@_guard.guarded("body_failed", None)
def body_failed(session: StreamSession, error: BaseException, unread: RawBodyReader) -> None:
    """A read of the body raised. As above. A dropped reader is no end: the closing or dropping of the response is."""
    if isinstance(error, GeneratorExit):
        return
    session.clocks.stop_waiting()
    if not session.decoded:
        session.end(_with_error_event(end_by(error), session, unread))


def _with_error_event(end: End, session: StreamSession, unread: RawBodyReader) -> End:
    """Add what an error event in the bytes said: nobody raises it for a caller that reads bytes."""
    if unread.error_event:
        end.error_type, end.error_source = session.machine.error_type, ErrorSource.SSE
    return end


@_guard.guarded("body_closed", None)
def body_closed(session: StreamSession, unread: RawBodyReader) -> None:
    """The body was closed. While the SDK decodes it this is the SDK's doing, and the stream's end tells why."""
    if session.decoded:
        return
    if unread.error_event:  # whoever reads it leaves, and that is not why it ended
        session.end(_with_error_event(End(Stop.EXHAUSTED), session, unread))
    elif unread.broken is not None:  # raised by the HTTP library, above us, for the same bytes
        session.end(End(Stop.RAISED, fault_of(unread.broken)))
    else:
        stream_closed(session)
