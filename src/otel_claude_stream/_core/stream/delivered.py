"""The ledger of what the caller has been handed of an answer."""

from __future__ import annotations

from dataclasses import dataclass

COMPACT_AT = 1024
"""Pieces of text that are kept apart. Each costs some 60 bytes besides its characters."""


@dataclass(slots=True)
class Delivered:
    """The part of an answer that the caller has been handed: its kinds of content, its text, and where it breaks off.

    A decision about a failure needs the kinds, and a later attempt the rest. `text` counts the characters of text. The
    text itself is in `pieces`, if a later attempt may have to continue it. In a burst the shell around the events
    appends to that list, so it stays the same object.
    """

    started: bool = False
    """`message_start`."""
    thinking: bool = False
    """A delta of thinking, or a block that begins with some."""
    text: int = 0
    tool: bool = False
    """A block of a tool began: the caller's, the server's, or a result."""
    citations: bool = False
    other: bool = False
    """Content that cannot be joined to that of another attempt."""
    unknown: bool = False
    """An event of an unknown type, which a retry would repeat."""
    finished: bool = False
    """`message_delta` with the stop reason. Nothing of the answer is missing."""
    message_id: str | None = None
    next_index: int = 0
    """The first index that no block has."""
    open_index: int | None = None
    """The block that was started and not stopped. Blocks of an answer follow each other."""
    open_type: str = ""
    """Type of that block."""
    pieces: list[str] | None = None
    """The pieces of text in order; None if they are only counted."""

    @property
    def full_text(self) -> str:
        """All text of the answer so far, with its blocks joined."""
        pieces = self.pieces
        if pieces is None:
            raise ValueError("the text of this stream is counted, not kept")
        if len(pieces) != 1:
            pieces[:] = ["".join(pieces)]
        return pieces[0]

    @property
    def open_text_index(self) -> int | None:
        """Index of the text block that is still open; None if there is none."""
        return self.open_index if self.open_type == "text" else None

    def keep_text(self, text: str) -> None:
        """Keep a piece of text, if it is kept at all; `count_text` counts it."""
        if self.pieces is not None:
            self.pieces.append(text)
            if len(self.pieces) >= COMPACT_AT:
                self.pieces[:] = ["".join(self.pieces)]

    def count_text(self, characters: int) -> None:
        """Count characters of text."""
        self.text += characters

    def message_start(self, message_id: str | None) -> None:
        """Record `message_start`."""
        self.started = True
        self.message_id = self.message_id or message_id

    def block_start(
        self, index: int | None, block_type: str, *, thinking: bool = False, citations: bool = False
    ) -> None:
        """Record the start of a block, which may begin with thinking or citations."""
        self.open_index, self.open_type = self._used(index), block_type
        if "tool" in block_type:
            self.tool = True  # even without input: a tool of the server runs, and a caller may act on it
        elif block_type not in ("text", "thinking", "redacted_thinking"):
            self.other = True
        # Redacted thinking is complete in its start, whatever it looks like.
        self.thinking = self.thinking or thinking or block_type == "redacted_thinking"
        self.citations = self.citations or citations

    def block_delta(self, index: int | None, delta_type: str, block: str) -> None:
        """Record a delta in a block of the kind `block`. An index that was not started counts as started."""
        self._used(index)
        if delta_type == "citations_delta":
            self.citations = True
        elif delta_type == "text_delta":
            pass  # `count_text` counts it
        elif block == "thinking":
            self.thinking = True
        elif "tool" in block:
            self.tool = True
        else:
            self.other = True

    def block_stop(self, index: int | None) -> None:
        """Record the stop of a block."""
        if index is None or index == self.open_index:
            self.open_index, self.open_type = None, ""

    def message_delta(self) -> None:
        """Record `message_delta`. Nothing of the answer is missing any more."""
        self.finished = True

    def unknown_event(self) -> None:
        """Record an event of an unknown type."""
        self.unknown = True

    def unjoinable_content(self) -> None:
        """Record that the caller may have content of any kind, so that no attempt repeats it."""
        self.other = True

    def _used(self, index: object) -> int:
        """Return the index of the block that an event belongs to: without a valid one, that of the open block."""
        if not isinstance(index, int):
            index = self.open_index if self.open_index is not None else self.next_index
        self.next_index = max(self.next_index, index + 1)
        return index
