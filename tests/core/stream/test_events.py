"""Events of a message are read by attribute, whatever made them, and whatever is missing from them."""

from __future__ import annotations

from types import SimpleNamespace as Object

import pytest

from otel_claude_stream._core.stream.delivered import Delivered
from otel_claude_stream._core.stream.events import content_size, is_well_formed, record_event, type_of
from otel_claude_stream._core.stream.hot_path import HotPath
from otel_claude_stream._core.stream.message_state import MessageState
from otel_claude_stream._core.stream.usage import Usage

LONG = "x" * 200


def new_message():
    """Create the state of a message before its first event."""
    return MessageState(HotPath(int, 0), ledger=Delivered(pieces=None))


def record(state, kind, /, **fields):
    """Record an event of a type with these fields."""
    return record_event(state, Object(type=kind, **fields), kind, 0, 0)


def test_a_whole_message_is_recorded():
    message = new_message()
    usage = Object(input_tokens=5, output_tokens=1, cache_read_input_tokens=2, cache_creation_input_tokens=None)
    assert record(message, "message_start", message=Object(id="msg_1", model="claude", usage=usage)) == Usage(
        5, None, 2
    )
    assert record(message, "content_block_start", index=0, content_block=Object(type="text", text="")) is None
    assert record(message, "content_block_stop", index=0) is None
    final = Object(output_tokens=7, output_tokens_details=Object(thinking_tokens=3))
    found = record(message, "message_delta", delta=Object(stop_reason="end_turn"), usage=final)
    assert found == Usage(output_tokens=7, reasoning=3)
    assert record(message, "message_stop") is None
    assert (message.ledger.message_id, message.model, message.stop_reason) == ("msg_1", "claude", "end_turn")
    assert message.usage == Usage(input_tokens=5, cache_read=2, output_tokens=7, reasoning=3)
    assert [entry.type for entry in message.journal.entries()] == [
        "message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
)
def test_an_event_without_any_field_counts_and_brings_no_usage(kind):
    message = new_message()
    assert record(message, kind) is None
    assert message.events == 1


def test_values_of_other_types_are_ignored_and_names_are_cut():
    message = new_message()
    usage = Object(input_tokens=True, output_tokens="7", cache_read_input_tokens=1.5, cache_creation_input_tokens=None)
    assert record(message, "message_start", message=Object(id=7, model=LONG, usage=usage)) == Usage()
    assert (message.ledger.message_id, message.model, message.usage) == (None, LONG[:128], Usage())
    record(message, "content_block_start", index="0", content_block=Object(type="text", text=7))
    assert message.blocks == 1


def test_usage_may_hold_newer_fields_as_a_plain_dict():
    found = record(new_message(), "message_delta", usage={"input_tokens": 4, "output_tokens": 9})
    assert found == Usage(input_tokens=4, output_tokens=9)
    usage = Object(output_tokens=9, output_tokens_details={"thinking_tokens": 2})
    assert record(new_message(), "message_delta", usage=usage) == Usage(output_tokens=9, reasoning=2)


@pytest.mark.parametrize(
    ("block", "flags"),
    [
        (Object(type="text", text="Yes"), (False, False)),
        (Object(type="thinking", thinking="", signature=""), (False, False)),
        (Object(type="thinking", thinking="Hm", signature=""), (True, False)),
        (Object(type="thinking", thinking="", signature="s"), (True, False)),
        (Object(type="text", text="", citations=["c"]), (False, True)),
    ],
    ids=["text", "empty thinking", "thinking", "signature", "citations"],
)
def test_a_block_that_begins_with_content_delivers_it(block, flags):
    message = new_message()
    record(message, "content_block_start", index=0, content_block=block)
    assert (message.ledger.thinking, message.ledger.citations) == flags
    assert message.ledger.text == (3 if getattr(block, "text", "") else 0)


@pytest.mark.parametrize(
    ("delta", "size"),
    [
        (Object(type="thinking_delta", thinking="Hmm"), 3),
        (Object(type="input_json_delta", partial_json='{"a'), 3),
        (Object(type="signature_delta", signature="abc"), 0),
        (Object(type="compaction_delta", content="A summary"), 9),
        (Object(type="compaction_delta", content=None), 0),
        (Object(type="compaction_delta", content=7), 0),
        (Object(type="compaction_delta"), 0),
        (Object(type="new_delta", new="abc"), 0),
    ],
    ids=lambda value: value.type if isinstance(value, Object) else None,
)
def test_the_size_of_a_delta_is_that_of_its_content(delta, size):
    assert content_size(delta, delta.type) == size


def test_a_fallback_block_sets_the_model():
    message = new_message()
    record(message, "message_start", message=Object(id="msg_1", model="claude-a", usage=None))
    record(message, "content_block_start", index=0, content_block=Object(type="fallback", to=Object(model="claude-b")))
    assert (message.model, message.fallback) == ("claude-b", True)


@pytest.mark.parametrize(("content", "compacted"), [("A summary", True), (None, False)])
def test_a_compaction_block_may_begin_with_its_summary(content, compacted):
    message = new_message()
    record(message, "content_block_start", index=0, content_block=Object(type="compaction", content=content))
    assert message.compacted is compacted


def test_a_delta_without_its_content_raises():
    with pytest.raises(AttributeError):
        content_size(Object(type="thinking_delta"), "thinking_delta")
    with pytest.raises(TypeError):
        content_size(Object(type="input_json_delta", partial_json=None), "input_json_delta")


TEXT = Object(type="text_delta", text="a")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Object(type="content_block_delta", index=0, delta=TEXT), True),
        (Object(type="content_block_delta", index=0, delta=Object(type="new_delta")), True),
        (Object(type="content_block_delta", index=0, delta=Object(type="text_delta", text=None)), False),
        (Object(type="content_block_delta", index=0, delta=None), False),
        (Object(type="content_block_delta", delta=TEXT), False),
        (Object(type="message_stop"), True),
        (Object(), False),
        ({"type": "message_stop"}, False),
    ],
    ids=["delta", "unknown delta", "no text", "no delta", "no index", "other event", "no type", "dict"],
)
def test_only_an_event_with_the_shape_of_its_type_is_well_formed(event, expected):
    assert is_well_formed(event) is expected


def test_the_type_of_an_event_of_any_shape():
    assert type_of(Object(type="ping")) == "ping"
    assert type_of({"type": "ping"}) == "ping"
    assert type_of({}) is None
    assert type_of(7) is None
