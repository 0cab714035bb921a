"""A body that the caller reads as bytes, without the SDK's decoder: what its events tell, read on the way.

The same telemetry as that of a decoded stream, from the same functions. Bodies that cannot be looked into (an encoding
that the standard library does not know, the binary frames of AWS) are let pass, and nothing is claimed of them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from types import SimpleNamespace

from otel_claude_stream import _guard
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.stream.message_state import CORE_TYPES
from otel_claude_stream._core.stream.sse import Frame, SseScanner
from otel_claude_stream._sdk.read.events import read_event, read_frame
from otel_claude_stream._session import StreamSession

_BINARY = "application/vnd.amazon.eventstream"
_COMPRESSED = frozenset({"gzip", "deflate"})
_PLAIN = frozenset({"", "identity"})
_EITHER = zlib.MAX_WBITS | 32
"""For zlib: find out from the header whether it is gzip's form or zlib's own, as HTTP's `deflate` should be."""

_MAX_INFLATED = 1 << 16
"""Decompressed in pieces of this size: a small body may unfold to gigabytes, which the caller may well stop reading."""


class RawBodyReader:
    """Reads along while nobody decodes."""

    __slots__ = ("_headerless", "_inflate", "_scanner", "_session", "broken", "error_event", "opaque")

    def __init__(self, session: StreamSession, reply: Reply) -> None:
        encoding = reply.fingerprint.get("content-encoding", "").strip().lower()
        self._session = session
        self._scanner: SseScanner | None = None
        self._inflate = zlib.decompressobj(_EITHER) if encoding in _COMPRESSED else None
        self._headerless = encoding == "deflate"
        """The body may be deflate without zlib's header, as some servers send it."""
        self.broken: zlib.error | None = None
        """The body is not compressed as its header says: the HTTP library will not be able to read it either."""
        self.error_event = False
        """An `error` event came."""
        self.opaque = encoding not in _PLAIN | _COMPRESSED or reply.content_type == _BINARY
        """Nothing can be said of what is in the body."""

    @_guard.guarded("read_bytes", None)
    def read(self, chunk: bytes) -> None:
        """Bytes came, and go on to the caller."""
        if self.opaque:
            return
        if self._scanner is None:
            self._scanner = SseScanner()
        for plain in self._decoded(chunk):
            for frame in self._scanner.feed(plain):
                self._tell(frame)

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

    def _tell(self, frame: Frame) -> None:
        if frame.event in CORE_TYPES:
            read_event(self._session, _parsed(frame))
        elif frame.event:
            self.error_event = self.error_event or frame.event == "error"
            read_frame(self._session, frame.event, frame)


def _parsed(frame: Frame) -> SimpleNamespace:
    """The event's data as attributes; of data that is no JSON object, or was too long, its type alone."""
    try:
        event = json.loads(frame.data or "", object_hook=lambda fields: SimpleNamespace(**fields))
    except (ValueError, RecursionError):
        event = None
    return event if isinstance(event, SimpleNamespace) else SimpleNamespace(type=frame.event)
