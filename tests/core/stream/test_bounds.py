"""The bounds of recorded names and numbers."""

from __future__ import annotations

import math

import pytest

from otel_claude_stream._core.stream import bounds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("claude", "claude"),
        ("", ""),
        ("x" * 200, "x" * 128),
        ("\u00e9" * 200, "\u00e9" * 128),
        ("half \ud83d", "half ?"),
        (b"bytes", None),
        (7, None),
        (None, None),
    ],
)
def test_a_text_is_cut_and_can_be_encoded(value, expected):
    assert bounds.text(value) == expected


def test_a_text_may_have_another_bound():
    assert bounds.text("abcdef", 3) == "abc"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (25, 25), (10**12, 10**12), (10**12 + 1, None), (10**4000, None), (-1, None), (True, None), ("7", None)],
)
def test_a_count_is_neither_negative_nor_too_large(value, expected):
    assert bounds.count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5, 0.5), (-3, -3.0), (10**400, None), (math.inf, None), (math.nan, None), (True, None), ("1", None)],
)
def test_a_number_is_finite(value, expected):
    assert bounds.number(value) == expected
