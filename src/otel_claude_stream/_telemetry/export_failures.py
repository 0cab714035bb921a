"""What is told of exports that fail: one line in a while, out of all that OpenTelemetry's exporters log.

A record is known by its logger and the template of its message. Whatever is not in the table is none of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

QUIET_SECONDS: Final = 600.0
"""Between two lines: a night without a collector is a few dozen of them, and the last one is never old."""

RETRY_SECONDS: Final = 60.0
"""For which a retry is the reason of a failure after it: the exporters' longest back-off is 38 s (2**5, +20 %)."""

MOST: Final = 400
"""Characters of a message: the address and the error fit, the error page of a wrong server does not."""

ALL: Final = "OTEL_CLAUDE_STREAM_EXPORT_FAILURES=all"


class Kind(Enum):
    """What a record tells."""

    RETRY = "an attempt failed, and there is to be another"
    FAILED = "an export failed, and the record says why"
    GAVE_UP = "an export failed, and the retry before it said why"
    RAISED = "an export failed with an exception, whose traceback shows the inside of an HTTP library"
    OVERFLOW = "what waited for an export was dropped"


@dataclass(frozen=True, slots=True)
class Message:
    """Messages of some loggers, by the beginning of their template and perhaps a further part of it."""

    loggers: tuple[str, ...]
    begins: str
    kind: Kind
    has: str = ""


HTTP: Final = tuple(
    f"opentelemetry.exporter.otlp.proto.http.{module}"
    for module in ("trace_exporter", "metric_exporter", "_log_exporter")
)
GRPC: Final = ("opentelemetry.exporter.otlp.proto.grpc.exporter",)
"""One for all signals."""
BATCHES: Final = ("opentelemetry.sdk._shared_internal",)
READER: Final = ("opentelemetry.sdk.metrics._internal.export",)
SIMPLE: Final = ("opentelemetry.sdk.trace.export", "opentelemetry.sdk._logs._internal.export")

MESSAGES: Final = (
    Message((*HTTP, *GRPC), "Transient error ", Kind.RETRY),
    # HTTP from 1.40 on: a time-out, or the last of several attempts.
    Message(HTTP, "Failed to export ", Kind.GAVE_UP, has="due to timeout"),
    Message((*HTTP, *GRPC), "Failed to export ", Kind.FAILED),
    Message((*HTTP, *GRPC), "Shutdown in progress, aborting retry", Kind.GAVE_UP),
    # What HTTP exporters before 1.40 let pass: a refused connection, a time-out, an answer that is no HTTP.
    Message((*BATCHES, *READER, *SIMPLE), "Exception while exporting ", Kind.RAISED),
    Message(BATCHES, "Queue full, dropping ", Kind.OVERFLOW),
)
"""From the sources of OpenTelemetry's SDK and OTLP exporters 1.37 to 1.45. Of two rows that fit, the first holds."""

LOGGERS: Final = tuple(dict.fromkeys(name for message in MESSAGES for name in message.loggers))


def kind_of(logger: str, template: object, error: BaseException | None = None) -> Kind | None:
    """What a record tells, or None if it is not about an export that failed. `error` is the exception it comes with.

    All exceptions of `requests` are `OSError`s; any other one is somebody's bug, whose traceback is needed.
    """
    if not isinstance(template, str):
        return None
    for message in MESSAGES:
        if logger in message.loggers and template.startswith(message.begins) and message.has in template:
            return None if message.kind is Kind.RAISED and not isinstance(error, OSError) else message.kind
    return None


def is_once(word: str, *, automatic: bool) -> bool:
    """Whether the setting `export_failures` means one line; `automatic`: no code of the application instruments."""
    return word == "once" or (word == "auto" and automatic)


def one_line(text: str) -> str:
    """A text without line breaks, of bounded length."""
    joined = " ".join(text.split())
    return joined if len(joined) <= MOST else f"{joined[: MOST - 1]}…"


class ExportFailures:
    """What has been told in one process. Times are seconds of a monotonic clock; the caller sees to threads."""

    __slots__ = ("_left_out", "_retries", "_told_at")

    def __init__(self) -> None:
        self._told_at: float | None = None
        self._left_out = 0
        self._retries: dict[str, tuple[float, str]] = {}

    def line(self, kind: Kind, logger: str, text: str, now: float) -> str | None:
        """What a record of this kind is to say instead of `text`; None if it is to say nothing.

        A retry is held back: it may succeed, and if it does not, the failure that follows tells it.
        """
        if kind is Kind.RETRY:
            self._retries[logger] = (now, one_line(text))
            return None
        if kind is Kind.OVERFLOW:
            return None if self._is_quiet(now) else text
        at, retry = self._retries.pop(logger, (now, ""))
        if self._is_quiet(now):
            self._left_out += 1
            return None
        why = f" Before that: {retry}" if kind is Kind.GAVE_UP and retry and now - at <= RETRY_SECONDS else ""
        return f"{one_line(text)}{why} [{self._note(now)}]"

    def _is_quiet(self, now: float) -> bool:
        return self._told_at is not None and now - self._told_at < QUIET_SECONDS

    def _note(self, now: float) -> str:
        """Take note that a line is told at `now`; what it says of the others."""
        left_out, self._left_out, self._told_at = self._left_out, 0, now
        before = f", {left_out} left out since the last" if left_out else ""
        return f"told once in {QUIET_SECONDS / 60:.0f} min{before}; each with {ALL}"
