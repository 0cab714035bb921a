"""Spans that an interrupt left open.

An exception of a signal handler or of another thread strikes at any instruction, also inside OpenTelemetry. The frames
of its traceback show how far OpenTelemetry got.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import ProxyTracer, Span, Tracer

from otel_claude_stream import _guard

if TYPE_CHECKING:
    from opentelemetry.context import Context

_SDK = "opentelemetry.sdk.trace"


def start_span(tracer: Tracer, into: list[Span], name: str, context: Context | None, **options: Any) -> None:
    """Append a new span to `into`, without an instruction at which only the interpreter's stack would hold it."""
    if isinstance(tracer, ProxyTracer):
        tracer = tracer._tracer  # noqa: SLF001 - its own `start_span` has such an instruction
    into.extend(map(functools.partial(tracer.start_span, name, **options), (context,)))


def started_span(into: list[Span], error: BaseException) -> Span | None:
    """Return the span of `start_span`, also one that OpenTelemetry's SDK had not returned when `error` struck."""
    if into:
        return into[0]
    for frame in _guard.frames_of(error):
        if frame.f_code.co_name == "start_span" and frame.f_globals.get("__name__") == _SDK:
            span = frame.f_locals.get("span")
            return span if getattr(span, "_start_time", None) is not None else None
    return None


def end_after(error: BaseException, span: Span | None) -> None:
    """End a span that is still open after `error`.

    An interrupt inside `Span.end` may have come before the processors. They are then called again.
    """
    if span is None:
        return
    if span.is_recording():
        span.end()
    elif _guard.is_interrupt(error) and any(
        frame.f_code.co_name == "end" and frame.f_locals.get("self") is span for frame in _guard.frames_of(error)
    ):
        at, span._end_time = getattr(span, "_end_time", None), None  # type: ignore[attr-defined] # noqa: SLF001
        span.end(at)
