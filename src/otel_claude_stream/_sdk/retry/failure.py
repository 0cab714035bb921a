"""The failures of attempts as a driver sees them, before the SDK has made exceptions of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.retry.resume.splice import SeamMismatch
from otel_claude_stream._core.stream.frames import error_type
from otel_claude_stream._core.vocabulary import ErrorSource, Stop
from otel_claude_stream._sdk.read.responses import end_by


class ErrorEvent(Exception):
    """An `error` event came. Raised by the gate to the driver, never to the caller."""

    def __init__(self, frame: Any) -> None:
        super().__init__("an error event ended the attempt")
        self.frame = frame


@dataclass(frozen=True, slots=True)
class Failure:
    """An `error` event, an exception, or (neither) a body that ended too early."""

    frame: Any = None
    """The `error` event. The SDK raises when it gets it."""
    error: Exception | None = None
    seam: str = ""
    """Why the continuation did not fit, if that is all that failed."""

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Return the failure that an exception stands for which came while the attempt was read."""
        if isinstance(error, SeamMismatch):
            return cls(seam=error.result.value)
        return cls(frame=error.frame) if isinstance(error, ErrorEvent) else cls(error=error)

    def end(self) -> End:
        """Return what the classifier gets to know of it."""
        if self.error is not None:
            return end_by(self.error)
        if self.frame is None:
            return End(Stop.EXHAUSTED)
        data = getattr(self.frame, "data", None)
        return End(Stop.RAISED, error_type=error_type(data), error_source=ErrorSource.SSE)


class PendingFailures:
    """The failures that may yet be raised.

    Only the frame of a driver refers to them. Their tracebacks have that frame, so a reference from an object that
    lives as long as the stream would keep a dropped stream alive.
    """

    __slots__ = ("_latest", "_original")

    def __init__(self) -> None:
        self._original: Failure | None = None
        """The failure that broke the text which is being continued, or for which another model was asked."""
        self._latest: Failure | None = None
        """The failure that led to the current attempt."""

    def add(self, failure: Failure, *, stands: bool) -> None:
        """Record a failure that another attempt follows. It `stands` if that is no repetition and fails too."""
        self._latest = failure
        if stands:
            self._original = self._original or failure

    def seam_passed(self) -> None:
        """Forget the original failure, since the continuation fits or the other model answered."""
        self._original = None

    def to_raise(self, failure: Failure) -> Failure:
        """Return the failure that the caller gets.

        A failed continuation or fallback raises the first failure. If nothing else failed than the seam, the one that
        led to this attempt is raised. Otherwise the last one is, as the SDK does.
        """
        return self._original or (self._latest if failure.seam else None) or failure


_queue_timeouts: dict[Any, Any] = {}
"""The class of the exception for a call without a permit, by the SDK's class that it derives from."""


def queue_timeout(request: Any, text: str) -> Exception:
    """Return what is raised for a call that gets no permit.

    A full connection pool raises `anthropic.APITimeoutError` too, which callers handle.
    """
    base = sys.modules["anthropic"].APITimeoutError
    kind = _queue_timeouts.get(base)
    if kind is None:
        kind = _queue_timeouts[base] = type("QueueTimeout", (base,), {"__module__": __name__})
    made: Exception = kind(request=request)
    made.args = (text,)
    vars(made)["message"] = text  # as every error of the SDK has it
    return made


@_guard.guarded("recovery", None)
def truncation(response: Any) -> Exception:
    """Return what is raised, if the policy asks for it, for a body that ended before `message_stop`.

    The SDK itself raises nothing. `anthropic.APIConnectionError` is what callers handle for broken connections.
    """
    kind = sys.modules["anthropic"].APIConnectionError
    made: Exception = kind(message="The stream ended before message_stop.", request=response.request)
    return made
