"""Environment variables in the values of a file, by the rules of OpenTelemetry's declarative configuration.

``${NAME}``, ``${env:NAME}`` and ``${NAME:-default}`` are replaced, ``$$`` is a dollar sign. An empty variable is an
unset one. What was put in is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_REFERENCE: Final = re.compile(r"\$\$|\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}|(\$\{[^}]*\}?)")

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """A text with its references replaced. Raises `ValueError` with the reference that is none."""

    def replace(match: re.Match[str]) -> str:
        if match[3] is not None:
            raise ValueError(match[3])
        return (environment.get(match[1]) or match[2] or "") if match[1] is not None else "$"

    return _REFERENCE.sub(replace, text)


def plain(text: str) -> object:
    """What a scalar without quotes is in YAML 1.2 (core schema; hexadecimal and octal numbers are left as texts)."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
