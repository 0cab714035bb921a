"""Values of attributes from telemetry of any origin: checked for their type, and printable on one line."""

from __future__ import annotations

import math
from typing import Final

from otel_claude_stream._telemetry.spec import Attribute
from otel_claude_stream.cli.otlp.decode import Attributes
from otel_claude_stream.cli.view.printable import printable_line

LONGEST: Final = 400  # characters of one value that are shown


def number(attrs: Attributes, attribute: Attribute) -> float | None:
    """Return a numeric attribute, None if it is absent, of another type, or not finite."""
    value = attrs.get(attribute.name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def integer(attrs: Attributes, attribute: Attribute) -> int | None:
    """Return a numeric attribute as an integer, None if it is absent or no finite number."""
    value = number(attrs, attribute)
    return None if value is None else int(value)


def text(attrs: Attributes, attribute: Attribute) -> str:
    """Return an attribute as one line of text, lists joined by commas; empty if it is absent."""
    return line(attrs.get(attribute.name))


def texts(attrs: Attributes, attribute: Attribute) -> tuple[str, ...]:
    """Return an attribute that is a list of strings; a single string becomes a list of one."""
    value = attrs.get(attribute.name)
    if value is None:
        return ()
    return tuple(line(item) for item in value) if isinstance(value, tuple) else (line(value),)


def integers(attrs: Attributes, attribute: Attribute) -> list[int]:
    """Return an attribute that is a list of integers; empty if it is absent or holds anything else."""
    value = attrs.get(attribute.name)
    found = [item for item in value if isinstance(item, int)] if isinstance(value, tuple) else []
    return found if isinstance(value, tuple) and len(found) == len(value) else []


def line(value: object) -> str:
    """Return a value as one printable line of at most 400 characters, with escapes for control characters."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case tuple():
            return line(", ".join(line(item) for item in value))
        case _:
            escaped = printable_line(str(value)[: LONGEST + 1])
            if not escaped.isprintable():
                escaped = "".join(char if char.isprintable() else " " for char in escaped)
            shown = escaped.strip()
            return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"
