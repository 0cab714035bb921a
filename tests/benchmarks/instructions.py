"""Counts the instructions of streams in this process, which Valgrind runs. Started by `bench_instructions`.

Run: python -m tests.benchmarks.instructions VARIANT..., in the environment with the packages of all instrumentations.
"""

from __future__ import annotations

import functools
import gc
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable

from tests.benchmarks import peer
from tests.support.memory_api import REQUEST, WAYS, chunks, reader, sync_client

OURS = "otel-claude-stream"
SPAN = f"{OURS}, span alone"
"""This package with what the SDK's own tracing records too: no metrics, and no events on the span."""
FLOOR = "OpenTelemetry's calls"
TIMES = 4
"""Streams or calls that are counted together."""
REPEATS = 3
"""Counts of each interval, of which the least is taken. Work of other threads and first uses of caches add to some."""
DELTAS = 10
MORE = 50
"""Deltas that a longer stream has more, to count an event by the difference."""

Work = Callable[[], object]
Clock = Callable[[], int]
Enable = Callable[[Clock], Work]

STANDING: Clock = itertools.repeat(10**9).__next__
"""A clock that stands still. Under Valgrind each read would last longer than an event of a burst."""
STEPPING: Clock = itertools.count(10**9, 20_000_000).__next__
"""A clock that advances by 20 ms with each reading, so that each read waits."""


class Counter:
    """Counts intervals. Valgrind's counter starts with `getsid`, and is written to a file with `getpgid`."""

    def __init__(self) -> None:
        self.variant = ""
        self.labels: list[tuple[str, str, str, int]] = []

    def count(self, figure: str, way: str, unit: int, work: Work, repeats: int = REPEATS) -> None:
        """Count the instructions of `work` for each of `unit` streams or events."""
        for _ in range(repeats):
            os.getsid(0)
            work()
            os.getpgid(0)
            self.labels.append((self.variant, figure, way, unit))


once = functools.cache(lambda enable: enable())
"""Calls a function that takes no arguments, the first time alone."""


def ours(**settings: object) -> Enable:
    """Return what enables this package with a clock, and returns what records its buffered measurements."""

    def enable(clock: Clock) -> Work:
        from otel_claude_stream import ClaudeStreamInstrumentor, _instrumentor
        from otel_claude_stream._session import stall_ticker
        from otel_claude_stream._telemetry.buffer import BUFFER, Buffer

        stall_ticker.BUFFER = Buffer()  # its thread records nothing, so that `flush` records all
        ClaudeStreamInstrumentor().uninstrument()
        once(peer.providers)
        _instrumentor.CLOCK = clock
        ClaudeStreamInstrumentor().instrument(**settings)
        return BUFFER.flush

    return enable


def other(name: str) -> Enable:
    """Return what enables another instrumentation, which reads no clock."""

    def enable(_: Clock) -> Work:
        os.environ["ANTHROPIC_OPEN_TELEMETRY"] = str(name == peer.NATIVE).lower()
        once(peer.PEERS[name][1])
        return lambda: None

    return enable


VARIANTS: dict[str, Enable] = {
    "none": other("none"),
    OURS: ours(),
    f"{OURS}, gaps=none": ours(gaps="none"),
    f"{OURS}, deltas=none": ours(deltas="none"),
    SPAN: ours(metrics=False, events="none"),
    f"{OURS}, mode retry": ours(retry_policy={"mode": "retry"}),
    f"{OURS}, mode resume": ours(retry_policy={"mode": "resume"}),
    **{name: other(name) for name in peer.PEERS if name not in ("none", OURS)},
}


def repeated(work: Work, times: int, flush: Work = int) -> Work:
    """Return a function that runs `work` so many times, and `flush` at the end."""

    def run() -> None:
        for _ in range(times):
            work()
        flush()

    return run


def first_events(counter: Counter, *, first: bool) -> None:
    """Count from a call to its first event; with `first`, also for the first call of the process."""
    client, streams = sync_client(chunks(DELTAS)), []

    def call() -> None:
        streams.append(client.messages.create(stream=True, **REQUEST))
        next(iter(streams[-1]))

    calls = repeated(call, TIMES)
    if first:
        counter.count("first call", WAYS[0], 1, call, repeats=1)
    calls()
    counter.count("first event", WAYS[0], TIMES, calls)
    for stream in streams:
        stream.close()


def lower_bounds(counter: Counter) -> None:
    """Count OpenTelemetry's own calls for the telemetry of this package, with the clock of the figure for a stream."""
    from opentelemetry import metrics, trace
    from tests.benchmarks import bench_floor

    from otel_claude_stream import ClaudeStreamInstrumentor

    VARIANTS[OURS](STANDING)
    ClaudeStreamInstrumentor().uninstrument()
    span, measurements = bench_floor.recorded_telemetry(DELTAS)
    meter = metrics.get_meter("floor")
    made = bench_floor.spans(trace.get_tracer("floor"), span)
    records = bench_floor.records(meter, measurements)
    for figure, work in (
        ("wait", bench_floor.gaps(meter, bench_floor.GAPS[0])),
        ("stream", lambda: (made(), records())),
    ):
        several = repeated(work, 10 * TIMES)
        several()
        counter.count(figure, "", 10 * TIMES, several)


def measure(name: str, counter: Counter, *, first: bool) -> None:
    """Count all figures of one variant. The first call of the process is one of them if `first` is set."""
    flush = VARIANTS[name](STANDING)
    if first:  # code that is not counted runs faster
        subprocess.run(["callgrind_control", "-i", "on", str(os.getpid())], check=True, capture_output=True)
    first_events(counter, first=first)
    for figure, clock in (("burst", STANDING), ("wait", STEPPING)):
        flush = VARIANTS[name](clock)
        for way in WAYS:
            short, long = (reader(way, chunks(deltas)) for deltas in (DELTAS, DELTAS + MORE))
            longer = repeated(long, 1, flush)
            longer()
            short()
            flush()
            counter.count(f"{figure} of {DELTAS + MORE}", way, 1, longer)
            counter.count(f"{figure} of {DELTAS}", way, 1, repeated(short, 1, flush))
            if figure == "burst":
                counter.count("stream", way, TIMES, repeated(short, TIMES, flush))


def main() -> None:
    """Count the variants that are arguments, and print the labels of all intervals."""
    counter = Counter()
    gc.disable()  # a collection would drop classes that pydantic caches, and the next stream would make them again
    for place, name in enumerate(sys.argv[1:]):
        counter.variant = name
        measure(name, counter, first=not place)
    if OURS in sys.argv:
        counter.variant = FLOOR
        lower_bounds(counter)
    print(json.dumps(counter.labels), flush=True)
    os._exit(0)  # the exporters of some wait for a backend


if __name__ == "__main__":
    main()
