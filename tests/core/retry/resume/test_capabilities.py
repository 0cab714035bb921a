"""Which models continue their own turn, and how the refusals of the others read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_claude_stream._core.retry.context import RequestCapabilities
from otel_claude_stream._core.retry.policy import Resume, Strategy
from otel_claude_stream._core.retry.resume.capabilities import (
    PREFILL_ACCEPTING,
    PREFILL_REFUSING,
    accepts_prefill,
    family_of,
    known_to_refuse,
    refuses_prefill,
    strategy_for,
)

FORMS = {
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


@pytest.mark.parametrize(("model", "family"), FORMS.items())
def test_a_model_is_known_in_every_form_of_its_name(model, family):
    assert family_of(model) == family


@pytest.mark.parametrize("family", PREFILL_ACCEPTING)
def test_generation_4_5_and_before_accepts_a_prefill(family):
    assert accepts_prefill(f"{family}-20251001")
    assert not known_to_refuse(family)


@pytest.mark.parametrize("family", PREFILL_REFUSING)
def test_generation_4_6_and_later_refuses_it(family):
    assert not accepts_prefill(family)
    assert known_to_refuse(f"eu.anthropic.{family}-20260101-v1:0")


@pytest.mark.parametrize("model", ["claude-opus-9", "my-own-deployment", ""])
def test_of_an_unknown_model_nothing_is_known(model):
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
def test_a_pattern_refuses_if_it_names_only_models_that_do(pattern, refuses):
    assert known_to_refuse(pattern) is refuses


@pytest.mark.parametrize(
    ("wanted", "model", "thinking", "strategy"),
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
def test_how_a_text_is_continued(wanted, model, thinking, strategy):
    assert strategy_for(replace(Resume(), strategy=wanted), model, RequestCapabilities(thinking=thinking)) is strategy


REFUSALS = [
    "This model does not support assistant message prefill. The conversation must end with a user message.",
    "Prefilling assistant messages is not supported for this model.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_both_texts_of_the_refusal_are_known(text):
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
def test_another_refusal_is_none_of_the_prefill(text):
    assert not refuses_prefill(400, text)
