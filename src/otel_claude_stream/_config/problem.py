"""Problems with a value of a file, the environment or code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

NO_VALUE: Final = object()
"""Stands for the value of a problem that has none to show."""


class Severity(IntEnum):
    """How severe a problem is."""

    WARNING = 1
    """The value is valid and takes effect, but is probably a mistake."""
    ERROR = 2
    """The value is not valid and has no effect."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: the source, the name and the value, what is allowed, and the nearest valid name."""

    source: str
    setting: str
    """Name of the setting; empty for a problem of the source itself."""
    value: str | None
    """The value as the source has it; None if there is none, or more than one."""
    allowed: str
    """The values that are allowed; for a warning, the reason for it."""
    nearest: str = ""
    """The valid name or value that is most similar to the invalid one; empty without one."""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        if not self.setting:
            return f"{self.source}: {self.allowed}"
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        verdict = " is not valid" if self.severity is Severity.ERROR else ""
        value = "" if self.value is None else f"={self.value!r}"
        return f"{self.source}: {self.setting}{value}{verdict}: {self.allowed}{hint}"
