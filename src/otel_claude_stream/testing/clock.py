"""Clocks moved by hand, for tests that compare whole spans and durations."""

from __future__ import annotations

import threading
from typing import Final

NS_PER_SECOND: Final = 1_000_000_000
START_NS: Final = 1_700_000_000 * NS_PER_SECOND  # 2023-11-14 22:13:20 UTC; any fixed date would do


class ManualClock:
    """Two clocks, both standing still until ``advance``: ``monotonic_ns`` from 0, ``time_ns`` from a fixed date.

    Pass the bound methods where ``time.monotonic_ns`` and ``time.time_ns`` would be passed. Safe across threads.
    """

    def __init__(self, *, start_ns: int = START_NS) -> None:
        self._start_ns = start_ns
        self._elapsed_ns = 0
        self._lock = threading.Lock()

    def monotonic_ns(self) -> int:
        """Nanoseconds since the clock was made."""
        with self._lock:
            return self._elapsed_ns

    def time_ns(self) -> int:
        """Nanoseconds since the epoch."""
        with self._lock:
            return self._start_ns + self._elapsed_ns

    def advance(self, seconds: float) -> None:
        """Move both clocks on by ``seconds``. Raises ``ValueError`` for less than zero."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back: {seconds}")
        with self._lock:
            self._elapsed_ns += round(seconds * NS_PER_SECOND)


class SteppingClock(ManualClock):
    """A manual clock that also moves on by ``step`` seconds after every reading of ``monotonic_ns``."""

    def __init__(self, step: float, *, start_ns: int = START_NS) -> None:
        super().__init__(start_ns=start_ns)
        if step < 0:
            raise ValueError(f"a clock does not go back: {step}")
        self._step_ns = round(step * NS_PER_SECOND)

    def monotonic_ns(self) -> int:
        """Nanoseconds since the clock was made: 0 first, then a step more each time."""
        with self._lock:
            reading = self._elapsed_ns
            self._elapsed_ns += self._step_ns
            return reading
