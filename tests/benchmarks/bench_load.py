"""The delay of events while many streams are read at once, as a ratio to the bare SDK.

The body of a stream waits 20 ms before each event. The delay of an event is the time from the end of its wait until the
caller has it. Events count as soon as each stream has read some, as the opening of all at once is a queue.

1,000 asynchronous streams want 50,000 events a second, more than one process can read: there the loop itself is the
queue. 200 threads want 10,000 events a second, a queue too on a slow machine. The bare SDK's share of a processor shows
it. A quarter of the threads shows the delay without a queue.

Two more variants show how the delays come about. One is `gaps=none`. The other is the bare SDK with a caller that
records one histogram of OpenTelemetry for each event. No instrumentation that measures gaps does less work.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # measure without the SDK's own tracing

from tests.benchmarks.bench_floor import GAPS, Work, gaps
from tests.benchmarks.measure import Result, Spread, interleaved, percentile, providers, spread, with_settings
from tests.support.memory_api import HTTP, REQUEST, async_client, chunks, sync_client

THREADS = 200
FEW_THREADS = 50
TASKS = 1000
WAIT = 0.02
TARGET = 1.20
SETTLED = 8
"""Events of each stream that are read before any delay counts."""


class Bodies:
    """Answers each request with a body, and collects the delays of its events."""

    def __init__(self, deltas: int, streams: int) -> None:
        self.streams = streams
        self.parts = chunks(deltas)
        self.delays: list[float] = []
        self.settled = 0
        """Streams that have read some events; the delays of events count while that is all of them."""

    def transport(self) -> Any:
        bodies = self

        class Body(HTTP.SyncByteStream, HTTP.AsyncByteStream):  # type: ignore[misc] # known at run time only
            def waits(self) -> Iterator[bytes]:
                due = 0.0
                for number, part in enumerate(bodies.parts):
                    if bodies.settled == bodies.streams:  # the caller asks for the next event
                        bodies.delays.append(time.perf_counter() - due)
                    elif number == SETTLED:
                        bodies.settled += 1
                    due = time.perf_counter() + WAIT
                    yield part
                bodies.settled = 0

            def __iter__(self) -> Iterator[bytes]:
                for part in self.waits():
                    time.sleep(WAIT)
                    yield part

            async def __aiter__(self) -> Any:
                for part in self.waits():
                    await asyncio.sleep(WAIT)
                    yield part

        headers = {"content-type": "text/event-stream; charset=utf-8", "request-id": "req_bench"}
        return HTTP.MockTransport(lambda request: HTTP.Response(200, headers=headers, stream=Body(), request=request))


def nothing() -> None:
    """Do nothing for an event."""


def in_threads(deltas: int, threads: int = THREADS, *, each: Work = nothing) -> list[float]:
    """Read one stream in each thread, all at once, and call `each` for each event. Return the delays of the events."""
    bodies = Bodies(deltas, threads)
    client = sync_client([], transport=bodies.transport())

    def read() -> None:
        for _ in client.messages.create(stream=True, **REQUEST):
            each()

    readers = [threading.Thread(target=read) for _ in range(threads)]
    for one in readers:
        one.start()
    for one in readers:
        one.join()
    return bodies.delays


def in_tasks(deltas: int, tasks: int = TASKS, *, each: Work = nothing) -> list[float]:
    """As `in_threads`, in the tasks of one event loop."""
    bodies = Bodies(deltas, tasks)
    client = async_client([], transport=bodies.transport())

    async def read() -> None:
        async for _ in await client.messages.create(stream=True, **REQUEST):
            each()

    async def read_all() -> None:
        await asyncio.gather(*(read() for _ in range(tasks)))

    asyncio.run(read_all())
    return bodies.delays


LOADS: tuple[tuple[str, Callable[..., list[float]], int], ...] = (
    (f"p99 of an event, {FEW_THREADS} threads", functools.partial(in_threads, threads=FEW_THREADS), 100),
    (f"p99 of an event, {THREADS} threads", in_threads, 100),
    (f"p99 of an event, {TASKS} async streams", in_tasks, 30),
)


def measure(rounds: int = 5) -> list[Result]:
    """Return the ratio of the 99th percentiles for each load."""
    real: dict[str, Any] = providers()
    record = gaps(real["meter_provider"].get_meter("floor"), GAPS[0])
    found = []
    for name, read, deltas in LOADS:
        shares: list[float] = []
        plain = _p99(functools.partial(read, deltas))
        took = interleaved(
            {
                "bare": _p99(functools.partial(read, deltas), shares),
                "on": with_settings(plain, real),
                "path": with_settings(plain, {**real, "gaps": "none"}),
                "record": _p99(functools.partial(read, deltas, each=record)),
            },
            rounds,
        )
        ratios = {variant: spread([one[variant] / one["bare"] for one in took]) for variant in took[0]}
        note = f"x{_shown(ratios['record'])} with one record for each event alone; "
        note += f"x{_shown(ratios['path'])} without the histogram of gaps; "
        note += f"{spread([one['bare'] for one in took]).median:.1f} ms with the bare SDK, "
        note += f"at {spread(shares).median:.0%} of a processor"
        found.append(Result(name, ratios["on"], TARGET, note))
    return found


def _shown(ratio: Spread) -> str:
    return f"{ratio.median:.2f} [{ratio.least:.2f} {ratio.most:.2f}]"


def _p99(read: Callable[[], list[float]], shares: list[float] | None = None) -> Callable[[], float]:
    """Return a measurement of the 99th percentile in milliseconds, which adds its share of a processor to `shares`."""

    def measure_delay() -> float:
        used, began = time.process_time(), time.perf_counter()
        delay = percentile(read(), 0.99) * 1e3
        if shares is not None:
            shares.append((time.process_time() - used) / (time.perf_counter() - began))
        return delay

    return measure_delay


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    for result in measure(parser.parse_args().rounds):
        print(result, flush=True)


if __name__ == "__main__":
    main()
