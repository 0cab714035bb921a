"""A request is carried over to another model only if that model takes it unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.fallback import MODELS, fallback_model, is_known, may_differ
from otel_claude_stream._core.retry.policy import RetryPolicy

HELLO = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "The answer is"}
TOOL = {"name": "get_weather", "input_schema": {"type": "object"}}
ENABLED = {"type": "enabled", "budget_tokens": 1024}
EVERY = tuple(MODELS)


def request(model: str = "claude-opus-5", **changes: object) -> dict[str, object]:
    return {"model": model, "max_tokens": 1024, "messages": [HELLO], "stream": True, **changes}


def takers(body: dict[str, object], betas: tuple[str, ...] = ()) -> set[str]:
    """Return the models of the table that take over a request."""
    return {model for model in EVERY if fallback_model([model], body, betas)}


ALWAYS_THINK = {
    "claude-opus-5-5", "claude-fable-5", "claude-fable-5-1", "claude-fable-5-2", "claude-mythos-5", "claude-mythos-5-1",
    "claude-mythos-5-2",
}  # fmt: skip
UP_TO_4_5 = {"claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5"}
GENERATION_4_6 = {"claude-sonnet-4-6", "claude-opus-4-6"}
OTHERS = set(EVERY) - {"claude-opus-5"}
THINK = ALWAYS_THINK | {"claude-sonnet-5", "claude-haiku-5-5", "claude-sonnet-5-5"}
FORCED = {**TOOL, "type": "custom"}

TAKERS = {
    "a plain request": (request(), OTHERS),
    "the same model under another name": (request("us.anthropic.claude-opus-5-v1:0"), OTHERS),
    "a model that does not think, whose answer may not begin with thinking": (
        request("claude-opus-4-8"), OTHERS - THINK - {"claude-opus-4-8"},
    ),
    "an unknown model, which may not think": (request("claude-x"), OTHERS - THINK),
    "adaptive thinking": (request(thinking={"type": "adaptive"}), OTHERS - UP_TO_4_5),
    "a budget for thinking": (request("claude-opus-4-6", thinking=ENABLED), UP_TO_4_5 | {"claude-sonnet-4-6"}),
    "no thinking": (request(thinking={"type": "disabled"}), OTHERS - ALWAYS_THINK - {"claude-sonnet-5-5"}),
    "no thinking at a high effort": (
        request(thinking={"type": "disabled"}, output_config={"effort": "xhigh"}), set(),
    ),
    "thinking between tools": (request(thinking={"type": "between_tools"}), {"claude-sonnet-5-5"}),
    "an unknown kind of thinking": (request(thinking={"type": "deep"}), set()),
    "a low effort": (request(output_config={"effort": "low"}), OTHERS - {"claude-haiku-4-5", "claude-sonnet-4-5"}),
    "the effort max": (request(output_config={"effort": "max"}), OTHERS - UP_TO_4_5),
    "the effort xhigh": (request(output_config={"effort": "xhigh"}), OTHERS - UP_TO_4_5 - GENERATION_4_6),
    "a schema for the output": (request(output_config={"format": {"type": "json_schema"}}), OTHERS),
    "an effort that is no text": (request(output_config={"effort": ["low"]}), set()),
    "a budget for the task": (request(output_config={"task_budget": 1}), set()),
    "a temperature": (request("claude-opus-4-6", temperature=0.5), UP_TO_4_5 | {"claude-sonnet-4-6"}),
    "a tool": (request(tools=[TOOL, FORCED]), OTHERS),
    "a forced tool": (
        request(tools=[TOOL], tool_choice={"type": "any"}),
        OTHERS - ALWAYS_THINK - {"claude-haiku-5-5", "claude-sonnet-5-5"},
    ),
    "a tool of the server": (request(tools=[{"type": "web_search_20260209", "name": "web_search"}]), set()),
    "tools that are no list": (request(tools={}), OTHERS),
    "tools of an unknown kind": (request(tools="all"), set()),
    "a prefill": (request("claude-haiku-4-5", messages=[HELLO, ANSWER]), UP_TO_4_5 - {"claude-haiku-4-5"}),
    "a message of the system": (request(messages=[HELLO, {"role": "system", "content": "Be brief"}]), set()),
    "messages that are no list": (request(messages=iter([HELLO])), set()),
    "no message": (request(messages=[]), OTHERS),
    "a long answer": (request(max_tokens=64_001), OTHERS - UP_TO_4_5 - {"claude-sonnet-4-6"}),
    "an answer without a limit": (request(max_tokens=None), set()),
    "a thread": (request(thread={"type": "create"}), set()),
    "fallback models of the API": (request(fallbacks="default"), set()),
}  # fmt: skip


@pytest.mark.parametrize(("body", "models"), TAKERS.values(), ids=TAKERS)
def test_the_table_determines_which_models_take_over(body, models):
    assert takers(body) == models


@pytest.mark.parametrize(
    ("characters", "source", "fits"),
    [
        (390_000, "claude-opus-5", True),
        (400_000, "claude-opus-5", False),  # each token has two bytes at least
        (3_000_000, "claude-sonnet-4-5", True),  # it has the same window, so the API has counted the tokens
        (390_000, "claude-x", True),
        (400_000, "claude-x", False),
    ],
)
def test_a_request_has_to_fit_a_smaller_context_window(characters, source, fits):
    body = request(source, messages=[{"role": "user", "content": [{"type": "text", "text": "a" * characters}]}])
    assert bool(fallback_model(["claude-opus-4-5"], body, ())) is fits


@pytest.mark.parametrize("kind", ["file", "url"])
def test_the_size_of_a_referenced_document_is_unknown(kind):
    body = request(messages=[{"role": "user", "content": [{"type": "document", "source": {"type": kind}}]}])
    assert takers(body) == OTHERS - UP_TO_4_5


@pytest.mark.parametrize(
    ("betas", "models"),
    [
        ((), OTHERS),
        (("prompt-caching-2024-07-31", "files-api-2025-04-14"), OTHERS),
        (("context-1m-2025-08-07",), set()),
    ],
)
def test_a_beta_header_that_depends_on_the_model_prevents_a_fallback(betas, models):
    assert takers(request(), betas) == models


def test_the_first_model_that_takes_the_request_is_used():
    body = request("claude-opus-4-6", temperature=0.5)
    assert fallback_model(["claude-sonnet-5", "claude-sonnet-4-6", "claude-haiku-4-5"], body, ()) == "claude-sonnet-4-6"
    assert fallback_model(["us.anthropic.claude-sonnet-4-6-v1:0"], body, ()) == "us.anthropic.claude-sonnet-4-6-v1:0"
    assert fallback_model([], body, ()) == ""


def test_a_model_that_the_table_does_not_have_takes_no_request():
    assert fallback_model(["claude-x"], request(), ()) == ""
    assert (is_known("claude-x"), is_known("us.anthropic.claude-sonnet-5-v1:0")) == (False, True)


@pytest.mark.parametrize(
    ("pattern", "model", "differs"),
    [
        ("claude-sonnet-5", "claude-sonnet-5", False),
        ("us.anthropic.claude-sonnet-5-v1:0", "claude-sonnet-5", False),
        ("claude-sonnet-4-5", "claude-sonnet-5", True),
        ("claude-*", "claude-sonnet-5", True),
        ("claude-sonnet-[45]", "claude-sonnet-5", True),
    ],
)
def test_regions_and_dates_make_no_other_model(pattern, model, differs):
    assert may_differ(pattern, model) is differs


@pytest.mark.parametrize(
    ("model", "models"),
    [("claude-opus-5", ("b",)), ("claude-sonnet-5", ("a",)), ("claude-opus-5-5", ("b",)), ("x", ())],
)
def test_the_most_specific_pattern_names_the_models(model, models):
    policy = RetryPolicy(fallback=(("claude-*", ("a",)), ("claude-opus-*", ("b",)), ("*opus*", ("c",))))
    assert policy.fallbacks_for(model) == models
    assert RetryPolicy().fallbacks_for(model) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["adaptive", "low", "any"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "effort", "role"]), inner),
    max_leaves=4,
)
KEYS = ("model", "max_tokens", "messages", "tools", "tool_choice", "temperature", "thinking", "output_config", "thread")


@given(st.dictionaries(st.sampled_from(KEYS), JSON), st.lists(st.sampled_from(["claude-x", *EVERY]), max_size=3))
def test_any_request_yields_one_of_the_candidates_or_none(body, candidates):
    found = fallback_model(candidates, {**request(), **body}, ())
    assert found == "" or found in candidates
    assert not found or is_known(found)
