"""The error that the caller gets after failed attempts, and the streams that no policy retries."""

from __future__ import annotations

from dataclasses import replace

import anthropic
import pytest
from tests.support.received import assert_one_message, content_of, message_events, text_of
from tests.support.rig import API, REQUEST, by, chain, instrumented, read
from tests.support.scenes import STORY, after, paced_script

from otel_claude_stream._core.retry.policy import Commit, Mode, RetryLimits, RetryPolicy
from otel_claude_stream.testing import CutMidChunk, End, Error, Event, Reset, Script

RETRY = RetryPolicy(mode=Mode.RETRY)
RESUME = RetryPolicy(mode=Mode.RESUME)
COMPLETE = paced_script(STORY)
EVENTS = len([step for step in COMPLETE.steps if type(step).__name__ in ("Event", "Ping")])
BROKEN = paced_script(STORY[:83]).cut_after(13, CutMidChunk())
WAYS = ["create", "async stream"]


def with_policy(monkeypatch, scripts, way="create", policy=RESUME, **request):
    """Return what the caller sees with a policy, and the API."""
    api = API(scripts)
    with instrumented(monkeypatch, api.clock, retry_policy=policy):
        return read(api, way, **request), api


def bare(monkeypatch, scripts, way="create", **request):
    """Return what the caller sees without this package."""
    api = API(scripts)
    with by(api.clock, monkeypatch):
        return read(api, way, **request)


def raised(monkeypatch, scripts, policy, way="create"):
    """Return the exception itself, with its notes."""
    api = API(scripts)
    with instrumented(monkeypatch, api.clock, retry_policy=policy), pytest.raises(Exception) as caught:  # noqa: PT011
        for _ in api.client(max_retries=0).messages.create(**REQUEST, stream=True):
            pass
    return caught.value


CUT = "connection_closed (awaiting_first_token)"
NOTES = {
    "retried in vain": (
        [COMPLETE.cut_after(1)] * 3,
        RETRY,
        [f"{CUT}, retry after 0.12 s", f"{CUT}, retry after 0.25 s", f"{CUT}, given up: attempts"],
    ),
    "then an error event": (
        [COMPLETE.cut_after(1), COMPLETE.cut_after(4, Error())],
        RETRY,
        [f"{CUT}, retry after 0.12 s", "overloaded (streaming), given up: output"],
    ),
    "then no response": (
        [COMPLETE.cut_after(1), Script.http_error(529)],
        RETRY,
        [f"{CUT}, retry after 0.12 s", "overloaded (awaiting_response), given up: sdk"],
    ),
    "a continuation that does not match": (
        [BROKEN, paced_script("Of course!")],
        RESUME,
        ["connection_closed (streaming), resume after 0.12 s", "the continuation did not fit: mismatch"],
    ),
}


@pytest.mark.parametrize("name", NOTES)
def test_the_error_has_a_note_that_lists_the_attempts(monkeypatch, name):
    """Class and message of the error are those that it has without this package."""
    scripts, policy, results = NOTES[name]
    error = raised(monkeypatch, scripts, policy)
    attempts = "; ".join(f"attempt {number}: {result}" for number, result in enumerate(results, 1))
    assert error.__notes__ == [f"otel-claude-stream: {attempts}"]
    expected = bare(monkeypatch, scripts[0] if policy is RESUME else scripts[-1], options={"max_retries": 0})
    assert chain(error) == expected.error


def test_the_error_of_a_single_attempt_has_no_note(monkeypatch):
    """It stays as the SDK raised it."""
    assert not hasattr(raised(monkeypatch, [COMPLETE.cut_after(4)], RETRY), "__notes__")


@pytest.mark.parametrize("way", WAYS)
def test_failed_retries_raise_the_last_error(monkeypatch, way):
    """The last error explains why there is no answer now."""
    scripts = [COMPLETE.cut_after(1), Script.http_error(529)]
    seen, api = with_policy(monkeypatch, scripts, way, RETRY, options={"max_retries": 0})
    assert api.requests == 2
    assert seen.error == bare(monkeypatch, scripts[1], way).error


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", [Mode.RETRY, Mode.RESUME])
def test_a_truncation_is_raised_on_request(monkeypatch, way, mode):
    """With `raise_on_truncation`, a truncation raises a connection error. The SDK itself raises nothing."""
    policy = RetryPolicy(mode=mode, raise_on_truncation=True, limits=RetryLimits(max_attempts=1))
    broken = COMPLETE.cut_after(6, End())
    seen, _ = with_policy(monkeypatch, broken, way, policy)
    assert seen.error == [("anthropic.APIConnectionError", "The stream ended before message_stop.")]
    expected = bare(monkeypatch, broken, way)
    assert (seen.events, expected.error) == (expected.events, [])
    quiet, _ = with_policy(monkeypatch, broken, way, replace(policy, raise_on_truncation=False))
    assert quiet == expected
    observed, _ = with_policy(monkeypatch, broken, way, replace(policy, mode=Mode.OBSERVE))
    assert observed == expected


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", [CutMidChunk(), Reset(), End(), Error()])
@pytest.mark.parametrize("at", [EVENTS - 1, EVENTS])
def test_a_complete_message_is_not_retried(monkeypatch, way, how, at):
    """A break after `message_delta` or `message_stop` reaches the caller as without this package."""
    broken = COMPLETE.cut_after(at, how)
    policy = replace(RESUME, raise_on_truncation=True)
    seen, api = with_policy(monkeypatch, broken, way, policy)
    assert (seen, api.requests) == (bare(monkeypatch, broken, way), 1)


def block(index, start, *deltas):
    """Return the events of a block without its stop."""
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
DELIVERED = {
    "a tool's input": block(0, TOOL, JSON),
    "a tool after a text": (*block(0, TEXT, LONG), *block(1, TOOL)),
    "a tool of the server's": block(0, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
    "a citation": block(0, TEXT, LONG, CITED),
    "thinking": block(0, {**THINKING, "thinking": ""}, {"type": "thinking_delta", "thinking": "Hm"}),
    "redacted thinking": block(0, {"type": "redacted_thinking", "data": "x"}),
    "a block that begins with text": block(0, {"type": "text", "text": "Well"}),
    "a block that begins with thinking": block(0, THINKING),
    "a block that begins with a citation": block(0, {"type": "text", "text": "", "citations": [CITED["citation"]]}),
    "an unknown block": block(0, {"type": "new_block"}),
    "an unknown delta": block(0, TEXT, {"type": "new_delta", "new": 1}),
    "too little text": block(0, TEXT, {"type": "text_delta", "text": "Well"}),
    "a part of the message's end": (Event("message_delta", {"type": "message_delta", "delta": {"stop_reason": None},
                                                           "usage": {"output_tokens": 1}}),),
}  # fmt: skip


@pytest.mark.parametrize("mode", [Mode.RETRY, Mode.RESUME])
@pytest.mark.parametrize("how", [CutMidChunk(), Error(), End()])
@pytest.mark.parametrize("name", DELIVERED)
def test_delivered_content_that_cannot_be_resumed_blocks_every_retry(monkeypatch, name, how, mode):
    """A retry would duplicate the content, so the caller gets the error as without this package."""
    broken = after(COMPLETE, 1, *DELIVERED[name], how)
    for way in WAYS:
        seen, api = with_policy(monkeypatch, [broken, COMPLETE], way, RetryPolicy(mode=mode))
        assert (seen, api.requests) == (bare(monkeypatch, broken, way), 1)


REQUESTS = {
    "a forced tool": {"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}},
    "structured output": {"extra_body": {"output_format": {"type": "json_schema", "schema": {}}}},
    "configured output": {"extra_body": {"output_config": {"format": {"type": "json_schema", "schema": {}}}}},
    "a thread": {"extra_body": {"thread": {"type": "create"}}},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_for_more_than_text_is_not_resumed(monkeypatch, name):
    """The caller gets the error as without this package, however much text arrived."""
    seen, api = with_policy(monkeypatch, [BROKEN, COMPLETE], **REQUESTS[name])
    assert (seen, api.requests) == (bare(monkeypatch, BROKEN, **REQUESTS[name]), 1)


WITH_THINKING = paced_script(STORY, thinking="Let me see, which words to use")


@pytest.mark.parametrize("way", ["create", "stream", "async create", "async stream"])
@pytest.mark.parametrize("mode", [Mode.RETRY, Mode.RESUME])
@pytest.mark.parametrize("at", range(4, 11))
def test_thinking_does_not_block_a_retry_if_it_is_no_output(monkeypatch, way, mode, at):
    """The caller gets the whole text, and the thinking that arrived before the break."""
    broken = WITH_THINKING.cut_after(at, CutMidChunk())
    policy = RetryPolicy(mode=mode, commit=Commit(thinking_is_output=False))
    seen, api = with_policy(monkeypatch, [broken, WITH_THINKING], way, policy)
    events = message_events(seen.events)
    assert_one_message(events)
    thinking = content_of(message_events(bare(monkeypatch, broken, way).events), "thinking_delta", "thinking")
    assert len(thinking) > 0
    assert content_of(events, "thinking_delta", "thinking") == thinking
    assert (text_of(events), seen.error, api.requests) == (STORY, [], 2)
    if way.endswith("stream"):
        assert [block["type"] for block in seen.result[1]["content"]] == ["thinking", "text"]


def test_the_errors_keep_the_classes_of_the_sdk(monkeypatch):
    """`except anthropic.APIError` catches the same errors."""
    error = raised(monkeypatch, [COMPLETE.cut_after(1), COMPLETE.cut_after(4, Error())], RETRY)
    assert type(error) is type(raised(monkeypatch, [COMPLETE.cut_after(4, Error())], RetryPolicy()))
    assert isinstance(error, anthropic.APIStatusError)
    assert error.status_code == 200
