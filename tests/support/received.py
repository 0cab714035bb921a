"""The events that a caller received, judged by the rules of a stream and by no rule of this project."""

from __future__ import annotations

from typing import Any


def raw(events: list[Any]) -> list[dict[str, Any]]:
    """Return the events of the API among those of a helper, which adds others.

    The helper has another form of `message_stop` and `content_block_stop`.
    """
    types = {
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    }  # fmt: skip
    return [data for _, data in events if data.get("type") in types]


def pieces(events: list[dict[str, Any]], kind: str, key: str) -> str:
    """All content of a kind, joined."""
    return "".join(
        event["delta"][key]
        for event in events
        if event["type"] == "content_block_delta" and event["delta"]["type"] == kind
    )


def text(events: list[dict[str, Any]]) -> str:
    """All text."""
    return pieces(events, "text_delta", "text")


def assert_one_message(events: list[dict[str, Any]]) -> None:
    """One message: one start, blocks one after the other, each with its deltas, one end at most, nothing after it."""
    types = [event["type"] for event in events]
    assert types[:1] in ([], ["message_start"])
    for once in ("message_start", "message_delta", "message_stop"):
        assert types.count(once) <= 1, types
    assert "message_stop" not in types[:-1], types
    if "message_delta" in types:
        assert types.index("message_delta") >= len(types) - 2
    open_block: int | None = None
    begun = 0
    for event in events:
        if event["type"] == "content_block_start":
            assert open_block is None, types
            assert event["index"] == begun, types
            open_block, begun = begun, begun + 1
        elif event["type"] == "content_block_delta":
            assert event["index"] == open_block, types
        elif event["type"] == "content_block_stop":
            assert event["index"] == open_block, types
            open_block = None
    if "message_delta" in types:
        assert open_block is None, types
