"""A query as Grafana sends it: with the variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

_VARIABLE: Final = re.compile(r"\$(?:\{([a-z_]\w*)(?::\w+)?\}|([a-z_]\w*))")
"""Not `$1`: that is a group of a pattern, and Grafana leaves it alone."""
_SPECIAL: Final = re.compile(r"[$^*{}\[\]'+?.()|]")


def chosen(values: Sequence[str]) -> str:
    """Chosen values as Grafana puts them into a pattern of PromQL: escaped, and in parentheses if there are several.

    Quotes as with its feature toggle `prometheusSpecialCharsInLabelValues`: without it Grafana leaves them alone.
    """
    escaped = [
        _SPECIAL.sub(r"\\\\\g<0>", value.replace("\\", "\\" * 4).replace('"', "\\" * 3 + '"')) for value in values
    ]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def filled(expr: str, values: Mapping[str, str], *, range_seconds: int, interval_seconds: int) -> str:
    """The expression with `values`, and with Grafana's own variables for a time range and a distance of points.

    Raises:
        KeyError: for a variable that nobody has filled in.
    """
    known = {**values, "__range": f"{range_seconds}s", "__rate_interval": f"{interval_seconds}s"}
    return _VARIABLE.sub(lambda found: known[found[1] or found[2]], expr)
