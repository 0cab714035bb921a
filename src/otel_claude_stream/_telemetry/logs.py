"""Events of a stream as log records, the successor of span events in OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry._logs import Logger, LogRecord, SeverityNumber

from otel_claude_stream._telemetry import schema

if TYPE_CHECKING:
    from opentelemetry.context import Context

_PROBLEMS = frozenset(
    {schema.ABORT.name, schema.ERROR.name, schema.RETRY.name, schema.STALL.name}
    | {schema.EXCEPTION.name, schema.EXCEPTION.name_0_1}
)


class LogEvents:
    """Emits events as log records."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def emit(self, name: str, attributes: dict[str, Any], at: int, context: Context) -> None:
        """Emit an event at the wall time `at` (nanoseconds): a problem with severity WARN, any other with DEBUG.

        `context` contains the span of the stream.
        """
        is_problem = name in _PROBLEMS
        self._logger.emit(
            LogRecord(
                timestamp=at,
                context=context,
                severity_number=SeverityNumber.WARN if is_problem else SeverityNumber.DEBUG,
                severity_text="WARN" if is_problem else "DEBUG",
                attributes=attributes,
                event_name=name,
            )
        )
