"""What is wrong with something that was said in a file, the environment or code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad a problem is."""

    WARNING = 1
    """Valid, and perhaps not what was meant."""
    ERROR = 2
    """Not valid; what was said is not done."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong setting: where it was said, what was said, what is allowed, and the nearest valid name, if any."""

    source: str
    setting: str
    """Its name; empty if it is the source itself that is wrong."""
    value: str
    allowed: str
    """What would be valid; of a warning, what is doubtful about it."""
    nearest: str = ""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        if not self.setting:
            return f"{self.source}: {self.allowed}"
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        verdict = " is not valid" if self.severity is Severity.ERROR else ""
        return f"{self.source}: {self.setting}={self.value!r}{verdict}: {self.allowed}{hint}"
