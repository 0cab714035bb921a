"""What the flow of a recovery asks of its driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from otel_claude_stream._sdk.retry.resend import Call


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait, unless the caller leaves meanwhile. Answered by whether the caller is still there."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Send:
    """Make the request. Answered by what it returned, or by the exception that it raised."""

    call: Call


@dataclass(frozen=True, slots=True)
class Close:
    """Close a response that is not read any more."""

    response: Any


Step = Sleep | Send | Close
