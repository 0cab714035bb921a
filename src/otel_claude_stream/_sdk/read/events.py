"""From the SDK's parsed events and SSE frames to the machine: the part that runs for every event.

Events are read by attribute, never through pydantic: its first and second major versions both occur.
"""

from __future__ import annotations

import json

from otel_claude_stream import _guard
from otel_claude_stream._core.retry.resume.delivered import DeliveredBlocks
from otel_claude_stream._core.stream.message_state import CORE_TYPES
from otel_claude_stream._session import BURST_NS, StreamSession

LEGACY_FRAME = "completion"
"""How Bedrock's decoder names every frame before SDK 0.110; the data tells the type."""

_LEGACY_DELTA = '{"type":"content_block_delta"'
"""How most of those begin: no need to parse them a second time."""


def read_event(session: StreamSession, event: object) -> None:
    """Take note of one parsed event. Never raises, but for our own tests."""
    try:
        kind = event.type  # type: ignore[attr-defined] # else: the slow path below
        clocks = session.clocks
        gap = clocks.waited - clocks.progress
        if kind == "content_block_delta":
            delta = event.delta  # type: ignore[attr-defined]
            delta_kind = delta.type
            size = len(delta.text) if delta_kind == "text_delta" else _size(delta, delta_kind)
            if session.kept is not None:
                _keep_delta(session.kept, event, delta, delta_kind)
            clocks.progress = clocks.waited
            if session.machine.delta(event.index, delta_kind, size, clocks.arrived, gap):  # type: ignore[attr-defined]
                if gap > BURST_NS:
                    session.on_gap(gap)
                session.first_token()
            elif gap > BURST_NS:
                session.on_gap(gap)
            return
        _read_other(session, event, kind, gap)
    except Exception as error:  # noqa: BLE001 - the boundary of the hot path
        _odd(session, event, error)


@_guard.guarded("read_event", None)
def read_odd_event(session: StreamSession, event: object) -> None:
    """As `read_event`, where the short way of a shell met something odd: whatever it is stays here."""
    read_event(session, event)


def _keep_delta(kept: DeliveredBlocks, event: object, delta: object, kind: str) -> None:
    text = delta.text if kind == "text_delta" else ""  # type: ignore[attr-defined] # by its kind
    kept.delta(_place(event, kept), kind, text)


def _keep_other(kept: DeliveredBlocks, event: object, kind: object) -> None:
    """Take note, for a later attempt, of what the caller is handed besides deltas."""
    if kind == "content_block_start":
        block = getattr(event, "content_block", None)
        text = getattr(block, "text", "")
        whole = any(getattr(block, name, None) for name in ("text", "thinking", "signature", "data", "citations"))
        kept.start(
            _place(event, kept), str(getattr(block, "type", "")), not whole, text if isinstance(text, str) else ""
        )
    elif kind == "content_block_stop":
        kept.stop(_place(event, kept))
    elif kind == "message_start":
        kept.message_start(_text(getattr(event, "message", None), "id"))
    elif kind == "message_delta":
        kept.message_delta()


def _place(event: object, kept: DeliveredBlocks) -> int:
    """The index of the block that an event belongs to; that of the open one where it does not say."""
    index = _index(event)
    if index is not None:
        return index
    return kept.open_index if kept.open_index is not None else kept.next_index


def _size(delta: object, kind: str) -> int:
    if kind == "thinking_delta":
        return len(delta.thinking)  # type: ignore[attr-defined]
    if kind == "input_json_delta":
        return len(delta.partial_json)  # type: ignore[attr-defined]
    return 0  # citations, signatures, and what nobody knows yet


def _read_other(session: StreamSession, event: object, kind: object, gap: int) -> None:
    if kind not in CORE_TYPES:
        return  # told by its frame
    clocks = session.clocks
    clocks.progress = clocks.waited
    clocks.note_first_event()
    machine, at = session.machine, clocks.arrived
    if gap > BURST_NS:
        session.on_gap(gap)
    if session.kept is not None:
        _keep_other(session.kept, event, kind)
    if kind == "content_block_start":
        block = getattr(event, "content_block", None)
        block_type = str(getattr(block, "type", ""))
        machine.block_start(_index(event), block_type, at, gap)
        plain = block_type == "text"  # to ask it for what it does not have costs more than all the rest
        machine.begins_with(
            _length(getattr(block, "text", None)),
            thinking=not plain and bool(getattr(block, "thinking", None) or getattr(block, "signature", None)),
            citations=bool(getattr(block, "citations", None)),
        )
    elif kind == "content_block_stop":
        machine.block_stop(_index(event), at, gap)
    elif kind == "message_start":
        message = getattr(event, "message", None)
        machine.start(_text(message, "id"), _text(message, "model"), at, gap)
        _usage(session, getattr(message, "usage", None), final=False)
    elif kind == "message_delta":
        machine.finishing(_text(getattr(event, "delta", None), "stop_reason"), at, gap)
        _usage(session, getattr(event, "usage", None), final=True)
    elif kind == "message_stop":
        machine.stop(at, gap)
    else:
        machine.delta(_index(event), "", 0, at, gap)


def _odd(session: StreamSession, event: object, error: Exception) -> None:
    """An event without the shape of its type: counted as what it says it is. A failure of ours is reported."""
    kind = event.get("type") if isinstance(event, dict) else getattr(event, "type", None)
    if isinstance(error, AttributeError | TypeError) and not _well_formed(event):
        try:
            clocks = session.clocks
            gap = clocks.gap
            clocks.progress = clocks.waited
            if kind == "content_block_delta" and session.machine.delta(None, "", 0, clocks.arrived, gap):
                session.first_token()
        except Exception as failure:  # noqa: BLE001 - the boundary of the slow path
            _guard.report("read_event", failure)
        return
    session.machine.odd = True  # nobody knows any more what the caller holds: nothing is told again
    _guard.report("read_event", error)


def _well_formed(event: object) -> bool:
    delta = getattr(event, "delta", None)
    if getattr(event, "type", None) != "content_block_delta":
        return hasattr(event, "type")
    texts = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
    name = texts.get(getattr(delta, "type", ""), "")
    return hasattr(event, "index") and hasattr(delta, "type") and (not name or isinstance(getattr(delta, name, 0), str))


def _index(event: object) -> int | None:
    index = getattr(event, "index", None)
    return index if isinstance(index, int) else None


def _length(text: object) -> int:
    return len(text) if isinstance(text, str) else 0


def _text(holder: object, name: str) -> str | None:
    value = getattr(holder, name, None)
    return value[:128] if isinstance(value, str) else None


def _tokens(usage: object, name: str) -> int | None:
    # What an SDK does not know yet it gives as a plain dict.
    value = usage.get(name) if isinstance(usage, dict) else getattr(usage, name, None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _usage(session: StreamSession, usage: object, *, final: bool) -> None:
    if usage is None:
        return
    session.machine.usage(
        input_tokens=_tokens(usage, "input_tokens"),
        output_tokens=_tokens(usage, "output_tokens"),
        cache_read=_tokens(usage, "cache_read_input_tokens"),
        cache_creation=_tokens(usage, "cache_creation_input_tokens"),
        reasoning=_tokens(getattr(usage, "output_tokens_details", None), "thinking_tokens"),
        final=final,
    )
    session.attempts.said = session.machine.said(final=final)


def _data(frame: object) -> dict[str, object]:
    """The JSON object that a frame carries; empty if it carries none."""
    try:
        data = json.loads(str(getattr(frame, "data", "")))
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _frame_error_type(frame: object) -> str | None:
    """The `error.type` that an `error` frame says, or None if it does not say one in the API's form."""
    inner = _data(frame).get("error")
    said = inner.get("type") if isinstance(inner, dict) else None
    return said[:128] if isinstance(said, str) else None


def _legacy_name(frame: object) -> str | None:
    """What a frame of Bedrock's old decoder holds, None if the parsed event will tell it."""
    if str(getattr(frame, "data", "")).startswith(_LEGACY_DELTA):
        return None
    name = _data(frame).get("type")
    return name if isinstance(name, str) and name not in CORE_TYPES else None


def read_frame(session: StreamSession, name: str | None, frame: object) -> None:
    """Take note of an SSE frame that is no event of a message: a ping, an error, an unknown type. Never raises."""
    try:
        if name == LEGACY_FRAME:
            name = _legacy_name(frame)
            if name is None:
                return
        clocks = session.clocks
        clocks.note_first_event()
        gap = clocks.gap
        if name == "ping":
            session.machine.ping(clocks.arrived, gap)
        elif name == "error":
            session.machine.error(_frame_error_type(frame), clocks.arrived, gap)
        elif name is not None:
            session.machine.other(name, clocks.arrived, gap)
    except Exception as error:  # noqa: BLE001 - the boundary of the hot path
        _guard.report("read_frame", error)
