"""Durations as people write them, ``500ms``, ``30s``, ``5m``, ``2h``; inside they are seconds."""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = r"[0-9]+(\.[0-9]+)?(ms|s|m|h)"
"""What a duration looks like, as a regular expression that Python and JSON Schema read alike."""

_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION: Final = re.compile(PATTERN, re.ASCII)


def seconds(text: str) -> float:
    """The seconds of a duration. Raises `ValueError` for anything else, a number without its unit included."""
    said = text.strip().lower()
    if not _DURATION.fullmatch(said):
        raise ValueError(text)
    number = said.rstrip("hms")
    unit = said[len(number) :]
    return float(number) / 1000.0 if unit == "ms" else float(number) * _UNITS[unit]


def written(value: float) -> str:
    """The shortest way to write a finite number of seconds that is not negative; `seconds` gives exactly it back."""
    for unit, size in _UNITS.items():
        number = f"{value / size:.0f}"
        if (number != "0" or unit == "s") and seconds(found := f"{number}{unit}") == value:
            return found
    from decimal import Decimal  # not at every start of a process, for what only messages need

    return f"{Decimal(repr(value)):f}s"
