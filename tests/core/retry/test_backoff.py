"""The delays before a retry: their shapes, and their bounds for any figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.backoff import LONGEST, delay
from otel_claude_stream._core.retry.policy import Backoff, Jitter

ANY = st.floats(allow_nan=True, allow_infinity=True)


@pytest.mark.parametrize(
    ("jitter", "number", "previous", "chance", "seconds"),
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
def test_the_shape_of_each_jitter(jitter, number, previous, chance, seconds):
    assert delay(Backoff(jitter), number, previous, chance) == pytest.approx(seconds)


@pytest.mark.parametrize("jitter", list(Jitter))
def test_no_base_is_no_delay(jitter):
    assert delay(Backoff(jitter, base=0.0, cap=0.0), 10**9, None, 1.0) == 0.0


@pytest.mark.parametrize("number", [1_000, 10**9, 10**30])
def test_a_huge_number_of_retries_waits_for_the_cap(number):
    assert delay(Backoff(Jitter.NONE), number, None, 0.5) == 8.0


def test_an_endless_cap_is_a_day():
    assert delay(Backoff(Jitter.NONE, cap=math.inf), 10**9, None, 0.5) == LONGEST


@pytest.mark.parametrize("number", [1, 0, -5])
def test_the_first_retry_waits_for_the_base(number):
    assert delay(Backoff(Jitter.NONE), number, None, 0.5) == 0.5


@given(st.builds(Backoff, st.sampled_from(Jitter), ANY, ANY, ANY), st.integers(), st.none() | ANY, ANY)
def test_any_figures_give_a_finite_delay_from_nothing_to_the_cap(backoff, number, previous, chance):
    found = delay(backoff, number, previous, chance)
    assert math.isfinite(found)
    assert 0.0 <= found <= (LONGEST if math.isnan(backoff.cap) else min(max(backoff.cap, 0.0), LONGEST))


@given(st.floats(0.01, 10), st.floats(1, 5), st.integers(1, 40), st.floats(0, 1))
def test_the_jitters_stay_below_the_rising_bound(base, multiplier, number, chance):
    bound = delay(Backoff(Jitter.NONE, base, 60.0, multiplier), number, None, 0.0)
    assert bound == pytest.approx(min(60.0, base * multiplier ** (number - 1)))
    assert 0.0 <= delay(Backoff(Jitter.FULL, base, 60.0, multiplier), number, None, chance) <= bound
    assert bound / 2 <= delay(Backoff(Jitter.EQUAL, base, 60.0, multiplier), number, None, chance) <= bound
