"""Checks of the events that a caller received, by the rules of the streaming API alone."""

from __future__ import annotations

from typing import Any


def message_events(events: list[Any]) -> list[dict[str, Any]]:
    """Return the data of the API's events, without the events that `messages.stream()` adds.

    `messages.stream()` also adds fields to `message_stop` and `content_block_stop`.
    """
    types = {
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    }  # fmt: skip
    return [data for _, data in events if data.get("type") in types]


def content_of(events: list[dict[str, Any]], kind: str, key: str) -> str:
    """Return the joined content of all deltas of a kind."""
    return "".join(
        event["delta"][key]
        for event in events
        if event["type"] == "content_block_delta" and event["delta"]["type"] == kind
    )


def text_of(events: list[dict[str, Any]]) -> str:
    """Return the joined text."""
    return content_of(events, "text_delta", "text")


def assert_one_message(events: list[dict[str, Any]]) -> None:
    """Assert that the events form one message.

    It has one start, at most one end with nothing after it, and blocks one after the other, each with its deltas.
    """
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
