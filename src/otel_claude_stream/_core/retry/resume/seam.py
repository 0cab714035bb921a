"""The seam: where a resumed text meets the text that was delivered before it.

The model is asked to repeat the end of the partial answer (the anchor). Models repeat all of it, a part of it, more
than it, after a remark, with other white space, or not at all. So the first characters of the resumed text are
buffered until it is known what they repeat. The text after the repetition is released, so that each character is
delivered once. If no seam is found, nothing is released.

A repetition counts only if it fits at one place of the text before it. In repetitive text, new words may also be equal
to old ones by chance. The longest part near the end of a text that also occurs earlier shows how repetitive it is. A
repetition has to be more than `CERTAINTY` times as long as that. A text of n words holds parts of about log n words
twice. Two new parts of this length are equal to old ones in about one of n * n texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from otel_claude_stream._core.retry.policy import OnSeamMismatch, Resume, Strategy

MAX_ANCHOR = 400
"""Characters of the longest anchor. In repetitive text, a short one would fit at several places."""

CERTAINTY = 2
LOOK_BACK = 100
"""Characters at the end of a text that show how repetitive it is. For both, see above."""

BORDER = 8
"""No anchor begins with so many of its own last characters. A model that repeats only these would go unnoticed.

The text after a repetition may not begin with so many of its first characters either. In a table whose rows are equal,
the next row would look like a repetition of the last one.
"""

WINDOW = 400
"""Characters that a remark before the anchor may take: about 100 tokens, which are a second or two of buffering."""

RESTART_CHARS = 48
"""A resumed text that shares so many characters with the beginning of the answer restarts it."""

_REMARK = re.compile(r"\s*(?:[^\n]{1,200}[:\n])?\W*")
"""A remark before the anchor is one line that ends with a colon or a line break. Quotation marks may follow.

Anything else may be text of the answer, whose next words happen to be those of the anchor."""

_FENCE = re.compile(r"\s*(?:```|~~~)[^\n`]*\n")
_FENCE_LINE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)

_HIGH_SURROGATES = range(0xD800, 0xDC00)
_LOW_SURROGATES = range(0xDC00, 0xE000)


@dataclass(frozen=True, slots=True)
class PartialText:
    """A text that broke off, split where a model can continue it."""

    stem: str
    """The text to send, without unpaired surrogates and without trailing white space, which the API rejects."""
    space: str
    """The white space after the stem. It was delivered."""
    high_surrogate: str = ""
    """The first half of a surrogate pair at the very end, if any. It was delivered as well."""

    @property
    def tail(self) -> str:
        """The delivered characters after the stem. A resumed text may begin with them."""
        return self.space + self.high_surrogate


def partial_of(text: str) -> PartialText:
    """Split a text that broke off."""
    high = text[-1:] if text and ord(text[-1]) in _HIGH_SURROGATES else ""
    joined = _with_joined_surrogates(text[: len(text) - len(high)])
    stem = joined.rstrip()
    return PartialText(stem, joined[len(stem) :], high)


def anchor_of(stem: str, chars: int) -> str:
    """Return the last characters of the stem that the model is asked to repeat, at least `chars` if it has as many.

    They are as many more as needed to fit at one place only, up to `MAX_ANCHOR`. Without such an end of the stem, the
    anchor has `chars` characters, and no seam is accepted.
    """
    repeated = repeated_part(stem)
    for more in range(max(chars, CERTAINTY * repeated + 1), min(MAX_ANCHOR, len(stem)) + 1):
        anchor = _end_of(stem, more)
        if is_distinctive(anchor, repeated):
            return anchor
    return _end_of(stem, chars)


def repeated_part(stem: str) -> int:
    """Return the length of the longest part near the end of a text that also occurs earlier in it."""
    first = max(1, len(stem) - LOOK_BACK)
    longest, start = 0, max(0, first - MAX_ANCHOR)
    for end in range(first, len(stem) + 1):
        while start < end and stem.find(stem[start:end], 0, end - 1) < 0:
            start += 1
        longest = max(longest, end - start)
    return longest


def is_distinctive(anchor: str, repeated: int) -> bool:
    """Whether an anchor fits at one place only; `repeated` is the `repeated_part` of its text."""
    ends = range(BORDER, repeated + 1)
    return len(anchor) > CERTAINTY * repeated and not any(anchor.startswith(anchor[-size:]) for size in ends)


def _end_of(stem: str, chars: int) -> str:
    """Return the last `chars` characters of the stem, without leading white space, which models omit.

    If fewer than half of them remain, the end begins `chars` characters before that white space.
    """
    start = max(0, len(stem) - chars)
    end = stem[start:].lstrip()
    if 2 * len(end) < chars:
        start = max(0, len(stem[:start].rstrip()) - chars)
        end = stem[start:].lstrip()
    return end


def missing_low_surrogate(high: str, character: str) -> str:
    """Return the low surrogate of a character whose high surrogate is `high`, empty if it has another one."""
    code = ord(character) - 0x10000
    if not high or code < 0 or (code >> 10) + _HIGH_SURROGATES.start != ord(high):
        return ""
    return chr((code & 0x3FF) + _LOW_SURROGATES.start)


def _with_joined_surrogates(text: str) -> str:
    """Join surrogate pairs, and replace unpaired surrogates by the replacement character.

    Pairs are apart if a server cuts between deltas, and no UTF-8 encoder accepts them.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class SeamResult(str, Enum):
    """How a resumed text meets the partial answer (a closed set)."""

    ANCHOR = "anchor"
    """It repeats the anchor, or more."""
    OVERLAP = "overlap"
    """It repeats a part of the anchor that is long enough to be sure."""
    EXACT = "exact"
    """It is the rest of a prefilled turn, with nothing to repeat."""
    PREAMBLE = "preamble"
    """It repeats the anchor after a remark, which is dropped."""
    RESTART = "restart"
    """It repeats the answer from its beginning."""
    MISMATCH = "mismatch"
    """It repeats nothing that can be found, or what fits at several places."""
    EMPTY = "empty"
    """It has no text."""


_FITS = frozenset({SeamResult.ANCHOR, SeamResult.OVERLAP, SeamResult.EXACT, SeamResult.PREAMBLE})
_MISFITS = frozenset({SeamResult.RESTART, SeamResult.MISMATCH})


class SeamFinder:
    """Finds the seam between the delivered text and a resumed text, which arrives in pieces of any size."""

    __slots__ = (
        "_anchor", "_buffer", "_distinctive", "_high_surrogate", "_repeated", "_resume", "_stem", "_tail", "_window",
        "prefill", "result",
    )  # fmt: skip

    def __init__(self, delivered: str, resume: Resume, strategy: Strategy) -> None:
        partial = partial_of(delivered)
        self.prefill = strategy is Strategy.PREFILL
        """The resumed text is the rest of the assistant's turn."""
        self.result: SeamResult | None = None
        """None until the seam is found or given up."""
        self._resume = resume
        self._stem, self._tail, self._high_surrogate = partial.stem, partial.tail, partial.high_surrogate
        self._anchor = anchor_of(partial.stem, resume.anchor_chars)
        self._repeated = repeated_part(partial.stem)
        self._distinctive = bool(self._anchor) and is_distinctive(self._anchor, self._repeated)
        self._window = WINDOW + len(self._anchor)
        self._buffer = ""

    @property
    def fits(self) -> bool:
        """Whether text may be released: the seam was found, or the policy accepts a mismatch."""
        if self.result in _FITS:
            return True
        return self.result in _MISFITS and self._resume.on_seam_mismatch is not OnSeamMismatch.FAIL

    @property
    def has_tail(self) -> bool:
        """Whether delivered characters after the stem have not been repeated, and nothing else came either."""
        return bool(self._tail)

    def feed(self, text: str) -> str:
        """Take a piece of the resumed text and return the text that is released now."""
        if self.result is not None:
            return self._without_tail(text) if self.fits else ""
        if self.prefill:
            if text:
                self.result = SeamResult.EXACT
            return self._without_tail(text)
        self._buffer += text
        enough = self._begins_with_anchor(self._buffer.lstrip(), BORDER) or len(self._buffer) >= self._window
        return self._search() if enough else ""

    def finish(self) -> str:
        """End the resumed text and return what is released of the buffered text."""
        if self.result is not None:
            return ""
        if not self._buffer.strip():
            self.result = SeamResult.EMPTY
            return ""
        return self._search()

    def _search(self) -> str:
        """Search the window for the seam. The result does not depend on the pieces in which the text arrived."""
        window = self._buffer[: self._window]
        text = window.lstrip()
        if self._begins_with_anchor(text, 0):
            return self._found(SeamResult.ANCHOR, len(window) - len(text) + len(self._anchor))
        start, overlaps = 0, self._overlaps(window)
        if not overlaps and (fence := _FENCE.match(window)) and len(_FENCE_LINE.findall(self._stem)) % 2:
            start = fence.end()
            overlaps = self._overlaps(window[start:])
        text = window[start:].lstrip()
        size = overlaps[0] if len(overlaps) == 1 else 0
        if size > CERTAINTY * self._repeated and not _goes_round(text[:size], text[size:].lstrip()):
            result = SeamResult.ANCHOR if size >= len(self._anchor) else SeamResult.OVERLAP
            return self._found(result, len(window) - len(text) + size)
        anchor = None if overlaps else self._anchor_in(window)
        if anchor is not None:
            remark = window[: anchor[0]].strip()
            return self._found(SeamResult.PREAMBLE if remark else SeamResult.ANCHOR, anchor[1])
        restarted = _common_prefix(self._stem.lstrip(), window.lstrip())
        whole = restarted >= self._resume.min_overlap and restarted == len(window.strip())
        return self._not_found(SeamResult.RESTART if whole or restarted >= RESTART_CHARS else SeamResult.MISMATCH)

    def _begins_with_anchor(self, text: str, more: int) -> bool:
        """Whether a text repeats the anchor and goes on with at least so many `more` characters."""
        rest = text[len(self._anchor) :].lstrip()
        repeats = self._distinctive and text.startswith(self._anchor)
        return repeats and len(rest) >= more and not _goes_round(self._anchor, rest)

    def _overlaps(self, window: str) -> list[int]:
        """Return the length of each beginning of the window that the stem ends with, without white space before it.

        One that is too short to be sure is left out.
        """
        text, least = window.lstrip(), self._resume.min_overlap
        sizes = range(least, min(len(self._stem), len(text)) + 1)
        return [size for size in sizes if self._stem.endswith(text[:size]) and len(text[:size].strip()) >= least]

    def _anchor_in(self, window: str) -> tuple[int, int] | None:
        """Return where the anchor begins and ends after a remark. White space within it may differ."""
        if not self._distinctive or len(self._anchor) < self._resume.min_overlap:
            return None
        words = re.compile(r"\s+".join(map(re.escape, self._anchor.split())))
        found = [match.span() for match in words.finditer(window)]
        alone = len(found) == 1 and len(words.findall(self._stem)) == 1
        return found[0] if alone and _REMARK.fullmatch(window, 0, found[0][0]) else None

    def _found(self, result: SeamResult, end: int) -> str:
        """Record the seam and release the text after it."""
        self.result = result
        rest, self._buffer = self._buffer[end:], ""
        return self._without_tail(rest)

    def _not_found(self, result: SeamResult) -> str:
        """Record that there is no seam. Release the text only if the policy accepts a mismatch."""
        self.result = result
        text, self._buffer, self._tail = self._buffer, "", ""
        on_mismatch = self._resume.on_seam_mismatch
        if on_mismatch is OnSeamMismatch.FAIL:
            return ""
        return ("\n" if on_mismatch is OnSeamMismatch.NEWLINE else "") + text

    def _without_tail(self, text: str) -> str:
        """Drop the delivered characters after the stem, as far as the text begins with them."""
        start = 0
        while self._tail and start < len(text):
            if text[start] == self._tail[0]:
                start += 1
                self._tail = self._tail[1:]
                continue
            at_surrogate = self._tail == self._high_surrogate
            low = missing_low_surrogate(self._high_surrogate, text[start]) if at_surrogate else ""
            self._tail = ""
            if low:
                return low + text[start + 1 :]
        return text[start:]


def _goes_round(repeated: str, rest: str) -> bool:
    """Whether the text after a repetition begins like it, as rows of a table do. It may be no repetition then."""
    return _common_prefix(repeated, rest) >= BORDER


def _common_prefix(one: str, other: str) -> int:
    """Return how many characters two texts share at their beginning."""
    shorter = min(len(one), len(other))
    return next((index for index in range(shorter) if one[index] != other[index]), shorter)
