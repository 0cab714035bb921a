"""The usage of a message is read by attribute, with compactions and fallbacks, whatever made it."""

from __future__ import annotations

import json
from types import SimpleNamespace as Object

import pytest

from otel_claude_stream._core.stream import bounds
from otel_claude_stream._core.stream.usage import Usage, fallback_model, usage_of


def entry(kind, *tokens, **more):
    """An entry of `usage.iterations`: input, output, cache reads and cache writes."""
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return {"type": kind, **dict(zip(names, tokens, strict=True)), **more}


def as_object(value):
    """The same JSON as objects with attributes."""
    return json.loads(json.dumps(value), object_hook=lambda fields: Object(**fields))


COMPACTED = [entry("compaction", 9, 4, 80, 7), entry("compaction", 1, 2, 0, 0), entry("message", 5, 6, 0, 0)]
SERVED = [
    entry("message", 5, 1, 30, 0, model="claude-a"),
    entry("message", 6, 0, 0, 0, model="claude-b"),
    entry("message", 7, 3, 0, 0, model="claude-c"),
    entry("fallback_message", 8, 9, 0, 0, model="claude-c"),
]
LATE = [entry("message", 1, 1, 0, 0)] * 300 + SERVED[-1:]


@pytest.mark.parametrize("form", [as_object, dict], ids=["object", "dict"])
@pytest.mark.parametrize(
    ("iterations", "expected"),
    [
        (None, Usage(3, 9)),
        ([], Usage(3, 9, fallback=False)),
        (COMPACTED, Usage(3, 9, compaction=Usage(10, 6, 80, 7), fallback=False)),
        (SERVED, Usage(3, 9, declined=Usage(11, 1, 30, 0), fallback=True, model="claude-c")),
        (SERVED[:3], Usage(3, 9, fallback=False)),
        (LATE, Usage(3, 9, fallback=True, model="claude-c")),
    ],
    ids=["none", "empty", "compacted", "served", "all declined", "many"],
)
def test_iterations_have_the_tokens_of_compactions_and_of_models_that_declined(form, iterations, expected):
    found = usage_of(form({"input_tokens": 3, "output_tokens": 9, "iterations": iterations}), final=True)
    assert found == expected


@pytest.mark.parametrize(
    "iterations",
    ["compaction", 7, {"type": "compaction"}, [None, 7, "compaction", {"type": 7}, {"type": "message", "model": 7}]],
)
def test_iterations_of_another_form_bring_no_tokens(iterations):
    found = usage_of({"output_tokens": 9, "iterations": iterations}, final=True)
    assert (found.output_tokens, found.compaction, found.declined, found.model) == (9, None, None, None)


def test_tokens_and_names_in_iterations_have_bounds():
    iterations = [entry("compaction", -1, 10**30, True, "7"), entry("fallback_message", 0, 0, 0, 0, model="m" * 500)]
    found = usage_of({"iterations": iterations}, final=True)
    assert (found.compaction, found.model) == (Usage(), "m" * bounds.NAME)


def test_only_the_final_usage_has_output_tokens_and_iterations():
    """`message_start` has a placeholder for the output."""
    usage = {"input_tokens": 3, "output_tokens": 1, "iterations": SERVED}
    assert usage_of(usage, final=False) == Usage(input_tokens=3)


def test_compactions_are_billed_besides_the_reported_tokens():
    usage = Usage(3, 9, None, 2, reasoning=4, compaction=Usage(10, 6, 80, None))
    assert usage.billed == Usage(13, 15, 80, 2)
    assert (usage.prompt, usage.billed.prompt) == (5, 95)
    assert Usage(3, 9).billed == Usage(3, 9)


@pytest.mark.parametrize(
    ("block", "model"),
    [
        (Object(type="fallback", to=Object(model="claude-b")), "claude-b"),
        (Object(type="fallback", to={"model": "claude-b"}), "claude-b"),
        (Object(type="fallback", to=None), None),
        (Object(type="fallback"), None),
        (Object(type="fallback", to={"model": ["claude-b"]}), None),
    ],
)
def test_a_fallback_block_names_the_model_that_follows(block, model):
    assert fallback_model(block) == model
