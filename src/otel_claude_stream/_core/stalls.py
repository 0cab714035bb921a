"""Which thresholds a wait for content has passed."""

from __future__ import annotations

_NS = 1_000_000_000


def label(seconds: float) -> str:
    """A threshold as a label: ``30s``, ``0.5s``."""
    return f"{seconds:g}s"


class StallWatch:
    """The thresholds of one stream. Each is told once for each wait that passes it."""

    __slots__ = ("_least", "_thresholds", "_told")

    def __init__(self, thresholds: tuple[float, ...]) -> None:
        self._thresholds = tuple((int(seconds * _NS), label(seconds)) for seconds in thresholds)
        self._least = self._thresholds[0][0] if thresholds else None
        self._told = 0

    def passed(self, waited: int) -> bool:
        """Whether a wait (in nanoseconds) passes any threshold: the cheap question."""
        return self._least is not None and waited >= self._least

    def take(self, waited: int) -> list[str]:
        """The labels that a finished or running wait has passed and that were not told for it before."""
        found = [name for limit, name in self._thresholds if waited >= limit]
        new = found[self._told :]
        self._told = len(found)
        return new

    def reset(self) -> None:
        """Content came: the next wait begins at nothing."""
        self._told = 0
