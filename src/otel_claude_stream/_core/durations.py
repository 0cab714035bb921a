"""Durations with a unit, such as ``500ms``, ``30s``, ``5m`` and ``2h``, to and from seconds."""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = r"[0-9]+(\.[0-9]+)?(ms|s|m|h)"
"""The regular expression of a duration. Python and JSON Schema read it alike."""

_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION: Final = re.compile(PATTERN, re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds of a duration.

    Raises:
        ValueError: The text is not a duration. A number without a unit is none either.
    """
    normalized = text.strip().lower()
    if not _DURATION.fullmatch(normalized):
        raise ValueError(text)
    number = normalized.rstrip("hms")
    unit = normalized[len(number) :]
    return float(number) / 1000.0 if unit == "ms" else float(number) * _UNITS[unit]


def format_duration(seconds: float) -> str:
    """Return the shortest text from which `parse_duration` reads exactly this finite number, zero or more."""
    for unit, size in _UNITS.items():
        number = f"{seconds / size:.0f}"
        if (number != "0" or unit == "s") and parse_duration(text := f"{number}{unit}") == seconds:
            return text
    from decimal import Decimal  # needed for messages only, so not imported at every start of a process

    return f"{Decimal(repr(seconds)):f}s"
