"""What an SSE frame holds, as far as a recovery asks: pure questions about its name and its data."""

from __future__ import annotations

import json
from typing import Any


def data_of(frame: Any) -> dict[str, Any]:
    """The JSON object that a frame carries; empty if it carries none."""
    try:
        data = json.loads(frame.data)
    except (ValueError, RecursionError, TypeError):
        return {}
    return data if isinstance(data, dict) else {}


def stops(data: dict[str, Any]) -> bool:
    """Whether a `message_delta` brings the stop reason."""
    delta = data.get("delta")
    return isinstance(delta, dict) and delta.get("stop_reason") is not None


def input_tokens(data: dict[str, Any]) -> int:
    """Input tokens, cache included, that a `message_start` says."""
    usage = (data.get("message") or {}).get("usage") or {}
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(value for name in names if isinstance(value := usage.get(name), int))


def is_content(name: str | None, data: dict[str, Any]) -> bool:
    """Whether a frame holds something of the answer: a delta that is not empty, a block that begins with content."""
    if name == "content_block_delta":
        delta = data.get("delta")
        return not isinstance(delta, dict) or any(value for key, value in delta.items() if key != "type")
    if name == "content_block_start":
        block = data.get("content_block")
        if not isinstance(block, dict):
            return True
        return block.get("type") not in _EMPTY_STARTS or any(block.get(key) for key in _CONTENT)
    return name in ("message_delta", "message_stop")


_EMPTY_STARTS = frozenset({"text", "thinking", "tool_use"})
"""Blocks that begin with nothing: what they hold comes in deltas. Those of servers and of results begin whole."""

_CONTENT = ("text", "thinking", "signature", "input", "citations")
"""What a block holds; a tool's id and name are made anew by each attempt, so the caller may not have them yet."""
