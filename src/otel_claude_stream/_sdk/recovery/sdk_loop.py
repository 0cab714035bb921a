"""The policy's caps on the SDK's own retry loop: from 1.6 on it sleeps as long as `retry-after` says, for days too."""

from __future__ import annotations

import sys
from typing import Any

from otel_claude_stream._core.recovery.policy import OnExceed
from otel_claude_stream._sdk.recovery.flow import Recovery


def stops_sdk(recovery: Recovery, client: Any, response: Any) -> bool:
    """Whether the SDK may not retry after this response: it would sleep for too long, or the deadline has passed."""
    policy = recovery.policy
    deadline = policy.limits.deadline
    if deadline is not None and recovery.session.elapsed >= deadline:
        return True
    asked = _asked(client, response)
    recovery.asked_to_wait = asked
    if asked is None:
        return False
    if asked > policy.retry_after.max and policy.retry_after.on_exceed is OnExceed.FAIL:
        return True
    return deadline is not None and recovery.session.elapsed + min(asked, policy.retry_after.max) > deadline


def longest_sleep(recovery: Recovery) -> float | None:
    """The cap on the SDK's next sleep, if it is the server that asked for it; None for no cap."""
    asked, recovery.asked_to_wait = recovery.asked_to_wait, None
    return None if asked is None else recovery.policy.retry_after.max


def too_late(recovery: Recovery, delay: float) -> Exception | None:
    """What ends the SDK's retries of a connection that failed, if its sleep of `delay` seconds would pass the deadline.

    It is what the SDK itself raises when it has no retries left. For a response there is no such question: the SDK asks
    beforehand whether to retry it.
    """
    error = sys.exc_info()[1]
    deadline = recovery.policy.limits.deadline
    # Where there was an answer, the exception is none of the SDK's: the caller may be handling one of its own.
    if deadline is None or recovery.session.answered or not isinstance(error, Exception):
        return None
    return _as_raised(error) if recovery.session.elapsed + delay > deadline else None


def _as_raised(error: Exception) -> Exception:
    """The exception as the SDK hands it on: before 0.108 its loop has the HTTP library's own, and wraps it at last."""
    sdk = sys.modules["anthropic"]
    if isinstance(error, sdk.AnthropicError):
        return error
    timed_out = any(kind.__name__ == "TimeoutException" for kind in type(error).__mro__)
    kind = sdk.APITimeoutError if timed_out else sdk.APIConnectionError
    made: Exception = kind(request=error.request)  # type: ignore[attr-defined] # of either library's request errors
    made.__cause__ = error
    return made


def _asked(client: Any, response: Any) -> float | None:
    """Seconds that the response asks to wait, read as the SDK reads it: milliseconds, seconds, or a date."""
    read = getattr(client, "_parse_retry_after_header", None)
    asked = read(response.headers) if read is not None else None
    return float(asked) if isinstance(asked, int | float) else None
