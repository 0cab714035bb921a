"""The stall thresholds, each of which is reported once for each wait that exceeds it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.stream.timing import StallThresholds, label

S = 1_000_000_000
RISING = st.lists(st.integers(1, 1000), unique=True, max_size=6).map(lambda found: tuple(map(float, sorted(found))))


@pytest.mark.parametrize(
    ("seconds", "shown"), [(10.0, "10s"), (0.5, "0.5s"), (0.05, "0.05s"), (180.0, "180s"), (3600.0, "3600s")]
)
def test_a_threshold_is_labelled_in_seconds(seconds, shown):
    assert label(seconds) == shown


@pytest.mark.parametrize(
    ("waited", "labels"),
    [
        (0, []),
        (10 * S - 1, []),
        (10 * S, ["10s"]),
        (30 * S - 1, ["10s"]),
        (30 * S, ["10s", "30s"]),
        (600 * S, ["10s", "30s", "60s"]),
    ],
)
def test_a_wait_exceeds_each_threshold_that_it_reaches(waited, labels):
    """A wait of exactly the length of a threshold exceeds it."""
    stalls = StallThresholds((10.0, 30.0, 60.0))
    assert (waited >= stalls.lowest) is bool(labels)
    assert stalls.newly_exceeded(waited) == labels
    assert stalls.exceeded == (labels[-1] if labels else "")


def test_a_threshold_is_reported_once_for_each_wait():
    """A growing wait exceeds new thresholds only. After content came, it exceeds all of them again."""
    stalls = StallThresholds((10.0, 30.0, 60.0))
    assert [stalls.newly_exceeded(seconds * S) for seconds in (5, 12, 20, 31, 100, 200)] == [
        [], ["10s"], [], ["30s"], ["60s"], [],
    ]  # fmt: skip
    assert stalls.exceeded == "60s"
    stalls.reset()
    assert stalls.exceeded == ""
    assert stalls.newly_exceeded(35 * S) == ["10s", "30s"]


def test_without_thresholds_nothing_is_a_stall():
    stalls = StallThresholds(())
    assert stalls.lowest > 10_000 * S
    assert stalls.newly_exceeded(10_000 * S) == []
    assert stalls.exceeded == ""


@given(RISING, st.lists(st.integers(0, 2000), max_size=20))
def test_each_threshold_below_the_longest_wait_is_reported_exactly_once(thresholds, seconds):
    """The labels of one growing wait are those of the thresholds that it reached, in order."""
    stalls = StallThresholds(thresholds)
    reported = [name for waited in sorted(seconds) for name in stalls.newly_exceeded(waited * S)]
    assert reported == [label(limit) for limit in thresholds if seconds and max(seconds) >= limit]
