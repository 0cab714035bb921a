"""What the caller has been handed of an answer: as much as a later attempt must know, so as to repeat nothing."""

from __future__ import annotations

from otel_claude_stream._core.retry.context import Delivered

COMPACT_AT = 1024
"""Pieces of text are joined into one now and then: each kept one costs some 60 bytes besides its characters."""

_THINKING = frozenset({"thinking", "redacted_thinking"})
_DELTAS_OF_THINKING = frozenset({"thinking_delta", "signature_delta"})


class DeliveredBlocks:
    """The account of what was handed out, in plain calls, one for each event that the caller got.

    The reader of a healthy stream appends the text of each text delta to `parts` itself, and calls nothing: whatever
    is told here counts from there. The list stays the same object for the whole life of the account.
    """

    __slots__ = ("_delivered", "message_id", "next_index", "open_index", "open_type", "parts")

    def __init__(self) -> None:
        self.parts: list[str] = []
        """The pieces of text handed out, in order."""
        self.message_id: str | None = None
        self.next_index = 0
        """The first index that no block has."""
        self.open_index: int | None = None
        """The block that was started and not stopped. Blocks of an answer follow each other."""
        self.open_type = ""
        """Its type."""
        self._delivered = Delivered()

    @property
    def delivered(self) -> Delivered:
        """What a decision needs to know. Counted up now; the same object each time."""
        self._delivered.text = len(self.text)
        return self._delivered

    @property
    def text(self) -> str:
        """All text of the answer so far, its blocks joined."""
        return self.compact()

    @property
    def open_text_index(self) -> int | None:
        """The text block that is still open, None if there is none."""
        return self.open_index if self.open_type == "text" else None

    def compact(self) -> str:
        """Join the pieces. Worth a call now and then (at a ping, say) while only `parts` is appended to."""
        parts = self.parts
        if len(parts) != 1:
            parts[:] = ["".join(parts)]
        return parts[0]

    def message_start(self, message_id: str | None) -> None:
        """Note that `message_start` was handed out."""
        self._delivered.started = True
        self.message_id = message_id

    def start(self, index: int, block_type: str, empty: bool, text: str = "") -> None:
        """Note the start of a block, `empty` if it brought no content; `text` is what a text block began with."""
        self.next_index = max(self.next_index, index + 1)
        self.open_index, self.open_type = index, block_type
        if block_type == "text":
            if text:
                self.parts.append(text)
            elif not empty:
                self._delivered.citations = True  # the only other thing that a text block carries
        elif block_type in _THINKING:
            # Redacted thinking is whole in its start, whatever it looks like.
            self._delivered.thinking = self._delivered.thinking or not empty or block_type == "redacted_thinking"
        elif "tool" in block_type:
            self._delivered.tool = True  # even without input: a tool of the server's runs, and a caller may act on it
        else:
            self._delivered.other = True

    def delta(self, index: int, delta_type: str, text: str = "") -> None:
        """Note a delta. An index that was not started counts as started: nothing handed out is forgotten."""
        self.next_index = max(self.next_index, index + 1)
        if delta_type == "text_delta":
            self.parts.append(text)
            if len(self.parts) >= COMPACT_AT:
                self.compact()
        elif delta_type in _DELTAS_OF_THINKING:
            self._delivered.thinking = True
        elif delta_type == "citations_delta":
            self._delivered.citations = True
        elif delta_type == "input_json_delta":
            self._delivered.tool = True
        else:
            self._delivered.other = True

    def stop(self, index: int) -> None:
        """Note the stop of a block."""
        if index == self.open_index:
            self.open_index, self.open_type = None, ""

    def message_delta(self) -> None:
        """Note that `message_delta` was handed out: nothing of the answer is missing any more."""
        self._delivered.finished = True
