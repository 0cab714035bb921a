"""The published JSON Schema says what loading a file says."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from tests.config.policy.test_load import EXAMPLE, policies
from tests.config.policy.test_problems import DOUBTFUL, RIGHT, WRONG

from otel_claude_stream._config.policy.keys import HEAD, KEYS, KILL_SWITCH, RULE_KEYS
from otel_claude_stream._config.policy.schema import json_schema, text
from otel_claude_stream._config.policy.yaml_text import read_yaml
from otel_claude_stream.cli import main

VALIDATOR = jsonschema.Draft202012Validator(json_schema())

BEYOND_A_SCHEMA = ("must", "not a reference", "twice", "tags")
"""Words in the verdicts that need more than a schema: contradictions, and the text itself."""


def properties(schema, part=None, above=""):
    """The dotted names of all keys that hold no mapping, with what the schema says of them."""
    for name, said in (part or schema)["properties"].items():
        # The oldest pydantic wraps a reference that has a description of its own.
        reference = said.get("$ref") or said.get("allOf", [{}])[0].get("$ref", "")
        target = schema["$defs"].get(reference.rpartition("/")[2], said)
        if "properties" in target:
            yield from properties(schema, target, f"{above}{name}.")
        else:
            yield above + name, said


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_it_has_every_key_with_description_title_and_default():
    found = dict(properties(json_schema()))
    for key in (*KEYS, KILL_SWITCH, *HEAD):
        said = found.pop(key.name)
        assert said["description"] == key.doc
        assert said["title"]
        assert said.get("default") == key.default_written
        assert ("default" in said) is (key not in HEAD)
    assert list(found) == ["rules", "models"]
    rule = json_schema()["$defs"]["Rule"]
    assert rule["required"] == ["reasons"]
    assert set(rule["properties"]) == {"reasons", "backoff", *(key.path[-1] for key in RULE_KEYS)}


@pytest.mark.parametrize("document", [EXAMPLE, "{}", *RIGHT, *(case[0] for case in DOUBTFUL)])
def test_what_is_loaded_is_valid(document):
    VALIDATOR.validate(read_yaml(document, {}).said)


@pytest.mark.parametrize(
    "document", [text for text, _, verdict in WRONG if not any(word in verdict for word in BEYOND_A_SCHEMA)]
)
def test_what_is_refused_is_not(document):
    """Except for bounds of durations: a pattern does not count."""
    valid = VALIDATOR.is_valid(read_yaml(document, {}).said)
    assert valid is (document in ("limits: {deadline: 0s}", "limits: {deadline: 25h}"))


@settings(max_examples=50, deadline=None)
@given(policies())
def test_any_policy_that_is_loaded_is_valid(said):
    VALIDATOR.validate(said)


def test_the_command_prints_it(capsys):
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == text()
    assert json.loads(text())["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_published_one_has_the_same_keys():
    """Word for word it is compared where it is generated: another version of pydantic may order it otherwise."""
    published = Path(__file__).resolve().parents[3] / "docs" / "retry-policy.schema.json"
    assert (
        dict(properties(json.loads(published.read_text(encoding="utf-8")))).keys()
        == dict(properties(json_schema())).keys()
    )
