"""Figures and names as people read them; shared by the terminal and the report."""

from __future__ import annotations

import math
from typing import Final

NONE: Final = "–"  # noqa: RUF001 - an en dash, as tables have it for "none"
CUT: Final = "…"


def seconds(value: float | None) -> str:
    """A duration given in seconds: ``42 ms``, ``1.23 s``, ``63.2 s``, ``12 min 03 s``, ``5 h 33 min``; a dash: none."""
    if value is None or not math.isfinite(value):
        return NONE
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 119.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def count(value: int | None) -> str:
    """A whole number with thin groups: ``12 345``; a dash for none."""
    return NONE if value is None else f"{value:,}".replace(",", "\u202f")


def plural(number: int, name: str, many: str = "") -> str:
    """A number and what it counts: ``1 stream``, ``2 streams``; ``many`` where an s is not enough."""
    return f"{number} {name}" if number == 1 else f"{number} {many or name + 's'}"


def size(value: int | None) -> str:
    """A number of bytes: ``812 B``, ``34.5 kB``; a dash for none."""
    if value is None:
        return NONE
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.1f} {unit}"
    return f"{value} B"


def words(value: str | None) -> str:
    """A name of the closed sets in words: ``awaiting_first_token`` is ``awaiting first token``; a dash for none."""
    return value.replace("_", " ") if value else NONE


def shortened(text: str, width: int) -> str:
    """At most ``width`` characters, the cut shown."""
    return text if len(text) <= width else text[: max(0, width - 1)].rstrip() + CUT
