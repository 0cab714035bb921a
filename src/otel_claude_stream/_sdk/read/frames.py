"""SSE frames as the SDK's decoders yield them."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.stream.frames import decode, type_of_frame
from otel_claude_stream._core.stream.message_state import CORE_TYPES
from otel_claude_stream._session.listener import StreamListener

LEGACY_FRAME = "completion"
"""The name of every frame of Bedrock's decoder before SDK 0.110; its data has the type."""

UNPARSED_FRAMES = frozenset({None, "ping"})
"""Names of frames that every release of the SDK drops."""

_DELTA = '{"type":"content_block_delta"'
"""How most of the renamed frames begin, which need not be parsed a second time."""


@_guard.guarded("read_frame", None)
def record_frame(listener: StreamListener, frame: Any) -> None:
    """Report a frame that has not the name of an event of a message. One that the SDK parses may still become one."""
    name = frame.event
    if name not in UNPARSED_FRAMES and name != "error":
        found = None if frame.data.startswith(_DELTA) else type_of_frame(name, decode(frame.data))
        is_core = found is None or found in CORE_TYPES
        if is_core and is_parsed(name):
            return  # the event is reported
        name = name if is_core else found
    listener.frame(name, frame.data)


def is_parsed(name: str) -> bool:
    """Whether the SDK parses frames of this name. Releases before 2.0 drop those that they do not know."""
    names = _known_names()
    return names is None or name in names


@functools.cache
def _known_names() -> frozenset[object] | None:
    """Return the names with which the SDK's parser compares; None if it parses every named frame."""
    parser = inspect.unwrap(sys.modules["anthropic"].Stream.__stream__)
    constants = getattr(getattr(parser, "__code__", None), "co_consts", ())
    return frozenset(found for found in constants if isinstance(found, str)) if LEGACY_FRAME in constants else None
