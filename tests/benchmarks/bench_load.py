"""The delay of events while many streams are read at once, as a ratio to the bare SDK.

The body of a stream waits 20 ms before each event. The delay of an event is the time from the end of its wait until the
caller has it. 1,000 asynchronous streams want 50,000 events a second, more than one process can read: there the loop
itself is the queue. 200 threads want 10,000 events a second, a queue too on a slow machine. The bare SDK's share of a
processor shows it. A quarter of the threads shows the delay without a queue.
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

from tests.benchmarks.measure import Result, percentile, providers, spread
from tests.support.memory_api import HTTP, REQUEST, async_client, chunks, sync_client

from otel_claude_stream import ClaudeStreamInstrumentor

THREADS = 200
FEW_THREADS = 50
TASKS = 1000
WAIT = 0.02
TARGET = 1.20


class Bodies:
    """Answers each request with a body, and collects the delays of its events."""

    def __init__(self, deltas: int, streams: int) -> None:
        self.streams = streams
        self.parts = chunks(deltas)
        self.delays: list[float] = []
        self.open = 0
        """Streams that are read; the delays of events count while that is all of them."""

    def transport(self) -> Any:
        bodies = self

        class Body(HTTP.SyncByteStream, HTTP.AsyncByteStream):  # type: ignore[misc] # known at run time only
            def waits(self) -> Iterator[bytes]:
                due = 0.0
                bodies.open += 1
                for part in bodies.parts:
                    if due and bodies.open == bodies.streams:  # the caller asks for the next event
                        bodies.delays.append(time.perf_counter() - due)
                    due = time.perf_counter() + WAIT
                    yield part
                bodies.open = 0

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


def in_threads(deltas: int, threads: int = THREADS) -> list[float]:
    """Read one stream in each thread, all at once. Return the delays of their events."""
    bodies = Bodies(deltas, threads)
    client = sync_client([], transport=bodies.transport())

    def read() -> None:
        for _ in client.messages.create(stream=True, **REQUEST):
            pass

    readers = [threading.Thread(target=read) for _ in range(threads)]
    for one in readers:
        one.start()
    for one in readers:
        one.join()
    return bodies.delays


def in_tasks(deltas: int, tasks: int = TASKS) -> list[float]:
    """Read one stream in each task of one event loop, all at once. Return the delays of their events."""
    bodies = Bodies(deltas, tasks)
    client = async_client([], transport=bodies.transport())

    async def read() -> None:
        async for _ in await client.messages.create(stream=True, **REQUEST):
            pass

    async def read_all() -> None:
        await asyncio.gather(*(read() for _ in range(tasks)))

    asyncio.run(read_all())
    return bodies.delays


LOADS: tuple[tuple[str, Callable[[int], list[float]], int], ...] = (
    (f"p99 of an event, {FEW_THREADS} threads", functools.partial(in_threads, threads=FEW_THREADS), 100),
    (f"p99 of an event, {THREADS} threads", in_threads, 100),
    (f"p99 of an event, {TASKS} async streams", in_tasks, 30),
)


def measure(rounds: int = 5) -> list[Result]:
    """Return the ratio of the 99th percentiles for each load."""
    instrumentor, real, found = ClaudeStreamInstrumentor(), providers(), []
    for name, read, deltas in LOADS:
        base, shares, ratios = [], [], []
        for number in range(rounds):
            took = {}
            for variant in ("bare", "on") if number % 2 else ("on", "bare"):
                if variant == "on":
                    instrumentor.instrument(skip_dep_check=True, **real)
                used, began = time.process_time(), time.perf_counter()
                took[variant] = percentile(read(deltas), 0.99)
                share = (time.process_time() - used) / (time.perf_counter() - began)
                if variant == "on":
                    instrumentor.uninstrument()
                else:
                    base.append(took[variant] * 1e3)
                    shares.append(share)
            ratios.append(took["on"] / took["bare"])
        note = f"{spread(base).median:.1f} ms with the bare SDK, at {spread(shares).median:.0%} of a processor"
        found.append(Result(name, spread(ratios), TARGET, note))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    for result in measure(parser.parse_args().rounds):
        print(result, flush=True)


if __name__ == "__main__":
    main()
