"""The JSON Schema of policy files, generated from the table of keys, for editors and other validators."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final

from otel_claude_stream._config.policy.keys import (
    HEAD,
    KEYS,
    LISTS,
    MAX_MODELS,
    MAX_RULES,
    PROCESS_KEYS,
    REASON,
    RULE_BACKOFF_DOC,
    RULE_KEYS,
    SECTIONS,
    Key,
)

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DESCRIPTION: Final = (
    "A policy file of otel-claude-stream. OTEL_CLAUDE_STREAM_CONFIG names it. It configures what is done about streams "
    "that break. Keys that are not set have their defaults."
)


def json_schema() -> dict[str, Any]:
    """Return the schema of a whole file."""
    properties = {
        **{key.name: _value(key) for key in HEAD},
        **_policy(defaults=True),
        "models": {
            "title": "Models",
            "description": LISTS["models"],
            "type": "object",
            "additionalProperties": {"$ref": "#/$defs/ModelPolicy"},
            "maxProperties": MAX_MODELS,
        },
        **{key.name: _value(key, default=True) for key in PROCESS_KEYS},
    }
    return {
        "$schema": DIALECT,
        **_mapping("Retry policy of otel-claude-stream", DESCRIPTION, properties),
        "$defs": {
            "Rule": _rule(),
            "ModelPolicy": _mapping("ModelPolicy", "Values for some models.", _policy(defaults=False)),
        },
    }


def schema_text() -> str:
    """Return the text of the published JSON Schema."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _policy(*, defaults: bool) -> dict[str, Any]:
    """Return the keys that models may override. The schema of a whole file contains the defaults of values."""
    properties: dict[str, Any] = {}
    for head, keys in groupby(KEYS, key=lambda key: key.path[0]):
        if head in SECTIONS:
            properties[head] = _section(head, SECTIONS[head], keys, defaults=defaults)
        else:
            properties[head] = _value(next(keys), default=defaults)
    rules = {"type": "array", "items": {"$ref": "#/$defs/Rule"}, "maxItems": MAX_RULES}
    return {**properties, "rules": {"title": "Rules", "description": LISTS["rules"], **rules}}


def _rule() -> dict[str, Any]:
    reasons = {"type": "array", "items": REASON.schema, "minItems": 1}
    properties = {
        "reasons": {"title": "Reasons", "description": LISTS["rules.reasons"], **reasons},
        **{key.path[-1]: _value(key) for key in RULE_KEYS},
        "backoff": _section("backoff", RULE_BACKOFF_DOC, (key for key in KEYS if key.path[0] == "backoff")),
    }
    return {**_mapping("Rule", "An exception for some reasons.", properties), "required": ["reasons"]}


def _section(name: str, doc: str, keys: Iterable[Key], *, defaults: bool = False) -> dict[str, Any]:
    return _mapping(_title(name), doc, {key.path[-1]: _value(key, default=defaults) for key in keys})


def _mapping(title: str, doc: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": title,
        "description": doc,
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _value(key: Key, *, default: bool = False) -> dict[str, Any]:
    schema = {"title": _title(key.path[-1]), "description": key.doc, **key.type.schema}
    return {**schema, "default": key.default_text} if default else schema


def _title(name: str) -> str:
    return name.replace("_", " ").title()
