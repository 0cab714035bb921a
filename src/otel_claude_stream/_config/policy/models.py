"""The pydantic models of a policy file, generated from the table of keys, and its JSON Schema. Imports pydantic.

Every key is optional, since a file, the environment and code each set a part of a policy. Validated values are those of
the file, except for durations, which become seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

from otel_claude_stream._config.policy.keys import (
    HEAD,
    KEYS,
    LISTS,
    MAX_MODELS,
    MAX_RULES,
    PROCESS_KEYS,
    RULE_BACKOFF_DOC,
    RULE_KEYS,
    SECTIONS,
    Key,
)
from otel_claude_stream._config.policy.value_types import Boolean, Choice, Duration, Integer, Number, Text, ValueType
from otel_claude_stream._core import durations
from otel_claude_stream._core.vocabulary import AbortReason

BARE_NUMBER: Final = "bare_number"
"""The pydantic error type of a duration without a unit."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DESCRIPTION: Final = (
    "A policy file of otel-claude-stream. OTEL_CLAUDE_STREAM_CONFIG names it. It configures what is done about streams "
    "that break. Keys that are not set have their defaults."
)


class StrictModel(BaseModel):
    """A mapping that rejects unknown keys and converts no values."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _annotation(value_type: ValueType) -> Any:
    """Return the type that pydantic validates, annotated with its JSON Schema."""
    match value_type:
        case Choice(words):
            return Annotated[Literal[words], WithJsonSchema({"type": "string", "enum": list(words)})]
        case Integer(least, most) if least == most:
            return Annotated[int, Field(ge=least, le=most), WithJsonSchema({"const": least})]
        case Integer(least, most):
            return Annotated[int, Field(ge=least, le=most)]
        case Number(least, most):
            return Annotated[float, Field(ge=least, le=most)]
        case Boolean():
            return bool
        case Text(longest):
            return Annotated[str, StringConstraints(min_length=1, max_length=longest)] | None
        case Duration(optional=optional):
            text = {"type": "string", "pattern": f"^{durations.PATTERN}$"}
            schema = {"anyOf": [text, {"type": "null"}]} if optional else text
            return Annotated[float | None, BeforeValidator(_parser(value_type)), WithJsonSchema(schema)]


def _parser(value_type: Duration) -> Callable[[object], float | None]:
    def parse(value: object) -> float | None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise PydanticCustomError(BARE_NUMBER, "a number without its unit")
        return value_type.parse(value)

    return parse


def _optional(annotation: Any, doc: str, **extra: Any) -> Any:
    """Return an optional field with ``extra`` keys in its schema, which does not mention that None is its default."""

    def change(schema: dict[str, Any]) -> None:
        schema.pop("default", None)
        schema.update(extra)

    return (annotation, Field(default=None, description=doc, json_schema_extra=change))


def _value(key: Key, *, defaults: bool) -> Any:
    """Return the field of a key; with ``defaults`` its schema contains the default as a file would set it."""
    known = key.default is not None or (isinstance(key.type, Text | Duration) and key not in RULE_KEYS)
    return _optional(_annotation(key.type), key.doc, **({"default": key.default_text} if defaults and known else {}))


def _section(name: str, keys: Iterable[Key], *, defaults: bool, title_prefix: str = "") -> type[BaseModel]:
    """Return the model of a mapping within a policy, a model's part of a policy, or a rule."""
    fields = {key.path[-1]: _value(key, defaults=defaults) for key in keys}
    title = title_prefix + "".join(word.capitalize() for word in name.split("_"))
    return create_model(title, __base__=StrictModel, __doc__=SECTIONS[name], **fields)


def _rule() -> type[BaseModel]:
    reasons = tuple(reason.value for reason in AbortReason)
    reason = Annotated[Literal[reasons], WithJsonSchema({"type": "string", "enum": list(reasons)})]  # type: ignore[valid-type] # made from the enumeration
    backoff_keys = (key for key in KEYS if key.path[0] == "backoff")
    backoff = _section("backoff", backoff_keys, defaults=False, title_prefix="Rule")
    fields: dict[str, Any] = {
        "reasons": (Annotated[list[reason], Field(min_length=1, description=LISTS["rules.reasons"])], ...),
        **{key.path[-1]: _value(key, defaults=False) for key in RULE_KEYS},
        "backoff": _optional(backoff, RULE_BACKOFF_DOC),
    }
    return create_model("Rule", __base__=StrictModel, __doc__="An exception for some reasons.", **fields)


def _policy(rule: Any, *, defaults: bool) -> dict[str, Any]:
    """Return the fields that models may override."""
    fields: dict[str, Any] = {}
    for head, keys in groupby(KEYS, key=lambda key: key.path[0]):
        if head in SECTIONS:
            section = _section(head, keys, defaults=defaults, title_prefix="" if defaults else "Model")
            fields[head] = _optional(section, SECTIONS[head])
        else:
            fields[head] = _value(next(keys), defaults=defaults)
    rules = Annotated[list[rule], Field(max_length=MAX_RULES)]
    return {**fields, "rules": _optional(rules, LISTS["rules"])}


def _document() -> type[BaseModel]:
    rule: Any = _rule()
    model_policy: Any = create_model(
        "ModelPolicy", __base__=StrictModel, __doc__="Values for some models.", **_policy(rule, defaults=False)
    )
    fields = {
        **{key.name: _value(key, defaults=True) for key in HEAD},
        **_policy(rule, defaults=True),
        "models": _optional(Annotated[dict[str, model_policy], Field(max_length=MAX_MODELS)], LISTS["models"]),
        **{key.name: _value(key, defaults=True) for key in PROCESS_KEYS},
    }
    return create_model(
        "RetryPolicy", __base__=StrictModel, __doc__="The retry policy of otel-claude-stream.", **fields
    )


Document: Final = _document()
"""The model of a whole file."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of policy files, for editors and other validators."""
    generated = Document.model_json_schema()
    definitions = generated.pop("$defs")
    return {
        "$schema": DIALECT,
        "title": "Retry policy of otel-claude-stream",
        "description": DESCRIPTION,
        **{name: value for name, value in generated.items() if name not in ("title", "description")},
        "$defs": definitions,
    }


def schema_text() -> str:
    """Return the text of the published JSON Schema."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
