"""The seam: where a resumed text meets the text that was delivered before it.

The model is asked to repeat the end of the partial answer (the anchor). Models repeat all of it, a part of it, more
than it, after a remark, with other white space, or not at all. So the first characters of the resumed text are
buffered until it is known what they repeat. The text after the repetition is released, so that each character is
delivered once. If no seam is found, nothing is released.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from otel_claude_stream._core.retry.policy import OnSeamMismatch, Resume, Strategy

WINDOW = 400
"""Characters that a remark before the anchor may take: about 100 tokens, which are a second or two of buffering."""

RESTART_CHARS = 48
"""A resumed text that shares so many characters with the beginning of the answer restarts it."""

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
    def with_space(self) -> str:
        """The stem with its white space, for a turn that is not the last one."""
        return self.stem + self.space

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
    """Return the last `chars` characters of the stem, without leading white space, which models omit.

    If fewer than half of them remain, the anchor begins `chars` characters before that white space.
    """
    start = max(0, len(stem) - chars)
    anchor = stem[start:].lstrip()
    if 2 * len(anchor) < chars:
        start = max(0, len(stem[:start].rstrip()) - chars)
        anchor = stem[start:].lstrip()
    return anchor


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
    """It repeats nothing that can be found."""
    EMPTY = "empty"
    """It has no text."""


_FITS = frozenset({SeamResult.ANCHOR, SeamResult.OVERLAP, SeamResult.EXACT, SeamResult.PREAMBLE})
_MISFITS = frozenset({SeamResult.RESTART, SeamResult.MISMATCH})


class SeamFinder:
    """Finds the seam between the delivered text and a resumed text, which arrives in pieces of any size."""

    __slots__ = (
        "_anchor", "_buffer", "_high_surrogate", "_resume", "_stem", "_tail", "_window", "_with_space", "prefill",
        "result",
    )  # fmt: skip

    def __init__(self, delivered: str, resume: Resume, strategy: Strategy) -> None:
        partial = partial_of(delivered)
        self.prefill = strategy is Strategy.PREFILL
        """The resumed text is the rest of the assistant's turn."""
        self.result: SeamResult | None = None
        """None until the seam is found or given up."""
        self._resume = resume
        self._stem, self._with_space, self._tail = partial.stem, partial.with_space, partial.tail
        self._high_surrogate = partial.high_surrogate
        self._anchor = anchor_of(partial.stem, resume.anchor_chars)
        self._window = WINDOW + len(self._anchor)
        self._buffer = ""

    @property
    def fits(self) -> bool:
        """Whether text may be released: the seam was found, or the policy accepts a mismatch."""
        if self.result in _FITS:
            return True
        return self.result in _MISFITS and self._resume.on_seam_mismatch is not OnSeamMismatch.FAIL

    def feed(self, text: str) -> str:
        """Take a piece of the resumed text and return the text that is released now."""
        if self.result is not None:
            return self._without_tail(text) if self.fits else ""
        if self.prefill:
            if text:
                self.result = SeamResult.EXACT
            return self._without_tail(text)
        self._buffer += text
        leading = _leading_space(self._buffer)
        end = leading + len(self._anchor)
        if self._anchor and end <= self._window and self._buffer.startswith(self._anchor, leading):
            return self._found(SeamResult.ANCHOR, end)
        return self._search() if len(self._buffer) >= self._window else ""

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
        least = self._resume.min_overlap
        end, repeated, with_space = self._overlap(window, 0)
        restarted = _common_prefix(self._stem.lstrip(), window.lstrip())
        if restarted >= RESTART_CHARS and restarted > repeated:
            return self._not_found(SeamResult.RESTART)
        if not repeated and (fence := _FENCE.match(window)) and len(_FENCE_LINE.findall(self._stem)) % 2:
            end, repeated, with_space = self._overlap(window, fence.end())
        if repeated:
            result = SeamResult.ANCHOR if repeated >= len(self._anchor) else SeamResult.OVERLAP
            return self._found(result, end, with_space=with_space)
        if len(self._anchor) >= least and (anchor := self._anchor_in(window)) is not None:
            remark = window[: anchor[0]].strip()
            return self._found(SeamResult.PREAMBLE if remark else SeamResult.ANCHOR, anchor[1])
        if restarted >= least and restarted == len(window.strip()):
            return self._not_found(SeamResult.RESTART)
        return self._not_found(SeamResult.MISMATCH)

    def _overlap(self, window: str, start: int) -> tuple[int, int, bool]:
        """Find the longest part from `start` on that the partial answer ends with.

        Return its end, its length, and whether it includes the trailing white space of the answer. The length is 0 if
        the part is too short to be sure, not counting white space around it.
        """
        least = self._resume.min_overlap
        part = window[start:]
        exact = _overlap_length(self._with_space, part)
        if len(part[:exact].strip()) >= least:
            return start + exact, exact, True
        bare = _overlap_length(self._stem, part.lstrip())
        if len(part.lstrip()[:bare].strip()) >= least:
            return start + _leading_space(part) + bare, bare, False
        return start, 0, False

    def _anchor_in(self, window: str) -> tuple[int, int] | None:
        """Return where the anchor begins and ends. White space within it may differ."""
        start = window.find(self._anchor)
        if start >= 0:
            return start, start + len(self._anchor)
        found = re.search(r"\s+".join(map(re.escape, self._anchor.split())), window)
        return found.span() if found is not None else None

    def _found(self, result: SeamResult, end: int, *, with_space: bool = False) -> str:
        """Record the seam and release the text after it."""
        self.result = result
        if with_space:
            self._tail = self._high_surrogate
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


def _leading_space(text: str) -> int:
    """Return how many white space characters a text begins with."""
    return len(text) - len(text.lstrip())


def _common_prefix(one: str, other: str) -> int:
    """Return how many characters two texts share at their beginning."""
    shorter = min(len(one), len(other))
    return next((index for index in range(shorter) if one[index] != other[index]), shorter)


def _overlap_length(before: str, after: str) -> int:
    """Return the length of the longest suffix of one text that is a prefix of the other."""
    return next((size for size in range(min(len(before), len(after)), 0, -1) if before.endswith(after[:size])), 0)
