"""The buffer of measurements, which are recorded on their instruments several at a time.

`Histogram.record` of OpenTelemetry's SDK costs 5 to 8 us if it ran just before. Between two events of a stream it costs
twice as much, because its code and data have left the processor's caches. Measurements are not visible before metrics
are collected, so they are recorded then, or when the buffer holds `CAPACITY` of them.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any, Final, Protocol

from opentelemetry.context import Context

from otel_claude_stream import _guard

Labels = dict[str, Any]

NO_EXEMPLAR: Final = Context({"otel_claude_stream": "no exemplar"})
"""A context without a span. OpenTelemetry's SDK would replace an empty context by the current one."""

CAPACITY: Final = 64
"""The number of measurements that triggers a flush, which takes less than half a millisecond."""


class Instrument(Protocol):
    """The instruments that the buffer records on."""

    @property
    def additive(self) -> bool:
        """Whether measurements with equal labels may be recorded as their sum."""

    def record_now(self, value: float, labels: Labels, context: Context) -> None:
        """Record a measurement, bypassing the buffer."""


Measurement = tuple[Instrument, float, Labels, Context]
"""An instrument and its arguments. The labels must not be modified afterwards."""


class Buffer:
    """Measurements that are not recorded yet. Safe for threads and finalizers."""

    __slots__ = ("_measurements",)

    def __init__(self) -> None:
        # `append` and `popleft` are atomic. A lock could deadlock if a finalizer ran while it is held.
        self._measurements: deque[Measurement] = deque()

    def add(self, instrument: Instrument, value: float, labels: Labels, context: Context) -> None:
        """Add a measurement. `labels` must not be modified afterwards."""
        measurements = self._measurements
        measurements.append((instrument, value, labels, context))
        if len(measurements) >= CAPACITY:
            self.flush()

    def add_all(self, measurements: list[Measurement]) -> None:
        """Add several measurements with fewer calls."""
        buffered = self._measurements
        buffered.extend(measurements)
        if len(buffered) >= CAPACITY:
            self.flush()

    @_guard.guarded("flush", None)
    def flush(self) -> None:
        """Record all measurements. Called before metrics are collected."""
        measurements = self._measurements
        sums: dict[tuple[object, ...], tuple[Instrument, float, Labels]] = {}
        try:
            while measurements:
                try:
                    instrument, value, labels, context = measurements.popleft()
                except IndexError:  # another thread took the last one
                    break
                if instrument.additive and context is NO_EXEMPLAR:
                    key = (instrument, *labels.items())
                    before = sums.get(key)
                    sums[key] = (instrument, value if before is None else before[1] + value, labels)
                else:
                    instrument.record_now(value, labels, context)
            for key in list(sums):
                instrument, value, labels = sums.pop(key)
                instrument.record_now(value, labels, NO_EXEMPLAR)
        finally:  # after a Ctrl-C or an error in an instrument, the sums go back into the buffer
            measurements.extend((instrument, value, labels, NO_EXEMPLAR) for instrument, value, labels in sums.values())

    def clear(self) -> None:
        """Discard all measurements: in a forked child, because the parent records them."""
        self._measurements.clear()


BUFFER: Final = Buffer()
"""The buffer of the process, for all meters.

A second instrumentation gets the same meter, which keeps the first callbacks of observable instruments and ignores the
second ones. They flush the buffer, so both instrumentations have to use the same one."""

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=BUFFER.clear)
