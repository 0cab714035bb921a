"""How many bytes came within the last seconds of a stream, from a few samples of a running total."""

from __future__ import annotations

_NS = 1_000_000_000

WINDOW_NS = 5 * _NS
"""Bytes of the last five seconds tell a limit on the total duration (they flowed) from an idle limit (they did not)."""

_APART_NS = _NS
"""Samples are at least a second apart: fine enough for the window, and few."""

_SAMPLES = 8


class RecentBytes:
    """Samples of the total number of bytes, over the window and a little more."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: tuple[tuple[int, int], ...] = ()

    def note(self, at: int, total: int) -> None:
        """More bytes came at `at`; `total` came before them. Cheap, and called only after a wait."""
        samples = self._samples
        if not samples or at - samples[-1][0] > _APART_NS:
            self._samples = (*samples[1 - _SAMPLES :], (at, total))

    def within(self, now: int, last: int, total: int) -> int:
        """Bytes in the window before `now`, the last of which came at `last`, out of `total`."""
        if now - last > WINDOW_NS:
            return 0
        before = 0
        for at, until_then in self._samples:
            if now - at > WINDOW_NS:
                before = until_then
        return total - before
