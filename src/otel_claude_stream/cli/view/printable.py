"""Text of foreign origin made safe for a terminal, a page and a log: names, files, variables and the network."""

from __future__ import annotations

import json
import re
from typing import Any, Final

CONTROLS: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, delete, and C1
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"  # direction of text, line separators
    "\ud800-\udfff"  # halves of pairs, which no encoding accepts
)
UNSAFE: Final = re.compile(f"[{CONTROLS}]")
UNSAFE_ON_A_LINE: Final = re.compile(f"[\t\n{CONTROLS}]")


def printable(text: str) -> str:
    """Return ``text`` with escapes for control characters except tabs and newlines, as in a literal of Python."""
    return UNSAFE.sub(_escape, text)


def printable_line(text: str) -> str:
    """Return ``text`` as one line, with tabs and newlines as escapes too."""
    return UNSAFE_ON_A_LINE.sub(_escape, text)


def json_text(value: Any, indent: int | None = 2) -> str:
    """Return ``value`` as JSON, with the escapes of JSON for control characters."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, indent=indent, ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")
