"""The partial answer in the form in which it can be sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.resume.partial_text import Partial, anchor_of, partial_of, second_half


@pytest.mark.parametrize(
    ("text", "partial"),
    [
        ("", Partial("", "")),
        ("Hello", Partial("Hello", "")),
        ("Hello \n", Partial("Hello", " \n")),
        (" \n", Partial("", " \n")),
        ("Hi \ud83d", Partial("Hi", " ", "\ud83d")),
        ("Hi\ud800", Partial("Hi", "", "\ud800")),
        ("Hi" + chr(0xDBFF), Partial("Hi", "", chr(0xDBFF))),
        ("Hi\udc00", Partial("Hi\ufffd", "")),
        ("\ud83d\ude00", Partial("😀", "")),
        ("a\ud83db", Partial("a\ufffdb", "")),
        ("a\ude00", Partial("a\ufffd", "")),
    ],
)
def test_a_text_is_cut_where_a_model_can_join_it(text, partial):
    assert partial_of(text) == partial


def test_what_is_sent_and_what_the_caller_has():
    partial = partial_of("Hi \ud83d")
    assert (partial.sent, partial.tail) == ("Hi ", " \ud83d")


@given(st.text(st.characters() | st.characters(categories=["Cs"]), max_size=30))
def test_any_text_can_be_sent(text):
    partial = partial_of(text)
    partial.sent.encode()
    assert partial.stem == partial.stem.rstrip()


@pytest.mark.parametrize(
    ("stem", "chars", "anchor"),
    [
        ("the quick brown fox", 9, "brown fox"),
        ("the quick brown fox", 10, "brown fox"),
        ("the quick brown fox", 8, "rown fox"),
        ("the quick brown        fox", 8, "ck brown        fox"),
        ("the quick brown      fox", 4, "fox"),
        ("fox", 48, "fox"),
        ("   fox", 4, "fox"),
        ("   fox", 48, "fox"),
        ("", 48, ""),
    ],
)
def test_an_anchor_begins_with_no_white_space(stem, chars, anchor):
    assert anchor_of(stem, chars) == anchor


@given(st.text(st.sampled_from("ab \n"), max_size=80), st.integers(1, 60))
def test_an_anchor_is_the_end_and_as_long_as_can_be_asked(text, chars):
    stem = text.rstrip()
    anchor = anchor_of(stem, chars)
    assert stem.endswith(anchor)
    assert anchor == anchor.strip()
    assert 2 * len(anchor) >= min(chars, 2 * len(stem.strip()))


@pytest.mark.parametrize(
    ("half", "character", "other"),
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
def test_the_other_half_of_a_character(half, character, other):
    assert second_half(half, character) == other
