"""The events of a message, read by attribute.

An event is any object that has the fields of the API's JSON as attributes. It may be a model of the SDK, of either
major version of pydantic, or a namespace made from JSON. Fields may be missing, or have any type.
"""

from __future__ import annotations

from otel_claude_stream._core.stream import bounds
from otel_claude_stream._core.stream.message_state import CONTENT_OF, DELTA, MessageState
from otel_claude_stream._core.stream.usage import Usage, fallback_model, usage_of


def content_size(delta: object, kind: str) -> int:
    """Return the characters of a delta other than one of text. Raises for content that is no text."""
    if kind == "thinking_delta":
        return len(delta.thinking)  # type: ignore[attr-defined] # by its kind
    if kind == "input_json_delta":
        return len(delta.partial_json)  # type: ignore[attr-defined] # by its kind
    if kind == "compaction_delta":
        content = getattr(delta, "content", None)
        return len(content) if isinstance(content, str) else 0  # None if the compaction failed
    return 0  # citations, signatures, and unknown kinds


def record_event(message: MessageState, event: object, kind: str, at: int, gap: int) -> Usage | None:
    """Record an event of the message that is not a delta of content. Return the usage that it brought, if any."""
    if kind == "content_block_start":
        block = getattr(event, "content_block", None)
        block_type = str(getattr(block, "type", ""))
        text = getattr(block, "text", None)
        plain = block_type == "text"  # asking a model for an attribute that it lacks costs more than all the rest
        message.block_start(
            _index(event),
            block_type,
            at,
            gap,
            text=text if isinstance(text, str) else "",
            thinking=not plain and bool(getattr(block, "thinking", None) or getattr(block, "signature", None)),
            citations=bool(getattr(block, "citations", None)),
        )
        if block_type == "fallback":
            message.hand_over(fallback_model(block))
        elif block_type == "compaction" and getattr(block, "content", None):
            message.compact()
    elif kind == "content_block_stop":
        message.block_stop(_index(event), at, gap)
    elif kind == "message_start":
        started = getattr(event, "message", None)
        message.message_start(_name(started, "id"), _name(started, "model"), at, gap)
        return _usage(message, getattr(started, "usage", None), final=False)
    elif kind == "message_delta":
        message.message_delta(_name(getattr(event, "delta", None), "stop_reason"), at, gap)
        return _usage(message, getattr(event, "usage", None), final=True)
    else:
        message.message_stop(at, gap)
    return None


def is_well_formed(event: object) -> bool:
    """Whether an event has the shape of its type, so that a failure to record it is a defect of this package."""
    kind = getattr(event, "type", None)
    if kind != DELTA:
        return isinstance(kind, str)
    delta = getattr(event, "delta", None)
    delta_type = getattr(delta, "type", None)
    if not isinstance(delta_type, str) or not hasattr(event, "index"):
        return False
    name = CONTENT_OF.get(delta_type)
    return name is None or isinstance(getattr(delta, name, None), str)


def type_of(event: object) -> object:
    """Return the type of an event of any shape; None if it has none."""
    return event.get("type") if isinstance(event, dict) else getattr(event, "type", None)


def _usage(message: MessageState, usage: object, *, final: bool) -> Usage | None:
    if usage is None:
        return None
    found = usage_of(usage, final=final)
    message.record_usage(found)
    return found


def _index(event: object) -> int | None:
    index = getattr(event, "index", None)
    return index if isinstance(index, int) else None


def _name(holder: object, name: str) -> str | None:
    return bounds.text(getattr(holder, name, None))
