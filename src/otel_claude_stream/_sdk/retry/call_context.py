"""A call as the hooks know it, and the contexts that are set around its requests."""

from __future__ import annotations

from contextvars import ContextVar, Token
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

    __slots__ = ("expects_events", "retry", "session")

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
    """The contexts set around one request. They hold its call, and the span of the call as the current one."""

    __slots__ = ("_context", "_token", "call")

    def __init__(self, call: CallContext | None) -> None:
        self.call = call
        self._token: Token[CallContext | None] | None = None
        self._context: Token[Context] | None = None

    def __enter__(self) -> None:
        with _guard.guard("recovery"):
            self._token = current_call.set(self.call)
            span = self.call.session.span if self.call is not None else None
            if span is not None:
                self._context = otel_context.attach(trace.set_span_in_context(span))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        if kind is GeneratorExit:  # the coroutine is thrown away, and its context is gone
            return
        with _guard.guard("leave"):
            if self._context is not None:
                otel_context.detach(self._context)
            if self._token is not None:
                current_call.reset(self._token)
