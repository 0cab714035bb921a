"""Clocks that the test moves, so that spans and durations can be compared exactly."""

from __future__ import annotations

import threading
from typing import Final

NS_PER_SECOND: Final = 1_000_000_000
START_NS: Final = 1_700_000_000 * NS_PER_SECOND  # 2023-11-14 22:13:20 UTC; any fixed date would do


class ManualClock:
    """A monotonic clock and a wall clock that stand still until ``advance()`` is called.

    ``monotonic_ns()`` starts at 0 and ``time_ns()`` at ``start_ns`` (nanoseconds since the epoch; a fixed date by
    default). Pass the bound methods in place of ``time.monotonic_ns`` and ``time.time_ns``. Thread-safe.
    """

    def __init__(self, *, start_ns: int = START_NS) -> None:
        self._start_ns = start_ns
        self._elapsed_ns = 0
        self._lock = threading.Lock()

    def monotonic_ns(self) -> int:
        """Return the nanoseconds by which the clock has been advanced."""
        with self._lock:
            return self._elapsed_ns

    def time_ns(self) -> int:
        """Return the nanoseconds since the epoch."""
        with self._lock:
            return self._start_ns + self._elapsed_ns

    def advance(self, seconds: float) -> None:
        """Advance both clocks by ``seconds``. Raises ``ValueError`` if ``seconds`` is negative."""
        if seconds < 0:
            raise ValueError(f"seconds must not be negative: {seconds}")
        with self._lock:
            self._elapsed_ns += round(seconds * NS_PER_SECOND)


class SteppingClock(ManualClock):
    """A manual clock that also advances by ``step`` seconds after each call of ``monotonic_ns()``.

    Raises ``ValueError`` if ``step`` is negative.
    """

    def __init__(self, step: float, *, start_ns: int = START_NS) -> None:
        super().__init__(start_ns=start_ns)
        if step < 0:
            raise ValueError(f"step must not be negative: {step}")
        self._step_ns = round(step * NS_PER_SECOND)

    def monotonic_ns(self) -> int:
        """Return the elapsed nanoseconds, then advance by one step. The first call returns 0."""
        with self._lock:
            reading = self._elapsed_ns
            self._elapsed_ns += self._step_ns
            return reading
