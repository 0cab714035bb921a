"""Where a continuation meets the partial answer: a row for each kind of seam, and the law for any text and any cut."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.policy import OnSeamMismatch, Resume, Strategy
from otel_claude_stream._core.retry.resume.partial_text import anchor_of, partial_of
from otel_claude_stream._core.retry.resume.seam import RESTART_CHARS, WINDOW, SeamFinder, SeamResult

RESUME = Resume()
ASKED, PREFILL = Strategy.USER_CONTINUE, Strategy.PREFILL
HALF, OTHER_HALF = "\ud83d", "\ude00"  # of 😀

INTRO = "Interoperability between the two systems was the first thing that everybody asked about, and for good reason. "
PARTIAL = INTRO + "The adapters had been written by three teams that did not talk to each other, so the interop"
"""Cut in the middle of a word."""
REST = "erability tests failed in ways that nobody had foreseen."
ANCHOR = PARTIAL[-48:].lstrip()
"""47 characters: what the model is asked to repeat begins with no white space."""
CODE = "Here is the function that you asked for:\n\n```python\ndef total(rows):\n    found = 0\n    for row in rows:\n"
TABLE = "| a | b | c | d |\n" * 12


def met(delivered, pieces, strategy=ASKED, resume=RESUME):
    """What is handed on, piece by piece and at the end, with the finder."""
    finder = SeamFinder(delivered, resume, strategy)
    released = [finder.feed(piece) for piece in pieces]
    return [*released, finder.finish()], finder


SEAMS = {
    "the anchor, then the rest, in the middle of a word": (PARTIAL, ANCHOR + REST, SeamResult.ANCHOR, REST),
    "the anchor and nothing more: the answer was complete": (PARTIAL, ANCHOR, SeamResult.ANCHOR, ""),
    "the anchor after a line break": (PARTIAL, "\n\n" + ANCHOR + REST, SeamResult.ANCHOR, REST),
    "more than the anchor": (PARTIAL, PARTIAL[-70:] + REST, SeamResult.ANCHOR, REST),
    "the whole partial answer, then the rest": (PARTIAL, PARTIAL + REST, SeamResult.ANCHOR, REST),
    "the anchor with other white space within": (
        "a" * 50 + "\n\n" + ANCHOR, ANCHOR.replace(" ", "\n") + REST, SeamResult.ANCHOR, REST,
    ),
    "less than the anchor": (PARTIAL, PARTIAL[-20:] + REST, SeamResult.OVERLAP, REST),
    "just enough of an overlap": (PARTIAL + "erable", "operable" + REST, SeamResult.OVERLAP, REST),
    "an overlap after a line break": (PARTIAL, "\n" + PARTIAL[-20:] + REST, SeamResult.OVERLAP, REST),
    "an overlap and nothing more": (PARTIAL, PARTIAL[-20:], SeamResult.OVERLAP, ""),
    "too little of an overlap": (PARTIAL, "interop" + REST, SeamResult.MISMATCH, ""),
    "an overlap of white space is none": (PARTIAL + "\n" + " " * 9, " " * 9 + "so", SeamResult.MISMATCH, ""),
    "words of its own, then the anchor": (
        PARTIAL, "Sure, continuing:\n\n" + ANCHOR + REST, SeamResult.PREAMBLE, REST,
    ),
    "words of its own, then the anchor with other white space": (
        PARTIAL, "Sure: " + ANCHOR.replace(" ", "  ") + REST, SeamResult.PREAMBLE, REST,
    ),
    "the anchor beyond the window": (PARTIAL, "word " * 90 + ANCHOR + REST, SeamResult.MISMATCH, ""),
    "from the beginning again": (PARTIAL, PARTIAL[:150], SeamResult.RESTART, ""),
    "the beginning of the answer, and then other words": (
        PARTIAL, PARTIAL[:20] + "s, as I said.", SeamResult.MISMATCH, "",
    ),
    "the beginning of the answer, just long enough": (PARTIAL, PARTIAL[:8], SeamResult.RESTART, ""),
    "the beginning of the answer, too short to say": (PARTIAL, PARTIAL[:7], SeamResult.MISMATCH, ""),
    "the beginning of the answer, for just so long": (
        PARTIAL, PARTIAL[:48] + "-" * 500, SeamResult.RESTART, "",
    ),
    "the beginning of the answer, for not so long": (
        PARTIAL, PARTIAL[:47] + "-" * 500, SeamResult.MISMATCH, "",
    ),
    "from the beginning again, more than the window": (
        INTRO * 4 + PARTIAL, INTRO * 4 + PARTIAL, SeamResult.RESTART, "",
    ),
    "a short piece from the beginning": (PARTIAL, PARTIAL[:20], SeamResult.RESTART, ""),
    "from the beginning, which ends like the partial answer": (
        "## Step 1: " + INTRO + "## Step ", "## Step 1: " + INTRO, SeamResult.RESTART, "",
    ),
    "on without repeating": (PARTIAL, REST * 9, SeamResult.MISMATCH, ""),
    "in other words": (PARTIAL, "I cannot see any previous response.", SeamResult.MISMATCH, ""),
    "nothing": (PARTIAL, "", SeamResult.EMPTY, ""),
    "white space": (PARTIAL, " \n ", SeamResult.EMPTY, ""),
    "white space was delivered, and comes again": (
        PARTIAL + " \n", ANCHOR + " \n" + "Next.", SeamResult.ANCHOR, "Next.",
    ),
    "white space was delivered, and does not come": (PARTIAL + "\n", ANCHOR + "Next.", SeamResult.ANCHOR, "Next."),
    "more white space than was delivered": (PARTIAL + "\n", ANCHOR + "\n\nNext.", SeamResult.ANCHOR, "\nNext."),
    "other white space than was delivered": (PARTIAL + "\n", ANCHOR + "  x", SeamResult.ANCHOR, "  x"),
    "an overlap with the white space that was delivered": (
        PARTIAL + "\n\n", PARTIAL[-20:] + "\n\nNext.", SeamResult.OVERLAP, "Next.",
    ),
    "an overlap with more white space than was delivered": (
        PARTIAL + "\n", PARTIAL[-20:] + "\n\nNext.", SeamResult.OVERLAP, "\nNext.",
    ),
    "just enough of an overlap, without it": (
        PARTIAL + "erable\n", "operable" + "Next.", SeamResult.OVERLAP, "Next.",
    ),
    "an overlap without it": (PARTIAL + "\n\n", PARTIAL[-20:] + "\nNext.", SeamResult.OVERLAP, "Next."),
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
    "an anchor that occurred before": (TABLE, anchor_of(TABLE.rstrip(), 48) + "\n| e |", SeamResult.ANCHOR, "| e |"),
    "an overlap, and the anchor in the rest": (
        PARTIAL, PARTIAL[-20:] + REST + ANCHOR, SeamResult.OVERLAP, REST + ANCHOR,
    ),
    "a partial answer shorter than the anchor": ("Only a few", "Only a few words", SeamResult.ANCHOR, " words"),
    "a partial answer of one letter": ("A", "A word", SeamResult.ANCHOR, " word"),
    "one letter, after words of its own": ("A", "So: A word", SeamResult.MISMATCH, ""),
    "a word just long enough, after words of its own": ("operable", "So: operable!", SeamResult.PREAMBLE, "!"),
    "a partial answer of white space": ("  \n", "Hello there", SeamResult.MISMATCH, ""),
    "a combining character that was cut off": (
        "cafe" * 20, ("cafe" * 20)[-48:] + "\u0301s", SeamResult.ANCHOR, "\u0301s",
    ),
    "a character cut in half, which comes whole": (
        PARTIAL + HALF, ANCHOR + "\U0001f600!", SeamResult.ANCHOR, OTHER_HALF + "!",
    ),
    "a character cut in half, and the other half": (
        PARTIAL + HALF, ANCHOR + HALF + OTHER_HALF + "!", SeamResult.ANCHOR, OTHER_HALF + "!",
    ),
    "a character cut in half, and another one": (
        PARTIAL + HALF, ANCHOR + "\U0001fa00", SeamResult.ANCHOR, "\U0001fa00",
    ),
    "a character cut in half, and a letter": (PARTIAL + " " + HALF, ANCHOR + " x", SeamResult.ANCHOR, "x"),
    "characters cut in half before": (
        HALF + OTHER_HALF + PARTIAL, "\U0001f600" + PARTIAL + REST, SeamResult.ANCHOR, REST,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("delivered", "said", "result", "released"), SEAMS.values(), ids=SEAMS)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_how_a_continuation_meets_the_partial_answer(delivered, said, result, released, size):
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    handed, finder = met(delivered, pieces)
    assert (finder.result, "".join(handed)) == (result, released)
    assert finder.fits is (result in {SeamResult.ANCHOR, SeamResult.OVERLAP, SeamResult.PREAMBLE})


PREFILLED = {
    "the rest, in the middle of a word": (PARTIAL, REST, REST),
    "the white space that was stripped": (PARTIAL + " \n", " \nNext.", "Next."),
    "less of it": (PARTIAL + "\n\n", "\nNext.", "Next."),
    "none of it": (PARTIAL + "\n\n", "Next.", "Next."),
    "more of it": (PARTIAL + "\n", "\n\nNext.", "\nNext."),
    "other white space": (PARTIAL + "\n", "  Next.", "  Next."),
    "indented code": (CODE, "\n        found += row", "        found += row"),
    "a character cut in half": (PARTIAL + " " + HALF, " \U0001f600!", OTHER_HALF + "!"),
    "words of the anchor are words of the answer": (PARTIAL, ANCHOR, ANCHOR),
    "only the white space that was stripped": (PARTIAL + "\n", "\n", ""),
}


@pytest.mark.parametrize(("delivered", "said", "released"), PREFILLED.values(), ids=PREFILLED)
@pytest.mark.parametrize("size", [1, 10_000])
def test_the_rest_of_a_prefilled_turn_follows_as_it_is(delivered, said, released, size):
    """At once: the first piece is handed on as it comes."""
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    handed, finder = met(delivered, pieces, PREFILL)
    assert (finder.result, finder.fits, "".join(handed)) == (SeamResult.EXACT, True, released)


def test_a_prefilled_turn_without_a_rest_is_empty():
    handed, finder = met(PARTIAL, ["", ""], PREFILL)
    assert (finder.result, finder.fits, handed) == (SeamResult.EMPTY, False, ["", "", ""])


def test_an_overlap_of_one_letter_is_one_where_the_policy_says_so():
    resume = replace(RESUME, min_overlap=1)
    assert met(PARTIAL, ["perhaps"], resume=resume)[0][-1] == "erhaps"
    handed, finder = met(PARTIAL, ["Zzz"], resume=resume)
    assert (handed, finder.result) == (["", ""], SeamResult.MISMATCH)


def test_nothing_is_handed_on_before_the_seam_and_everything_after_it_at_once():
    handed, finder = met(PARTIAL, [ANCHOR[:20], ANCHOR[20:], "era", "bility"])
    assert handed == ["", "", "era", "bility", ""]
    assert finder.result is SeamResult.ANCHOR


def test_while_it_is_looking_nothing_is_decided():
    finder = SeamFinder(PARTIAL, RESUME, ASKED)
    assert finder.feed(ANCHOR[:20]) == ""
    assert finder.result is None
    assert not finder.fits


def test_it_looks_no_further_than_the_window():
    finder = SeamFinder(PARTIAL, RESUME, ASKED)
    assert finder.feed("x" * (WINDOW + 46)) == ""
    assert finder.result is None
    assert finder.feed("x") == ""
    assert finder.result is SeamResult.MISMATCH
    assert finder.feed("more") == finder.finish() == ""
    assert len(finder._buffer) <= WINDOW + 47


@pytest.mark.parametrize(
    ("said", "result"),
    [("Something else. ", SeamResult.MISMATCH), (PARTIAL[:100], SeamResult.RESTART)],
)
@pytest.mark.parametrize(("wanted", "before"), [(OnSeamMismatch.NEWLINE, "\n"), (OnSeamMismatch.APPEND, "")])
def test_a_policy_may_want_the_text_all_the_same(wanted, before, said, result):
    handed, finder = met(PARTIAL, [said], resume=replace(RESUME, on_seam_mismatch=wanted))
    assert (handed, finder.result, finder.fits) == (["", before + said], result, True)


def test_what_a_policy_wants_all_the_same_goes_on():
    finder = SeamFinder(PARTIAL, replace(RESUME, on_seam_mismatch=OnSeamMismatch.APPEND), ASKED)
    assert finder.feed("x" * 500) == "x" * 500
    assert finder.feed("y") == "y"


@pytest.mark.parametrize("wanted", list(OnSeamMismatch))
def test_no_text_never_fits(wanted):
    _, finder = met(PARTIAL, [" "], resume=replace(RESUME, on_seam_mismatch=wanted))
    assert not finder.fits


# ------------------------------------------------------------------------------------------------------------- the law

PROSE = st.text(st.sampled_from("ab \n`-é\u0301😀"), min_size=1, max_size=160) | st.text(min_size=1, max_size=160)
CUTS = st.lists(st.integers(0, 400), max_size=12)


def cut(text, cuts):
    at = sorted({0, len(text), *(place for place in cuts if place < len(text))})
    return [text[start:end] for start, end in pairwise(at)]


def parts(text, place):
    place %= len(text) + 1
    return text[:place], text[place:]


def whole_of(text):
    """Pairs of surrogates as the characters that they are, for a comparison."""
    return text.encode("utf-16-le", "surrogatepass")


@given(PROSE, st.integers(0, 160), CUTS)
@example("ab" * 80, 100, [])
@example("word \n\n" * 9, 50, [3, 4])
def test_after_the_anchor_each_character_is_there_once(text, place, cuts):
    delivered, rest = parts(text, place)
    partial = partial_of(delivered)
    assume(partial.stem)
    said = anchor_of(partial.stem, RESUME.anchor_chars) + partial.space + rest
    handed, finder = met(delivered, cut(said, cuts))
    assert finder.result is SeamResult.ANCHOR
    assert delivered + "".join(handed) == text


@given(PROSE, st.integers(0, 160), CUTS)
def test_after_a_prefill_each_character_is_there_once(text, place, cuts):
    delivered, rest = parts(text, place)
    handed, _ = met(delivered, cut(partial_of(delivered).space + rest, cuts), PREFILL)
    assert delivered + "".join(handed) == text


WORDS = st.lists(st.text(min_size=1, max_size=12), min_size=12, max_size=40).map(" ".join)


@given(WORDS, st.integers(40, 300), st.integers(12, 60), CUTS)
@example(PARTIAL + REST, len(PARTIAL), 20, [])
@example("ab " * 60, 100, 30, [])
@example("0 00 000 00000 000000000000 0 0 0 0 0 0 0", 40, 12, [])
def test_after_an_overlap_each_character_is_there_once(text, place, size, cuts):
    """Where it is clear what was repeated.

    It is not where the continuation begins with a longer end of the answer too, or as the whole answer begins.
    """
    delivered, rest = parts(text, place)
    repeated = delivered[-size:]
    said = repeated + rest
    clear = not any(delivered.endswith(said[:more]) for more in range(len(repeated) + 1, len(said) + 1))
    clear &= said.lstrip()[:RESTART_CHARS] != delivered.lstrip()[:RESTART_CHARS] or repeated == delivered
    assume(len(repeated.strip()) >= RESUME.min_overlap)
    handed, finder = met(delivered, cut(said, cuts))
    if clear:
        assert finder.fits
        assert delivered + "".join(handed) == text


@given(PROSE, st.text(st.sampled_from("ab \n`-é\u0301😀"), max_size=600), CUTS, st.sampled_from([ASKED, PREFILL]))
def test_the_pieces_that_a_continuation_comes_in_do_not_matter(delivered, said, cuts, strategy):
    whole, in_one = met(delivered, [said], strategy)
    pieces, in_pieces = met(delivered, cut(said, cuts), strategy)
    assert ("".join(whole), in_one.result, in_one.fits) == ("".join(pieces), in_pieces.result, in_pieces.fits)


@given(PROSE, st.text(max_size=600), CUTS)
def test_what_is_handed_on_is_an_end_of_what_came(delivered, said, cuts):
    """Nothing is made up, and nothing that does not fit is handed on."""
    handed, finder = met(delivered, cut(said, cuts))
    assert said.endswith("".join(handed))
    assert finder.fits or not "".join(handed)


@given(st.text(st.sampled_from("ab 😀"), min_size=1, max_size=90), st.integers(0, 180), CUTS)
def test_half_characters_are_joined_again(text, place, cuts):
    """A server that counts in UTF-16 may cut a character in two; the model goes on with the whole one."""
    units = whole_of(text)
    place = 2 * (place % (len(units) // 2 + 1))
    delivered = "".join(chr(int.from_bytes(units[at : at + 2], "little")) for at in range(0, place, 2))
    partial = partial_of(delivered)
    assume(partial.stem)
    rest = text.encode("utf-16-le")[place - 2 * len(partial.half) :].decode("utf-16-le")
    handed, _ = met(delivered, cut(anchor_of(partial.stem, 48) + partial.space + rest, cuts))
    assert whole_of(delivered + "".join(handed)) == units
