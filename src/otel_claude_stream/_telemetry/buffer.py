"""Measurements on their way to their instruments: put down where they are made, recorded several at a time.

`Histogram.record` of OpenTelemetry's SDK costs 5 to 8 us when it has just run, and twice that between two events of a
stream, when it has to be fetched into the processor's caches first. Nobody sees a value before metrics are collected,
so values wait until then, or until there are `MOST` of them.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any, Final, Protocol

from opentelemetry.context import Context

from otel_claude_stream import _guard

Labels = dict[str, Any]

NO_EXEMPLAR: Final = Context({"otel_claude_stream": "no exemplar"})
"""A context without a span. Not an empty one: for that, OpenTelemetry's SDK takes the current one."""

MOST: Final = 64
"""Measurements that wait at the most: to record them takes less than half a millisecond."""


class Sink(Protocol):
    """An instrument: where measurements go in the end."""

    @property
    def additive(self) -> bool:
        """Whether two measurements of the same labels may be recorded as their sum."""

    def now(self, value: float, labels: Labels, context: Context) -> None:
        """Record one measurement."""


Measurement = tuple[Sink, float, Labels, Context]
"""An instrument and its arguments. The labels must not change any more."""


class Buffer:
    """What waits to be recorded. From any thread, and inside a finalizer."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        # Appending and taking from an end are atomic: no lock that a finalizer could meet while it is held.
        self._waiting: deque[Measurement] = deque()

    def add(self, sink: Sink, value: float, labels: Labels, context: Context) -> None:
        """Put a measurement down. `labels` must not change any more."""
        waiting = self._waiting
        waiting.append((sink, value, labels, context))
        if len(waiting) >= MOST:
            self.flush()

    def add_all(self, measurements: list[Measurement]) -> None:
        """Put several measurements down."""
        waiting = self._waiting
        waiting.extend(measurements)
        if len(waiting) >= MOST:
            self.flush()

    @_guard.guarded("flush", None)
    def flush(self) -> None:
        """Record all that waits: before metrics are collected."""
        waiting = self._waiting
        sums: dict[tuple[object, ...], tuple[Sink, float, Labels]] = {}
        try:
            while waiting:
                try:
                    sink, value, labels, context = waiting.popleft()
                except IndexError:  # another thread was faster
                    break
                if sink.additive and context is NO_EXEMPLAR:
                    key = (sink, *labels.items())
                    before = sums.get(key)
                    sums[key] = (sink, value if before is None else before[1] + value, labels)
                else:
                    sink.now(value, labels, context)
            for key in list(sums):
                sink, value, labels = sums.pop(key)
                sink.now(value, labels, NO_EXEMPLAR)
        finally:  # a Ctrl-C, or an instrument that raises: what was added up waits on
            waiting.extend((sink, value, labels, NO_EXEMPLAR) for sink, value, labels in sums.values())

    def forget(self) -> None:
        """Nothing waits any more: in a forked child it is the parent's to record."""
        self._waiting.clear()


BUFFER: Final = Buffer()
"""One a process, whatever meters there are: an SDK that is instrumented anew gets its instruments from the same meter,
which keeps the callbacks of the first ones and drops the second."""

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=BUFFER.forget)
