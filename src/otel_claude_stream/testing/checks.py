"""Validation of the values in scripts and steps."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final

Headers = tuple[tuple[str, str], ...]

LINE_END: Final = re.compile("\r\n|\r|\n")  # the three line ends of the SSE specification
HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110


class ScriptError(ValueError):
    """An invalid value in a script.

    ``path`` is the place of the value (such as ``steps[3].seconds``), ``value`` the value itself, and ``allowed`` a
    description of the values that are valid there.
    """

    def __init__(self, path: str, value: object, allowed: str) -> None:
        shown = repr(value)
        shown = shown if len(shown) <= 120 else shown[:117] + "..."
        super().__init__(f"{path}: {shown} is not valid; allowed: {allowed}")
        self.path = path
        self.value = value
        self.allowed = allowed

    def with_prefix(self, prefix: str) -> ScriptError:
        """Return the same error with a prefix to its path, such as ``steps[3]`` to ``seconds``."""
        return ScriptError(f"{prefix}.{self.path}", self.value, self.allowed)


def check_seconds(path: str, value: object) -> None:
    """Raise ``ScriptError`` unless ``value`` is a finite number, zero or more."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ScriptError(path, value, "a finite number of seconds, zero or more")


def check_count(path: str, value: object) -> None:
    """Raise ``ScriptError`` unless ``value`` is a whole number, zero or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ScriptError(path, value, "a whole number, zero or more")


def check_text(path: str, value: object) -> None:
    """Raise ``ScriptError`` unless ``value`` is text that can be encoded."""
    if not isinstance(value, str):
        raise ScriptError(path, value, "text")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        allowed = "text without lone surrogates (for bytes that are not UTF-8 use Send.from_bytes)"
        raise ScriptError(path, value, allowed) from None


def check_line(path: str, value: object) -> None:
    """Raise ``ScriptError`` unless ``value`` is text on one line."""
    check_text(path, value)
    if LINE_END.search(str(value)):
        raise ScriptError(path, value, "text on one line")


def check_status(value: object) -> None:
    """Raise ``ScriptError`` unless ``value`` is an HTTP status from 200 to 599."""
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 599:
        raise ScriptError("status", value, "200 to 599")


def check_choice(path: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise ``ScriptError`` unless ``value`` is one of the allowed values."""
    if value not in allowed:
        raise ScriptError(path, value, ", ".join(map(repr, allowed)))


def check_chunking(path: str, value: object) -> None:
    """Raise ``ScriptError`` unless ``value`` is a way of chunking or a positive number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return
    if value not in ("event", "whole", "bytes"):
        raise ScriptError(path, value, "'event', 'whole', 'bytes', or a number of bytes above zero")


def checked_headers(value: object) -> Headers:
    """Return headers as a tuple of pairs. Raises ``ScriptError`` for anything that is no valid header."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ScriptError("headers", value, "pairs of name and value")
    return tuple(_checked_header(f"headers[{n}]", pair) for n, pair in enumerate(value))


def _checked_header(path: str, pair: object) -> tuple[str, str]:
    match pair:
        case (str(key), str(value)) if HEADER_NAME.fullmatch(key) and not re.search(r"[^\t\x20-\x7e\x80-\xff]", value):
            return key, value
        case _:
            raise ScriptError(path, pair, "a pair of header name and one-line Latin-1 value")
