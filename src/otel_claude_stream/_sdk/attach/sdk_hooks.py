"""What goes around each hooked attribute of the SDK: from the call to its stream, under one session."""

from __future__ import annotations

import functools
import inspect
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from otel_claude_stream import _guard
from otel_claude_stream._config import StreamConfig
from otel_claude_stream._core.diagnosis.limits import Limit
from otel_claude_stream._core.retry.policy import RetryPolicy
from otel_claude_stream._sdk.attach.request import call_of, is_message_stream
from otel_claude_stream._sdk.attach.request_scope import RequestScope, current
from otel_claude_stream._sdk.read.aio import AsyncFrames, async_events
from otel_claude_stream._sdk.read.body import TimedBody
from otel_claude_stream._sdk.read.endings import request_failed, stream_closed
from otel_claude_stream._sdk.read.errors import fault_of_attempt
from otel_claude_stream._sdk.read.responses import end_by, reply_of
from otel_claude_stream._sdk.read.sync import sync_events, sync_frames
from otel_claude_stream._sdk.retry.driver_async import arecovering, close_async, send_async
from otel_claude_stream._sdk.retry.driver_sync import close_sync, recovering, send_sync
from otel_claude_stream._sdk.retry.flow import Recovery, recovery_of
from otel_claude_stream._sdk.retry.resend import Resend
from otel_claude_stream._sdk.retry.sdk_retries import last_error, longest_sleep, stops_sdk
from otel_claude_stream._sdk.retry.watchdog import watched
from otel_claude_stream._session import StreamSession
from otel_claude_stream._session.policy_resolver import PolicyResolver
from otel_claude_stream._session.registry import OpenStreams
from otel_claude_stream._telemetry.stream_telemetry import Emitter

SESSION_KEY = "otel_claude_stream"
"""Where the session of a response is: in its `extensions`, which every `httpx` and `httpx2` response has."""

_FIRST_ERROR_STATUS = 400

Wrapped = Callable[..., Any]
Arguments = tuple[Any, ...]
Keywords = dict[str, Any]


class SdkHooks:
    """The wrappers of one instrumentation, with what they need: settings, emitter, open streams, clocks."""

    def __init__(
        self,
        emitter: Emitter,
        config: StreamConfig,
        limits: tuple[Limit, ...],
        streams: OpenStreams,
        policies: PolicyResolver | None = None,
        *,
        monotonic: Callable[[], int] = time.perf_counter_ns,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._emitter = emitter
        self._config = config
        self._limits = limits
        self._streams = streams
        self._policies = policies or PolicyResolver(RetryPolicy(), clock=monotonic)
        self._monotonic = monotonic
        self._wall = wall

    # --- One logical call ----------------------------------------------------------------------------------------
    def sync_request(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `SyncAPIClient.request`."""
        entered = self._enter(instance, args, kwargs)
        if entered is None:
            return wrapped(*args, **kwargs)
        session, contexts = entered
        recovery = recovery_of(session)
        try:
            result = wrapped(*args, **kwargs) if recovery is None else send_sync(recovery, wrapped)
        except BaseException as error:
            self._leave(contexts)
            if session is not None:
                request_failed(session, error)
            raise
        self._leave(contexts)
        self._returned(session, result)
        return result

    async def async_request(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `AsyncAPIClient.request`."""
        entered = self._enter(instance, args, kwargs)
        if entered is None:
            return await wrapped(*args, **kwargs)
        session, contexts = entered
        recovery = recovery_of(session)
        try:
            result = await (wrapped(*args, **kwargs) if recovery is None else send_async(recovery, wrapped))
        except BaseException as error:
            if not isinstance(error, GeneratorExit):  # thrown away: no context is left to restore
                self._leave(contexts)
            if session is not None:
                request_failed(session, error)
            raise
        self._leave(contexts)
        self._returned(session, result)
        return result

    @_guard.guarded("request", None)
    def _enter(
        self, client: Any, args: Arguments, kwargs: Keywords
    ) -> tuple[StreamSession | None, RequestScope] | None:
        options = args[1] if len(args) > 1 else kwargs.get("options")
        if not is_message_stream(options, stream=bool(kwargs.get("stream", False))):
            # A call made inside another one's request, by a middleware say: its retries are not the stream's.
            return (None, RequestScope(None, None)) if current.get() is not None else None
        if not is_instrumentation_enabled():
            return None
        self._streams.settle()
        cast_to = args[0] if args else kwargs.get("cast_to")
        call = call_of(client, options, cast_to, self._config.span)
        started, wall = self._monotonic(), self._wall()
        emission = self._emitter.begin(call, wall)
        handling = self._policies.handling(call, emission.labels)
        if handling.dry_run and self._emitter.is_silent(emission):
            return None  # nobody hears of it, and nothing is done about it
        session = StreamSession(
            call,
            emission,
            self._config,
            self._limits,
            handling,
            clock=self._monotonic,
            started=started,
            wall=wall,
        )
        try:
            self._streams.add(session)
            if session.acts:
                session.recovery = Recovery(session, Resend(client, args, kwargs))
            return session, RequestScope(session, emission.span)
        except Exception:
            session.forget()  # the call goes on without us
            raise

    @_guard.guarded("leave", None)
    def _leave(self, contexts: RequestScope) -> None:
        contexts.leave()

    @_guard.guarded("returned", None)
    def _returned(self, session: StreamSession | None, result: Any) -> None:
        """The call gave its result. If its response did not pass by (a middleware made one up), take it from there."""
        if session is None or session.is_open or session.ended:
            return
        response = getattr(result, "http_response", None) or getattr(result, "response", None)
        found = False
        try:
            found = response is not None and self._open(session, response)
        finally:
            if not found:
                session.forget()

    # --- Its attempts --------------------------------------------------------------------------------------------
    def should_retry(self, wrapped: Wrapped, client: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `BaseClient._should_retry`: an attempt was answered with an error status."""
        response = args[0] if args else kwargs.get("response")
        self._answered(response)
        wanted = wrapped(*args, **kwargs)
        return wanted and not self._stopped(client, response)

    @_guard.guarded("stopped", False)
    def _stopped(self, client: Any, response: object) -> bool:
        """Whether the policy's caps end the SDK's own retries."""
        recovery = recovery_of(current.get())
        return recovery is not None and stops_sdk(recovery, client, response)

    @_guard.guarded("should_retry", None)
    def _answered(self, response: object) -> None:
        session = current.get()
        if session is not None and response is not None:
            session.attempt_answered(reply_of(response))

    def calculate_retry_timeout(self, wrapped: Wrapped, _: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `BaseClient._calculate_retry_timeout`: the SDK retries, after the time that this returns."""
        wanted = wrapped(*args, **kwargs)
        most = self._most()
        delay = wanted if most is None else min(wanted, most)
        late = self._late(delay)
        if late is not None:
            try:
                raise late
            finally:
                del late  # its traceback has this frame: a cycle otherwise
        self._retrying(delay)
        return delay

    @_guard.guarded("late", None)
    def _late(self, delay: float) -> Exception | None:
        """What the SDK raises instead of another retry, if the policy's deadline or budget is in the way."""
        recovery = recovery_of(current.get())
        return None if recovery is None else last_error(recovery, delay)

    @_guard.guarded("capped", None)
    def _most(self) -> float | None:
        """The longest that the SDK may sleep now, by the policy; None for as long as it wants."""
        recovery = recovery_of(current.get())
        return None if recovery is None else longest_sleep(recovery)

    @_guard.guarded("calculate_retry_timeout", None)
    def _retrying(self, delay: float) -> None:
        session = current.get()
        if session is None:
            return
        error = sys.exc_info()[1]
        end = end_by(error) if error is not None else None
        if error is not None and end is not None:
            end.fault = fault_of_attempt(error)
        session.attempt_failed(delay, end)

    def process_response(self, wrapped: Wrapped, _: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `_process_response`, sync and async: the response that counts."""
        self._opened(kwargs.get("response"))
        return wrapped(*args, **kwargs)

    @_guard.guarded("process_response", None)
    def _opened(self, response: Any) -> None:
        session = current.get()
        if session is not None and response is not None and response.status_code < _FIRST_ERROR_STATUS:
            self._open(session, response)

    def _open(self, session: StreamSession, response: Any) -> bool:
        extensions = getattr(response, "extensions", None)
        if not isinstance(extensions, dict):
            return False
        try:
            reply = reply_of(response)
            body = TimedBody(response.stream, session, reply)
            first = not session.is_open
            session.opened(reply)
            if first:  # the caller's stream holds this one to its end, whatever follows
                self._streams.watch(session, response)
            if session.acts:
                body.watched = watched(session, response, session.policy.watchdog)
            extensions[SESSION_KEY] = session
            response.stream = body
        except Exception:
            session.forget()  # nothing of this stream will be seen
            raise
        return True

    # --- Its body ------------------------------------------------------------------------------------------------
    def sync_iter_events(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `Stream._iter_events`: every SSE frame, pings and errors too."""
        frames = _through(_frames, sync_frames, wrapped(*args, **kwargs), instance)
        return _through(_recovered, recovering, frames, instance)

    def async_iter_events(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `AsyncStream._iter_events`."""
        frames = _through(_frames, AsyncFrames, wrapped(*args, **kwargs), instance)
        return _through(_recovered, arecovering, frames, instance)

    def sync_stream(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `Stream.__stream__`: the parsed events, and the exception that the caller gets."""
        return _through(_events, sync_events, wrapped(*args, **kwargs), instance)

    def async_stream(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `AsyncStream.__stream__`."""
        return _through(_events, async_events, wrapped(*args, **kwargs), instance)

    def close(self, wrapped: Callable[..., Awaitable[None] | None], instance: Any, args: Any, kwargs: Any) -> Any:
        """Around `Stream.close` and `AsyncStream.close`. Of a body that is not decoded, its own closing tells more."""
        session = _session_of(instance)
        recovery = recovery_of(session)  # which the end takes away
        if session is not None and session.decoded:
            stream_closed(session)
        if recovery is None:
            return wrapped(*args, **kwargs)
        closing: Callable[..., Any] = close_async if inspect.iscoroutinefunction(wrapped) else close_sync
        return closing(recovery, functools.partial(wrapped, *args, **kwargs))


Shell = Callable[..., Any]


def _frames(shell: Shell, frames: Any, stream: object) -> Any:
    """The frames of a stream through their shell, if its parsed events pass by us too."""
    session = _session_of(stream)
    if session is None or not session.parsed:
        return frames
    seen = shell(frames, session)
    session.decoded = True
    return seen


def _recovered(driver: Callable[..., Any], frames: Any, stream: Any) -> Any:
    """The frames of a stream, and those of the attempts that follow it, if its policy does more than observe."""
    session = _session_of(stream)
    recovery = recovery_of(session)
    # Without the parsed events nobody knows what the caller holds; a later attempt's own frames pass here too.
    if session is None or recovery is None or recovery.reading or not session.decoded:
        return frames
    seen = driver(frames, stream.response, recovery)
    recovery.reading = True
    return seen


def _events(shell: Shell, events: Any, stream: object) -> Any:
    """The parsed events of a stream through their shell."""
    session = _session_of(stream)
    if session is None:
        return events
    seen = shell(events, session)
    session.parsed = True
    return seen


def _through(place: Callable[[Shell, Any, object], Any], shell: Shell, inner: Any, stream: object) -> Any:
    """What the SDK reads, through a shell of ours, or as it is if that cannot be."""
    try:
        return place(shell, inner, stream)
    except Exception as failure:  # noqa: BLE001 - the boundary
        _guard.report("shell", failure)
        return inner


@_guard.guarded("session_of", None)
def _session_of(stream: object) -> StreamSession | None:
    """The session of a stream, if it has one that is still open."""
    extensions = getattr(getattr(stream, "response", None), "extensions", None)
    session = extensions.get(SESSION_KEY) if isinstance(extensions, dict) else None
    return session if isinstance(session, StreamSession) and not session.ended else None
