"""The steps of a retry flow, which a driver carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from otel_claude_stream._sdk.retry.resend import Call


@dataclass(frozen=True, slots=True)
class Sleep:
    """Sleep until the caller leaves, at most for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the permit of the next request, or until the caller leaves, at most for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request. The answer is its result, or the exception that it raised."""

    call: Call


@dataclass(frozen=True, slots=True)
class Close:
    """Close a response that is no longer read."""

    response: Any


Step = Sleep | Wait | Send | Close
