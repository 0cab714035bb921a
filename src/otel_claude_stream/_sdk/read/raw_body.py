"""Reads the events of a body that the caller reads as bytes, without the SDK's decoder.

The listener gets the same calls as for a decoded stream. A body that cannot be read here (an encoding that the standard
library does not know, the binary frames of AWS) passes unread.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace

from otel_claude_stream import _guard
from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.stream.frames import error_type
from otel_claude_stream._core.stream.hot_path import ReadMode
from otel_claude_stream._core.stream.message_state import CORE_TYPES
from otel_claude_stream._core.stream.sse import Frame, SseScanner
from otel_claude_stream._core.vocabulary import ErrorSource
from otel_claude_stream._session.listener import StreamListener

_BINARY = "application/vnd.amazon.eventstream"
_COMPRESSED = frozenset({"gzip", "deflate"})
_PLAIN = frozenset({"", "identity"})
_EITHER = zlib.MAX_WBITS | 32
"""Lets zlib detect from the header whether the format is gzip's or its own, which HTTP calls `deflate`."""

_MAX_INFLATED = 1 << 16
"""Size of the pieces that are decompressed. A small body may unfold to gigabytes, which the caller may not read."""


class RawBodyReader:
    """Reads the events out of the bytes of a body while the SDK does not decode it."""

    __slots__ = ("_headerless", "_inflate", "_listener", "_scanner", "broken", "error_type", "has_error", "opaque")

    def __init__(self, listener: StreamListener, reply: Reply) -> None:
        encoding = reply.fingerprint.get("content-encoding", "").strip().lower()
        self._listener = listener
        self._scanner: SseScanner | None = None
        self._inflate = zlib.decompressobj(_EITHER) if encoding in _COMPRESSED else None
        self._headerless = encoding == "deflate"
        """The body may be deflate without zlib's header, as some servers send it."""
        self.broken: zlib.error | None = None
        """The body is not compressed as its header claims, so the HTTP library will not be able to read it either."""
        self.has_error = False
        """An `error` event came, which is raised for no caller that reads bytes."""
        self.error_type: str | None = None
        self.opaque = encoding not in _PLAIN | _COMPRESSED or reply.content_type == _BINARY
        """The body cannot be read here."""

    @_guard.guarded("read_bytes", None)
    def read(self, chunk: bytes) -> None:
        """Read bytes on their way to the caller."""
        self._listener.hot.read_mode = ReadMode.BYTES
        if self.opaque:
            return
        if self._scanner is None:
            self._scanner = SseScanner()
        for plain in self._decoded(chunk):
            for frame in self._scanner.feed(plain):
                self._report(frame)

    def with_error(self, end: End) -> End:
        """Return an end with what an error event in the bytes reported."""
        return replace(end, error_type=self.error_type, error_source=ErrorSource.SSE) if self.has_error else end

    def _decoded(self, chunk: bytes) -> Iterable[bytes]:
        return (chunk,) if self._inflate is None else self._inflated(chunk)

    def _inflated(self, chunk: bytes) -> Iterable[bytes]:
        while chunk and self._inflate is not None and not self._inflate.eof:
            try:
                plain = self._inflate.decompress(chunk, _MAX_INFLATED)
            except zlib.error as error:
                if not self._headerless:
                    self.broken = error.with_traceback(None)  # else a cycle, through this frame
                    self.opaque = True
                    return
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
                self._headerless = False
                continue
            self._headerless = False
            yield plain
            chunk = self._inflate.unconsumed_tail

    def _report(self, frame: Frame) -> None:
        event = _parsed(frame)
        kind = event.type
        if kind in CORE_TYPES:
            self._listener.event(event, None)
        elif kind:
            if kind == "error":
                self.has_error = True
                self.error_type = error_type(frame.data) or self.error_type
            self._listener.frame(kind, frame.data)


def _parsed(frame: Frame) -> SimpleNamespace:
    """Return the data of an event as attributes; without a JSON object (or if it was too long), its type alone.

    The type in the data wins over the name of the frame.
    """
    try:
        event = json.loads(frame.data or "", object_hook=lambda fields: SimpleNamespace(**fields))
    except (ValueError, RecursionError):
        event = None
    fields = vars(event) if isinstance(event, SimpleNamespace) else {}
    kind = fields.get("type")
    return SimpleNamespace(**{**fields, "type": kind if isinstance(kind, str) else frame.event})
