"""The seam between a partial answer and a resumed text, for each kind of seam and for any text and any cut."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.policy import OnSeamMismatch, Resume, Strategy
from otel_claude_stream._core.retry.resume.seam import (
    BORDER,
    CERTAINTY,
    WINDOW,
    SeamFinder,
    SeamResult,
    anchor_of,
    is_distinctive,
    partial_of,
    repeated_part,
)

RESUME = Resume()
USER_CONTINUE, PREFILL = Strategy.USER_CONTINUE, Strategy.PREFILL
HIGH_SURROGATE, LOW_SURROGATE = "\ud83d", "\ude00"  # the surrogate pair for 😀

INTRO = "Interoperability between the two systems was the first thing that all teams asked about, and for good reason. "
PARTIAL = INTRO + "The adapters had been written by three teams that did not talk to each other, so the interop"
"""Cut in the middle of a word."""
REST = "erability tests failed in ways that no team had foreseen."
ANCHOR = PARTIAL[-48:].lstrip()
"""The 47 characters that the model is asked to repeat. They do not begin with white space."""
CODE = "Here is the function that you asked for:\n\n```python\ndef total(rows):\n    found = 0\n    for row in rows:\n"
ENOUGH = 16
"""Characters of the shortest overlap that is accepted. The first of the last 15 is a blank, and 14 are too few."""
EQUAL_ROW = "Once more with feeling: what was it that they had asked about?"
TABLE = "| a | b | c | d |\n" * 12
ROWS = "Names, sorted by the second letter and not by the first one:\n\n" + "".join(
    f"| {name} | a name of a city in the north of the country |\n" for name in ("Bern", "Peine", "Hof", "Kiel")
)
"""A table whose last row ends like the others."""


def feed_all(delivered, pieces, strategy=USER_CONTINUE, resume=RESUME):
    """Return the released pieces, including those at the end, and the finder."""
    finder = SeamFinder(delivered, resume, strategy)
    released = [finder.feed(piece) for piece in pieces]
    return [*released, finder.finish()], finder


def test_after_the_repeated_anchor_the_rest_is_released():
    released_pieces, finder = feed_all(PARTIAL, [ANCHOR, REST])
    assert (finder.result, released_pieces) == (SeamResult.ANCHOR, ["", REST, ""])


SEAMS = {
    "the anchor, then the rest, in the middle of a word": (PARTIAL, ANCHOR + REST, SeamResult.ANCHOR, REST),
    "the anchor and nothing more: the answer was complete": (PARTIAL, ANCHOR, SeamResult.ANCHOR, ""),
    "the anchor after a line break": (PARTIAL, "\n\n" + ANCHOR + REST, SeamResult.ANCHOR, REST),
    "more than the anchor": (PARTIAL, PARTIAL[-70:] + REST, SeamResult.ANCHOR, REST),
    "the whole partial answer, then the rest": (PARTIAL, PARTIAL + REST, SeamResult.ANCHOR, REST),
    "the anchor with other white space within": (
        INTRO + "\n\n" + ANCHOR, ANCHOR.replace(" ", "\n") + REST, SeamResult.ANCHOR, REST,
    ),
    "less than the anchor": (PARTIAL, PARTIAL[-20:] + REST, SeamResult.OVERLAP, REST),
    "just enough of an overlap": (PARTIAL, PARTIAL[-ENOUGH:] + REST, SeamResult.OVERLAP, REST),
    "one character less": (PARTIAL, PARTIAL[1 - ENOUGH :] + REST, SeamResult.MISMATCH, ""),
    "an overlap after a line break": (PARTIAL, "\n" + PARTIAL[-20:] + REST, SeamResult.OVERLAP, REST),
    "an overlap and nothing more": (PARTIAL, PARTIAL[-20:], SeamResult.OVERLAP, ""),
    "too little of an overlap": (PARTIAL, "interop" + REST, SeamResult.MISMATCH, ""),
    "an overlap of white space is none": (PARTIAL + "\n" + " " * 9, " " * 9 + "so", SeamResult.MISMATCH, ""),
    "a remark, then the anchor": (
        PARTIAL, "Sure, continuing:\n\n" + ANCHOR + REST, SeamResult.PREAMBLE, REST,
    ),
    "a remark, then the anchor with other white space": (
        PARTIAL, "Sure: " + ANCHOR.replace(" ", "  ") + REST, SeamResult.PREAMBLE, REST,
    ),
    "the anchor beyond the window": (PARTIAL, "word " * 90 + ANCHOR + REST, SeamResult.MISMATCH, ""),
    "a restart": (PARTIAL, PARTIAL[:150], SeamResult.RESTART, ""),
    "the beginning of the answer, and then other words": (
        PARTIAL, PARTIAL[:20] + "s, as before.", SeamResult.MISMATCH, "",
    ),
    "the beginning of the answer, just long enough": (PARTIAL, PARTIAL[:8], SeamResult.RESTART, ""),
    "the beginning of the answer, too short to be sure": (PARTIAL, PARTIAL[:7], SeamResult.MISMATCH, ""),
    "the beginning of the answer, 48 characters": (
        PARTIAL, PARTIAL[:48] + "-" * 500, SeamResult.RESTART, "",
    ),
    "the beginning of the answer, 47 characters": (
        PARTIAL, PARTIAL[:47] + "-" * 500, SeamResult.MISMATCH, "",
    ),
    "a restart longer than the window": (
        INTRO * 4 + PARTIAL, INTRO * 4 + PARTIAL, SeamResult.RESTART, "",
    ),
    "a short restart": (PARTIAL, PARTIAL[:20], SeamResult.RESTART, ""),
    "a restart from a beginning that ends like the partial answer": (
        "## Step 1: " + INTRO + "## Step ", "## Step 1: " + INTRO, SeamResult.RESTART, "",
    ),
    "the rest without repetition": (PARTIAL, REST * 9, SeamResult.MISMATCH, ""),
    "other words": (PARTIAL, "I cannot see any previous response.", SeamResult.MISMATCH, ""),
    "no text": (PARTIAL, "", SeamResult.EMPTY, ""),
    "only white space": (PARTIAL, " \n ", SeamResult.EMPTY, ""),
    "white space was delivered, and is repeated": (
        PARTIAL + " \n", ANCHOR + " \n" + "Next.", SeamResult.ANCHOR, "Next.",
    ),
    "white space was delivered, and is not repeated": (PARTIAL + "\n", ANCHOR + "Next.", SeamResult.ANCHOR, "Next."),
    "more white space than was delivered": (PARTIAL + "\n", ANCHOR + "\n\nNext.", SeamResult.ANCHOR, "\nNext."),
    "other white space than was delivered": (PARTIAL + "\n", ANCHOR + "  x", SeamResult.ANCHOR, "  x"),
    "an overlap with the white space that was delivered": (
        PARTIAL + "\n\n", PARTIAL[-20:] + "\n\nNext.", SeamResult.OVERLAP, "Next.",
    ),
    "an overlap with more white space than was delivered": (
        PARTIAL + "\n", PARTIAL[-20:] + "\n\nNext.", SeamResult.OVERLAP, "\nNext.",
    ),
    "just enough of an overlap, without the white space": (
        PARTIAL + "\n", PARTIAL[-ENOUGH:] + "Next.", SeamResult.OVERLAP, "Next.",
    ),
    "an overlap without the white space that was delivered": (
        PARTIAL + "\n\n", PARTIAL[-20:] + "\nNext.", SeamResult.OVERLAP, "Next.",
    ),
    "an open code fence that opens again, then the anchor": (
        CODE, "```python\n" + anchor_of(CODE.rstrip(), 48) + "\n        found += row\n", SeamResult.ANCHOR,
        "        found += row\n",
    ),
    "an open code fence that opens again, then an overlap": (
        CODE, "```python\n    for row in rows:\n        found += row\n", SeamResult.OVERLAP, "        found += row\n",
    ),
    "an open code fence that opens again, then the anchor in the middle of a line": (
        CODE + "        found", "```python\n" + anchor_of(CODE + "        found", 48) + " += row", SeamResult.ANCHOR,
        " += row",
    ),
    "a code fence where none was open": (
        CODE + "```\n" + PARTIAL, "```\n" + PARTIAL[-20:] + REST, SeamResult.MISMATCH, "",
    ),
    "an anchor that occurs again in the rest": (
        PARTIAL, ANCHOR + REST + ANCHOR + REST, SeamResult.ANCHOR, REST + ANCHOR + REST,
    ),
    "an anchor that occurred before": (TABLE, anchor_of(TABLE.rstrip(), 48) + "\n| e |", SeamResult.MISMATCH, ""),
    "a longer anchor in a text with repetitions": (
        ROWS, anchor_of(ROWS.rstrip(), 48) + "\n| e |", SeamResult.ANCHOR, "| e |",
    ),
    "only the 48 characters that also occur earlier": (ROWS, ROWS.rstrip()[-48:] + "\n| e |", SeamResult.MISMATCH, ""),
    "an overlap that also occurs earlier": (
        PARTIAL + ". All teams", "all teams were asked.", SeamResult.MISMATCH, "",
    ),
    "the rest, which begins with words that also occur earlier": (
        PARTIAL + ". All teams asked about", "teams asked about it.", SeamResult.MISMATCH, "",
    ),
    "the rest, which is another equal row": (
        INTRO + EQUAL_ROW + "\n" + EQUAL_ROW[:9], EQUAL_ROW[9:] + "\n" + EQUAL_ROW, SeamResult.MISMATCH, "",
    ),
    "the rest, which is another equal row of the length of the anchor": (
        INTRO + EQUAL_ROW[:47] + "\n" + EQUAL_ROW[:9], EQUAL_ROW[9:47] + "\n" + EQUAL_ROW[:47] + "\nSo.",
        SeamResult.MISMATCH, "",
    ),
    "two overlaps": (PARTIAL + " so so so so so", "so so so so so on", SeamResult.MISMATCH, ""),
    "the rest, and the anchor in it": (PARTIAL, REST + " Then " + ANCHOR + REST, SeamResult.MISMATCH, ""),
    "a remark, then the anchor twice": (
        PARTIAL, "So: " + ANCHOR + REST + " " + ANCHOR + REST, SeamResult.MISMATCH, "",
    ),
    "a long remark": (PARTIAL, "word " * 41 + ":\n" + ANCHOR + REST, SeamResult.MISMATCH, ""),
    "a remark of two lines": (PARTIAL, "Sure.\nHere it is:\n" + ANCHOR + REST, SeamResult.MISMATCH, ""),
    "a remark without an end": (PARTIAL, "Here it is " + ANCHOR + REST, SeamResult.MISMATCH, ""),
    "a quotation mark, then the anchor": (PARTIAL, '"' + ANCHOR + REST, SeamResult.PREAMBLE, REST),
    "a remark and a quotation mark, then the anchor": (
        PARTIAL, "Here it is.\n\n> " + ANCHOR + REST, SeamResult.PREAMBLE, REST,
    ),
    "an overlap, and the anchor in the rest": (
        PARTIAL, PARTIAL[-20:] + REST + ANCHOR, SeamResult.OVERLAP, REST + ANCHOR,
    ),
    "a partial answer shorter than the anchor": ("Only a few", "Only a few words", SeamResult.ANCHOR, " words"),
    "a partial answer of one letter": ("A", "A word", SeamResult.ANCHOR, " word"),
    "one letter after a remark": ("A", "So: A word", SeamResult.MISMATCH, ""),
    "a word just long enough after a remark": ("operable", "So: operable!", SeamResult.PREAMBLE, "!"),
    "a partial answer of white space": ("  \n", "Hello there", SeamResult.MISMATCH, ""),
    "a combining character that was cut off": (
        PARTIAL + " cafe", (PARTIAL + " cafe")[-48:].lstrip() + "\u0301s", SeamResult.ANCHOR, "\u0301s",
    ),
    "a high surrogate, then the whole character": (
        PARTIAL + HIGH_SURROGATE, ANCHOR + "\U0001f600!", SeamResult.ANCHOR, LOW_SURROGATE + "!",
    ),
    "a high surrogate, repeated with the low one": (
        PARTIAL + HIGH_SURROGATE, ANCHOR + HIGH_SURROGATE + LOW_SURROGATE + "!", SeamResult.ANCHOR, LOW_SURROGATE + "!",
    ),
    "a high surrogate, then another character": (
        PARTIAL + HIGH_SURROGATE, ANCHOR + "\U0001fa00", SeamResult.ANCHOR, "\U0001fa00",
    ),
    "a high surrogate, then a letter": (PARTIAL + " " + HIGH_SURROGATE, ANCHOR + " x", SeamResult.ANCHOR, "x"),
    "surrogates apart in the partial answer": (
        HIGH_SURROGATE + LOW_SURROGATE + PARTIAL, "\U0001f600" + PARTIAL + REST, SeamResult.ANCHOR, REST,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("delivered", "resumed", "result", "released"), SEAMS.values(), ids=SEAMS)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_resumed_text_meets_the_partial_answer(delivered, resumed, result, released, size):
    pieces = [resumed[at : at + size] for at in range(0, len(resumed), size)]
    released_pieces, finder = feed_all(delivered, pieces)
    assert (finder.result, "".join(released_pieces)) == (result, released)
    assert finder.fits is (result in {SeamResult.ANCHOR, SeamResult.OVERLAP, SeamResult.PREAMBLE})


PREFILLED = {
    "the rest, in the middle of a word": (PARTIAL, REST, REST),
    "the white space that was stripped": (PARTIAL + " \n", " \nNext.", "Next."),
    "less white space": (PARTIAL + "\n\n", "\nNext.", "Next."),
    "no white space": (PARTIAL + "\n\n", "Next.", "Next."),
    "more white space": (PARTIAL + "\n", "\n\nNext.", "\nNext."),
    "other white space": (PARTIAL + "\n", "  Next.", "  Next."),
    "indented code": (CODE, "\n        found += row", "        found += row"),
    "a high surrogate, then the whole character": (PARTIAL + " " + HIGH_SURROGATE, " \U0001f600!", LOW_SURROGATE + "!"),
    "the words of the anchor as a part of the rest": (PARTIAL, ANCHOR, ANCHOR),
    "only the white space that was stripped": (PARTIAL + "\n", "\n", ""),
}


@pytest.mark.parametrize(("delivered", "resumed", "released"), PREFILLED.values(), ids=PREFILLED)
@pytest.mark.parametrize("size", [1, 10_000])
def test_the_rest_of_a_prefilled_turn_is_released_unchanged(delivered, resumed, released, size):
    pieces = [resumed[at : at + size] for at in range(0, len(resumed), size)]
    released_pieces, finder = feed_all(delivered, pieces, PREFILL)
    assert (finder.result, finder.fits, "".join(released_pieces)) == (SeamResult.EXACT, True, released)


def test_a_prefilled_turn_without_a_rest_is_empty():
    released_pieces, finder = feed_all(PARTIAL, ["", ""], PREFILL)
    assert (finder.result, finder.fits, released_pieces) == (SeamResult.EMPTY, False, ["", "", ""])


def test_an_overlap_of_one_letter_counts_if_the_policy_allows_it():
    """And if the text has no two equal letters, which no text of a usual length has."""
    resume = replace(RESUME, min_overlap=1)
    assert feed_all("abcdefghijklmnop", ["perhaps"], resume=resume)[0][-1] == "erhaps"
    for delivered, resumed in ((PARTIAL, "perhaps"), ("abcdefghijklmnop", "Zzz")):
        released_pieces, finder = feed_all(delivered, [resumed], resume=resume)
        assert (released_pieces, finder.result) == (["", ""], SeamResult.MISMATCH)


def test_nothing_is_released_before_the_seam_and_everything_after_it():
    released_pieces, finder = feed_all(PARTIAL, [ANCHOR[:20], ANCHOR[20:], "era", "bility", " tests"])
    assert released_pieces == ["", "", "", "erability", " tests", ""]
    assert finder.result is SeamResult.ANCHOR


def test_before_the_seam_there_is_no_result():
    finder = SeamFinder(PARTIAL, RESUME, USER_CONTINUE)
    assert finder.feed(ANCHOR[:20]) == ""
    assert finder.result is None
    assert not finder.fits


def test_the_search_ends_with_the_window():
    finder = SeamFinder(PARTIAL, RESUME, USER_CONTINUE)
    assert finder.feed("x" * (WINDOW + 46)) == ""
    assert finder.result is None
    assert finder.feed("x") == ""
    assert finder.result is SeamResult.MISMATCH
    assert finder.feed("more") == finder.finish() == ""
    assert len(finder._buffer) <= WINDOW + 47


@pytest.mark.parametrize(
    ("resumed", "result"),
    [("Something else. ", SeamResult.MISMATCH), (PARTIAL[:100], SeamResult.RESTART)],
)
@pytest.mark.parametrize(("on_mismatch", "before"), [(OnSeamMismatch.NEWLINE, "\n"), (OnSeamMismatch.APPEND, "")])
def test_a_policy_may_accept_a_mismatch(on_mismatch, before, resumed, result):
    released_pieces, finder = feed_all(PARTIAL, [resumed], resume=replace(RESUME, on_seam_mismatch=on_mismatch))
    assert (released_pieces, finder.result, finder.fits) == (["", before + resumed], result, True)


def test_after_an_accepted_mismatch_all_text_is_released():
    finder = SeamFinder(PARTIAL, replace(RESUME, on_seam_mismatch=OnSeamMismatch.APPEND), USER_CONTINUE)
    assert finder.feed("x" * 500) == "x" * 500
    assert finder.feed("y") == "y"


@pytest.mark.parametrize("on_mismatch", list(OnSeamMismatch))
def test_no_text_never_fits(on_mismatch):
    _, finder = feed_all(PARTIAL, [" "], resume=replace(RESUME, on_seam_mismatch=on_mismatch))
    assert not finder.fits


# ------------------------------------------------------------------------------------------------------ the properties

TEXTS = st.text(st.sampled_from("ab \n`-é\u0301😀"), min_size=1, max_size=160) | st.text(min_size=1, max_size=160)
REPETITIVE = st.lists(st.sampled_from(["ab", "cd", "ef\n"]), min_size=20, max_size=120).map(" ".join)
CUTS = st.lists(st.integers(0, 400), max_size=12)


def split_at(text, cuts):
    at = sorted({0, len(text), *(place for place in cuts if place < len(text))})
    return [text[start:end] for start, end in pairwise(at)]


def parts(text, place):
    place %= len(text) + 1
    return text[:place], text[place:]


def utf16(text):
    """Return UTF-16, which is the same for surrogate pairs that are joined or apart."""
    return text.encode("utf-16-le", "surrogatepass")


@given(TEXTS | REPETITIVE, st.integers(0, 160), CUTS)
@example("ab" * 80, 100, [])
@example("word \n\n" * 9, 50, [3, 4])
@example(PARTIAL + REST, len(PARTIAL) + 4, [])
def test_after_the_anchor_each_character_is_delivered_once(text, place, cuts):
    """If the anchor fits at one place only. Otherwise nothing is delivered."""
    delivered, rest = parts(text, place)
    partial = partial_of(delivered)
    assume(partial.stem)
    anchor = anchor_of(partial.stem, RESUME.anchor_chars)
    released_pieces, finder = feed_all(delivered, split_at(anchor + partial.space + rest, cuts))
    goes_round = (partial.space + rest).lstrip()[:BORDER] == anchor[:BORDER]
    if is_distinctive(anchor, repeated_part(partial.stem)) and not goes_round:
        assert finder.result is SeamResult.ANCHOR
        assert delivered + "".join(released_pieces) == text
    else:
        assert not finder.fits


@given(TEXTS, st.integers(0, 160), CUTS)
def test_after_a_prefill_each_character_is_delivered_once(text, place, cuts):
    delivered, rest = parts(text, place)
    released_pieces, _ = feed_all(delivered, split_at(partial_of(delivered).space + rest, cuts), PREFILL)
    assert delivered + "".join(released_pieces) == text


WORDS = st.lists(st.text(min_size=1, max_size=12), min_size=12, max_size=40).map(" ".join)


@given(WORDS | REPETITIVE, st.integers(40, 300), st.integers(12, 60), CUTS)
@example(PARTIAL + REST, len(PARTIAL), 20, [])
@example("ab " * 60, 100, 30, [])
@example("0 00 000 00000 000000000000 0 0 0 0 0 0 0", 40, 12, [])
def test_after_an_overlap_each_character_is_delivered_once(text, place, size, cuts):
    """If the repetition is long enough to be sure, and no other one fits. Otherwise nothing is delivered."""
    delivered, rest = parts(text, place)
    partial = partial_of(delivered)
    repeated = partial.stem[-size:].lstrip()
    assume(len(repeated) >= RESUME.min_overlap)
    resumed = repeated + partial.space + rest
    fitting = [
        end
        for end in range(RESUME.min_overlap, len(resumed) + 1)
        if partial.stem.endswith(resumed[:end]) and len(resumed[:end].strip()) >= RESUME.min_overlap
    ]
    released_pieces, finder = feed_all(delivered, split_at(resumed, cuts))
    goes_round = (partial.space + rest).lstrip()[:BORDER] == repeated[:BORDER]
    if fitting == [len(repeated)] and not goes_round and len(repeated) > CERTAINTY * repeated_part(partial.stem):
        assert finder.fits
    if finder.fits and fitting == [len(repeated)]:
        assert delivered + "".join(released_pieces) == text
    assert finder.fits or not "".join(released_pieces)


@given(
    TEXTS, st.text(st.sampled_from("ab \n`-é\u0301😀"), max_size=600), CUTS, st.sampled_from([USER_CONTINUE, PREFILL])
)
def test_the_pieces_in_which_a_text_arrives_do_not_matter(delivered, resumed, cuts, strategy):
    whole, in_one = feed_all(delivered, [resumed], strategy)
    pieces, in_pieces = feed_all(delivered, split_at(resumed, cuts), strategy)
    assert ("".join(whole), in_one.result, in_one.fits) == ("".join(pieces), in_pieces.result, in_pieces.fits)


@given(TEXTS, st.text(max_size=600), CUTS)
def test_the_released_text_is_an_end_of_the_resumed_text(delivered, resumed, cuts):
    """Nothing is invented, and nothing that does not fit is released."""
    released_pieces, finder = feed_all(delivered, split_at(resumed, cuts))
    assert resumed.endswith("".join(released_pieces))
    assert finder.fits or not "".join(released_pieces)


@given(st.text(st.sampled_from("abcdefghijklmnop 😀"), min_size=1, max_size=90), st.integers(0, 180), CUTS)
def test_surrogate_pairs_are_joined_again(text, place, cuts):
    """A server that counts in UTF-16 may split a character. The model continues with the whole one."""
    units = utf16(text)
    place = 2 * (place % (len(units) // 2 + 1))
    delivered = "".join(chr(int.from_bytes(units[at : at + 2], "little")) for at in range(0, place, 2))
    partial = partial_of(delivered)
    assume(partial.stem)
    rest = text.encode("utf-16-le")[place - 2 * len(partial.high_surrogate) :].decode("utf-16-le")
    anchor = anchor_of(partial.stem, 48)
    assume(is_distinctive(anchor, repeated_part(partial.stem)))
    released_pieces, _ = feed_all(delivered, split_at(anchor + partial.space + rest, cuts))
    assert utf16(delivered + "".join(released_pieces)) == units
