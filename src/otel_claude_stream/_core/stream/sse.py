"""A scanner of server-sent events for bodies that the caller reads as bytes, without the SDK's decoder.

It follows the HTML standard's event stream format where the SDK's decoder does, and accepts any division into chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_DATA = 1 << 20
"""Longest line and longest data of one event that are kept. Events of a message stay far below this mebibyte."""

_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = b"\r\n"


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event."""

    event: str
    """Its name; empty if it has none."""
    data: str | None
    """Its data, lines joined; None if it was too long to be kept."""


class SseScanner:
    """Splits bytes into events. It keeps the current event only, and at most `MAX_DATA` bytes of that twice."""

    __slots__ = ("_after_cr", "_data", "_first", "_line", "_name", "_seen", "_size")

    def __init__(self) -> None:
        self._line = bytearray()
        self._after_cr = False
        self._first = True
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0
        self._seen = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """Return the events that a chunk completes. An event without a blank line at its end is never returned."""
        if self._after_cr and chunk[:1] == b"\n":  # the second half of a line end
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        frames: list[Frame] = []
        for piece in chunk.splitlines(keepends=True):
            content = piece.rstrip(_LINE_ENDS)
            self._line += content[: MAX_DATA + 1 - len(self._line)]
            if len(content) < len(piece):
                line = bytes(self._line)
                self._line.clear()
                frame = self._take(line)
                if frame is not None:
                    frames.append(frame)
        return frames

    def _take(self, line: bytes) -> Frame | None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._seen = True
            self._name = value.decode("utf-8", "replace")
        elif name == b"data":
            self._seen = True
            self._size += len(value) + 1
            if len(line) > MAX_DATA or self._size > MAX_DATA:
                self._size = MAX_DATA + 1
                self._data.clear()
            else:
                self._data.append(value)
        return None  # comments, ids, retry times

    def _dispatch(self) -> Frame | None:
        if not self._seen:
            return None
        data = None if self._size > MAX_DATA else b"\n".join(self._data).decode("utf-8", "replace")
        frame = Frame(self._name, data)
        self._name, self._size, self._seen = "", 0, False
        self._data.clear()
        return frame
