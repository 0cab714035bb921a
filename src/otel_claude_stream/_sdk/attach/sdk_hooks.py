"""The functions around the hooked attributes of the SDK, from a call to its stream."""

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
from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._core.stream.hot_path import ReadMode
from otel_claude_stream._sdk.attach.replaced import reroute_client
from otel_claude_stream._sdk.attach.request import (
    call_of,
    fallback_finder,
    feed_call,
    feed_of,
    is_message_stream,
)
from otel_claude_stream._sdk.attach.span_owner import mark_sdk_span
from otel_claude_stream._sdk.read.aio import AsyncEvents, AsyncFrames
from otel_claude_stream._sdk.read.body import TimedBody
from otel_claude_stream._sdk.read.endings import request_failed, stream_closed
from otel_claude_stream._sdk.read.errors import fault_of_attempt
from otel_claude_stream._sdk.read.responses import end_by, reply_of
from otel_claude_stream._sdk.read.sync import sync_events, sync_frames
from otel_claude_stream._sdk.retry.call_context import CallContext, RequestScope, current_call
from otel_claude_stream._sdk.retry.driver_async import close_async, frames_async, send_async
from otel_claude_stream._sdk.retry.driver_sync import close_sync, frames_sync, send_sync
from otel_claude_stream._sdk.retry.flow import RetryFlow
from otel_claude_stream._sdk.retry.resend import Resend
from otel_claude_stream._sdk.retry.watchdog import watched
from otel_claude_stream._session.feed import NEVER_RETRIED, FeedConnections, FeedSession
from otel_claude_stream._session.policy_resolver import PolicyResolver
from otel_claude_stream._session.registry import OpenStreams
from otel_claude_stream._session.session import StreamSession
from otel_claude_stream._telemetry.feed_telemetry import FeedTelemetry
from otel_claude_stream._telemetry.stream_telemetry import Emitter, silent_emitter

CALL_KEY = "otel_claude_stream"
"""Where the call of a response is: in its `extensions`, which every response of `httpx` and `httpx2` has."""

_FIRST_ERROR_STATUS = 400

Wrapped = Callable[..., Any]
Arguments = tuple[Any, ...]
Keywords = dict[str, Any]


class SdkHooks:
    """The hooks of one instrumentation, with what they need: settings, emitter, open streams, clocks."""

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
        self._silent = silent_emitter(config, streams)
        self._config = config
        self._limits = limits
        self._streams = streams
        self._policies = policies or PolicyResolver(RetryPolicy(), clock=monotonic)
        self._monotonic = monotonic
        self._wall = wall
        self._feeds = FeedConnections() if config.feeds else None

    # --- One call ------------------------------------------------------------------------------------------------
    def sync_request(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `SyncAPIClient.request`."""
        scope = self._begin(instance, args, kwargs)
        if scope is None:
            return wrapped(*args, **kwargs)
        retry = scope.call.retry if scope.call is not None else None
        try:
            with scope:
                result = wrapped(*args, **kwargs) if retry is None else send_sync(retry, wrapped)
        except BaseException as error:
            _failed(scope, error)
            raise
        self._returned(scope.call, result)
        return result

    async def async_request(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `AsyncAPIClient.request`."""
        scope = self._begin(instance, args, kwargs)
        if scope is None:
            return await wrapped(*args, **kwargs)
        retry = scope.call.retry if scope.call is not None else None
        try:
            with scope:
                result = await (wrapped(*args, **kwargs) if retry is None else send_async(retry, wrapped))
        except BaseException as error:
            _failed(scope, error)
            raise
        self._returned(scope.call, result)
        return result

    @_guard.guarded("request", None)
    def _begin(self, client: Any, args: Arguments, kwargs: Keywords) -> RequestScope | None:
        """Return the scope of a request; None if it does not concern this package."""
        options = args[1] if len(args) > 1 else kwargs.get("options")
        call = self._call(client, options, args, kwargs)
        if call is None:
            # A request within that of a stream, by a middleware for instance: its retries are not the stream's.
            return RequestScope(None) if current_call.get() is not None else None
        self._streams.end_deferred()
        feeds = self._feeds if call.feed is not None else None
        started, wall = self._monotonic(), self._wall()
        # An application that suppresses telemetry still wants its retries.
        emitter = self._emitter if is_instrumentation_enabled() else self._silent
        telemetry = emitter.telemetry(call, wall) if feeds is None else FeedTelemetry(emitter, call, wall)
        make: Callable[..., StreamSession] = (
            StreamSession if feeds is None else functools.partial(FeedSession, connections=feeds)
        )
        session = None
        try:
            telemetry.start_span()
            call_policy = NEVER_RETRIED
            if feeds is None:
                call_policy = self._policies.call_policy(
                    call,
                    telemetry.labels,
                    functools.partial(fallback_finder, client, options),
                    measured=telemetry.is_measured,
                    record_wait=telemetry.record_permit_wait,
                )
            if call_policy.dry_run and emitter.is_unobserved(telemetry):
                return None  # nothing would be reported, and nothing is done about a failure
            session = make(
                call,
                telemetry,
                self._config,
                self._limits,
                call_policy,
                clock=self._monotonic,
                started=started,
                wall=wall,
                on_end=self._streams.remove,
                on_drop=self._streams.dropped,
                warmed_up=self._streams.warmed_up,
            )
            self._streams.add(session)
            marked = feeds is None and (call.owner != "self" or self._config.span == "always")
            if emitter is self._emitter and marked:
                mark_sdk_span(options)
            retry = RetryFlow(session, Resend(client, args, kwargs)) if session.acts else None
            context = CallContext(session, retry)
            self._streams.watch(session, context)  # until there is a response
            return RequestScope(context)
        except BaseException as error:  # the call goes on without this package, or was interrupted
            if session is not None:
                _end_unrecorded(session, error)
            else:
                telemetry.end_span(error)
            raise

    def _call(self, client: Any, options: Any, args: Arguments, kwargs: Keywords) -> Call | None:
        """Return the call that a request begins; None if it is no stream that is recorded."""
        stream, labels = bool(kwargs.get("stream", False)), self._config.baggage_labels
        if is_message_stream(options, stream=stream):
            return call_of(client, options, args[0] if args else kwargs.get("cast_to"), self._config.span, labels)
        feed = feed_of(options, stream=stream) if self._feeds is not None else None
        return feed_call(client, options, feed, labels) if feed is not None else None

    @_guard.guarded("returned", None)
    def _returned(self, call: CallContext | None, result: Any) -> None:
        """Take the response from the result of a call that a middleware answered without sending a request."""
        if call is None or call.session.is_open or call.session.is_over:
            return
        response = getattr(result, "http_response", None) or getattr(result, "response", None)
        found = False
        try:
            found = response is not None and self._open(call, response)
        finally:
            if not found:
                call.session.ended(None)

    # --- Its attempts --------------------------------------------------------------------------------------------
    def should_retry(self, wrapped: Wrapped, client: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `BaseClient._should_retry`: an attempt was answered with an error status."""
        response = args[0] if args else kwargs.get("response")
        call = current_call.get()
        with _guard.guard("should_retry"):
            if call is not None and response is not None:
                call.session.state.attempts.answered(reply_of(response))
        wanted = wrapped(*args, **kwargs)
        with _guard.guard("stopped"):
            if wanted and call is not None and call.retry is not None:
                return not call.retry.sdk_caps.stop(client, response)
        return wanted

    def calculate_retry_timeout(self, wrapped: Wrapped, _: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `BaseClient._calculate_retry_timeout`: the SDK retries, after the time that this returns."""
        delay = wrapped(*args, **kwargs)
        call = current_call.get()
        if call is None:
            return delay
        instead = None
        if call.retry is not None:
            with _guard.guard("capped"):
                longest = call.retry.sdk_caps.longest_sleep()
                delay = delay if longest is None else min(delay, longest)
            with _guard.guard("late"):
                instead = call.retry.sdk_caps.error_instead_of_retry(delay)
        if instead is not None:
            try:
                raise instead
            finally:
                del instead  # its traceback has this frame: a cycle otherwise
        with _guard.guard("calculate_retry_timeout"):
            error = sys.exc_info()[1]
            end = end_by(error, fault=fault_of_attempt(error)) if error is not None else None
            call.session.retries.sdk_attempt_failed(delay, end)
        return delay

    def process_response(self, wrapped: Wrapped, client: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `_process_response` of both clients, when the SDK has accepted a response."""
        with _guard.guard("process_response"):
            call, response = current_call.get(), kwargs.get("response")
            if call is None:
                options, stream = kwargs.get("options"), bool(kwargs.get("stream"))
                if is_message_stream(options, stream=stream) or (
                    self._feeds is not None and feed_of(options, stream=stream)
                ):
                    reroute_client(client)
            elif response is not None and response.status_code < _FIRST_ERROR_STATUS:
                self._open(call, response)
        return wrapped(*args, **kwargs)

    def _open(self, call: CallContext, response: Any) -> bool:
        """Begin to record the stream of a response. Return False if that is not possible."""
        extensions = getattr(response, "extensions", None)
        if not isinstance(extensions, dict):
            return False
        session = call.session
        try:
            reply = reply_of(response)
            first = not session.is_open
            session.opened(reply)
            if (permits := session.state.call_policy.permits) is not None:
                permits.accepted()
            watch = watched(session, response, call.retry.gate if call.retry is not None else None)
            response.stream = TimedBody(response.stream, session, reply, watch)
            if first:  # the caller's stream has this response to its end, whatever follows
                self._streams.watch(session, response)
                extensions[CALL_KEY] = call
            else:
                # Read as a part of the first stream. Without what retries it, which has the response: a cycle.
                extensions[CALL_KEY] = CallContext(session, expects_events=True)
        except BaseException as error:
            _end_unrecorded(session, error)
            raise
        return True

    # --- Its stream ----------------------------------------------------------------------------------------------
    def sync_iter_events(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `Stream._iter_events`: every SSE frame, including pings and errors."""
        return _with_frames(sync_frames, frames_sync, wrapped(*args, **kwargs), instance)

    def async_iter_events(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `AsyncStream._iter_events`."""
        return _with_frames(AsyncFrames, frames_async, wrapped(*args, **kwargs), instance)

    def sync_stream(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `Stream.__stream__`: the parsed events, and the exception that the caller gets."""
        return _with_events(sync_events, wrapped(*args, **kwargs), instance)

    def async_stream(self, wrapped: Wrapped, instance: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Around `AsyncStream.__stream__`."""
        return _with_events(AsyncEvents, wrapped(*args, **kwargs), instance)

    def close(self, wrapped: Callable[..., Awaitable[None] | None], instance: Any, args: Any, kwargs: Any) -> Any:
        """Around `Stream.close` and `AsyncStream.close`. The close of a body that is not decoded is noticed there."""
        call = _call_of(instance)
        if call is not None and call.session.hot.read_mode is ReadMode.EVENTS:
            stream_closed(call.session)
        if call is None or call.retry is None:
            return wrapped(*args, **kwargs)
        closing: Callable[..., Any] = close_async if inspect.iscoroutinefunction(wrapped) else close_sync
        return closing(call.retry, functools.partial(wrapped, *args, **kwargs))


def _failed(scope: RequestScope, error: BaseException) -> None:
    """End the session of a call that raised."""
    scope.failed(error)
    if scope.call is not None:
        request_failed(scope.call.session, error)


def _end_unrecorded(session: StreamSession, error: BaseException) -> None:
    """End a session whose stream cannot be recorded. It has an outcome if the caller interrupted it."""
    if _guard.is_interrupt(error):
        request_failed(session, error)
    else:
        session.ended(None)


Shell = Callable[..., Any]


def _with_events(shell: Shell, events: Any, stream: object) -> Any:
    """Return the events of a stream through their shell; unchanged if that is not possible."""
    call = _call_of(stream)
    if call is None:
        return events
    with _guard.guard("shell"):
        seen = shell(events, call.session, call.retry.annotate if call.retry is not None else None)
        call.expect_events()
        return seen
    return events


def _with_frames(shell: Shell, driver: Shell, frames: Any, stream: Any) -> Any:
    """Return the frames of a stream through their shell, and through the driver of its retries.

    Without the shell of the events it would not be known what the caller has been handed.
    """
    call = _call_of(stream)
    if call is None or not call.expects_events:
        return frames
    with _guard.guard("shell"):
        frames = shell(frames, call.session)
        call.session.read_as(ReadMode.EVENTS)
        if call.retry is not None:
            frames = driver(frames, stream.response, call.retry)
    return frames


@_guard.guarded("session_of", None)
def _call_of(stream: object) -> CallContext | None:
    """Return the call of a stream; None if it has none, or if it is over."""
    extensions = getattr(getattr(stream, "response", None), "extensions", None)
    call = extensions.get(CALL_KEY) if isinstance(extensions, dict) else None
    return call if isinstance(call, CallContext) and not call.session.is_over else None
