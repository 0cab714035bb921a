"""An event loop whose time is simulated: where everybody waits, it goes on to the next timer at once.

Minutes of back-off, windows and deadlines pass in seconds of computing, and the same in each run.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Jumping(selectors.DefaultSelector):
    """A selector that does not wait for the time-out, but tells how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:  # no timer: something outside, a thread say, is to wake the loop
            return super().select(None)
        found = super().select(0)
        if not found and timeout > 0:
            self.waited += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that begins at 0 s and never sleeps."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.waited

    def now_ns(self) -> int:
        """The time as nanoseconds, for what takes a monotonic clock."""
        return round(self._jumping.waited * 1e9)
