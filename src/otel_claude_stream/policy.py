"""The parts of a `RetryPolicy`, for policies that are written in code.

>>> from otel_claude_stream.policy import Mode, RetryLimits, RetryPolicy
>>> RetryPolicy(mode=Mode.RETRY, limits=RetryLimits(max_attempts=2, deadline=60.0)).limits.max_requests
6

Durations are in seconds. The classes do not check their values. ``instrument(retry_policy=...)`` checks them; it logs
what is invalid and only observes. ``retry_policy(...)`` raises `ValueError`.
"""

from __future__ import annotations

from otel_claude_stream._core.retry.policy import (
    Backoff,
    Budget,
    Clocks,
    Commit,
    Concurrency,
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
    "Clocks",
    "Commit",
    "Concurrency",
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
