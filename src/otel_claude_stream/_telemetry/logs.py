"""Events of a stream as log records: where span events are on their way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry._logs import Logger, LogRecord, SeverityNumber

if TYPE_CHECKING:
    from opentelemetry.context import Context

_PROBLEMS = frozenset({"claude.stream.abort", "claude.stream.error", "claude.stream.retry", "claude.stream.stall"})


class LogEvents:
    """Emits one log record for each event, with the event's name and the stream's span."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def emit(self, name: str, attributes: dict[str, Any], at: int, context: Context) -> None:
        """One event: WARN if it tells of trouble, else DEBUG. `at` is wall time in nanoseconds."""
        severe = name in _PROBLEMS
        self._logger.emit(
            LogRecord(
                timestamp=at,
                context=context,
                severity_number=SeverityNumber.WARN if severe else SeverityNumber.DEBUG,
                severity_text="WARN" if severe else "DEBUG",
                attributes=attributes,
                event_name=name,
            )
        )
