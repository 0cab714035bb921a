"""What a `RetryPolicy` is made of, for policies that are written in code.

>>> from otel_claude_stream.policy import Mode, RetryLimits, RetryPolicy
>>> RetryPolicy(mode=Mode.RETRY, limits=RetryLimits(max_attempts=2, deadline=60.0)).limits.max_requests
6

Durations are in seconds. Values are checked where a policy is used: by ``instrument(retry_policy=...)``, which tells
what is wrong in a log and observes, and by ``retry_policy(...)``, which raises `ValueError`.
"""

from __future__ import annotations

from otel_claude_stream._core.retry.policy import (
    Backoff,
    Budget,
    Commit,
    Jitter,
    Mode,
    OnExceed,
    OnSeamMismatch,
    Resume,
    RetryAfter,
    RetryLimits,
    RetryPolicy,
    Rule,
    Scope,
    SdkRetries,
    Strategy,
    Watchdog,
)

__all__ = [
    "Backoff",
    "Budget",
    "Commit",
    "Jitter",
    "Mode",
    "OnExceed",
    "OnSeamMismatch",
    "Resume",
    "RetryAfter",
    "RetryLimits",
    "RetryPolicy",
    "Rule",
    "Scope",
    "SdkRetries",
    "Strategy",
    "Watchdog",
]
