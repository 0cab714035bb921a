"""A filter on the loggers of OpenTelemetry's exporters: a collector that is down is one log line, not a flood."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from otel_claude_stream import _guard
from otel_claude_stream._telemetry.export_failures import LOGGERS, ExportFailures, Kind, kind_of


class ExportLog(logging.Filter):
    """Lets one record pass where an export fails, with all that is known of the failure; see `ExportFailures`.

    Where the logger is set to DEBUG, everything passes as it is.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Begin anew: what has been told was told by another process, or before the filter was taken out."""
        self._lock = threading.RLock()  # re-entrant: a garbage collection within may close what logs in turn
        self._failures = ExportFailures()

    @_guard.guarded("export_log", default=True)
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes; it is changed in place, as filters may."""
        error = record.exc_info[1] if record.exc_info else None
        kind = kind_of(record.name, record.msg, error)
        if kind is None or logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            return True
        text = record.getMessage()
        if kind is Kind.RAISED:
            text = f"{text} {type(error).__name__}: {error}"
        with self._lock:
            line = self._failures.line(kind, record.name, text, self._clock())
        if line is None:
            return False
        record.msg, record.args = line, ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


_filter = ExportLog()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_filter.forget)


def tell_once(*, everywhere: bool) -> None:
    """Put the filter in: on the loggers that there are, or `everywhere`, for exporters that are still to come.

    A logger that is made before its time may be disabled by the application's ``logging.config.dictConfig``.
    """
    for name in LOGGERS:
        if everywhere or _exists(name):
            logging.getLogger(name).addFilter(_filter)


def tell_all() -> None:
    """Take the filter out."""
    for name in filter(_exists, LOGGERS):
        logging.getLogger(name).removeFilter(_filter)
    _filter.forget()


def is_told_once() -> bool:
    """Whether the filter is in force."""
    return any(_filter in logging.getLogger(name).filters for name in LOGGERS if _exists(name))


def _exists(name: str) -> bool:
    return isinstance(logging.root.manager.loggerDict.get(name), logging.Logger)
