"""The delays before a retry: the jitters, and the bounds for any figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.decide import MAX_DELAY, backoff_delay
from otel_claude_stream._core.retry.policy import Backoff, Jitter

ANY = st.floats(allow_nan=True, allow_infinity=True)


def test_without_jitter_the_delay_doubles_up_to_the_cap():
    delays = [backoff_delay(Backoff(Jitter.NONE), number, None, 0.5) for number in (1, 2, 3, 4, 5, 6)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


@pytest.mark.parametrize(
    ("jitter", "number", "previous", "random", "seconds"),
    [
        (Jitter.NONE, 1, None, 0.9, 0.5),
        (Jitter.NONE, 2, None, 0.9, 1.0),
        (Jitter.NONE, 4, None, 0.9, 4.0),
        (Jitter.NONE, 5, None, 0.9, 8.0),
        (Jitter.NONE, 6, None, 0.9, 8.0),
        (Jitter.FULL, 3, None, 0.0, 0.0),
        (Jitter.FULL, 3, None, 0.5, 1.0),
        (Jitter.FULL, 3, None, 1.0, 2.0),
        (Jitter.EQUAL, 3, None, 0.0, 1.0),
        (Jitter.EQUAL, 3, None, 1.0, 2.0),
        (Jitter.DECORRELATED, 1, None, 0.0, 0.5),
        (Jitter.DECORRELATED, 1, None, 1.0, 1.5),
        (Jitter.DECORRELATED, 2, 1.0, 0.5, 1.75),
        (Jitter.DECORRELATED, 9, 7.0, 1.0, 8.0),
        (Jitter.DECORRELATED, 2, 0.0, 1.0, 0.5),
    ],
)
def test_each_jitter_spreads_the_delay_in_its_range(jitter, number, previous, random, seconds):
    assert backoff_delay(Backoff(jitter), number, previous, random) == pytest.approx(seconds)


@pytest.mark.parametrize("jitter", list(Jitter))
def test_without_a_base_there_is_no_delay(jitter):
    assert backoff_delay(Backoff(jitter, base=0.0, cap=0.0), 10**9, None, 1.0) == 0.0


@pytest.mark.parametrize("number", [1_000, 10**9, 10**30])
def test_a_huge_number_of_retries_waits_for_the_cap(number):
    assert backoff_delay(Backoff(Jitter.NONE), number, None, 0.5) == 8.0


def test_an_infinite_cap_is_a_day():
    assert backoff_delay(Backoff(Jitter.NONE, cap=math.inf), 10**9, None, 0.5) == MAX_DELAY


@pytest.mark.parametrize("number", [1, 0, -5])
def test_the_first_retry_waits_for_the_base(number):
    assert backoff_delay(Backoff(Jitter.NONE), number, None, 0.5) == 0.5


@given(st.builds(Backoff, st.sampled_from(Jitter), ANY, ANY, ANY), st.integers(), st.none() | ANY, ANY)
def test_any_figures_give_a_finite_delay_from_0_to_the_cap(backoff, number, previous, random):
    found = backoff_delay(backoff, number, previous, random)
    assert math.isfinite(found)
    assert 0.0 <= found <= (MAX_DELAY if math.isnan(backoff.cap) else min(max(backoff.cap, 0.0), MAX_DELAY))


@given(st.floats(0.01, 10), st.floats(1, 5), st.integers(1, 40), st.floats(0, 1))
def test_jittered_delays_stay_below_the_exponential_bound(base, multiplier, number, random):
    bound = backoff_delay(Backoff(Jitter.NONE, base, 60.0, multiplier), number, None, 0.0)
    assert bound == pytest.approx(min(60.0, base * multiplier ** (number - 1)))
    assert 0.0 <= backoff_delay(Backoff(Jitter.FULL, base, 60.0, multiplier), number, None, random) <= bound
    assert bound / 2 <= backoff_delay(Backoff(Jitter.EQUAL, base, 60.0, multiplier), number, None, random) <= bound
