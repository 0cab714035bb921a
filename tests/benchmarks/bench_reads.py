"""The cost of timing the reads of a body, without the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.benchmarks.measure import cpu, providers, spread
from tests.support.listeners import SilentListener
from tests.support.memory_api import Body, chunks

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.stream.hot_path import ReadMode
from otel_claude_stream._sdk.read.body import TimedBody

READS = 20_000
ROUNDS = 15


def decoding() -> SilentListener:
    """A listener of a body that the SDK decodes."""
    listener = SilentListener()
    listener.hot.read_mode = ReadMode.EVENTS
    return listener


def drain(body: Any) -> None:
    """Read a sync body to its end."""
    for _ in body:
        pass


async def adrain(body: Any) -> None:
    """Read an async body to its end."""
    async for _ in body:
        pass


def measure(name: str, read: Callable[[Any], None]) -> None:
    """Print the cost that timing adds to a read."""
    parts = [chunks(1)[3]] * READS
    base, added = [], []
    for _ in range(ROUNDS):
        bare = cpu(lambda: read(Body(parts)), 1)
        timed = cpu(lambda: read(TimedBody(Body(parts), decoding(), Reply(200))), 1)
        base.append(bare / READS * 1e6)
        added.append((timed - bare) / READS * 1e6)
    print(f"read    {name:6}  bare {spread(base)} us   added {spread(added)} us   target +0.5 us")


def main() -> None:
    """Measure sync and async."""
    ClaudeStreamInstrumentor().instrument(skip_dep_check=True, **providers())
    loop = asyncio.new_event_loop()
    measure("sync", drain)
    measure("async", lambda body: loop.run_until_complete(adrain(body)))
    loop.close()
    ClaudeStreamInstrumentor().uninstrument()


if __name__ == "__main__":
    main()
