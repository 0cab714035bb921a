"""A logging filter that limits what OpenTelemetry's exporters log about failed exports.

`MESSAGES` identifies a record by its logger and the template of its message. Other records pass unchanged.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from otel_claude_stream import _guard

QUIET_SECONDS: Final = 600.0
"""Time between two lines. A night without a Collector causes a few dozen, and the last one is never old."""

RETRY_SECONDS: Final = 60.0
"""How long a retry explains a later failure. The exporters' longest back-off is 38 s (2**5, +20 %)."""

MAX_CHARACTERS: Final = 400
"""Length of a message. The address and the error fit; the error page of an unrelated server does not."""

LOG_ALL: Final = "OTEL_CLAUDE_STREAM_EXPORT_FAILURES=all"


# --- Which records are about failed exports ----------------------------------------------------------------------
class RecordKind(Enum):
    """The meaning of a record about an export."""

    RETRY = "an attempt failed, and another one follows"
    FAILED = "an export failed, and the record has the reason"
    GAVE_UP = "an export failed, and the record of the last retry has the reason"
    RAISED = "an export failed with an exception, whose traceback shows the inside of an HTTP library"
    OVERFLOW = "a full queue dropped data before its export"


@dataclass(frozen=True, slots=True)
class Message:
    """Messages of some loggers, identified by the start of their template and optionally another part of it."""

    loggers: tuple[str, ...]
    prefix: str
    kind: RecordKind
    contains: str = ""


HTTP: Final = tuple(
    f"opentelemetry.exporter.otlp.proto.http.{module}"
    for module in ("trace_exporter", "metric_exporter", "_log_exporter")
)
GRPC: Final = ("opentelemetry.exporter.otlp.proto.grpc.exporter",)
"""All signals share one logger."""
BATCHES: Final = ("opentelemetry.sdk._shared_internal",)
READER: Final = ("opentelemetry.sdk.metrics._internal.export",)
SIMPLE: Final = ("opentelemetry.sdk.trace.export", "opentelemetry.sdk._logs._internal.export")

MESSAGES: Final = (
    Message((*HTTP, *GRPC), "Transient error ", RecordKind.RETRY),
    # HTTP from 1.40 on: a time-out, or the last of several attempts.
    Message(HTTP, "Failed to export ", RecordKind.GAVE_UP, contains="due to timeout"),
    Message((*HTTP, *GRPC), "Failed to export ", RecordKind.FAILED),
    Message((*HTTP, *GRPC), "Shutdown in progress, aborting retry", RecordKind.GAVE_UP),
    # HTTP exporters before 1.40 raise for a refused connection, a time-out, and a response that is not HTTP.
    Message((*BATCHES, *READER, *SIMPLE), "Exception while exporting ", RecordKind.RAISED),
    Message(BATCHES, "Queue full, dropping ", RecordKind.OVERFLOW),
)
"""From the sources of OpenTelemetry's SDK and OTLP exporters 1.37 to 1.45. The first row that matches applies."""

LOGGERS: Final = tuple(dict.fromkeys(name for message in MESSAGES for name in message.loggers))


def kind_of(logger: str, template: object, error: BaseException | None = None) -> RecordKind | None:
    """Return the kind of a record with the exception `error`, or None if it is not about a failed export.

    All exceptions of `requests` are `OSError`s. Any other exception is a bug, whose traceback is needed.
    """
    if not isinstance(template, str):
        return None
    for message in MESSAGES:
        if logger in message.loggers and template.startswith(message.prefix) and message.contains in template:
            return None if message.kind is RecordKind.RAISED and not isinstance(error, OSError) else message.kind
    return None


# --- Which of them are logged ------------------------------------------------------------------------------------
def limits_failures(setting: str, *, automatic: bool) -> bool:
    """Whether the setting `export_failures` limits the lines. `automatic`: no code of the application instruments."""
    return setting == "once" or (setting == "auto" and automatic)


def one_line(text: str) -> str:
    """Return a text without line breaks, truncated to `MAX_CHARACTERS`."""
    joined = " ".join(text.split())
    return joined if len(joined) <= MAX_CHARACTERS else f"{joined[: MAX_CHARACTERS - 1]}…"


class ExportFailures:
    """The export failures of one process. Times are seconds of a monotonic clock. Not safe for threads."""

    __slots__ = ("_last_logged_at", "_left_out", "_retries")

    def __init__(self) -> None:
        self._last_logged_at: float | None = None
        self._left_out = 0
        self._retries: dict[str, tuple[float, str]] = {}

    def line(self, kind: RecordKind, logger: str, text: str, now: float) -> str | None:
        """Return the line to log instead of `text`, or None to log nothing.

        A retry is not logged because it may succeed. If it fails, the line of that failure includes it.
        """
        if kind is RecordKind.RETRY:
            self._retries[logger] = (now, one_line(text))
            return None
        if kind is RecordKind.OVERFLOW:
            return None if self._is_quiet(now) else text
        at, retry = self._retries.pop(logger, (now, ""))
        if self._is_quiet(now):
            self._left_out += 1
            return None
        why = f" Before that: {retry}" if kind is RecordKind.GAVE_UP and retry and now - at <= RETRY_SECONDS else ""
        return f"{one_line(text)}{why} [{self._note(now)}]"

    def _is_quiet(self, now: float) -> bool:
        return self._last_logged_at is not None and now - self._last_logged_at < QUIET_SECONDS

    def _note(self, now: float) -> str:
        """Record that a line is logged at `now`, and return its note about the lines that were not."""
        left_out, self._left_out, self._last_logged_at = self._left_out, 0, now
        before = f", {left_out} not logged since the last" if left_out else ""
        return f"logged at most once in {QUIET_SECONDS / 60:.0f} min{before}; {LOG_ALL} logs each"


class ExportFailureFilter(logging.Filter):
    """A logging filter that applies `ExportFailures`. If a logger's level is DEBUG, all its records pass unchanged."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Discard the past: in a forked child, and when the filter is removed."""
        self._lock = threading.RLock()  # re-entrant: a garbage collection inside may close an object that logs
        self._failures = ExportFailures()

    @_guard.guarded("export_log", default=True)
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record. Changes it in place, which logging filters may do."""
        error = record.exc_info[1] if record.exc_info else None
        kind = kind_of(record.name, record.msg, error)
        if kind is None or logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            return True
        text = record.getMessage()
        if kind is RecordKind.RAISED:
            text = f"{text} {type(error).__name__}: {error}"
        with self._lock:
            line = self._failures.line(kind, record.name, text, self._clock())
        if line is None:
            return False
        record.msg, record.args = line, ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


# --- Installing the filter ---------------------------------------------------------------------------------------
_filter = ExportFailureFilter()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_filter.reset)


def install(*, create_loggers: bool) -> None:
    """Add the filter to the loggers that exist. With `create_loggers`, also for exporters that are imported later.

    The application's ``logging.config.dictConfig`` may disable a logger that was created too early.
    """
    for name in LOGGERS:
        if create_loggers or _exists(name):
            logging.getLogger(name).addFilter(_filter)


def uninstall() -> None:
    """Remove the filter."""
    for name in filter(_exists, LOGGERS):
        logging.getLogger(name).removeFilter(_filter)
    _filter.reset()


def is_installed() -> bool:
    """Whether any logger has the filter."""
    return any(_filter in logging.getLogger(name).filters for name in LOGGERS if _exists(name))


def _exists(name: str) -> bool:
    return isinstance(logging.root.manager.loggerDict.get(name), logging.Logger)
