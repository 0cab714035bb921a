"""The data of a frame is read as far as it has the API's form, and never raises."""

from __future__ import annotations

import pytest

from otel_claude_stream._core.stream.frames import (
    decode,
    error_type,
    has_content,
    has_stop_reason,
    start_usage,
    type_of_frame,
)
from otel_claude_stream._core.stream.usage import Usage

NESTED = "[" * 100_000


def test_the_data_of_a_frame_is_a_json_object():
    assert decode('{"type": "ping"}') == {"type": "ping"}


@pytest.mark.parametrize(
    "data", [None, 7, "", "{", "[1]", "null", NESTED], ids=["none", "number", "empty", "cut", "list", "null", "nested"]
)
def test_any_other_data_is_an_empty_object(data):
    assert decode(data) == {}


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("message_stop", {"type": "ping"}, "ping"),
        (None, {"type": "ping"}, "ping"),
        ("message_stop", {"type": None}, "message_stop"),
        ("message_stop", {"type": ["ping"]}, "message_stop"),
        (None, {}, None),
    ],
    ids=["both", "no name", "no type", "malformed type", "neither"],
)
def test_the_type_in_the_data_wins_over_the_name_of_a_frame(name, data, expected):
    assert type_of_frame(name, data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}', "overloaded_error"),
        ('{"error": {"type": "' + "x" * 200 + '"}}', "x" * 128),
        ('{"error": {"type": 7}}', None),
        ('{"error": {}}', None),
        ('{"error": "overloaded"}', None),
        ("{}", None),
        ("overloaded", None),
    ],
    ids=["the API's form", "long", "number", "no type", "text", "empty", "no JSON"],
)
def test_the_error_type_of_an_error_frame(data, expected):
    assert error_type(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"delta": {"stop_reason": "end_turn"}}, True),
        ({"delta": {"stop_reason": None}}, False),
        ({"delta": {}}, False),
        ({"delta": None}, False),
        ({}, False),
    ],
    ids=["reason", "null", "no reason", "no delta", "empty"],
)
def test_a_message_delta_may_have_a_stop_reason(data, expected):
    assert has_stop_reason(data) is expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"message": {"usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 9}}},
            Usage(3, None, 4),
        ),
        ({"message": {"usage": {"input_tokens": None, "cache_creation_input_tokens": 2}}}, Usage(cache_write=2)),
        ({"message": {"usage": None}}, Usage()),
        ({"message": None}, Usage()),
        ({}, Usage()),
    ],
    ids=["with cache", "null", "no usage", "no message", "empty"],
)
def test_the_usage_of_a_message_start_has_no_output(data, expected):
    assert start_usage(data) == expected


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("content_block_delta", {"delta": {"type": "text_delta", "text": "a"}}, True),
        ("content_block_delta", {"delta": {"type": "text_delta", "text": ""}}, False),
        ("content_block_delta", {"delta": None}, True),
        ("content_block_start", {"content_block": {"type": "text", "text": ""}}, False),
        ("content_block_start", {"content_block": {"type": "text", "text": "a"}}, True),
        ("content_block_start", {"content_block": {"type": "tool_use", "id": "t", "name": "n", "input": {}}}, False),
        ("content_block_start", {"content_block": {"type": "web_search_tool_result"}}, True),
        ("content_block_start", {"content_block": "odd"}, True),
        ("message_delta", {}, True),
        ("message_stop", {}, True),
        ("message_start", {}, False),
        ("ping", {}, False),
        (None, {}, False),
    ],
    ids=[
        "delta", "empty delta", "malformed delta", "empty text", "text", "empty tool", "result", "malformed block",
        "message_delta", "message_stop", "message_start", "ping", "no name",
    ],
)  # fmt: skip
def test_content_is_what_a_repetition_would_duplicate(name, data, expected):
    assert has_content(name, data) is expected
