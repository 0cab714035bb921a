"""Numbers and names formatted for people; shared by the terminal and the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from otel_claude_stream._core.diagnosis.limits import NO_MATCH

DASH: Final = "–"  # noqa: RUF001 - an en dash, the usual sign in a table for no value
ELLIPSIS: Final = "…"


def seconds(value: float | None) -> str:
    """Format a duration, such as ``42 ms``, ``1.23 s``, ``12 min 03 s`` or ``5 h 33 min``; None as a dash."""
    if value is None or not math.isfinite(value):
        return DASH
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 119.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def count(value: int | None) -> str:
    """Format an integer in groups of three digits, ``12 345``; None as a dash."""
    return DASH if value is None else f"{value:,}".replace(",", "\u202f")


def plural(number: int, singular: str, plural_form: str = "") -> str:
    """Format a number with its noun, such as ``2 streams``; ``plural_form`` is for nouns that need more than an s."""
    return f"{number} {singular}" if number == 1 else f"{number} {plural_form or singular + 's'}"


def readable(value: str | None) -> str:
    """Format a value of an enumeration, ``awaiting_first_token`` as ``awaiting first token``; empty as a dash."""
    return value.replace("_", " ") if value else DASH


def truncate(text: str, width: int) -> str:
    """Cut a text to at most ``width`` characters; an ellipsis marks the cut."""
    return text if len(text) <= width else text[: max(0, width - 1)].rstrip() + ELLIPSIS


def limit_text(match: str, suspects: Sequence[str], most: int = 2) -> str:
    """Format a limit and at most ``most`` products that have it, as ``idle:60s (nginx, …)``; empty without a limit."""
    if match in ("", NO_MATCH):
        return ""
    products = [*suspects[:most], *([ELLIPSIS] if len(suspects) > most else [])]
    return f"{match} ({', '.join(products)})" if products else match
