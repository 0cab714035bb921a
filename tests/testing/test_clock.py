"""The clocks of the test kit stand still until a test advances them."""

from __future__ import annotations

import pytest

from otel_claude_stream.testing import ManualClock, SteppingClock


def test_a_manual_clock_moves_only_when_it_is_advanced():
    """The monotonic clock and the wall clock advance by the same number of nanoseconds."""
    clock = ManualClock(start_ns=100)
    assert (clock.monotonic_ns(), clock.monotonic_ns(), clock.time_ns()) == (0, 0, 100)
    clock.advance(1.5)
    assert (clock.monotonic_ns(), clock.time_ns()) == (1_500_000_000, 1_500_000_100)


def test_a_stepping_clock_advances_at_each_call_of_monotonic_ns():
    """Calls of `time_ns()` do not advance it."""
    clock = SteppingClock(0.001, start_ns=0)
    assert [clock.monotonic_ns() for _ in range(3)] == [0, 1_000_000, 2_000_000]
    assert (clock.time_ns(), clock.time_ns()) == (3_000_000, 3_000_000)


def test_a_negative_duration_is_an_error():
    with pytest.raises(ValueError, match="seconds must not be negative: -1"):
        ManualClock().advance(-1)
    with pytest.raises(ValueError, match="step must not be negative: -1"):
        SteppingClock(-1)
