"""The policy's caps on the SDK's own retry loop: from 1.6 on it sleeps as long as `retry-after` says, for days too."""

from __future__ import annotations

import sys
from typing import Any

from otel_claude_stream._core.retry.context import Blocker
from otel_claude_stream._core.retry.policy import OnExceed
from otel_claude_stream._sdk.retry.flow import Recovery


def stops_sdk(recovery: Recovery, client: Any, response: Any) -> bool:
    """Whether the SDK may not retry after this response: too long a sleep, too late, or nothing left in the budget."""
    policy = recovery.policy
    asked = recovery.asked_to_wait = _asked(client, response)
    if asked is not None and asked > policy.retry_after.max and policy.retry_after.on_exceed is OnExceed.FAIL:
        return _stopped(recovery, Blocker.RETRY_AFTER)
    if _passes_deadline(recovery, min(asked or 0.0, policy.retry_after.max)):
        return _stopped(recovery, Blocker.DEADLINE)
    return not recovery.session.spend() and _stopped(recovery, Blocker.BUDGET)


def _passes_deadline(recovery: Recovery, delay: float) -> bool:
    deadline, elapsed = recovery.policy.limits.deadline, recovery.session.age
    return deadline is not None and (elapsed >= deadline or elapsed + delay > deadline)


def _stopped(recovery: Recovery, by: Blocker) -> bool:
    recovery.session.stopped(by)
    return True


def longest_sleep(recovery: Recovery) -> float | None:
    """The cap on the SDK's next sleep, if it is the server that asked for it; None for no cap."""
    asked, recovery.asked_to_wait = recovery.asked_to_wait, None
    return None if asked is None else recovery.policy.retry_after.max


def last_error(recovery: Recovery, delay: float) -> Exception | None:
    """What ends the SDK's retries of a connection that failed: past the deadline, or with nothing left in the budget.

    It is what the SDK itself raises when it has no retries left. For a response there is no such question: the SDK asks
    beforehand whether to retry it.
    """
    error = sys.exc_info()[1]
    # Where there was an answer, the exception is none of the SDK's: the caller may be handling one of its own.
    if recovery.session.answered or not isinstance(error, Exception):
        return None
    if _passes_deadline(recovery, delay):
        _stopped(recovery, Blocker.DEADLINE)
    elif not recovery.session.spend():
        _stopped(recovery, Blocker.BUDGET)
    else:
        return None
    return _as_raised(error)


def _as_raised(error: Exception) -> Exception:
    """The exception as the SDK hands it on: before 0.108 its loop has the HTTP library's own, and wraps it at last."""
    sdk = sys.modules["anthropic"]
    if any(kind is sdk.AnthropicError for kind in type(error).__mro__):
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
