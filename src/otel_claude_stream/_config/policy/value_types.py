"""The types of values that policy keys take. Each names its allowed values and reads the text of a variable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from otel_claude_stream._config.settings import parse_boolean
from otel_claude_stream._core.durations import format_duration, parse_duration

NULL_WORDS = frozenset({"null", "none", "~"})
"""Words in a variable that mean null, for a key that allows it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One word of a closed set."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """The values that are allowed, in words."""
        return f"{', '.join(self.words[:-1])} or {self.words[-1]}"

    def read(self, text: str) -> object:
        """Convert the text of a variable to this type, or return it for the validation to reject."""
        return text.lower()


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer within bounds, both included."""

    least: int
    most: int

    @property
    def allowed(self) -> str:
        """See `Choice.allowed`."""
        if self.least == self.most:
            return str(self.least)
        return f"a whole number from {self.least} to {self.most}"

    def read(self, text: str) -> object:
        """See `Choice.read`."""
        try:
            return int(text)
        except ValueError:
            return text


@dataclass(frozen=True, slots=True)
class Number:
    """A number within bounds, both included."""

    least: float
    most: float

    @property
    def allowed(self) -> str:
        """See `Choice.allowed`."""
        return f"a number from {self.least:g} to {self.most:g}"

    def read(self, text: str) -> object:
        """See `Choice.read`."""
        try:
            return float(text)
        except ValueError:
            return text


@dataclass(frozen=True, slots=True)
class Boolean:
    """A truth value."""

    @property
    def allowed(self) -> str:
        """See `Choice.allowed`."""
        return "true or false"

    def read(self, text: str) -> object:
        """See `Choice.read`. Accepts the usual words of environment variables, such as ``yes`` and ``0``."""
        try:
            return parse_boolean(text)
        except ValueError:
            return text


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration with a unit, within bounds, both included."""

    least: float
    most: float
    optional: bool = False

    @property
    def allowed(self) -> str:
        """See `Choice.allowed`."""
        least = f"from {format_duration(self.least)}" if self.least else "up"
        form = f"a duration with its unit, such as 500ms, 30s or 5m, {least} to {format_duration(self.most)}"
        return f"{form}, or null" if self.optional else form

    def read(self, text: str) -> object:
        """See `Choice.read`. The validation parses the duration."""
        return None if self.optional and text.lower() in NULL_WORDS else text

    def parse(self, value: object) -> float | None:
        """Return the seconds. Raises `ValueError` for a value that is not allowed."""
        if value is None and self.optional:
            return None
        if not isinstance(value, str):
            raise ValueError(value)
        seconds = parse_duration(value)
        if not (math.isfinite(seconds) and self.least <= seconds <= self.most):
            raise ValueError(value)
        return seconds


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is not empty, or null."""

    longest: int

    @property
    def allowed(self) -> str:
        """See `Choice.allowed`."""
        return f"a text of at most {self.longest} characters, or null"

    def read(self, text: str) -> object:
        """See `Choice.read`."""
        return None if text.lower() in NULL_WORDS else text


ValueType = Choice | Integer | Number | Boolean | Duration | Text


def choice_of(values: type[Enum]) -> Choice:
    """Return the choice among the values of an enumeration."""
    return Choice(tuple(str(member.value) for member in values))
