"""Durations, as people write them and as seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.durations import seconds, written

PAIRS = [
    ("500ms", 0.5), ("30s", 30.0), ("5m", 300.0), ("2h", 7200.0), ("1.5s", 1.5), ("0s", 0.0), ("3ms", 0.003),
    ("90s", 90.0), ("10m", 600.0), ("24h", 86400.0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), PAIRS)
def test_pairs(text, value):
    assert (seconds(text), written(value)) == (value, "1500ms" if text == "1.5s" else text)


@pytest.mark.parametrize("text", [" 30s ", "30S", "0.5m", "30000ms"])
def test_other_ways_to_write_30_seconds(text):
    assert seconds(text) == 30.0


@pytest.mark.parametrize("text", ["30", "", "s", "-1s", "1 s", "1d", "1e3s", "1m30s", ".5s", "1.s", "٣s", "30s\n30s"])
def test_no_durations(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the text alone
        seconds(text)


@given(st.floats(0, 1e9))
def test_what_is_written_is_read(value):
    assert seconds(written(value)) == value
