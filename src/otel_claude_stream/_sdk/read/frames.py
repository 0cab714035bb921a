"""SSE frames as the SDK's decoders yield them."""

from __future__ import annotations

from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.stream.frames import decode
from otel_claude_stream._core.stream.message_state import CORE_TYPES
from otel_claude_stream._session.listener import StreamListener

LEGACY_FRAME = "completion"
"""The name of every frame of Bedrock's decoder before SDK 0.110; its data has the type."""

_LEGACY_DELTA = '{"type":"content_block_delta"'
"""How most of these frames begin, which need not be parsed a second time."""


@_guard.guarded("read_frame", None)
def record_frame(listener: StreamListener, frame: Any) -> None:
    """Report a frame that is no event of a message. A legacy frame may be one, whose event follows."""
    name = frame.event
    if name == LEGACY_FRAME:
        found = None if frame.data.startswith(_LEGACY_DELTA) else decode(frame.data).get("type")
        if not isinstance(found, str) or found in CORE_TYPES:
            return
        name = found
    listener.frame(name, frame.data)
