"""The capabilities of models and requests that decide how a text is resumed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_claude_stream._core.retry.policy import Resume, Strategy
from otel_claude_stream._core.retry.resume.capabilities import (
    PREFILL_ACCEPTING,
    PREFILL_REFUSING,
    accepts_prefill,
    capabilities_of,
    family_of,
    known_to_refuse,
    refuses_prefill,
    strategy_for,
)
from otel_claude_stream._core.stream.call import RequestCapabilities

SPELLINGS = {
    "claude-haiku-4-5": "claude-haiku-4-5",
    "claude-haiku-4-5-20251001": "claude-haiku-4-5",
    "claude-haiku-4-5-latest": "claude-haiku-4-5",
    "claude-haiku-4-5@20251001": "claude-haiku-4-5",
    "claude-haiku-4-5@latest": "claude-haiku-4-5",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0": "claude-haiku-4-5",
    "anthropic.claude-haiku-4-5-20251001-v1:0:200k": "claude-haiku-4-5",
    "anthropic/claude-haiku-4.5": "claude-haiku-4-5",
    "publishers/anthropic/models/claude-haiku-4-5@20251001": "claude-haiku-4-5",
    "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0": "claude-haiku-4-5",
    "Claude-Haiku-4-5": "claude-haiku-4-5",
    "claude-3-5-sonnet-v2@20241022": "claude-3-5-sonnet",
    "anthropic.claude-3-5-sonnet-20241022-v2:0": "claude-3-5-sonnet",
    "claude-opus-4-20250514": "claude-opus-4",
    "anthropic.claude-opus-4-6-v1": "claude-opus-4-6",
    "claude-opus-5": "claude-opus-5",
    "my-own-deployment": "my-own-deployment",
    "": "",
}


def test_the_strategy_depends_on_the_model():
    assert strategy_for(Resume(), "claude-haiku-4-5", RequestCapabilities()) is Strategy.PREFILL
    assert strategy_for(Resume(), "claude-opus-5", RequestCapabilities()) is Strategy.USER_CONTINUE


@pytest.mark.parametrize(("model", "family"), SPELLINGS.items())
def test_the_family_of_a_model_is_found_in_every_spelling(model, family):
    assert family_of(model) == family


@pytest.mark.parametrize("family", PREFILL_ACCEPTING)
def test_models_up_to_4_5_accept_a_prefill(family):
    assert accepts_prefill(f"{family}-20251001")
    assert not known_to_refuse(family)


@pytest.mark.parametrize("family", PREFILL_REFUSING)
def test_models_from_4_6_on_refuse_a_prefill(family):
    assert not accepts_prefill(family)
    assert known_to_refuse(f"eu.anthropic.{family}-20260101-v1:0")


@pytest.mark.parametrize("model", ["claude-opus-9", "my-own-deployment", ""])
def test_an_unknown_model_neither_accepts_nor_refuses_a_prefill(model):
    assert not accepts_prefill(model)
    assert not known_to_refuse(model)


@pytest.mark.parametrize(
    ("pattern", "refuses"),
    [
        ("claude-opus-5*", True),
        ("claude-sonnet-4-6-*", True),
        ("*anthropic.claude-opus-4-6*", True),
        ("*mythos*", True),
        ("claude-haiku-4-5-*", False),
        ("claude-*", False),
        ("claude-opus-*", False),
        ("another-*", False),
    ],
)
def test_a_pattern_refuses_if_all_models_that_it_matches_do(pattern, refuses):
    assert known_to_refuse(pattern) is refuses


@pytest.mark.parametrize(
    ("configured", "model", "thinking", "strategy"),
    [
        (Strategy.AUTO, "claude-haiku-4-5", False, Strategy.PREFILL),
        (Strategy.AUTO, "claude-haiku-4-5", True, Strategy.USER_CONTINUE),
        (Strategy.AUTO, "claude-opus-5", False, Strategy.USER_CONTINUE),
        (Strategy.AUTO, "unheard-of", False, Strategy.USER_CONTINUE),
        (Strategy.USER_CONTINUE, "claude-haiku-4-5", False, Strategy.USER_CONTINUE),
        (Strategy.PREFILL, "unheard-of", False, Strategy.PREFILL),
        (Strategy.PREFILL, "claude-haiku-4-5", True, Strategy.USER_CONTINUE),
    ],
)
def test_thinking_and_the_policy_override_the_strategy_of_the_model(configured, model, thinking, strategy):
    assert (
        strategy_for(replace(Resume(), strategy=configured), model, RequestCapabilities(thinking=thinking)) is strategy
    )


REFUSALS = [
    "This model does not support assistant message prefill. The conversation must end with a user message.",
    "Prefilling assistant messages is not supported for this model.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_both_messages_of_a_prefill_refusal_are_known(text):
    body = f'{{"type":"error","error":{{"type":"invalid_request_error","message":"{text}"}}}}'
    assert refuses_prefill(400, text)
    assert refuses_prefill(400, body)
    assert not refuses_prefill(500, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "messages: final assistant content cannot end with trailing whitespace",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)
def test_another_error_is_no_prefill_refusal(text):
    assert not refuses_prefill(400, text)


@pytest.mark.parametrize(
    ("fields", "capabilities"),
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
def test_the_capabilities_of_a_request(fields, capabilities):
    assert capabilities_of({"model": "claude-haiku-4-5", "max_tokens": 4096, "stream": True, **fields}) == capabilities


@pytest.mark.parametrize("body", [None, b"bytes", [], "text", 3])
def test_a_body_that_is_no_mapping_has_no_capabilities(body):
    assert capabilities_of(body) == RequestCapabilities()
