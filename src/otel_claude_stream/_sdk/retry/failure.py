"""The ways in which an attempt fails as its reader sees it, before the SDK has made an exception of it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.retry.resume.splice import SeamMismatch
from otel_claude_stream._core.vocabulary import ErrorSource, Stop
from otel_claude_stream._sdk.read.responses import end_by

_MAX_TYPE = 128


@dataclass(frozen=True, slots=True)
class Failure:
    """An `error` event, an exception, or (neither) a body that ended too early."""

    frame: Any = None
    """The `error` event. The SDK raises when it is handed on."""
    error: Exception | None = None
    seam: str = ""
    """How the continuation did not fit, if that is all that failed."""

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """What an exception that came while the attempt was read says."""
        return cls(seam=error.result.value) if isinstance(error, SeamMismatch) else cls(error=error)

    def end(self) -> End:
        """What the classifier may know of it."""
        if self.error is not None:
            return end_by(self.error)
        if self.frame is None:
            return End(Stop.EXHAUSTED)
        return End(Stop.RAISED, error_type=_error_type(self.frame), error_source=ErrorSource.SSE)


def _error_type(frame: Any) -> str | None:
    try:
        said = json.loads(frame.data)["error"]["type"]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    return said[:_MAX_TYPE] if isinstance(said, str) else None


@dataclass(slots=True)
class PendingFailures:
    """The failures that may yet be raised, kept by the frame of a driver.

    Not by the session, which lives as long as the stream is open: their tracebacks have that frame, and a stream that
    was dropped would never be let go.
    """

    original: Failure | None = None
    """What broke the text that is being continued, until the continuation fits."""
    latest: Failure | None = None
    """What led to the attempt that is being read: what the caller gets if nothing of it may be handed on."""


@_guard.guarded("recovery", None)
def truncation(response: Any) -> Exception:
    """What is raised for a body that ended before `message_stop`, on request: the SDK itself raises nothing.

    `anthropic.APIConnectionError`, which those who handle connections that broke handle already.
    """
    kind = sys.modules["anthropic"].APIConnectionError
    made: Exception = kind(message="The stream ended before message_stop.", request=response.request)
    return made
