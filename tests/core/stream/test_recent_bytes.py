"""The number of bytes that arrived within the last seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.stream.hot_path import HotPath
from otel_claude_stream._core.stream.timing import WINDOW_NS, Timing

S = 1_000_000_000


@pytest.mark.parametrize(
    ("reads", "now", "last", "total", "expected"),
    [
        pytest.param([], 3 * S, 2 * S, 10, 10, id="no read waited, so all bytes count"),
        pytest.param([(0, 0), (2 * S, 10)], 3 * S, 2 * S, 20, 20, id="the stream is younger than the window"),
        pytest.param([(0, 0), (2 * S, 10), (9 * S, 20)], 10 * S, 9 * S, 30, 20, id="older bytes are left out"),
        pytest.param([(0, 0)], 100 * S, 2 * S, 10, 0, id="the silence is longer than the window"),
    ],
)
def test_bytes_within_the_window(reads: list[tuple[int, int]], now: int, last: int, total: int, expected: int) -> None:
    """Bytes before the window are left out, to the second."""
    hot = HotPath(int, 0)
    timing = Timing(hot, 0, 0)
    for at, bytes_before in reads:
        hot.bytes = bytes_before
        timing.bytes_read(0, 1, at)
    hot.last_byte_at, hot.bytes = last, total
    assert timing.recent_bytes(now) == expected


@given(st.lists(st.tuples(st.integers(1, 10 * S), st.integers(0, 1000)), max_size=60))
def test_the_figure_is_between_the_bytes_of_the_window_and_all_bytes(steps: list[tuple[int, int]]) -> None:
    """The samples make it an upper estimate of the bytes within the window."""
    timing, now, total = Timing(HotPath(int, 0), 0, 0), 0, 0
    arrived: list[tuple[int, int]] = []
    for wait, size in steps:
        now += wait
        timing.bytes_read(size, wait, now)
        total += size
        arrived.append((now, size))
    found = timing.recent_bytes(now)
    assert sum(size for at, size in arrived if now - at <= WINDOW_NS) <= found <= total
