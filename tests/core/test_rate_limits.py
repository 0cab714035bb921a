"""The rate limits that the API reported last are kept until some time after their reset, in a bounded table."""

from __future__ import annotations

from otel_claude_stream._core.rate_limits import KEPT_AFTER_RESET, MAX_REPORTS, LimitKey, RateLimits
from otel_claude_stream._core.stream.call import RateLimit

S = 1_000_000_000
KEY = LimitKey("host", "m", "tokens")


def limits_of(*reports: tuple[int, RateLimit]) -> RateLimits:
    """Return a table with reports about one limit, each with its second."""
    found = RateLimits()
    for second, limit in reports:
        found.record("host", "m", {"tokens": limit}, second * S)
    return found


def test_the_last_report_of_each_limit_is_kept():
    limits = limits_of((0, RateLimit(9, 1.0, 10)), (1, RateLimit(8, 2.0, 10)))
    limits.record("host", "other", {"tokens": RateLimit(5, None), "requests": RateLimit(1, None)}, S)
    assert limits.current(S) == [
        (KEY, RateLimit(8, 2.0, 10)),
        (LimitKey("host", "other", "tokens"), RateLimit(5, None)),
        (LimitKey("host", "other", "requests"), RateLimit(1, None)),
    ]


def test_the_time_until_the_reset_is_counted_down_to_zero():
    limits = limits_of((10, RateLimit(0, 30.0)))
    assert [limit.reset_after for second in (10, 25, 40, 60) for _, limit in limits.current(second * S)] == [
        30.0, 15.0, 0.0, 0.0,
    ]  # fmt: skip


def test_a_limit_is_forgotten_some_time_after_its_reset():
    """Its rest would be that of a time long ago, as no response has reported it since."""
    kept = int(KEPT_AFTER_RESET)
    for limit, until in ((RateLimit(0, 30.0), 10 + 30 + kept), (RateLimit(0, None), 10 + kept)):
        limits = limits_of((10, limit))
        assert limits.current(until * S - 1)
        assert limits.current(until * S) == []
        limits.record("host", "m", {"tokens": limit}, until * S)
        assert limits.current(until * S) == [(KEY, limit)]


def test_the_number_of_limits_is_bounded():
    limits = RateLimits()
    for number in range(MAX_REPORTS):
        limits.record("host", f"m{number}", {"tokens": RateLimit(1, None)}, 0)
    limits.record("host", "m0", {"tokens": RateLimit(2, None)}, 0)
    assert len(limits.current(0)) == MAX_REPORTS
    limits.record("host", "one more", {"tokens": RateLimit(3, None)}, 0)
    assert limits.current(0) == [(LimitKey("host", "one more", "tokens"), RateLimit(3, None))]


def test_all_limits_are_forgotten_at_once():
    limits = limits_of((0, RateLimit(1, None)))
    limits.clear()
    assert limits.current(0) == []
