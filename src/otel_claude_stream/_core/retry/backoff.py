"""How long to wait before a retry, with chance coming in as a value."""

from __future__ import annotations

from otel_claude_stream._core.retry.policy import Backoff, Jitter

LONGEST = 86_400.0
"""No wait is longer than a day, whatever a policy says: what is finite can be slept."""

DECORRELATED_GROWTH = 3.0
"""Each delay is at most three times the one before (AWS Architecture Blog, "Exponential Backoff And Jitter")."""


def delay(backoff: Backoff, retry_number: int, previous: float | None, random01: float) -> float:
    """Seconds to wait before the retry of that number, the first being 1.

    Total: finite, from 0 to the cap, for any number, any figures of the policy and any chance. `previous` is the delay
    before, for the jitter that builds on it.
    """
    chance = max(0.0, min(1.0, random01))
    cap = max(0.0, min(LONGEST, backoff.cap))
    base = max(0.0, min(cap, backoff.base))
    bound = _rising(base, backoff.multiplier, retry_number, cap)
    if backoff.type is Jitter.FULL:
        found = bound * chance
    elif backoff.type is Jitter.EQUAL:
        found = bound * (0.5 + chance / 2)
    elif backoff.type is Jitter.DECORRELATED:
        most = max(base, min(cap, DECORRELATED_GROWTH * (base if previous is None else previous)))
        found = base + chance * (most - base)
    else:
        found = bound
    return max(0.0, min(cap, found))


def _rising(base: float, multiplier: float, retry_number: int, cap: float) -> float:
    """The bound that rises with each retry, up to the cap."""
    if base <= 0.0:
        return 0.0
    try:
        return max(0.0, min(cap, base * max(0.0, multiplier) ** max(0, retry_number - 1)))
    except OverflowError:
        return cap
