"""The policy's caps on the SDK's own retry loop: from 1.6 on it sleeps as long as `retry-after` says, for days too."""

from __future__ import annotations

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
    if asked > policy.retry_after.max:
        return policy.retry_after.on_exceed is OnExceed.FAIL
    return deadline is not None and recovery.session.elapsed + asked > deadline


def longest_sleep(recovery: Recovery) -> float | None:
    """The cap on the SDK's next sleep, if it is the server that asked for it; None for no cap."""
    asked, recovery.asked_to_wait = recovery.asked_to_wait, None
    return None if asked is None else recovery.policy.retry_after.max


def _asked(client: Any, response: Any) -> float | None:
    """Seconds that the response asks to wait, read as the SDK reads it: milliseconds, seconds, or a date."""
    read = getattr(client, "_parse_retry_after_header", None)
    asked = read(response.headers) if read is not None else None
    return float(asked) if isinstance(asked, int | float) else None
