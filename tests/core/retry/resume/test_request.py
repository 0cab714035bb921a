"""The request that continues a text, and what of a request decides whether it can be."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.context import RequestCapabilities
from otel_claude_stream._core.retry.policy import Resume, Strategy
from otel_claude_stream._core.retry.resume.partial_text import anchor_of
from otel_claude_stream._core.retry.resume.request import MIN_TOKENS, PROMPT, continue_body, tokens_of, traits_of

RESUME = Resume()
ASKED, PREFILL = Strategy.USER_CONTINUE, Strategy.PREFILL
TEXT = "The adapters had been written by three teams that did not talk to each other, so the interop"
QUESTION = {"role": "user", "content": [{"type": "text", "text": "Why?", "cache_control": {"type": "ephemeral"}}]}
BODY = {
    "model": "claude-haiku-4-5",
    "max_tokens": 4096,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [QUESTION],
    "stream": True,
}


def test_a_model_that_has_to_be_asked_is_asked():
    body = continue_body(BODY, TEXT, ASKED, RESUME)
    anchor = anchor_of(TEXT, 48)
    assert body == {
        **BODY,
        "max_tokens": 4096 - (len(TEXT) // 4 - len(anchor) // 4),
        "messages": [
            QUESTION,
            {"role": "assistant", "content": TEXT},
            {"role": "user", "content": PROMPT.replace("{anchor}", anchor)},
        ],
    }
    assert anchor in body["messages"][-1]["content"]


def test_a_model_that_goes_on_by_itself_gets_its_own_turn():
    assert continue_body(BODY, TEXT, PREFILL, RESUME) == {
        **BODY,
        "max_tokens": 4096 - len(TEXT) // 4,
        "messages": [QUESTION, {"role": "assistant", "content": TEXT}],
    }


def test_a_users_prompt_is_taken_with_the_anchor_where_it_wants_it():
    resume = replace(RESUME, prompt="Weiter nach »{anchor}« {bitte}!", anchor_chars=7)
    body = continue_body(BODY, TEXT, ASKED, resume)
    assert body["messages"][-1] == {"role": "user", "content": "Weiter nach »interop« {bitte}!"}


def test_the_last_turn_ends_with_no_white_space_and_another_one_as_it_was():
    """The API refuses it in a last turn: "final assistant content cannot end with trailing whitespace"."""
    assert continue_body(BODY, TEXT + " \n", PREFILL, RESUME)["messages"][-1]["content"] == TEXT
    assert continue_body(BODY, TEXT + " \n", ASKED, RESUME)["messages"][-2]["content"] == TEXT + " \n"


@pytest.mark.parametrize("strategy", [ASKED, PREFILL])
def test_half_a_character_is_not_sent(strategy):
    body = continue_body(BODY, TEXT + "\ud83d\ude00 \ud83d", strategy, RESUME)
    assert body["messages"][1]["content"].rstrip() == TEXT + "😀"
    json.dumps(body, ensure_ascii=False).encode()


PREFILLS = {
    "a string": ("{", "{" + TEXT),
    "a block": ([{"type": "text", "text": "So: "}], [{"type": "text", "text": "So: " + TEXT}]),
    "a block with a mark for the cache": (
        [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}],
        [{"type": "text", "text": "a"}, {"type": "text", "text": "b" + TEXT, "cache_control": {"type": "ephemeral"}}],
    ),
    "a block of another kind": (
        [{"type": "image", "source": {}}], [{"type": "image", "source": {}}, {"type": "text", "text": TEXT}],
    ),
    "a block without its text": ([{"type": "text"}], [{"type": "text"}, {"type": "text", "text": TEXT}]),
    "a tuple": (({"type": "text", "text": "a"},), [{"type": "text", "text": "a" + TEXT}]),
    "no block": ([], [{"type": "text", "text": TEXT}]),
    "nothing": (None, [{"type": "text", "text": TEXT}]),
}  # fmt: skip


@pytest.mark.parametrize(("content", "merged"), PREFILLS.values(), ids=PREFILLS)
@pytest.mark.parametrize(("strategy", "asks"), [(PREFILL, 0), (ASKED, 1)])
def test_the_answer_that_the_user_began_becomes_one_turn_with_it(content, merged, strategy, asks):
    original = {**BODY, "messages": [QUESTION, {"role": "assistant", "content": content, "extra": 1}]}
    before = copy.deepcopy(original)
    turns = continue_body(original, TEXT, strategy, RESUME)["messages"]
    assert turns[:2] == [QUESTION, {"role": "assistant", "content": merged, "extra": 1}]
    assert len(turns) == 2 + asks
    assert original == before


def test_what_was_asked_stays_the_same_to_the_byte_and_the_object():
    before = json.dumps(BODY)
    body = continue_body(BODY, TEXT, ASKED, RESUME)
    assert json.dumps(BODY) == before
    assert body["messages"][0] is QUESTION
    assert body["system"] is BODY["system"]
    assert list(body) == list(BODY)


def test_a_second_continuation_starts_from_the_original_as_well():
    once = continue_body(BODY, TEXT, ASKED, RESUME)
    twice = continue_body(BODY, TEXT + "erability tests failed", ASKED, RESUME)
    assert len(once["messages"]) == len(twice["messages"]) == 3


@pytest.mark.parametrize("text", ["", " \n", "\ud83d"])
def test_a_text_of_nothing_cannot_be_continued(text):
    with pytest.raises(ValueError, match="white space"):
        continue_body(BODY, text, ASKED, RESUME)


@pytest.mark.parametrize("messages", [None, "Hello", {}])
def test_a_body_without_messages_cannot_be_continued(messages):
    with pytest.raises(ValueError, match="messages of a request are a list"):
        continue_body({**BODY, "messages": messages}, TEXT, ASKED, RESUME)


@pytest.mark.parametrize("messages", [[], ["odd"], ({"role": "user", "content": "Hi"},)])
def test_any_list_of_messages_is_gone_on_with(messages):
    turns = continue_body({**BODY, "messages": messages}, TEXT, PREFILL, RESUME)["messages"]
    assert turns == [*messages, {"role": "assistant", "content": TEXT}]


@pytest.mark.parametrize(
    ("most", "thinking", "characters", "left"),
    [
        (4096, None, 4000, 3096),
        (4096, None, 40_000, MIN_TOKENS),
        (100, None, 4000, 100),
        (4096, {"type": "enabled", "budget_tokens": 2000}, 16_000, 2256),
        (2100, {"type": "enabled", "budget_tokens": 2000}, 16_000, 2100),
        (4096, {"type": "enabled", "budget_tokens": "?"}, 16_000, 256),
        (4096, {"type": "adaptive"}, 4000, 3096),
    ],
)
def test_what_was_delivered_is_no_longer_to_be_spent(most, thinking, characters, left):
    body = continue_body({**BODY, "max_tokens": most, "thinking": thinking}, "x" * characters, PREFILL, RESUME)
    assert body["max_tokens"] == left


def test_a_body_that_says_no_most_gets_none():
    body = {key: value for key, value in BODY.items() if key != "max_tokens"}
    assert "max_tokens" not in continue_body(body, TEXT, PREFILL, RESUME)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("word" * 10, 10), ("слово" * 4, 10), ("漢字" * 6, 9), ("\ud83d", 0)]
)
def test_tokens_are_guessed_alike_for_all_scripts(text, tokens):
    assert tokens_of(text) == tokens


@given(st.text(min_size=1), st.integers(1, 100_000), st.sampled_from([ASKED, PREFILL]))
def test_a_continuation_never_costs_more_than_the_request(text, most, strategy):
    if not text.strip():
        return
    body = continue_body({**BODY, "max_tokens": most}, text, strategy, RESUME)
    assert 1 <= body["max_tokens"] <= most


@pytest.mark.parametrize(
    ("said", "traits"),
    [
        ({}, RequestCapabilities()),
        ({"thread": {"type": "continue"}}, RequestCapabilities(thread=True)),
        ({"thread": None}, RequestCapabilities()),
        ({"output_config": {"format": {"type": "json_schema"}}}, RequestCapabilities(structured_output=True)),
        ({"output_config": {"effort": "low"}}, RequestCapabilities()),
        ({"output_format": {"type": "json_schema"}}, RequestCapabilities(structured_output=True)),
        ({"tool_choice": {"type": "any"}}, RequestCapabilities(forced_tool=True)),
        ({"tool_choice": {"type": "tool", "name": "x"}}, RequestCapabilities(forced_tool=True)),
        ({"tool_choice": {"type": "auto"}}, RequestCapabilities()),
        ({"tool_choice": {"type": ["any"]}}, RequestCapabilities()),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, RequestCapabilities(thinking=True)),
        ({"thinking": {"type": "adaptive"}}, RequestCapabilities(thinking=True)),
        ({"thinking": {"type": "disabled"}}, RequestCapabilities()),
        ({"thinking": "enabled"}, RequestCapabilities()),
        ({"tool_choice": 3, "output_config": [], "thinking": 0}, RequestCapabilities()),
    ],
)
def test_what_of_a_request_decides(said, traits):
    assert traits_of({**BODY, **said}) == traits


@pytest.mark.parametrize("body", [None, b"bytes", [], "text", 3])
def test_an_odd_body_has_no_traits(body):
    assert traits_of(body) == RequestCapabilities()
