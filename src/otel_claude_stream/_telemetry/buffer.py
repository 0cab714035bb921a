"""The buffer of measurements, which are recorded on their instruments several at a time.

`Histogram.record` of OpenTelemetry's SDK costs 5 to 8 us if it ran just before. Between two events of a stream it costs
twice as much, because its code and data have left the processor's caches. Measurements are not visible before metrics
are collected, so they are recorded then, and each second by the thread that looks for stalls. Without that thread, the
readers of streams record the oldest measurements as soon as the buffer is full.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import Any, Final, Protocol

from opentelemetry.context import Context

from otel_claude_stream import _guard

Labels = dict[str, Any]

NO_EXEMPLAR: Final = Context({"otel_claude_stream": "no exemplar"})
"""A context without a span. OpenTelemetry's SDK would replace an empty context by the current one."""

CAPACITY: Final = 16384
"""The most measurements in the buffer, about 2 MB. A process reads fewer events in the second between two flushes."""

SLICE: Final = 16
"""Measurements that are recorded without a pause. They delay other threads, and the reader at a full buffer, by less
than 0.2 ms."""

LONGEST_WAIT: Final = 1.0
"""Seconds to wait for a slice that another thread records. The thread may get no processor, or run this very code."""


class Instrument(Protocol):
    """The instruments that the buffer records on."""

    is_counter: bool
    """Whether values are added up, so that 0 does no more than create a series."""

    def record_now(self, value: float, labels: Labels, context: Context) -> None:
        """Record a measurement, bypassing the buffer."""


Measurement = tuple[Instrument, float, Labels, Context]
"""An instrument and its arguments. The labels must not be modified afterwards."""


class Buffer:
    """Measurements that are not recorded yet. Safe for threads and finalizers."""

    __slots__ = ("_forking", "_measurements", "_recording")

    def __init__(self) -> None:
        # `append` and `popleft` are atomic. A lock could deadlock if a finalizer ran while it is held.
        self._measurements: deque[Measurement] = deque()
        self._recording = threading.Lock()  # a hint, as slices of two threads may overlap; each wait for it is bounded
        self._forking = False

    def add(self, instrument: Instrument, value: float, labels: Labels, context: Context = NO_EXEMPLAR) -> None:
        """Add a measurement. `labels` must not be modified afterwards."""
        measurements = self._measurements
        measurements.append((instrument, value, labels, context))
        if len(measurements) > CAPACITY:
            self._record_slice()

    def flush(self) -> None:
        """Record all measurements. Other threads may run after each slice.

        A slice that another thread has taken is waited for. The collection that follows would miss its measurements.
        """
        while self._record_slice():
            time.sleep(0)
        if self._recording.acquire(timeout=LONGEST_WAIT):
            self._recording.release()

    @_guard.guarded("flush", False)
    def _record_slice(self) -> bool:
        """Record the oldest measurements. Return False if none is left."""
        marked = self._recording.acquire(blocking=False)
        try:
            for _ in range(SLICE):
                try:
                    instrument, value, labels, context = self._measurements.popleft()
                except IndexError:
                    return False
                instrument.record_now(value, labels, context)
            return True
        finally:
            if marked:
                self._recording.release()

    def before_fork(self) -> None:
        """Wait for the end of a slice. A child would inherit the locks of OpenTelemetry's SDK that it holds."""
        self._forking = self._recording.acquire(timeout=LONGEST_WAIT)

    def after_fork(self) -> None:
        """Let slices be recorded again."""
        if self._forking:
            self._recording.release()

    def after_fork_in_child(self) -> None:
        """Discard the measurements, because the parent records them. The child needs series that begin at 0, too."""
        kept = [one for one in self._measurements if one[0].is_counter and one[1] == 0]
        self._measurements.clear()
        self._measurements.extend(kept)
        self._recording = threading.Lock()  # a thread that the child does not have may hold the other one


BUFFER: Final = Buffer()
"""The buffer of the process, for all meters.

A second instrumentation gets the same meter, which keeps the first callbacks of observable instruments and ignores the
second ones. They flush the buffer, so both instrumentations have to use the same one."""

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=BUFFER.before_fork, after_in_parent=BUFFER.after_fork, after_in_child=BUFFER.after_fork_in_child
    )
