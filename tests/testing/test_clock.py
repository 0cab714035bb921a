"""Clocks that stand still until moved."""

from __future__ import annotations

import pytest

from otel_claude_stream.testing import ManualClock, SteppingClock


def test_manual_clock_moves_only_by_advance():
    """Both of its clocks move together, to the nanosecond."""
    clock = ManualClock(start_ns=100)
    assert (clock.monotonic_ns(), clock.monotonic_ns(), clock.time_ns()) == (0, 0, 100)
    clock.advance(1.5)
    assert (clock.monotonic_ns(), clock.time_ns()) == (1_500_000_000, 1_500_000_100)


def test_stepping_clock_moves_at_every_monotonic_reading():
    """Readings of the date do not count."""
    clock = SteppingClock(0.001, start_ns=0)
    assert [clock.monotonic_ns() for _ in range(3)] == [0, 1_000_000, 2_000_000]
    assert (clock.time_ns(), clock.time_ns()) == (3_000_000, 3_000_000)


def test_clocks_do_not_go_back():
    """A duration below zero is a mistake in the test."""
    with pytest.raises(ValueError, match="go back"):
        ManualClock().advance(-1)
    with pytest.raises(ValueError, match="go back"):
        SteppingClock(-1)
