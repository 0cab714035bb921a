"""The request that resumes a text."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.policy import Resume, Strategy
from otel_claude_stream._core.retry.resume.request import MIN_TOKENS, PROMPT, continue_body, estimated_tokens
from otel_claude_stream._core.retry.resume.seam import anchor_of

RESUME = Resume()
USER_CONTINUE, PREFILL = Strategy.USER_CONTINUE, Strategy.PREFILL
TEXT = "The adapters had been written by three teams that did not talk to each other, so the interop"
QUESTION = {"role": "user", "content": [{"type": "text", "text": "Why?", "cache_control": {"type": "ephemeral"}}]}
BODY = {
    "model": "claude-haiku-4-5",
    "max_tokens": 4096,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [QUESTION],
    "stream": True,
}


def test_a_user_turn_asks_for_the_rest():
    body = continue_body(BODY, TEXT, USER_CONTINUE, RESUME)
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


def test_a_prefilled_turn_is_the_partial_answer():
    assert continue_body(BODY, TEXT, PREFILL, RESUME) == {
        **BODY,
        "max_tokens": 4096 - len(TEXT) // 4,
        "messages": [QUESTION, {"role": "assistant", "content": TEXT}],
    }


def test_a_prompt_of_the_policy_gets_the_anchor_at_its_placeholder():
    resume = replace(RESUME, prompt="Weiter nach »{anchor}« {bitte}!", anchor_chars=7)
    body = continue_body(BODY, TEXT, USER_CONTINUE, resume)
    assert body["messages"][-1] == {"role": "user", "content": "Weiter nach »interop« {bitte}!"}


@pytest.mark.parametrize(("strategy", "turn"), [(PREFILL, -1), (USER_CONTINUE, -2)])
def test_the_partial_answer_loses_its_trailing_white_space(strategy, turn):
    """The API rejects it at the end of a prefill. After a prompt, the model could not know whether to repeat it."""
    assert continue_body(BODY, TEXT + " \n", strategy, RESUME)["messages"][turn]["content"] == TEXT


@pytest.mark.parametrize("strategy", [USER_CONTINUE, PREFILL])
def test_an_unpaired_surrogate_is_not_sent(strategy):
    body = continue_body(BODY, TEXT + "\ud83d\ude00 \ud83d", strategy, RESUME)
    assert body["messages"][1]["content"].rstrip() == TEXT + "😀"
    json.dumps(body, ensure_ascii=False).encode()


PREFILLS = {
    "a string": ("{", "{" + TEXT),
    "a block": ([{"type": "text", "text": "So: "}], [{"type": "text", "text": "So: " + TEXT}]),
    "a block with cache_control": (
        [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}],
        [{"type": "text", "text": "a"}, {"type": "text", "text": "b" + TEXT, "cache_control": {"type": "ephemeral"}}],
    ),
    "a block of another type": (
        [{"type": "image", "source": {}}], [{"type": "image", "source": {}}, {"type": "text", "text": TEXT}],
    ),
    "a text block without text": ([{"type": "text"}], [{"type": "text"}, {"type": "text", "text": TEXT}]),
    "a tuple": (({"type": "text", "text": "a"},), [{"type": "text", "text": "a" + TEXT}]),
    "no block": ([], [{"type": "text", "text": TEXT}]),
    "no content": (None, [{"type": "text", "text": TEXT}]),
}  # fmt: skip


@pytest.mark.parametrize(("content", "merged"), PREFILLS.values(), ids=PREFILLS)
@pytest.mark.parametrize(("strategy", "user_turns"), [(PREFILL, 0), (USER_CONTINUE, 1)])
def test_a_prefill_of_the_request_and_the_answer_become_one_turn(content, merged, strategy, user_turns):
    original = {**BODY, "messages": [QUESTION, {"role": "assistant", "content": content, "extra": 1}]}
    before = copy.deepcopy(original)
    turns = continue_body(original, TEXT, strategy, RESUME)["messages"]
    assert turns[:2] == [QUESTION, {"role": "assistant", "content": merged, "extra": 1}]
    assert len(turns) == 2 + user_turns
    assert original == before


def test_the_original_request_is_neither_changed_nor_copied():
    before = json.dumps(BODY)
    body = continue_body(BODY, TEXT, USER_CONTINUE, RESUME)
    assert json.dumps(BODY) == before
    assert body["messages"][0] is QUESTION
    assert body["system"] is BODY["system"]
    assert list(body) == list(BODY)


def test_a_second_resume_starts_from_the_original_request_as_well():
    once = continue_body(BODY, TEXT, USER_CONTINUE, RESUME)
    twice = continue_body(BODY, TEXT + "erability tests failed", USER_CONTINUE, RESUME)
    assert len(once["messages"]) == len(twice["messages"]) == 3


@pytest.mark.parametrize("text", ["", " \n", "\ud83d"])
def test_a_text_of_white_space_cannot_be_resumed(text):
    with pytest.raises(ValueError, match="only white space"):
        continue_body(BODY, text, USER_CONTINUE, RESUME)


@pytest.mark.parametrize("messages", [None, "Hello", {}])
def test_a_body_without_messages_cannot_be_resumed(messages):
    with pytest.raises(ValueError, match="`messages` must be a list"):
        continue_body({**BODY, "messages": messages}, TEXT, USER_CONTINUE, RESUME)


@pytest.mark.parametrize("messages", [[], ["malformed"], ({"role": "user", "content": "Hi"},)])
def test_any_list_of_messages_can_be_continued(messages):
    turns = continue_body({**BODY, "messages": messages}, TEXT, PREFILL, RESUME)["messages"]
    assert turns == [*messages, {"role": "assistant", "content": TEXT}]


@pytest.mark.parametrize(
    ("max_tokens", "thinking", "characters", "remaining"),
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
def test_max_tokens_is_reduced_by_the_delivered_text(max_tokens, thinking, characters, remaining):
    body = continue_body({**BODY, "max_tokens": max_tokens, "thinking": thinking}, "x" * characters, PREFILL, RESUME)
    assert body["max_tokens"] == remaining


def test_a_body_without_max_tokens_gets_none():
    body = {key: value for key, value in BODY.items() if key != "max_tokens"}
    assert "max_tokens" not in continue_body(body, TEXT, PREFILL, RESUME)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("word" * 10, 10), ("слово" * 4, 10), ("漢字" * 6, 9), ("\ud83d", 0)]
)
def test_tokens_are_estimated_alike_for_all_scripts(text, tokens):
    assert estimated_tokens(text) == tokens


@given(st.text(min_size=1), st.integers(1, 100_000), st.sampled_from([USER_CONTINUE, PREFILL]))
def test_a_resume_never_costs_more_than_the_request(text, max_tokens, strategy):
    if not text.strip():
        return
    body = continue_body({**BODY, "max_tokens": max_tokens}, text, strategy, RESUME)
    assert 1 <= body["max_tokens"] <= max_tokens
