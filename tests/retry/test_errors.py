"""What is never done again, and the error that the caller gets then."""

from __future__ import annotations

from dataclasses import replace

import anthropic
import pytest
from tests.support.received import assert_one_message, pieces, raw, text
from tests.support.rig import API, REQUEST, by, chain, instrumented, read
from tests.support.scenes import STORY, after, told

from otel_claude_stream._core.retry.policy import Commit, Mode, RetryLimits, RetryPolicy
from otel_claude_stream.testing import CutMidChunk, End, Error, Event, Reset, Script

RETRY = RetryPolicy(mode=Mode.RETRY)
RESUME = RetryPolicy(mode=Mode.RESUME)
WHOLE = told(STORY)
ALL = len([step for step in WHOLE.steps if type(step).__name__ in ("Event", "Ping")])
BROKE = told(STORY[:83]).cut_after(13, CutMidChunk())
WAYS = ["create", "async stream"]


def played(monkeypatch, scripts, way="create", policy=RESUME, **request):
    api = API(scripts)
    with instrumented(monkeypatch, api.clock, retry_policy=policy):
        return read(api, way, **request), api


def bare(monkeypatch, scripts, way="create", **request):
    api = API(scripts)
    with by(api.clock, monkeypatch):
        return read(api, way, **request)


def raised(monkeypatch, scripts, policy, way="create"):
    """The exception itself, with what is said on it."""
    api = API(scripts)
    with instrumented(monkeypatch, api.clock, retry_policy=policy), pytest.raises(Exception) as caught:  # noqa: PT011
        for _ in api.client(max_retries=0).messages.create(**REQUEST, stream=True):
            pass
    return caught.value


CUT = "connection_closed (awaiting_first_token)"
NOTES = {
    "replayed in vain": (
        [WHOLE.cut_after(1)] * 3,
        RETRY,
        [f"{CUT}, retry after 0.12 s", f"{CUT}, retry after 0.25 s", f"{CUT}, given up: attempts"],
    ),
    "an error event at last": (
        [WHOLE.cut_after(1), WHOLE.cut_after(4, Error())],
        RETRY,
        [f"{CUT}, retry after 0.12 s", "overloaded (streaming), given up: output"],
    ),
    "no answer at last": (
        [WHOLE.cut_after(1), Script.http_error(529)],
        RETRY,
        [f"{CUT}, retry after 0.12 s", "overloaded (awaiting_response), given up: sdk"],
    ),
    "a continuation that does not fit": (
        [BROKE, told("Of course!")],
        RESUME,
        ["connection_closed (streaming), resume after 0.12 s", "the continuation did not fit: mismatch"],
    ),
}


@pytest.mark.parametrize("name", NOTES)
def test_the_error_says_what_was_tried(monkeypatch, name):
    """The error that stands, of the class that it has without us, and a note; its message is as it was."""
    scripts, policy, said = NOTES[name]
    error = raised(monkeypatch, scripts, policy)
    attempts = "; ".join(f"attempt {number}: {what}" for number, what in enumerate(said, 1))
    assert error.__notes__ == [f"otel-claude-stream: {attempts}"]
    stands = bare(monkeypatch, scripts[0] if policy is RESUME else scripts[-1], options={"max_retries": 0})
    assert chain(error) == stands.error


def test_nothing_is_said_where_nothing_was_tried(monkeypatch):
    """One attempt is as without us."""
    assert not hasattr(raised(monkeypatch, [WHOLE.cut_after(4)], RETRY), "__notes__")


@pytest.mark.parametrize("way", WAYS)
def test_the_first_error_stands_if_a_further_request_is_not_answered(monkeypatch, way):
    """Of a replay, the caller gets the latest error; it says why there is no answer now."""
    scripts = [WHOLE.cut_after(1), Script.http_error(529)]
    seen, api = played(monkeypatch, scripts, way, RETRY, options={"max_retries": 0})
    assert api.requests == 2
    assert seen.error == bare(monkeypatch, scripts[1], way).error


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", [Mode.RETRY, Mode.RESUME])
def test_a_truncation_is_raised_on_request(monkeypatch, way, mode):
    """`raise_on_truncation`: as a connection that broke. The SDK itself raises nothing."""
    policy = RetryPolicy(mode=mode, raise_on_truncation=True, limits=RetryLimits(max_attempts=1))
    broken = WHOLE.cut_after(6, End())
    seen, _ = played(monkeypatch, broken, way, policy)
    assert seen.error == [("anthropic.APIConnectionError", "The stream ended before message_stop.")]
    expected = bare(monkeypatch, broken, way)
    assert (seen.events, expected.error) == (expected.events, [])
    quiet, _ = played(monkeypatch, broken, way, replace(policy, raise_on_truncation=False))
    assert quiet == expected
    observed, _ = played(monkeypatch, broken, way, replace(policy, mode=Mode.OBSERVE))
    assert observed == expected


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", [CutMidChunk(), Reset(), End(), Error()])
@pytest.mark.parametrize("at", [ALL - 1, ALL])
def test_a_message_that_is_complete_is_not_asked_for_again(monkeypatch, way, how, at):
    """After `message_delta`, and after `message_stop`: as without us."""
    broken = WHOLE.cut_after(at, how)
    policy = replace(RESUME, raise_on_truncation=True)
    seen, api = played(monkeypatch, broken, way, policy)
    assert (seen, api.requests) == (bare(monkeypatch, broken, way), 1)


def block(index, start, *deltas):
    """A block that has not stopped."""
    return (
        Event("content_block_start", {"type": "content_block_start", "index": index, "content_block": start}),
        *(Event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": x}) for x in deltas),
    )


TEXT = {"type": "text", "text": ""}
LONG = {"type": "text_delta", "text": STORY}
JSON = {"type": "input_json_delta", "partial_json": '{"a'}
CITED = {
    "type": "citations_delta",
    "citation": {
        "type": "char_location",
        "cited_text": "a",
        "document_index": 0,
        "document_title": None,
        "file_id": None,
        "start_char_index": 0,
        "end_char_index": 1,
    },
}
TOOL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
THINKING = {"type": "thinking", "thinking": "Well", "signature": ""}
HANDED_OUT = {
    "a tool's input": block(0, TOOL, JSON),
    "a tool after a text": (*block(0, TEXT, LONG), *block(1, TOOL)),
    "a tool of the server's": block(0, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
    "a citation": block(0, TEXT, LONG, CITED),
    "thinking": block(0, {**THINKING, "thinking": ""}, {"type": "thinking_delta", "thinking": "Hm"}),
    "redacted thinking": block(0, {"type": "redacted_thinking", "data": "x"}),
    "a block that begins with text": block(0, {"type": "text", "text": "Well"}),
    "a block that begins with thinking": block(0, THINKING),
    "a block that begins with a citation": block(0, {"type": "text", "text": "", "citations": [CITED["citation"]]}),
    "a block that nobody knows": block(0, {"type": "new_block"}),
    "a delta that nobody knows": block(0, TEXT, {"type": "new_delta", "new": 1}),
    "too little text": block(0, TEXT, {"type": "text_delta", "text": "Well"}),
    "a part of the message's end": (Event("message_delta", {"type": "message_delta", "delta": {"stop_reason": None},
                                                           "usage": {"output_tokens": 1}}),),
}  # fmt: skip


@pytest.mark.parametrize("mode", [Mode.RETRY, Mode.RESUME])
@pytest.mark.parametrize("how", [CutMidChunk(), Error(), End()])
@pytest.mark.parametrize("name", HANDED_OUT)
def test_what_was_handed_out_is_never_told_again(monkeypatch, name, how, mode):
    """The caller holds something that a replay would duplicate, and that cannot be gone on with: as without us."""
    broken = after(WHOLE, 1, *HANDED_OUT[name], how)
    for way in WAYS:
        seen, api = played(monkeypatch, [broken, WHOLE], way, RetryPolicy(mode=mode))
        assert (seen, api.requests) == (bare(monkeypatch, broken, way), 1)


REQUESTS = {
    "a forced tool": {"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}},
    "structured output": {"extra_body": {"output_format": {"type": "json_schema", "schema": {}}}},
    "configured output": {"extra_body": {"output_config": {"format": {"type": "json_schema", "schema": {}}}}},
    "a thread": {"extra_body": {"thread": {"type": "create"}}},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_cannot_be_continued_is_not(monkeypatch, name):
    """Whatever the text: what was asked for is more than text."""
    seen, api = played(monkeypatch, [BROKE, WHOLE], **REQUESTS[name])
    assert (seen, api.requests) == (bare(monkeypatch, BROKE, **REQUESTS[name]), 1)


THOUGHT = told(STORY, thinking="Let me see, what shall I say")


@pytest.mark.parametrize("way", ["create", "stream", "async create", "async stream"])
@pytest.mark.parametrize("mode", [Mode.RETRY, Mode.RESUME])
@pytest.mark.parametrize("at", range(4, 11))
def test_thinking_may_be_no_output(monkeypatch, way, mode, at):
    """For a caller that shows none: he gets the whole text, and of the thinking what had come by then."""
    broken = THOUGHT.cut_after(at, CutMidChunk())
    policy = RetryPolicy(mode=mode, commit=Commit(thinking_is_output=False))
    seen, api = played(monkeypatch, [broken, THOUGHT], way, policy)
    events = raw(seen.events)
    assert_one_message(events)
    had = pieces(raw(bare(monkeypatch, broken, way).events), "thinking_delta", "thinking")
    assert len(had) > 0
    assert pieces(events, "thinking_delta", "thinking") == had
    assert (text(events), seen.error, api.requests) == (STORY, [], 2)
    if way.endswith("stream"):
        assert [block["type"] for block in seen.result[1]["content"]] == ["thinking", "text"]


def test_classes_are_the_sdks_own(monkeypatch):
    """`except anthropic.APIError` meets what it met before."""
    error = raised(monkeypatch, [WHOLE.cut_after(1), WHOLE.cut_after(4, Error())], RETRY)
    assert type(error) is type(raised(monkeypatch, [WHOLE.cut_after(4, Error())], RetryPolicy()))
    assert isinstance(error, anthropic.APIStatusError)
    assert error.status_code == 200
