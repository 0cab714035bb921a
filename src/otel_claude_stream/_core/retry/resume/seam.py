"""Where a continuation goes on: the first characters of its text are held until it is known what they repeat.

The model was asked to repeat the end of the partial answer (the anchor), and models do so more or less: all of it, less
of it, more of it, after a remark, with other white space, or not at all. What is handed on begins after the repeated
part, so that each character of the answer reaches the caller once; where that cannot be found, nothing is handed on.
"""

from __future__ import annotations

import re
from enum import Enum

from otel_claude_stream._core.retry.policy import OnSeamMismatch, Resume, Strategy
from otel_claude_stream._core.retry.resume.partial_text import anchor_of, partial_of, second_half

WINDOW = 400
"""Characters that a remark before the anchor may take: some 100 tokens, a second or two of holding back."""

RESTART_CHARS = 48
"""A continuation that has so many characters in common with the beginning of the answer tells it again."""

_FENCE = re.compile(r"\s*(?:```|~~~)[^\n`]*\n")
_FENCE_LINE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)


class SeamResult(str, Enum):
    """How a continuation met the partial answer (a closed set)."""

    ANCHOR = "anchor"
    """It repeated the anchor, or more."""
    OVERLAP = "overlap"
    """It repeated less than the anchor, and enough to be sure."""
    EXACT = "exact"
    """It is the rest of the very turn (prefill): there is nothing to repeat."""
    PREAMBLE = "preamble"
    """It repeated the anchor after words of its own, which are dropped."""
    RESTART = "restart"
    """It tells the answer again from its beginning."""
    MISMATCH = "mismatch"
    """It repeats nothing that could be found."""
    EMPTY = "empty"
    """It has no text."""


_FITS = frozenset({SeamResult.ANCHOR, SeamResult.OVERLAP, SeamResult.EXACT, SeamResult.PREAMBLE})
_MISFITS = frozenset({SeamResult.RESTART, SeamResult.MISMATCH})


class SeamFinder:
    """Finds the seam between what was delivered and a continuation, whatever pieces that comes in."""

    __slots__ = ("_anchor", "_buffer", "_cut_off", "_resume", "_sent", "_stem", "_tail", "_window", "prefill", "result")

    def __init__(self, delivered: str, resume: Resume, strategy: Strategy) -> None:
        partial = partial_of(delivered)
        self.prefill = strategy is Strategy.PREFILL
        """The continuation is the rest of the assistant's own turn."""
        self.result: SeamResult | None = None
        """None while it is looking."""
        self._resume = resume
        self._stem, self._sent, self._tail = partial.stem, partial.sent, partial.tail
        self._cut_off = partial.half
        self._anchor = anchor_of(partial.stem, resume.anchor_chars)
        self._window = WINDOW + len(self._anchor)
        self._buffer = ""

    @property
    def fits(self) -> bool:
        """Whether what is handed on may be: the seam was found, or the policy wants the text all the same."""
        if self.result in _FITS:
            return True
        return self.result in _MISFITS and self._resume.on_seam_mismatch is not OnSeamMismatch.FAIL

    def feed(self, text: str) -> str:
        """Take a piece of the continuation's text, and give what may be handed on now."""
        if self.result is not None:
            return self._after_tail(text) if self.fits else ""
        if self.prefill:
            if text:
                self.result = SeamResult.EXACT
            return self._after_tail(text)
        self._buffer += text
        lead = _lead(self._buffer)
        end = lead + len(self._anchor)
        if self._anchor and end <= self._window and self._buffer.startswith(self._anchor, lead):
            return self._settle(SeamResult.ANCHOR, end)
        return self._search() if len(self._buffer) >= self._window else ""

    def finish(self) -> str:
        """Say that the text has ended, and give what may be handed on of what was held."""
        if self.result is not None:
            return ""
        if not self._buffer.strip():
            self.result = SeamResult.EMPTY
            return ""
        return self._search()

    def _search(self) -> str:
        """Judge by the window. What it says does not depend on the pieces that the text came in."""
        seen = self._buffer[: self._window]
        least = self._resume.min_overlap
        consumed, repeated, with_space = self._overlap(seen, 0)
        told_again = _common(self._stem.lstrip(), seen.lstrip())
        if told_again >= RESTART_CHARS and told_again > repeated:
            return self._misfit(SeamResult.RESTART)
        if not repeated and (fence := _FENCE.match(seen)) and len(_FENCE_LINE.findall(self._stem)) % 2:
            consumed, repeated, with_space = self._overlap(seen, fence.end())
        if repeated:
            result = SeamResult.ANCHOR if repeated >= len(self._anchor) else SeamResult.OVERLAP
            return self._settle(result, consumed, with_space=with_space)
        if len(self._anchor) >= least and (found := self._anchor_in(seen)) is not None:
            said = seen[: found[0]].strip()
            return self._settle(SeamResult.PREAMBLE if said else SeamResult.ANCHOR, found[1])
        if told_again >= least and told_again == len(seen.strip()):
            return self._misfit(SeamResult.RESTART)
        return self._misfit(SeamResult.MISMATCH)

    def _overlap(self, seen: str, start: int) -> tuple[int, int, bool]:
        """The longest part from `start` on that the partial answer ends with.

        Returns where it ends, how long it is (0 if it is too short to be sure; white space around it does not count),
        and whether it brings the answer's last white space along.
        """
        least = self._resume.min_overlap
        part = seen[start:]
        exact = _suffix_prefix(self._sent, part)
        if len(part[:exact].strip()) >= least:
            return start + exact, exact, True
        bare = _suffix_prefix(self._stem, part.lstrip())
        if len(part.lstrip()[:bare].strip()) >= least:
            return start + _lead(part) + bare, bare, False
        return start, 0, False

    def _anchor_in(self, seen: str) -> tuple[int, int] | None:
        """Where the anchor begins and ends; white space within it may differ."""
        at = seen.find(self._anchor)
        if at >= 0:
            return at, at + len(self._anchor)
        found = re.search(r"\s+".join(map(re.escape, self._anchor.split())), seen)
        return found.span() if found is not None else None

    def _settle(self, result: SeamResult, consumed: int, *, with_space: bool = False) -> str:
        """The seam is there: hand on what follows it."""
        self.result = result
        if with_space:
            self._tail = self._cut_off
        rest, self._buffer = self._buffer[consumed:], ""
        return self._after_tail(rest)

    def _misfit(self, result: SeamResult) -> str:
        """There is no seam: hand on nothing, unless the policy wants it."""
        self.result = result
        text, self._buffer, self._tail = self._buffer, "", ""
        on_mismatch = self._resume.on_seam_mismatch
        if on_mismatch is OnSeamMismatch.FAIL:
            return ""
        return ("\n" if on_mismatch is OnSeamMismatch.NEWLINE else "") + text

    def _after_tail(self, text: str) -> str:
        """Drop what the caller has after the stem, as far as the text begins with it; nothing else."""
        at = 0
        while self._tail and at < len(text):
            if text[at] == self._tail[0]:
                at += 1
                self._tail = self._tail[1:]
                continue
            half = second_half(self._cut_off, text[at]) if self._tail == self._cut_off else ""
            self._tail = ""
            if half:
                return half + text[at + 1 :]
        return text[at:]


def _lead(text: str) -> int:
    """How much white space a text begins with."""
    return len(text) - len(text.lstrip())


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)


def _suffix_prefix(before: str, after: str) -> int:
    """The length of the longest end of one text that the other begins with."""
    return next((size for size in range(min(len(before), len(after)), 0, -1) if before.endswith(after[:size])), 0)
