"""The account of what the caller was handed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.context import Delivered
from otel_claude_stream._core.retry.resume.delivered import COMPACT_AT, DeliveredBlocks


def test_nothing_was_handed_out_at_first():
    blocks = DeliveredBlocks()
    assert blocks.delivered == Delivered()
    assert (blocks.text, blocks.next_index, blocks.open_index, blocks.open_text_index, blocks.message_id) == (
        "", 0, None, None, None,
    )  # fmt: skip


def test_a_text_answer_as_it_grows():
    blocks = DeliveredBlocks()
    blocks.message_start("msg_1")
    assert blocks.delivered == Delivered(started=True)
    blocks.start(0, "text", empty=True)
    assert blocks.delivered == Delivered(started=True)
    blocks.delta(0, "text_delta", "Hello")
    blocks.parts.append(", you")
    assert blocks.delivered == Delivered(started=True, text=10)
    assert (blocks.text, blocks.next_index, blocks.open_text_index, blocks.message_id) == (
        "Hello, you", 1, 0, "msg_1",
    )  # fmt: skip
    blocks.stop(0)
    assert (blocks.open_index, blocks.open_text_index) == (None, None)
    blocks.start(1, "text", empty=False, text=" there")
    assert (blocks.text, blocks.next_index, blocks.open_text_index) == ("Hello, you there", 2, 1)
    blocks.message_delta()
    assert blocks.delivered == Delivered(started=True, text=16, finished=True)


@pytest.mark.parametrize(
    ("block_type", "empty", "delivered"),
    [
        ("text", True, Delivered()),
        ("text", False, Delivered(citations=True)),
        ("thinking", True, Delivered()),
        ("thinking", False, Delivered(thinking=True)),
        ("redacted_thinking", True, Delivered(thinking=True)),
        ("tool_use", True, Delivered(tool=True)),
        ("server_tool_use", True, Delivered(tool=True)),
        ("mcp_tool_use", True, Delivered(tool=True)),
        ("web_search_tool_result", False, Delivered(tool=True)),
        ("bash_code_execution_tool_result", False, Delivered(tool=True)),
        ("container_upload", True, Delivered(other=True)),
        ("fallback", False, Delivered(other=True)),
        ("", True, Delivered(other=True)),
    ],
)
def test_what_the_start_of_a_block_delivers(block_type, empty, delivered):
    blocks = DeliveredBlocks()
    blocks.start(0, block_type, empty=empty)
    assert blocks.delivered == delivered
    assert (blocks.open_index, blocks.open_type) == (0, block_type)


@pytest.mark.parametrize(
    ("delta_type", "delivered"),
    [
        ("text_delta", Delivered(text=4)),
        ("thinking_delta", Delivered(thinking=True)),
        ("signature_delta", Delivered(thinking=True)),
        ("citations_delta", Delivered(citations=True)),
        ("input_json_delta", Delivered(tool=True)),
        ("compaction_delta", Delivered(other=True)),
    ],
)
def test_what_a_delta_delivers(delta_type, delivered):
    blocks = DeliveredBlocks()
    blocks.delta(3, delta_type, "some")
    assert blocks.delivered == delivered
    assert blocks.next_index == 4


def test_an_empty_thinking_block_after_thinking_takes_nothing_back():
    blocks = DeliveredBlocks()
    blocks.start(0, "thinking", empty=False)
    blocks.stop(0)
    blocks.start(1, "thinking", empty=True)
    assert blocks.delivered.thinking


def test_the_stop_of_another_block_leaves_the_open_one():
    blocks = DeliveredBlocks()
    blocks.start(1, "thinking", empty=True)
    blocks.stop(0)
    assert (blocks.open_index, blocks.open_type, blocks.open_text_index) == (1, "thinking", None)


def test_an_index_never_frees_again():
    blocks = DeliveredBlocks()
    blocks.start(5, "text", empty=True)
    blocks.start(2, "text", empty=True)
    assert blocks.next_index == 6


@given(st.lists(st.text(max_size=5), max_size=50), st.sets(st.integers(0, 50)))
def test_compacting_at_any_time_loses_nothing_and_keeps_the_list(pieces, joints):
    blocks = DeliveredBlocks()
    parts = blocks.parts
    for number, piece in enumerate(pieces):
        parts.append(piece)
        if number in joints:
            blocks.compact()
    assert blocks.text == "".join(pieces)
    assert blocks.parts is parts


def test_many_pieces_are_joined():
    blocks = DeliveredBlocks()
    for _ in range(10 * COMPACT_AT):
        blocks.delta(0, "text_delta", "x")
        assert len(blocks.parts) < COMPACT_AT
    assert blocks.delivered.text == 10 * COMPACT_AT
