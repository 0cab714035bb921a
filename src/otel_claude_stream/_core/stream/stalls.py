"""Which thresholds a wait for content has passed."""

from __future__ import annotations

from collections import deque
from functools import cache

_NS = 1_000_000_000


def label(seconds: float) -> str:
    """A threshold as a label: ``30s``, ``0.5s``."""
    return f"{seconds:g}s"


@cache
def _prepared(thresholds: tuple[float, ...]) -> tuple[tuple[int, str], ...]:
    """Nanoseconds and label of each: the same for every stream."""
    return tuple((int(seconds * _NS), label(seconds)) for seconds in thresholds)


class StallWatch:
    """The thresholds of one stream. Each is told once for each wait that passes it, whoever notices first."""

    __slots__ = ("_least", "_left", "_thresholds")

    def __init__(self, thresholds: tuple[float, ...]) -> None:
        self._thresholds = _prepared(thresholds)
        self._least = self._thresholds[0][0] if thresholds else None
        self._left: deque[tuple[int, str]] | None = None  # made with the first stall: most streams have none

    def passed(self, waited: int) -> bool:
        """Whether a wait (in nanoseconds) passes any threshold: the cheap question."""
        return self._least is not None and waited >= self._least

    def take(self, waited: int) -> list[str]:
        """The labels that a finished or running wait has passed and that were not told for it before."""
        if self._left is None:
            self._left = deque(self._thresholds)
        found: list[str] = []
        while self._left and self._left[0][0] <= waited:
            found.append(self._left.popleft()[1])
        return found

    def reset(self) -> None:
        """Content came: the next wait begins at nothing."""
        self._left = None
