"""The parsed text of a policy file, and the references to environment variables in its values.

References follow the rules of OpenTelemetry's declarative configuration. ``${NAME}``, ``${env:NAME}`` and
``${NAME:-default}`` are replaced, and ``$$`` is a dollar sign. An empty variable counts as unset. Substituted text is
not searched again.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from otel_claude_stream._config.policy.keys import Path
from otel_claude_stream._config.problem import NO_VALUE

DUPLICATE_KEY: Final = "the key is set twice"
MAX_BYTES: Final = 32_768
MAX_VALUES: Final = 500
"""Limits of a file, within which it is loaded in less than 200 ms. A policy for 50 models has about 200 values."""
TOO_MANY_VALUES: Final = f"the file has more than {MAX_VALUES} values; aliases count with all that they expand to"
INVALID_REFERENCE: Final = "not a reference: write ${NAME} or ${NAME:-default}, and $$ for a dollar sign"

_REFERENCE: Final = re.compile(r"\$\$|\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}|(\$\{[^}]*\}?)")

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake in the form of a text, which makes the text or one of its values unreadable."""

    text: str
    path: Path = ()
    value: object = NO_VALUE
    line: int | None = None


class Unreadable(Exception):
    """Raised for a text that cannot be parsed; ``mistake`` is the reason."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.text)
        self.mistake = mistake


@dataclass(slots=True)
class ParsedText:
    """The plain data of a text, with the line of each value and the mistakes in its form."""

    data: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    references: dict[Path, str] = field(default_factory=dict)
    """The texts of values with references, before the substitution."""
    mistakes: list[Mistake] = field(default_factory=list)
    count: int = 0
    """Number of values."""

    def count_value(self) -> None:
        """Count a value. Raises `Unreadable` for a text with too many."""
        self.count += 1
        if self.count > MAX_VALUES:
            raise Unreadable(Mistake(TOO_MANY_VALUES))

    def add_mistake(self, text: str, path: Path, value: object = NO_VALUE) -> None:
        """Add a mistake at a path."""
        self.mistakes.append(Mistake(text, path, value, self.lines.get(path)))

    def substitute(self, text: str, path: Path, environment: Mapping[str, str]) -> str:
        """Return a value with its references replaced. An invalid reference is a mistake and leaves the value as is."""
        if any(match[1] is not None for match in _REFERENCE.finditer(text)):
            self.references[path] = text
        try:
            return substitute(text, environment)
        except ValueError as error:
            self.add_mistake(INVALID_REFERENCE, path, str(error))
            return text


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """Replace the references in a text.

    Raises:
        ValueError: A reference is invalid; the exception holds the reference.
    """

    def replace(match: re.Match[str]) -> str:
        if match[3] is not None:
            raise ValueError(match[3])
        return (environment.get(match[1]) or match[2] or "") if match[1] is not None else "$"

    return _REFERENCE.sub(replace, text)


def plain_scalar(text: str) -> object:
    """Return the value of an unquoted scalar in YAML 1.2 (core schema, without hexadecimal and octal numbers)."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def parse_json(text: str, environment: Mapping[str, str]) -> ParsedText:
    """Parse a JSON text. A string with references is then read as an unquoted scalar of YAML."""
    parsed = ParsedText()

    def mapping(items: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(items)
        if len(values) < len(items):
            counts = Counter(name for name, _ in items)
            for name in sorted(name for name, count in counts.items() if count > 1):
                parsed.add_mistake(DUPLICATE_KEY, (name,))
        return values

    def substituted(value: object, path: Path) -> object:
        parsed.count_value()
        if isinstance(value, dict):
            return {name: substituted(item, (*path, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [substituted(item, (*path, number)) for number, item in enumerate(value)]
        if isinstance(value, str):
            replaced = parsed.substitute(value, path, environment)
            return value if replaced == value else plain_scalar(replaced)
        return value

    try:
        parsed.data = substituted(json.loads(text, object_pairs_hook=mapping), ())
    except json.JSONDecodeError as error:
        raise Unreadable(Mistake(f"not JSON: {error.msg}, column {error.colno}", line=error.lineno)) from None
    except ValueError:  # Python limits the digits of a number
        raise Unreadable(Mistake("a number has too many digits")) from None
    return parsed
