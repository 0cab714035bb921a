"""A call as the hooks know it, and the contexts that are set around its requests."""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_claude_stream import _guard
from otel_claude_stream._sdk.retry.flow import RetryFlow
from otel_claude_stream._session.session import StreamSession

if TYPE_CHECKING:
    from opentelemetry.context import Context


class CallContext:
    """A call. The hooks find it by `current_call` during a request, and in the extensions of a response afterwards."""

    __slots__ = ("__weakref__", "expects_events", "retry", "session")

    def __init__(self, session: StreamSession, retry: RetryFlow | None = None, *, expects_events: bool = False) -> None:
        self.session = session
        self.retry = retry
        """The flow that retries the call; None if the policy only observes, and for responses of later attempts."""
        self.expects_events = expects_events
        """The events of the response will pass through their shell, if the SDK decodes it."""

    def expect_events(self) -> None:
        """Record that the events of the response will pass through their shell."""
        self.expects_events = True


current_call: ContextVar[CallContext | None] = ContextVar("otel_claude_stream_call", default=None)
"""The call whose request is being sent in this context. Never set while a stream is read."""


class RequestScope:
    """The contexts set around one request. They hold its call, and the span of the call as the current one.

    Use it as ``with`` in a ``try`` that calls `failed`: an interrupt may strike inside `__enter__` and `__exit__` too.
    For the same reason the contexts before are kept, since an interrupt may discard a token.
    """

    __slots__ = ("_call_before", "_context_before", "call")

    def __init__(self, call: CallContext | None) -> None:
        self.call = call
        self._call_before = current_call.get()
        self._context_before: Context | None = None

    def __enter__(self) -> None:
        with _guard.guard("recovery"):
            current_call.set(self.call)
            span = self.call.session.span if self.call is not None else None
            if span is not None:
                self._context_before = otel_context.get_current()
                otel_context.attach(trace.set_span_in_context(span))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        if kind is not GeneratorExit:  # else the coroutine is thrown away, and its context is gone
            self._leave()

    def failed(self, error: BaseException) -> None:
        """Restore the contexts after `error`, if `__exit__` did not."""
        self.__exit__(type(error), error, None)

    @_guard.guarded("leave", None)
    def _leave(self) -> None:
        before = self._context_before
        if before is not None and otel_context.get_current() is not before:
            otel_context.attach(before)
        if current_call.get() is not self._call_before:
            current_call.set(self._call_before)
