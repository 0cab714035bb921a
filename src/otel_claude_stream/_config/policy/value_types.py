"""The kinds of values that a key of the policy takes: what is allowed, and how a text is read as one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from otel_claude_stream._config.settings import boolean
from otel_claude_stream._core import durations

NOTHING = frozenset({"null", "none", "~"})
"""Words for nothing, where nothing is allowed."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a closed set."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        return f"{', '.join(self.words[:-1])} or {self.words[-1]}"

    def read(self, text: str) -> object:
        """A text as such a value; as it is if it is none, which is found where it is checked."""
        return text.lower()


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds, both included."""

    least: int
    most: int

    @property
    def allowed(self) -> str:
        """As `Choice.allowed`."""
        if self.least == self.most:
            return str(self.least)
        return f"a whole number from {self.least} to {self.most}"

    def read(self, text: str) -> object:
        """As `Choice.read`."""
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
        """As `Choice.allowed`."""
        return f"a number from {self.least:g} to {self.most:g}"

    def read(self, text: str) -> object:
        """As `Choice.read`."""
        try:
            return float(text)
        except ValueError:
            return text


@dataclass(frozen=True, slots=True)
class Boolean:
    """A truth value."""

    @property
    def allowed(self) -> str:
        """As `Choice.allowed`."""
        return "true or false"

    def read(self, text: str) -> object:
        """As `Choice.read`; the usual words of environment variables are understood."""
        try:
            return boolean(text)
        except ValueError:
            return text


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration with its unit, in seconds once it is read; bounds included."""

    least: float
    most: float
    optional: bool = False

    @property
    def allowed(self) -> str:
        """As `Choice.allowed`."""
        least = f"from {durations.written(self.least)}" if self.least else "up"
        form = f"a duration with its unit, such as 500ms, 30s or 5m, {least} to {durations.written(self.most)}"
        return f"{form}, or null" if self.optional else form

    def read(self, text: str) -> object:
        """As `Choice.read`."""
        return None if self.optional and text.lower() in NOTHING else text

    def parse(self, value: object) -> float | None:
        """The seconds. Raises `ValueError` for what is not allowed."""
        if value is None and self.optional:
            return None
        if not isinstance(value, str):
            raise ValueError(value)
        found = durations.seconds(value)
        if not (math.isfinite(found) and self.least <= found <= self.most):
            raise ValueError(value)
        return found


@dataclass(frozen=True, slots=True)
class Text:
    """Text that is not empty, or nothing."""

    longest: int

    @property
    def allowed(self) -> str:
        """As `Choice.allowed`."""
        return f"a text of at most {self.longest} characters, or null"

    def read(self, text: str) -> object:
        """As `Choice.read`."""
        return None if text.lower() in NOTHING else text


Kind = Choice | Integer | Number | Boolean | Duration | Text


def words(values: type[Enum]) -> Choice:
    """The values of an enumeration."""
    return Choice(tuple(str(member.value) for member in values))
