"""A partial text, split where a model can continue it, and its anchor."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.resume.seam import (
    BORDER,
    CERTAINTY,
    LOOK_BACK,
    MAX_ANCHOR,
    PartialText,
    anchor_of,
    is_distinctive,
    missing_low_surrogate,
    partial_of,
    repeated_part,
)


def test_a_text_is_split_before_its_trailing_white_space():
    partial = partial_of("Hello there \n")
    assert (partial.stem, partial.space) == ("Hello there", " \n")


@pytest.mark.parametrize(
    ("text", "partial"),
    [
        ("", PartialText("", "")),
        ("Hello", PartialText("Hello", "")),
        ("Hello \n", PartialText("Hello", " \n")),
        (" \n", PartialText("", " \n")),
        ("Hi \ud83d", PartialText("Hi", " ", "\ud83d")),
        ("Hi\ud800", PartialText("Hi", "", "\ud800")),
        ("Hi" + chr(0xDBFF), PartialText("Hi", "", chr(0xDBFF))),
        ("Hi\udc00", PartialText("Hi\ufffd", "")),
        ("\ud83d\ude00", PartialText("😀", "")),
        ("a\ud83db", PartialText("a\ufffdb", "")),
        ("a\ude00", PartialText("a\ufffd", "")),
    ],
)
def test_white_space_and_an_unpaired_surrogate_are_split_off(text, partial):
    assert partial_of(text) == partial


def test_the_tail_is_delivered_and_not_in_the_stem():
    partial = partial_of("Hi \ud83d")
    assert (partial.stem, partial.tail) == ("Hi", " \ud83d")


@given(st.text(st.characters() | st.characters(categories=["Cs"]), max_size=30))
def test_any_text_can_be_encoded_after_the_split(text):
    partial = partial_of(text)
    (partial.stem + partial.space).encode()
    assert partial.stem == partial.stem.rstrip()


@pytest.mark.parametrize(
    ("stem", "chars", "anchor"),
    [
        ("the quick brown fox", 9, "brown fox"),
        ("the quick brown fox", 10, "brown fox"),
        ("the quick brown fox", 8, "rown fox"),
        ("the quick brown        fox", 8, "rown        fox"),
        ("the quick brown      fox", 4, "wn      fox"),
        ("abcdefghij" + " " * 30 + "x", 8, "cdefghij" + " " * 30 + "x"),
        ("fox", 48, "fox"),
        ("   fox", 4, "fox"),
        ("   fox", 48, "fox"),
        ("", 48, ""),
    ],
)
def test_an_anchor_does_not_begin_with_white_space(stem, chars, anchor):
    assert anchor_of(stem, chars) == anchor


@given(st.text(st.sampled_from("ab \n"), max_size=80), st.integers(1, 60))
def test_an_anchor_is_the_end_of_the_stem_and_at_least_half_as_long_as_requested(text, chars):
    stem = text.rstrip()
    anchor = anchor_of(stem, chars)
    assert stem.endswith(anchor)
    assert anchor == anchor.strip()
    assert 2 * len(anchor) >= min(chars, 2 * len(stem.strip()))


WORDS = st.lists(st.sampled_from(["ab", "cd", "efg"]), min_size=1, max_size=200).map(" ".join)
"""Repetitive texts."""


@given(st.text(st.sampled_from("ab "), min_size=1, max_size=60) | WORDS)
@example("ab" * 90)
def test_the_repeated_part_is_the_longest_near_the_end_that_occurs_earlier(text):
    longest = 0
    for end in range(max(1, len(text) - LOOK_BACK), len(text) + 1):
        longest = max([longest, *(size for size in range(1, end) if text[end - size : end] in text[: end - 1])])
    assert repeated_part(text) == longest


@given(WORDS, st.integers(8, 60))
@example("| a | b |\n" * 40, 48)
@example("the quick brown fox jumps over the lazy dog, and the quick brown fox sleeps; the quick brown fox", 20)
def test_an_anchor_is_as_long_as_it_takes_to_fit_at_one_place(text, chars):
    """It is no longer than that. If even `MAX_ANCHOR` characters are too few, it has the length that was asked for."""
    anchor, repeated = anchor_of(text, chars), repeated_part(text)
    if not is_distinctive(anchor, repeated):
        ends = [text[-size:].lstrip() for size in range(chars, min(MAX_ANCHOR, len(text)) + 1)]
        assert not any(is_distinctive(end, repeated) for end in ends)
        return
    assert len(anchor) > CERTAINTY * repeated
    assert text.count(anchor) == 1
    assert not any(anchor.startswith(anchor[-size:]) for size in range(BORDER, len(anchor)))
    if len(anchor) > chars + 1:  # a blank in front is left out
        assert not is_distinctive(anchor[1:].lstrip(), repeated)


@pytest.mark.parametrize(
    ("high", "character", "low"),
    [
        ("\ud83d", "😀", "\ude00"),
        ("\ud800", "\U00010000", "\udc00"),
        ("\udbff", "\U0010ffff", "\udfff"),
        ("\ud800", "\uffff", ""),
        ("\ud83d", "a", ""),
        ("\ud83c", "😀", ""),
        ("", "😀", ""),
    ],
)
def test_a_low_surrogate_is_found_by_its_high_surrogate(high, character, low):
    assert missing_low_surrogate(high, character) == low
