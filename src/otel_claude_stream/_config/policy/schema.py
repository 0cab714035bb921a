"""The structure of a policy file, built from the table of keys, and its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from otel_claude_stream._config.policy.keys import (
    FALLBACK_MODEL,
    HEAD,
    KEYS,
    PROCESS_KEYS,
    REASON,
    RULE_KEYS,
    SECTIONS,
    Key,
)


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping with known keys. A key in `required` must be set."""

    doc: str
    children: Mapping[str, Node]
    subject: str = "allowed"
    required: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The values that are allowed, as a clause for messages."""
        return f"{self.subject} is a mapping with the keys {', '.join(self.children)}"


@dataclass(frozen=True, slots=True)
class Items:
    """A list of at most `most` items."""

    doc: str
    allowed: str
    """See `Section.allowed`."""
    item: Node
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Patterns:
    """A mapping from at most `most` patterns of models to sections or lists."""

    doc: str
    allowed: str
    """See `Section.allowed`."""
    item: Node
    most: int


MAX_RULES: Final = 20
"""Maximum number of rules in a list, which is the number of reasons."""
MAX_MODELS: Final = 100
"""Maximum number of patterns of models."""
MAX_FALLBACKS: Final = 5
"""Maximum number of models in a list."""

Node: TypeAlias = "Key | Section | Items | Patterns"


def _keys_of(section: str) -> dict[str, Node]:
    """Return the keys and sections directly below a section."""
    depth = section.count(".") + 1
    below = [key for key in KEYS if key.name.startswith(f"{section}.")]
    names = dict.fromkeys(key.path[: depth + 1] for key in below)
    keys = {key.path: key for key in below}
    return {path[-1]: keys.get(path) or Section(SECTIONS[name := ".".join(path)], _keys_of(name)) for path in names}


_SECTIONS: Final = {name: Section(doc, _keys_of(name)) for name, doc in SECTIONS.items() if "." not in name}
RULE: Final = Section(
    "An exception for some reasons.",
    {
        "reasons": Items(
            "The reasons to which the rule applies.",
            "allowed is a list of reasons, such as [overloaded, silent], not an empty one",
            Key("rules.reasons", REASON, "A reason."),
            least=1,
            most=len(REASON.words),
        ),
        **{key.path[1]: key for key in RULE_KEYS},
        "backoff": Section(
            "As `backoff`; keys that it does not set have the value of `backoff`.", _SECTIONS["backoff"].children
        ),
    },
    "a rule",
    required=("reasons",),
)
_POLICY: Final[Mapping[str, Node]] = {
    **{key.path[0]: _SECTIONS.get(key.path[0], key) for key in KEYS},
    "rules": Items(
        "Exceptions for some reasons. The first rule that names the reason applies; the built-in rules come last.",
        f"allowed is a list of at most {MAX_RULES} rules, such as [{{reasons: [overloaded], max_attempts: 2}}]",
        RULE,
        least=0,
        most=MAX_RULES,
    ),
    "fallback": Patterns(
        "Models that may take over before the first content, by a pattern such as `claude-opus-*`. The first one that "
        "takes the request unchanged is used, at most once a call. The rules set the reasons, by default `overloaded`.",
        f"allowed is a mapping from at most {MAX_MODELS} patterns, such as {{claude-opus-*: [claude-sonnet-5]}}",
        Items(
            "The models in the order of preference.",
            f"allowed is a list of at most {MAX_FALLBACKS} models, such as [claude-sonnet-5]",
            FALLBACK_MODEL,
            least=0,
            most=MAX_FALLBACKS,
        ),
        MAX_MODELS,
    ),
}
MODEL: Final = Section("Values for some models.", _POLICY)
DOCUMENT: Final = Section(
    "A policy file of otel-claude-stream. OTEL_CLAUDE_STREAM_CONFIG names it. It configures what is done about streams "
    "that break. Keys that are not set have their defaults.",
    {
        **{key.name: key for key in HEAD},
        **_POLICY,
        "models": Patterns(
            "Values for some models, by a pattern such as `claude-haiku-*`. The most specific pattern applies.",
            f"allowed is a mapping from at most {MAX_MODELS} patterns, such as claude-haiku-*, to the values for these "
            "models",
            MODEL,
            MAX_MODELS,
        ),
        **{key.name: key for key in PROCESS_KEYS},
    },
)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of policy files, for editors and other validators."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Retry policy of otel-claude-stream",
        **_schema(DOCUMENT, defaults=True),
        "$defs": {"Rule": {"title": "Rule", **_section(RULE)}, "ModelPolicy": {"title": "Model", **_section(MODEL)}},
    }


def schema_text() -> str:
    """Return the text of the published JSON Schema."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _schema(node: Node, *, defaults: bool = False) -> dict[str, Any]:
    """Return the schema of a node. That of a whole file contains the defaults of values."""
    match node:
        case Key():
            default = {"default": node.default_text} if defaults and node not in HEAD else {}
            return {"description": node.doc, **node.type.schema, **default}
        case Items():
            items = node.item.type.schema if isinstance(node.item, Key) else {"$ref": "#/$defs/Rule"}
            return {
                "description": node.doc,
                "type": "array",
                "items": items,
                "minItems": node.least,
                "maxItems": node.most,
            }
        case Patterns():
            values = {"$ref": "#/$defs/ModelPolicy"} if node.item is MODEL else _schema(node.item)
            return {
                "description": node.doc,
                "type": "object",
                "additionalProperties": values,
                "maxProperties": node.most,
            }
        case Section():
            return _section(node, defaults=defaults)


def _section(section: Section, *, defaults: bool = False) -> dict[str, Any]:
    properties = {
        name: {"title": name.replace("_", " ").title(), **_schema(child, defaults=defaults)}
        for name, child in section.children.items()
    }
    schema = {"description": section.doc, "type": "object", "additionalProperties": False, "properties": properties}
    return {**schema, "required": list(section.required)} if section.required else schema
