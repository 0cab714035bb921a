"""The JSON data of an SSE frame, and the parts of it that are read before or instead of the SDK's parser."""

from __future__ import annotations

import json
from typing import Any

from otel_claude_stream._core.stream import bounds
from otel_claude_stream._core.stream.usage import Usage, usage_of

_EMPTY_STARTS = frozenset({"text", "thinking", "tool_use"})
"""Blocks that begin empty, and whose content comes in deltas. Blocks of servers and results begin whole."""

_CONTENT = ("text", "thinking", "signature", "input", "citations")
"""Fields with content of a block. The id and the name of a tool are none, as they differ between attempts."""


def decode(data: object) -> dict[str, Any]:
    """Return the JSON object in the data of a frame; an empty one if there is none."""
    try:
        found = json.loads(data) if isinstance(data, str) else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def type_of_frame(name: str | None, data: dict[str, Any]) -> str | None:
    """Return the type of an event. The type in the data wins over the name of the frame, as in the SDK's parser."""
    found = data.get("type")
    return found if isinstance(found, str) else name


def error_type(data: object) -> str | None:
    """Return `error.type` of an `error` frame; None if its data has another form than the API's."""
    error = decode(data).get("error")
    return bounds.text(error.get("type")) if isinstance(error, dict) else None


def has_stop_reason(data: dict[str, Any]) -> bool:
    """Whether the data of a `message_delta` has a stop reason."""
    delta = data.get("delta")
    return isinstance(delta, dict) and delta.get("stop_reason") is not None


def start_usage(data: dict[str, Any]) -> Usage:
    """Return the usage in the data of a `message_start`."""
    message = data.get("message")
    return usage_of(message.get("usage") if isinstance(message, dict) else None, final=False)


def has_content(name: str | None, data: dict[str, Any]) -> bool:
    """Whether a frame is a delta that is not empty, a block that begins with content, or the end of the message."""
    if name == "content_block_delta":
        delta = data.get("delta")
        return not isinstance(delta, dict) or any(value for key, value in delta.items() if key != "type")
    if name == "content_block_start":
        block = data.get("content_block")
        if not isinstance(block, dict):
            return True
        return block.get("type") not in _EMPTY_STARTS or any(block.get(key) for key in _CONTENT)
    return name in ("message_delta", "message_stop")
