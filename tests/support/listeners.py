"""Listeners of the shells: one that does nothing, and one that records its calls."""

from __future__ import annotations

import time
from collections.abc import Callable

from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.stream.hot_path import Arrival, HotPath


class SilentListener:
    """A listener that does nothing."""

    is_over = False

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self.hot = HotPath(clock, 0)

    def opened(self, reply: Reply) -> None:
        """See `StreamListener`, as for the others."""

    def bytes_read(self, n: int, waited: int, at: int) -> None:
        """As above."""

    def frame(self, name: str | None, data: object) -> None:
        """As above."""

    def event(self, event: object, arrival: Arrival | None) -> None:
        """As above."""

    def ended(self, end: End | None) -> None:
        """As above."""


class RecordingListener(SilentListener):
    """A listener that records its calls in order."""

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        super().__init__(clock)
        self.calls: list[tuple[object, ...]] = []

    def bytes_read(self, n: int, waited: int, at: int) -> None:
        """Record a read that waited."""
        self.calls.append(("bytes_read", n, waited, at))

    def frame(self, name: str | None, data: object) -> None:
        """Record a frame."""
        self.calls.append(("frame", name, data))

    def event(self, event: object, arrival: Arrival | None) -> None:
        """Record an event."""
        self.calls.append(("event", event, arrival))

    def ended(self, end: End | None) -> None:
        """Record the first end."""
        if not self.is_over:
            self.calls.append(("ended", None if end is None else end.stop))
        self.is_over = True
