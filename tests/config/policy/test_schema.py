"""The JSON Schema accepts and rejects the same files as loading does."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from tests.support.policy_samples import EXAMPLE, INVALID, VALID, WARNED, policies

from otel_claude_stream._config.policy.keys import HEAD, KEYS, PROCESS_KEYS, RULE_KEYS
from otel_claude_stream._config.policy.schema import json_schema, schema_text
from otel_claude_stream._config.policy.yaml_text import parse_yaml
from otel_claude_stream.cli.main import main

VALIDATOR = jsonschema.Draft202012Validator(json_schema())

BEYOND_A_SCHEMA = ("must", "otherwise", "not a reference", "twice", "tags")
"""Words in errors that no schema can find, which are contradictions and mistakes in the form of the text."""


def properties(schema, part=None, above=""):
    """Yield the dotted names of all keys that do not hold a mapping, with their schemas."""
    for name, found in (part or schema)["properties"].items():
        if "properties" in found:
            yield from properties(schema, found, f"{above}{name}.")
        else:
            yield above + name, found


def test_the_schema_is_valid():
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_schema_has_every_key_with_description_title_and_default():
    found = dict(properties(json_schema()))
    for key in (*KEYS, *PROCESS_KEYS, *HEAD):
        schema = found.pop(key.name)
        assert schema["description"] == key.doc
        assert schema["title"]
        assert schema.get("default") == key.default_text
        assert ("default" in schema) is (key not in HEAD)
    assert list(found) == ["rules", "fallback", "models"]
    rule = json_schema()["$defs"]["Rule"]
    assert rule["required"] == ["reasons"]
    assert set(rule["properties"]) == {"reasons", "backoff", *(key.path[-1] for key in RULE_KEYS)}


@pytest.mark.parametrize("document", [EXAMPLE, "{}", *VALID, *(case[0] for case in WARNED)])
def test_the_schema_accepts_files_that_are_loaded(document):
    VALIDATOR.validate(parse_yaml(document, {}).data)


@pytest.mark.parametrize(
    "document", [text for text, _, verdict in INVALID if not any(word in verdict for word in BEYOND_A_SCHEMA)]
)
def test_the_schema_rejects_files_that_are_rejected(document):
    """The bounds of durations are an exception, since a pattern cannot express them."""
    valid = VALIDATOR.is_valid(parse_yaml(document, {}).data)
    assert valid is (document in ("limits: {deadline: 0s}", "limits: {deadline: 25h}"))


@settings(max_examples=50, deadline=None)
@given(policies())
def test_the_schema_accepts_random_policies(values):
    VALIDATOR.validate(values)


def test_the_command_prints_the_schema(capsys):
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == schema_text()
    assert json.loads(schema_text())["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_published_schema_is_that_of_the_code():
    published = Path(__file__).resolve().parents[3] / "docs" / "retry-policy.schema.json"
    assert published.read_text(encoding="utf-8") == schema_text()
