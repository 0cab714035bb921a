"""The contexts that are set while a request of a stream is made: whose request it is, and the stream's span."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_claude_stream._session import StreamSession

if TYPE_CHECKING:
    from opentelemetry.context import Context

current: ContextVar[StreamSession | None] = ContextVar("otel_claude_stream_current", default=None)
"""The session whose request is being made in this context: set around `request` only, never while a stream is read."""


class RequestScope:
    """The contexts set around one request, to be left in the same one."""

    __slots__ = ("_context", "_session")

    def __init__(self, session: StreamSession | None, span: trace.Span | None) -> None:
        self._session: Token[StreamSession | None] = current.set(session)
        self._context: Token[Context] | None = (
            otel_context.attach(trace.set_span_in_context(span)) if span is not None else None
        )

    def leave(self) -> None:
        """Restore what was before. Not to be called when the coroutine is thrown away: its context is gone then."""
        if self._context is not None:
            otel_context.detach(self._context)
        current.reset(self._session)
