"""The types of values that settings and policy keys take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from otel_claude_stream._core import durations

NULL_WORDS: Final = frozenset({"null", "none", "~"})
"""Words in a variable that mean null, for a key that allows it."""
DURATION_FORM: Final = "a duration with its unit, such as 500ms, 30s or 5m, "

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True, slots=True)
class ValueType:
    """A type of values: what is allowed, and how values are checked and read from text."""

    allowed: str
    """The values that are allowed, in words."""
    parse: Callable[[object], Any]
    """Returns the value, seconds for a duration, for one of a file or of code. Raises `ValueError` for others."""
    read: Callable[[str], object] = str
    """Returns the value for the text of a variable, or the text for `parse` to reject."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """The JSON Schema of a value in a file."""
    words: tuple[str, ...] = ()
    """The members of a closed set of words; empty for other types."""
    is_duration: bool = False


def parse_boolean(text: str) -> bool:
    """Return the truth value of one of the usual words, such as ``yes`` and ``0``. Raises `ValueError`."""
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


def boolean() -> ValueType:
    """Return the type of a truth value. A variable may have one of the usual words."""

    def parse(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError(value)
        return value

    return ValueType("true or false", parse, _reader(parse_boolean), {"type": "boolean"})


def choice(*words: str) -> ValueType:
    """Return the type of one word of a closed set. A variable may have it in upper or lower case."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(value)
        return value

    allowed = f"{', '.join(words[:-1])} or {words[-1]}"
    schema = {"type": "string", "enum": list(words)}
    return ValueType(allowed, parse, lambda text: text.strip().lower(), schema, words)


def choice_of(values: type[Enum]) -> ValueType:
    """Return the choice among the values of an enumeration."""
    return choice(*(str(member.value) for member in values))


def integer(least: int, most: int) -> ValueType:
    """Return the type of an integer within bounds, both included."""

    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(value)
        return value

    if least == most:
        return ValueType(str(least), parse, _reader(int), {"const": least})
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return ValueType(f"a whole number from {least} to {most}", parse, _reader(int), schema)


def integer_or_word(least: int, most: int, word: str) -> ValueType:
    """Return the type of an integer within bounds, of one word, or null."""
    whole = integer(least, most)

    def parse(value: object) -> int | str | None:
        return word if value == word else None if value is None else int(whole.parse(value))

    def read(found: str) -> object:
        found = found.strip().lower()
        return None if found in NULL_WORDS else whole.read(found)

    schema = {"anyOf": [whole.schema, {"const": word}, {"type": "null"}]}
    return ValueType(f"{whole.allowed}, {word} or null", parse, read, schema, (word,))


def number(least: float, most: float) -> ValueType:
    """Return the type of a number within bounds, both included."""

    def parse(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(value)
        return float(value)

    schema = {"type": "number", "minimum": least, "maximum": most}
    return ValueType(f"a number from {least:g} to {most:g}", parse, _reader(float), schema)


def duration(least: float, most: float, *, optional: bool = False) -> ValueType:
    """Return the type of a duration with a unit, within bounds in seconds, both included."""

    def parse(value: object) -> float | None:
        if value is None and optional:
            return None
        seconds = durations.parse_duration(value) if isinstance(value, str) else math.nan
        if not (math.isfinite(seconds) and least <= seconds <= most):
            raise ValueError(value)
        return seconds

    start = f"from {durations.format_duration(least)}" if least else "up"
    allowed = f"{DURATION_FORM}{start} to {durations.format_duration(most)}"
    schema = {"type": "string", "pattern": f"^{durations.PATTERN}$"}
    if optional:
        return ValueType(f"{allowed}, or null", parse, _read_nullable, _nullable(schema), is_duration=True)
    return ValueType(allowed, parse, schema=schema, is_duration=True)


def text(longest: int) -> ValueType:
    """Return the type of a text that is not empty, or null."""

    def parse(value: object) -> str | None:
        if value is not None and not (isinstance(value, str) and 1 <= len(value) <= longest):
            raise ValueError(value)
        return value

    schema = _nullable({"type": "string", "minLength": 1, "maxLength": longest})
    return ValueType(f"a text of at most {longest} characters, or null", parse, _read_nullable, schema)


def name(longest: int) -> ValueType:
    """Return the type of one name, which is not empty and no pattern."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest or any(map(value.__contains__, "*?[")):
            raise ValueError(value)
        return value

    schema = {"type": "string", "minLength": 1, "maxLength": longest, "pattern": r"^[^*?\[]*$"}
    return ValueType("a whole name without wildcards", parse, schema=schema)


def _reader(convert: Callable[[str], object]) -> Callable[[str], object]:
    """Return a function that converts a text, or returns it if that raises `ValueError`."""

    def read(found: str) -> object:
        try:
            return convert(found)
        except ValueError:
            return found

    return read


def _read_nullable(found: str) -> object:
    return None if found.lower() in NULL_WORDS else found


def _nullable(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}
