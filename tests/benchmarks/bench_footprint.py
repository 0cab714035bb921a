"""The memory of an open stream, the delay of its first event, and the duration of `instrument()`."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
import tracemalloc

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # measure without the SDK's own tracing

from tests.benchmarks.measure import providers, spread, with_settings
from tests.support.memory_api import REQUEST, chunks, sync_client

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._telemetry.buffer import BUFFER

OPEN = 200
"""Streams that are open at once while memory is measured."""

TARGET = 8192
"""Bytes that an open stream may hold, the span of OpenTelemetry's SDK included."""

_START = """
import json, sys, time
import opentelemetry.sdk.trace, opentelemetry.instrumentation.instrumentor, wrapt  # loaded under OpenTelemetry anyway
started = time.process_time()
from otel_claude_stream import ClaudeStreamInstrumentor
imported = time.process_time()
ClaudeStreamInstrumentor().instrument(skip_dep_check=True)
done = time.process_time()
print(json.dumps([imported - started, done - imported, "anthropic" in sys.modules]))
"""


def _open_bytes(deltas: int) -> float:
    """Return the bytes held by an open stream that was read up to its last delta, with that event.

    The loop of an application holds the event that it handles, and so does a generator of this package.
    """
    client = sync_client(chunks(deltas))
    streams = []
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(OPEN):
        stream = client.messages.create(stream=True, **REQUEST)
        for _ in range(deltas):
            event = next(stream)
        streams.append((stream, event))
    BUFFER.flush()
    gc.collect()
    found = (tracemalloc.get_traced_memory()[0] - before) / OPEN
    for stream, _ in streams:
        stream.close()
    return found


def memory_of(deltas: int) -> tuple[float, float]:
    """Return the bytes that an open stream holds with the bare SDK, and those that this package adds."""

    def traced() -> float:
        _open_bytes(deltas)
        tracemalloc.start()
        try:
            return _open_bytes(deltas)
        finally:
            tracemalloc.stop()

    bare = traced()
    return bare, with_settings(traced, providers())() - bare


def memory() -> None:
    """Print the bytes that this package adds to an open stream, for short and for long ones."""
    for deltas in (10, 1000):
        bare, added = memory_of(deltas)
        print(f"memory  {deltas:5} deltas read    bare {bare:8.0f} B   added {added:+8.0f} B   target +{TARGET} B")


def first_event_us(rounds: int) -> list[float]:
    client = sync_client(chunks(10))
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        stream = client.messages.create(stream=True, **REQUEST)
        next(stream)
        found.append((time.perf_counter() - started) * 1e6)
        stream.close()
    return found


def first_event() -> None:
    """Print the wall time from the call to its first event, interleaved."""
    instrumentor = ClaudeStreamInstrumentor()
    real = providers()
    added = []
    base = []
    first_event_us(50)
    for _ in range(20):
        bare = spread(first_event_us(50)).median
        instrumentor.instrument(skip_dep_check=True, **real)
        on = spread(first_event_us(50)).median
        instrumentor.uninstrument()
        base.append(bare)
        added.append(on - bare)
    print(f"first event               bare {spread(base)} us   added {spread(added)} us")


def start() -> None:
    """Print the CPU time of importing this package and of `instrument()`, in fresh processes without the SDK."""
    imports, installs = [], []
    for _ in range(9):
        done = subprocess.run([sys.executable, "-c", _START], capture_output=True, text=True, check=True)
        imported, installed, loaded = json.loads(done.stdout)
        if loaded:
            raise SystemExit("instrument() imported anthropic")
        imports.append(imported * 1e3)
        installs.append(installed * 1e3)
    print(f"start   import {spread(imports)} ms   instrument() {spread(installs)} ms   target 100 ms, no anthropic")


def main() -> None:
    """Run all measurements."""
    memory()
    first_event()
    start()


if __name__ == "__main__":
    main()
