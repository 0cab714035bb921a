"""Durations as text and as seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.durations import format_duration, parse_duration

PAIRS = [
    ("500ms", 0.5), ("30s", 30.0), ("5m", 300.0), ("2h", 7200.0), ("1.5s", 1.5), ("0s", 0.0), ("3ms", 0.003),
    ("90s", 90.0), ("10m", 600.0), ("24h", 86400.0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), PAIRS)
def test_a_duration_is_parsed_and_formatted(text, value):
    assert (parse_duration(text), format_duration(value)) == (value, "1500ms" if text == "1.5s" else text)


@pytest.mark.parametrize("text", [" 30s ", "30S", "0.5m", "30000ms"])
def test_case_space_and_unit_may_differ(text):
    assert parse_duration(text) == 30.0


@pytest.mark.parametrize("text", ["30", "", "s", "-1s", "1 s", "1d", "1e3s", "1m30s", ".5s", "1.s", "٣s", "30s\n30s"])
def test_any_other_text_is_rejected(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the text alone
        parse_duration(text)


@given(st.floats(0, 1e9))
def test_a_formatted_number_is_parsed_exactly(value):
    assert parse_duration(format_duration(value)) == value
