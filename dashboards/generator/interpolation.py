"""Grafana's interpolation of variables in queries, for tests that run without Grafana."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

_VARIABLE: Final = re.compile(r"\$(?:\{([a-z_]\w*)(?::\w+)?\}|([a-z_]\w*))")
"""A reference to a variable. `$1` is none: Grafana leaves groups of a regular expression alone."""
_SPECIAL: Final = re.compile(r"[$^*{}\[\]'+?.()|]")


def selection_pattern(values: Sequence[str]) -> str:
    """Return the PromQL pattern for selected values, escaped, and in parentheses if there are several.

    Double quotes are escaped as with Grafana's feature toggle `prometheusSpecialCharsInLabelValues`.
    """
    escaped = [
        _SPECIAL.sub(r"\\\\\g<0>", value.replace("\\", "\\" * 4).replace('"', "\\" * 3 + '"')) for value in values
    ]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def interpolate(expr: str, values: Mapping[str, str], *, range_seconds: int, interval_seconds: int) -> str:
    """Replace the variables in an expression, including Grafana's `$__range` and `$__rate_interval`.

    Raises:
        KeyError: if a variable has no value.
    """
    known = {**values, "__range": f"{range_seconds}s", "__rate_interval": f"{interval_seconds}s"}
    return _VARIABLE.sub(lambda found: known[found[1] or found[2]], expr)
