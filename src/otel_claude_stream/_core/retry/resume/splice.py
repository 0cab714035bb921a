"""Joins the events of a later attempt to what the caller was handed of the earlier ones.

What comes out reads as one answer: one `message_start`, each block index once and in order, each block stopped, one
`message_delta` and one `message_stop`. The rules are those of the SDK's own splice for refusals
(`lib/middleware/_fallbacks.py`): the original message id, indices that only rise, the usage of the serving attempt.
"""

from __future__ import annotations

from typing import TypeAlias, cast

from otel_claude_stream._core.retry.resume.seam import SeamFinder, SeamResult

Data: TypeAlias = "dict[str, object]"
Frame: TypeAlias = "tuple[str, Data]"
"""Name and decoded data of an event."""

_THINKING = frozenset({"thinking", "redacted_thinking"})


class SeamMismatch(Exception):
    """A continuation does not fit, and nothing of it was handed on: the original failure stands."""

    def __init__(self, result: SeamResult) -> None:
        super().__init__(f"the continuation does not fit what was delivered: {result.value}")
        self.result = result


class Splice:
    """The events of a later attempt, made into those that the caller has not had yet.

    What is taken is never changed. Events that are not a message's (pings, errors, unknown ones) come out as they are.
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
        self._next = next_index
        self._open = open_index
        self._open_type = open_type
        self._drop_thinking = drop_thinking
        self._indices: dict[int | None, int] = {}
        """Of the attempt's blocks, those that they have for the caller."""
        self._dropped: set[int | None] = set()
        self._finished = False
        self._stopped = False

    @classmethod
    def replay(
        cls,
        *,
        started: bool,
        message_id: str | None = None,
        next_index: int = 0,
        open_index: int | None = None,
        open_type: str = "",
        drop_thinking: bool = False,
    ) -> Splice:
        """For an answer that is told again from its start.

        Args:
            started: whether `message_start` was handed out.
            message_id: of the first attempt, also if its start was only held back.
            next_index: the first index that no block handed out has.
            open_index: the block that was handed out and not stopped.
            open_type: its type. An empty text block is gone on with, any other is stopped.
            drop_thinking: the caller has thinking of an earlier attempt, and gets no more of it. That thinking keeps
                what it has: if it broke off, it has no signature, and cannot be sent back to the API.
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
    def resumed(
        seam: SeamFinder,
        *,
        next_index: int,
        open_index: int | None,
        message_id: str | None = None,
    ) -> Splice:
        """For a text that is continued.

        Args:
            seam: finds where the new text begins.
            next_index: the first index that no block handed out has.
            open_index: the text block that is still open, None if it was stopped.
            message_id: of the first attempt.
        """
        return _Resumed(seam, message_id=message_id, next_index=next_index, open_index=open_index)

    def take(self, name: str, data: Data) -> list[Frame]:
        """Take an event of the attempt, and give those that the caller may have now.

        Raises:
            SeamMismatch: it is a continuation, and does not fit.
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
        if self._open is not None and self._open_type == block_type == "text" and not self._indices:
            return self._go_on(data)
        frames = self._closed()
        self._open = self._indices[_index(data)] = self._next
        self._open_type = ""
        self._next += 1
        frames.append(("content_block_start", _at(data, self._open)))
        return frames

    def _go_on(self, data: Data) -> list[Frame]:
        """The first text of this attempt belongs into the block that is still open: its start was handed out."""
        self._indices[_index(data)] = cast("int", self._open)
        text = _part(data, "content_block").get("text")
        return [_text_delta(cast("int", self._open), text)] if isinstance(text, str) and text else []

    def _delta(self, data: Data) -> list[Frame]:
        index = _index(data)
        if index in self._dropped:
            return []
        return [("content_block_delta", _at(data, self._indices[index]) if index in self._indices else data)]

    def _stop(self, data: Data) -> list[Frame]:
        index = _index(data)
        if index in self._dropped:
            return []
        if index not in self._indices:
            return [("content_block_stop", data)]
        at = self._indices[index]
        if at != self._open:
            return []  # stopped before, since another block began
        self._open = None
        return [("content_block_stop", _at(data, at))]

    def _message_delta(self, data: Data) -> list[Frame]:
        if self._finished:
            return []
        self._finished = True
        return [*self._closed(), ("message_delta", data)]

    def _message_stop(self, data: Data) -> list[Frame]:
        if self._stopped:
            return []
        self._stopped = True
        return [*self._closed(), ("message_stop", data)]

    def _closed(self) -> list[Frame]:
        """The stop of the block that is open, if one is."""
        if self._open is None:
            return []
        index, self._open = self._open, None
        return [("content_block_stop", {"type": "content_block_stop", "index": index})]


class _Resumed(Splice):
    """The events of a continuation: its first text goes on where the delivered one broke off."""

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
        self._text: int | None = None
        """The attempt's index of the block that goes on."""
        self._tool_at_once = False
        """The answer went on with a tool: there is no text to wait for."""
        self._handed = False
        """Whether anything was handed on: then there is no way back."""
        self._held_start: Data | None = None
        """The start of that block, where the delivered one was stopped: it comes with the first text."""
        self._held_stop: Data | None = None
        """The stop of that block, where nothing was handed on by then: a refusal may follow, which is no answer."""

    def _start(self, data: Data) -> list[Frame]:
        block_type = _type_of(data, "content_block")
        if block_type in _THINKING and not self._handed:
            self._dropped.add(_index(data))  # what it thought to go on is no part of the answer
            return []
        if self._text is None and not self._tool_at_once:
            if block_type == "text":
                return self._first_text(data)
            # Right at the start of its own turn a model may call a tool; asked to repeat text, it has ignored that.
            if block_type != "tool_use" or not self._seam.prefill:
                raise SeamMismatch(SeamResult.EMPTY if block_type == "tool_use" else SeamResult.MISMATCH)
            self._tool_at_once = True
        frames = self._settled()
        if not self._handed and block_type not in ("text", "tool_use"):
            raise SeamMismatch(SeamResult.MISMATCH)
        self._handed = True
        return [*frames, *super()._start(data)]

    def _first_text(self, data: Data) -> list[Frame]:
        """The start of the block that goes on."""
        block, index = _part(data, "content_block"), _index(data)
        if block.get("citations") or index is None:
            raise SeamMismatch(SeamResult.MISMATCH)
        self._text = index
        if self._open is None:
            self._held_start = data
        else:
            self._indices[index] = self._open
        text = block.get("text")
        return self._released(self._seam.feed(text)) if isinstance(text, str) and text else []

    def _delta(self, data: Data) -> list[Frame]:
        index = _index(data)
        if index != self._text or self._text is None:
            if not self._handed and index not in self._indices and index not in self._dropped:
                raise SeamMismatch(SeamResult.MISMATCH)  # of a block that never began: nobody knows where it belongs
            return super()._delta(data)
        delta = _part(data, "delta")
        text = delta.get("text")
        if delta.get("type") == "text_delta" and isinstance(text, str):
            return self._released(self._seam.feed(text))
        if not self._handed:
            raise SeamMismatch(SeamResult.MISMATCH)
        return super()._delta(data)

    def _stop(self, data: Data) -> list[Frame]:
        index = _index(data)
        if index != self._text or self._text is None:
            return super()._stop(data) if index in self._indices else []
        if not self._handed:
            self._held_stop = data
            return []
        return self._stopped_text(data)

    def _message_delta(self, data: Data) -> list[Frame]:
        if _part(data, "delta").get("stop_reason") == "refusal" and not self._handed:
            raise SeamMismatch(SeamResult.MISMATCH)
        return [*self._settled(), *super()._message_delta(data)]

    def _message_stop(self, data: Data) -> list[Frame]:
        return [*self._settled(), *super()._message_stop(data)]

    def _settled(self) -> list[Frame]:
        """The text has ended: what was held of it, judged by all that came."""
        if self._tool_at_once:
            return []
        frames = self._released(self._seam.finish())
        if self._held_stop is not None:
            stop, self._held_stop = self._held_stop, None
            frames += self._stopped_text(stop)
        return frames

    def _stopped_text(self, data: Data) -> list[Frame]:
        """The stop of the block that goes on; none if it was never started for the caller."""
        if self._held_start is not None:
            return []
        return super()._stop(data)

    def _released(self, text: str) -> list[Frame]:
        """The text that the seam gives away, in its block."""
        if self._seam.result is not None and not self._seam.fits:
            raise SeamMismatch(self._seam.result)
        if not text:
            return []
        self._handed = True
        frames: list[Frame] = []
        if self._held_start is not None:
            start, self._held_start = self._held_start, None
            frames = super()._start({**start, "content_block": {**_part(start, "content_block"), "text": ""}})
        frames.append(_text_delta(self._indices[self._text], text))
        return frames


def _part(data: Data, key: str) -> Data:
    """A part of an event; an empty one if it has another shape."""
    part = data.get(key)
    return part if isinstance(part, dict) else {}


def _type_of(data: Data, key: str) -> str:
    """The type of a part, empty if it says none."""
    found = _part(data, key).get("type")
    return found if isinstance(found, str) else ""


def _index(data: Data) -> int | None:
    """The index of an event's block, None if it says none."""
    found = data.get("index")
    return found if isinstance(found, int) else None


def _at(data: Data, index: int) -> Data:
    """An event at another index; the same object if it is there already."""
    return data if data.get("index") == index else {**data, "index": index}


def _text_delta(index: int, text: str) -> Frame:
    """A piece of text."""
    return "content_block_delta", {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": "text_delta", "text": text},
    }
