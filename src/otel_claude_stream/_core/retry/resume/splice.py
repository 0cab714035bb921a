"""Join the events of a later attempt to those that were delivered of earlier attempts.

The result reads as one answer: one `message_start`, each block index once and in order, each block stopped, one
`message_delta` and one `message_stop`. The rules are those of the SDK's splice for refusals
(`lib/middleware/_fallbacks.py`): the original message id, increasing indices, the usage of the last attempt.
"""

from __future__ import annotations

from typing import TypeAlias, cast

from otel_claude_stream._core.retry.resume.seam import SeamFinder, SeamResult

Data: TypeAlias = "dict[str, object]"
Frame: TypeAlias = "tuple[str, Data]"
"""Name and decoded data of an event."""

_THINKING = frozenset({"thinking", "redacted_thinking"})


class SeamMismatch(Exception):
    """A resumed text does not join the delivered text, and nothing of it was released. The original failure stands."""

    def __init__(self, result: SeamResult) -> None:
        super().__init__(
            f"the resumed text does not join the delivered text ({result.value}); the original error stands"
        )
        self.result = result


class Splice:
    """Turns the events of a later attempt into those that are still to be delivered.

    Input is never modified. Events that are not part of a message (pings, errors, unknown ones) pass unchanged.
    """

    def __init__(
        self,
        *,
        started: bool,
        message_id: str | None,
        next_index: int,
        open_index: int | None,
        open_type: str,
        drop_thinking: bool,
    ) -> None:
        self._started = started
        self._message_id = message_id
        self._next_index = next_index
        self._open_index = open_index
        self._open_type = open_type
        self._drop_thinking = drop_thinking
        self._new_indices: dict[int | None, int] = {}
        """The delivered index of each block, by its index in the attempt."""
        self._dropped: set[int | None] = set()
        self._message_ended = False
        self._message_stopped = False

    @classmethod
    def for_retry(
        cls,
        *,
        started: bool,
        message_id: str | None = None,
        next_index: int = 0,
        open_index: int | None = None,
        open_type: str = "",
        drop_thinking: bool = False,
    ) -> Splice:
        """Make the splice for an answer that is retried from its start.

        Args:
            started: Whether `message_start` was delivered.
            message_id: The id of the first attempt, even if its start was only buffered.
            next_index: The first index that no delivered block has.
            open_index: The block that was delivered and not stopped.
            open_type: Its type. An empty text block is continued, any other is stopped.
            drop_thinking: Thinking of an earlier attempt was delivered, so this attempt's is dropped. If the delivered
                thinking broke off, it has no signature and cannot be sent back to the API.
        """
        return cls(
            started=started,
            message_id=message_id,
            next_index=next_index,
            open_index=open_index,
            open_type=open_type,
            drop_thinking=drop_thinking,
        )

    @staticmethod
    def for_resume(
        seam: SeamFinder,
        *,
        next_index: int,
        open_index: int | None,
        message_id: str | None = None,
    ) -> Splice:
        """Make the splice for a text that is resumed.

        Args:
            seam: Finds where the new text begins.
            next_index: The first index that no delivered block has.
            open_index: The text block that is still open, None if it was stopped.
            message_id: The id of the first attempt.
        """
        return _ResumeSplice(seam, message_id=message_id, next_index=next_index, open_index=open_index)

    def take(self, name: str, data: Data) -> list[Frame]:
        """Take an event of the attempt and return the events that can be delivered now.

        Raises:
            SeamMismatch: A resumed text does not join the delivered text.
        """
        if name == "content_block_delta":
            return self._delta(data)
        if name == "content_block_start":
            return self._start(data)
        if name == "content_block_stop":
            return self._stop(data)
        if name == "message_start":
            return self._message_start(data)
        if name == "message_delta":
            return self._message_delta(data)
        if name == "message_stop":
            return self._message_stop(data)
        return [(name, data)]

    def _message_start(self, data: Data) -> list[Frame]:
        if self._started:
            return []
        self._started = True
        message = data.get("message")
        if self._message_id is None or not isinstance(message, dict) or message.get("id") == self._message_id:
            return [("message_start", data)]
        return [("message_start", {**data, "message": {**message, "id": self._message_id}})]

    def _start(self, data: Data) -> list[Frame]:
        block_type = _type_of(data, "content_block")
        if self._drop_thinking and block_type in _THINKING:
            self._dropped.add(_index(data))
            return []
        if self._open_index is not None and self._open_type == block_type == "text" and not self._new_indices:
            return self._continue_block(data)
        frames = self._stop_open_block()
        self._open_index = self._new_indices[_index(data)] = self._next_index
        self._open_type = ""
        self._next_index += 1
        frames.append(("content_block_start", _with_index(data, self._open_index)))
        return frames

    def _continue_block(self, data: Data) -> list[Frame]:
        """Continue the block that is still open with the first text of this attempt."""
        self._new_indices[_index(data)] = cast("int", self._open_index)
        text = _part(data, "content_block").get("text")
        return [_text_delta(cast("int", self._open_index), text)] if isinstance(text, str) and text else []

    def _delta(self, data: Data) -> list[Frame]:
        index = _index(data)
        if index in self._dropped:
            return []
        if index in self._new_indices:
            data = _with_index(data, self._new_indices[index])
        return [("content_block_delta", data)]

    def _stop(self, data: Data) -> list[Frame]:
        index = _index(data)
        if index in self._dropped:
            return []
        if index not in self._new_indices:
            return [("content_block_stop", data)]
        new_index = self._new_indices[index]
        if new_index != self._open_index:
            return []  # stopped earlier, when another block began
        self._open_index = None
        return [("content_block_stop", _with_index(data, new_index))]

    def _message_delta(self, data: Data) -> list[Frame]:
        if self._message_ended:
            return []
        self._message_ended = True
        return [*self._stop_open_block(), ("message_delta", data)]

    def _message_stop(self, data: Data) -> list[Frame]:
        if self._message_stopped:
            return []
        self._message_stopped = True
        return [*self._stop_open_block(), ("message_stop", data)]

    def _stop_open_block(self) -> list[Frame]:
        """Stop the block that is open, if any."""
        if self._open_index is None:
            return []
        index, self._open_index = self._open_index, None
        return [("content_block_stop", {"type": "content_block_stop", "index": index})]


class _ResumeSplice(Splice):
    """Turns the events of a resumed answer, whose first text continues the delivered text."""

    def __init__(self, seam: SeamFinder, *, message_id: str | None, next_index: int, open_index: int | None) -> None:
        super().__init__(
            started=True,
            message_id=message_id,
            next_index=next_index,
            open_index=open_index,
            open_type="",
            drop_thinking=False,
        )
        self._seam = seam
        self._text_index: int | None = None
        """The index, in the attempt, of the block that continues the delivered text."""
        self._begins_with_tool = False
        """The rest of the answer begins with a tool, so no text is expected."""
        self._released = False
        """Whether anything was released. After that the seam cannot be given up."""
        self._buffered_start: Data | None = None
        """The start of that block if the delivered block was stopped. It is released with the first text."""
        self._buffered_stop: Data | None = None
        """The stop of that block if nothing was released before it. A refusal may follow, which is no answer."""

    def _start(self, data: Data) -> list[Frame]:
        block_type = _type_of(data, "content_block")
        if block_type in _THINKING and not self._released:
            self._dropped.add(_index(data))  # thinking about the interruption is no part of the answer
            return []
        if self._text_index is None and not self._begins_with_tool:
            if block_type == "text":
                return self._first_text(data)
            # At the start of its own turn a model may call a tool. If asked to repeat text, it ignored the request.
            if block_type != "tool_use" or not self._seam.prefill:
                raise SeamMismatch(SeamResult.EMPTY if block_type == "tool_use" else SeamResult.MISMATCH)
            self._begins_with_tool = True
        frames = self._finish_text()
        # Another text block may begin with white space that was delivered, or with more of it.
        unclear = block_type == "text" and self._seam.has_tail
        if not self._released and (unclear or block_type not in ("text", "tool_use")):
            raise SeamMismatch(SeamResult.MISMATCH)
        self._released = True
        return [*frames, *super()._start(data)]

    def _first_text(self, data: Data) -> list[Frame]:
        """Take the start of the block that continues the delivered text."""
        block, index = _part(data, "content_block"), _index(data)
        if block.get("citations") or index is None:
            raise SeamMismatch(SeamResult.MISMATCH)
        self._text_index = index
        if self._open_index is None:
            self._buffered_start = data
        else:
            self._new_indices[index] = self._open_index
        text = block.get("text")
        return self._text_frames(self._seam.feed(text)) if isinstance(text, str) and text else []

    def _delta(self, data: Data) -> list[Frame]:
        index = _index(data)
        if index != self._text_index or self._text_index is None:
            if not self._released and index not in self._new_indices and index not in self._dropped:
                raise SeamMismatch(SeamResult.MISMATCH)  # its block never began, so its place is unknown
            return super()._delta(data)
        delta = _part(data, "delta")
        text = delta.get("text")
        if delta.get("type") == "text_delta" and isinstance(text, str):
            return self._text_frames(self._seam.feed(text))
        if not self._released:
            raise SeamMismatch(SeamResult.MISMATCH)
        return super()._delta(data)

    def _stop(self, data: Data) -> list[Frame]:
        index = _index(data)
        if index != self._text_index or self._text_index is None:
            return super()._stop(data) if index in self._new_indices else []
        if not self._released:
            self._buffered_stop = data
            return []
        return self._stop_text(data)

    def _message_delta(self, data: Data) -> list[Frame]:
        if _part(data, "delta").get("stop_reason") == "refusal" and not self._released:
            raise SeamMismatch(SeamResult.MISMATCH)
        return [*self._finish_text(), *super()._message_delta(data)]

    def _message_stop(self, data: Data) -> list[Frame]:
        return [*self._finish_text(), *super()._message_stop(data)]

    def _finish_text(self) -> list[Frame]:
        """End the text and return the frames for what was buffered of it."""
        if self._begins_with_tool:
            return []
        frames = self._text_frames(self._seam.finish())
        if self._buffered_stop is not None:
            stop, self._buffered_stop = self._buffered_stop, None
            frames += self._stop_text(stop)
        return frames

    def _stop_text(self, data: Data) -> list[Frame]:
        """Return the stop of the block that continues, unless its start was never released."""
        if self._buffered_start is not None:
            return []
        return super()._stop(data)

    def _text_frames(self, text: str) -> list[Frame]:
        """Return the frames for text that the seam released."""
        if self._seam.result is not None and not self._seam.fits:
            raise SeamMismatch(self._seam.result)
        if not text:
            return []
        self._released = True
        frames: list[Frame] = []
        if self._buffered_start is not None:
            start, self._buffered_start = self._buffered_start, None
            frames = super()._start({**start, "content_block": {**_part(start, "content_block"), "text": ""}})
        frames.append(_text_delta(self._new_indices[self._text_index], text))
        return frames


def _part(data: Data, key: str) -> Data:
    """Return a part of an event, empty if it is missing or malformed."""
    part = data.get(key)
    return part if isinstance(part, dict) else {}


def _type_of(data: Data, key: str) -> str:
    """Return the type of a part, empty if it has none."""
    found = _part(data, key).get("type")
    return found if isinstance(found, str) else ""


def _index(data: Data) -> int | None:
    """Return the index of an event's block, None if it has none."""
    found = data.get("index")
    return found if isinstance(found, int) else None


def _with_index(data: Data, index: int) -> Data:
    """Return an event with another index, or the same object if the index is equal."""
    return data if data.get("index") == index else {**data, "index": index}


def _text_delta(index: int, text: str) -> Frame:
    """Return a text delta."""
    return "content_block_delta", {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": "text_delta", "text": text},
    }
