"""One of the places that say something about the policy: a preset, a file, the environment, code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from otel_claude_stream._config.policy.keys import Path, dotted
from otel_claude_stream._config.problem import Problem, Severity

_LONGEST = 60
"""Characters of a value in a message: a log line is no place for the whole of a wrong file."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one place says."""

    name: str
    """As a user knows it: the path of a file, ``environment``, ``instrument()``."""
    said: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Path, int] = field(default_factory=dict)
    """Lines of a file, from 1."""
    variables: Mapping[Path, str] = field(default_factory=dict)
    """Environment variables that said it."""

    def where(self, path: Path) -> str:
        """Where something was said: the file with its line, the variable, else the place."""
        for length in range(len(path), 0, -1):
            if (line := self.lines.get(path[:length])) is not None:
                return f"{self.name}:{line}"
        return self.variables.get(path, self.name)

    def problem(
        self, path: Path, value: object, allowed: str, nearest: str = "", severity: Severity = Severity.ERROR
    ) -> Problem:
        """Something that is wrong with what it says at a path."""
        variable = self.variables.get(path)
        source, setting = (self.name, variable) if variable else (self.where(path), dotted(path))
        return Problem(source, setting, shown(value), allowed, nearest, severity)


def shown(value: object) -> str:
    """A value as a file has it, cut where it is long. Never raises."""
    match value:
        case None:
            text = "null"
        case bool():
            text = "true" if value else "false"
        case str():
            text = value
        case Mapping():
            text = f"{{{', '.join(f'{shown(key)}: ...' for key in list(value)[:5])}}}"
        case list() | tuple():
            text = f"[{', '.join(shown(item) for item in value[:5])}]"
        case _:
            try:
                text = str(value)
            except Exception:  # noqa: BLE001 - code may give an object of any kind
                text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
