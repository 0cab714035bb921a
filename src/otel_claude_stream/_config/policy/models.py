"""The pydantic models of a policy file, made from the table of keys. Importing this imports pydantic.

Every key is optional: a file, the environment and code each say a part. What was said comes out as it was said, but for
durations, which come out in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

from otel_claude_stream._config import durations
from otel_claude_stream._config.policy.keys import HEAD, KEYS, KILL_SWITCH, LISTS, RULE_KEYS, SECTIONS, Key
from otel_claude_stream._config.policy.value_types import Boolean, Choice, Duration, Integer, Kind, Number, Text
from otel_claude_stream._core.vocabulary import AbortReason

BARE_NUMBER: Final = "bare_number"
"""The type of pydantic's error for a duration without its unit."""


class Said(BaseModel):
    """A mapping whose keys are all known, with values of exactly their type."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _annotation(kind: Kind) -> Any:
    """The type that pydantic checks, and what a JSON Schema says of it."""
    match kind:
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
            return Annotated[float | None, BeforeValidator(_parser(kind)), WithJsonSchema(schema)]


def _parser(kind: Duration) -> Callable[[object], float | None]:
    def parse(value: object) -> float | None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise PydanticCustomError(BARE_NUMBER, "a number without its unit")
        return kind.parse(value)

    return parse


def _optional(annotation: Any, doc: str, **shown: Any) -> Any:
    """A field that may be left out; ``shown`` is what the schema says more: not that it would be None."""

    def change(schema: dict[str, Any]) -> None:
        schema.pop("default", None)
        schema.update(shown)

    return (annotation, Field(default=None, description=doc, json_schema_extra=change))


def _value(key: Key, *, defaults: bool) -> Any:
    """The field of one value; ``defaults`` shows its default in the schema, as a file would say it."""
    known = key.default is not None or (isinstance(key.kind, Text | Duration) and key not in RULE_KEYS)
    return _optional(_annotation(key.kind), key.doc, **({"default": key.default_written} if defaults and known else {}))


def _section(name: str, keys: Iterable[Key], *, defaults: bool, of: str = "") -> type[BaseModel]:
    """The model of a mapping within a policy, or within what it is a part ``of``."""
    fields = {key.path[-1]: _value(key, defaults=defaults) for key in keys}
    title = of + "".join(word.capitalize() for word in name.split("_"))
    return create_model(title, __base__=Said, __doc__=SECTIONS[name], **fields)


def _rule() -> type[BaseModel]:
    reasons = tuple(reason.value for reason in AbortReason)
    reason = Annotated[Literal[reasons], WithJsonSchema({"type": "string", "enum": list(reasons)})]  # type: ignore[valid-type] # made from the enumeration
    backoff = _section("backoff", (key for key in KEYS if key.path[0] == "backoff"), defaults=False, of="Rule")
    fields: dict[str, Any] = {
        "reasons": (Annotated[list[reason], Field(min_length=1, description=LISTS["rules.reasons"])], ...),
        **{key.path[-1]: _value(key, defaults=False) for key in RULE_KEYS},
        "backoff": _optional(backoff, "As `backoff`; what it does not say is as there."),
    }
    return create_model("Rule", __base__=Said, __doc__="What holds for some reasons only.", **fields)


def _policy(rule: Any, *, defaults: bool) -> dict[str, Any]:
    """The fields that may also differ by model."""
    fields: dict[str, Any] = {}
    for head, keys in groupby(KEYS, key=lambda key: key.path[0]):
        if head in SECTIONS:
            fields[head] = _optional(
                _section(head, keys, defaults=defaults, of="" if defaults else "Model"), SECTIONS[head]
            )
        else:
            fields[head] = _value(next(keys), defaults=defaults)
    return {**fields, "rules": _optional(list[rule], LISTS["rules"])}


def _document() -> type[BaseModel]:
    rule: Any = _rule()
    override: Any = create_model(
        "ModelPolicy", __base__=Said, __doc__="What differs for some models.", **_policy(rule, defaults=False)
    )
    fields = {
        **{key.name: _value(key, defaults=True) for key in HEAD},
        **_policy(rule, defaults=True),
        "models": _optional(dict[str, override], LISTS["models"]),
        KILL_SWITCH.name: _value(KILL_SWITCH, defaults=True),
    }
    return create_model("RetryPolicy", __base__=Said, __doc__="The retry policy of otel-claude-stream.", **fields)


Document: Final = _document()
"""A whole file."""
