"""The partial answer in the form in which it can be sent back, and its end, which the model is asked to repeat."""

from __future__ import annotations

from dataclasses import dataclass

_HIGH = range(0xD800, 0xDC00)
_LOW = range(0xDC00, 0xE000)


@dataclass(frozen=True, slots=True)
class Partial:
    """A text that broke off, cut in two where a model can join it."""

    stem: str
    """What can be sent: no half characters, no white space at its end (the API refuses that in a last turn)."""
    space: str
    """The white space after it, which the caller has."""
    half: str = ""
    """Half a character at the very end: the first of two surrogates, which the caller has as well."""

    @property
    def sent(self) -> str:
        """The text with its white space, for a turn that is not the last one."""
        return self.stem + self.space

    @property
    def tail(self) -> str:
        """What the caller has after the stem: a continuation may begin with it again."""
        return self.space + self.half


def partial_of(text: str) -> Partial:
    """Cut a text that broke off."""
    half = text[-1:] if text and ord(text[-1]) in _HIGH else ""
    whole = _joined(text[: len(text) - len(half)])
    stem = whole.rstrip()
    return Partial(stem, whole[len(stem) :], half)


def anchor_of(stem: str, chars: int) -> str:
    """The end of the stem: so many characters, less the white space that it would begin with.

    A model leaves that out. Where it would leave less than half of them, as many again from before it.
    """
    start = max(0, len(stem) - chars)
    anchor = stem[start:].lstrip()
    if 2 * len(anchor) < chars:
        start = max(0, len(stem[:start].rstrip()) - chars)
        anchor = stem[start:].lstrip()
    return anchor


def second_half(half: str, character: str) -> str:
    """What of a character is missing after its first half; empty if it is not that half's."""
    code = ord(character) - 0x10000
    if not half or code < 0 or (code >> 10) + _HIGH.start != ord(half):
        return ""
    return chr((code & 0x3FF) + _LOW.start)


def _joined(text: str) -> str:
    """The text with its pairs of surrogates joined: they come apart where a server cuts between deltas, and no UTF-8
    encoder takes them. One without its partner becomes the replacement character.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
