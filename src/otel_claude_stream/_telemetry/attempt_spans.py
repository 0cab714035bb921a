"""The spans of the HTTP requests of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from otel_claude_stream._core.summary import Summary
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.interrupts import end_after, start_span, started_span
from otel_claude_stream._telemetry.span_attributes import attempt_attributes

if TYPE_CHECKING:
    from opentelemetry.context import Context


def write_attempt_spans(tracer: Tracer, context: Context, summary: Summary, wall: Callable[[int], int]) -> None:
    """Record a child span for each HTTP request of a call, with explicit times. `context` contains the call's span."""
    for attempt in summary.attempts:
        started: list[Span] = []
        try:
            start_span(
                tracer,
                started,
                schema.ATTEMPT_SPAN.name,
                context,
                kind=SpanKind.INTERNAL,
                attributes=attempt_attributes(attempt, summary.call),
                start_time=wall(attempt.started),
            )
            (span,) = started
            if attempt.diagnosis is not None:
                span.set_status(Status(StatusCode.ERROR, attempt.diagnosis.reason.value))
            span.end(wall(attempt.ended))
        except BaseException as error:
            end_after(error, started_span(started, error))
            raise
