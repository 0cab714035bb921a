"""The ledger of the content that was delivered to the caller."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.stream.delivered import COMPACT_AT, Delivered


def new_ledger():
    """Create a ledger that keeps the text."""
    return Delivered(pieces=[])


def flags(ledger):
    """Return the fields that a retry decision depends on."""
    return replace(ledger, message_id=None, next_index=0, open_index=None, open_type="", pieces=None)


def test_a_text_answer_is_recorded_block_by_block():
    ledger = new_ledger()
    ledger.message_start("msg_1")
    assert flags(ledger) == Delivered(started=True)
    ledger.block_start(0, "text")
    assert flags(ledger) == Delivered(started=True)
    ledger.keep_text("Hello")
    ledger.pieces.append(", you")
    ledger.count_text(10)
    assert flags(ledger) == Delivered(started=True, text=10)
    assert (ledger.full_text, ledger.next_index, ledger.open_text_index, ledger.message_id) == (
        "Hello, you", 1, 0, "msg_1",
    )  # fmt: skip
    ledger.block_stop(0)
    assert (ledger.open_index, ledger.open_text_index) == (None, None)
    ledger.block_start(1, "text")
    ledger.keep_text(" there")
    ledger.count_text(6)
    assert (ledger.full_text, ledger.next_index, ledger.open_text_index) == ("Hello, you there", 2, 1)
    ledger.message_delta()
    assert flags(ledger) == Delivered(started=True, text=16, finished=True)


def test_nothing_is_delivered_at_first():
    ledger = new_ledger()
    assert flags(ledger) == Delivered()
    assert (ledger.full_text, ledger.next_index, ledger.open_index, ledger.open_text_index, ledger.message_id) == (
        "", 0, None, None, None,
    )  # fmt: skip


def test_a_text_that_is_only_counted_cannot_be_continued():
    ledger = Delivered()
    ledger.keep_text("Hello")
    with pytest.raises(ValueError, match="counted, not kept"):
        _ = ledger.full_text


@pytest.mark.parametrize(
    ("block_type", "content", "delivered"),
    [
        ("text", {}, Delivered()),
        ("text", {"citations": True}, Delivered(citations=True)),
        ("thinking", {}, Delivered()),
        ("thinking", {"thinking": True}, Delivered(thinking=True)),
        ("redacted_thinking", {}, Delivered(thinking=True)),
        ("tool_use", {}, Delivered(tool=True)),
        ("server_tool_use", {}, Delivered(tool=True)),
        ("mcp_tool_use", {}, Delivered(tool=True)),
        ("web_search_tool_result", {}, Delivered(tool=True)),
        ("bash_code_execution_tool_result", {}, Delivered(tool=True)),
        ("container_upload", {}, Delivered(other=True)),
        ("fallback", {}, Delivered(other=True)),
        ("", {}, Delivered(other=True)),
    ],
)
def test_what_the_start_of_a_block_delivers(block_type, content, delivered):
    ledger = new_ledger()
    ledger.block_start(0, block_type, **content)
    assert flags(ledger) == delivered
    assert (ledger.open_index, ledger.open_type) == (0, block_type)


@pytest.mark.parametrize(
    ("delta_type", "block", "delivered"),
    [
        ("text_delta", "text", Delivered()),
        ("thinking_delta", "thinking", Delivered(thinking=True)),
        ("signature_delta", "thinking", Delivered(thinking=True)),
        ("citations_delta", "text", Delivered(citations=True)),
        ("input_json_delta", "tool_use", Delivered(tool=True)),
        ("compaction_delta", "other", Delivered(other=True)),
    ],
)
def test_what_a_delta_delivers(delta_type, block, delivered):
    ledger = new_ledger()
    ledger.block_delta(3, delta_type, block)
    assert flags(ledger) == delivered
    assert ledger.next_index == 4


def test_an_empty_thinking_block_does_not_reset_earlier_thinking():
    ledger = new_ledger()
    ledger.block_start(0, "thinking", thinking=True)
    ledger.block_stop(0)
    ledger.block_start(1, "thinking")
    assert ledger.thinking


def test_the_stop_of_another_block_does_not_close_the_open_one():
    ledger = new_ledger()
    ledger.block_start(1, "thinking")
    ledger.block_stop(0)
    assert (ledger.open_index, ledger.open_type, ledger.open_text_index) == (1, "thinking", None)


def test_the_next_index_never_decreases():
    ledger = new_ledger()
    ledger.block_start(5, "text")
    ledger.block_start(2, "text")
    assert ledger.next_index == 6


def test_an_event_without_an_index_belongs_to_the_open_block():
    ledger = new_ledger()
    ledger.block_start(3, "text")
    ledger.block_delta(None, "text_delta", "text")
    assert (ledger.next_index, ledger.open_index) == (4, 3)
    ledger.block_stop(None)
    ledger.block_delta("7", "text_delta", "text")
    assert (ledger.next_index, ledger.open_index) == (5, None)


@given(st.lists(st.text(max_size=5), max_size=50), st.sets(st.integers(0, 50)))
def test_the_text_can_be_read_at_any_time_and_keeps_its_list(pieces, read_after):
    ledger = new_ledger()
    original_list = ledger.pieces
    for number, piece in enumerate(pieces):
        original_list.append(piece)
        if number in read_after:
            _ = ledger.full_text
    assert ledger.full_text == "".join(pieces)
    assert ledger.pieces is original_list


def test_many_pieces_are_joined_into_few():
    ledger = new_ledger()
    for _ in range(10 * COMPACT_AT):
        ledger.keep_text("x")
        assert len(ledger.pieces) < COMPACT_AT
    assert len(ledger.full_text) == 10 * COMPACT_AT


def test_an_event_of_an_unknown_type_is_recorded():
    ledger = new_ledger()
    ledger.unknown_event()
    assert flags(ledger) == Delivered(unknown=True)


def test_content_that_cannot_be_joined_is_recorded():
    ledger = new_ledger()
    ledger.unjoinable_content()
    assert flags(ledger) == Delivered(other=True)
