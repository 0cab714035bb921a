"""An event loop with simulated time, which advances to the next timer as soon as all tasks wait.

Minutes of back-off, windows and deadlines take seconds of computing, and are the same in each run.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _SimulatedSelector(selectors.DefaultSelector):
    """A selector that adds up the time-outs instead of waiting for them."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:  # there is no timer, so another thread must wake the loop
            return super().select(None)
        found = super().select(0)
        if not found and timeout > 0:
            self.waited += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time starts at 0 s and which does not sleep."""

    def __init__(self) -> None:
        self._simulated = _SimulatedSelector()
        super().__init__(self._simulated)

    def time(self) -> float:
        return self._simulated.waited

    def now_ns(self) -> int:
        """Return the time in nanoseconds, as a monotonic clock."""
        return round(self._simulated.waited * 1e9)
