"""CPU time of streams at the pace of a real wire, as a ratio to the bare SDK.

The transport waits 2 ms before each event. Meanwhile the caches of the processor lose the code and data of the
instrumentation. An event then costs several times what it costs in a tight loop.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # measure without the SDK's own tracing

from tests.benchmarks.measure import Result, compare_all, providers, spread
from tests.support.memory_api import WAYS, Before, chunks, reader

DELTAS = 100
WAIT = 0.002
TARGET = 1.10


def waits(way: str) -> Before:
    """Return what waits before each chunk of a stream that is read in this way."""
    return (lambda: time.sleep(WAIT)) if way.startswith("sync") else (lambda: asyncio.sleep(WAIT))


def measure(rounds: int = 9, **settings: object) -> list[Result]:
    """Return the ratio of each way."""
    real = providers()
    found = []
    for way in WAYS:
        work = reader(way, chunks(DELTAS), waits(way))
        variants = {"bare": None, "on": {**real, **settings}, "path": {**real, "gaps": "none"}}
        took = compare_all(work, variants, rounds=rounds, times=1, unit=DELTAS)
        found.append(
            Result(
                f"real pace, {way}",
                spread([one["on"] / one["bare"] for one in took]),
                TARGET,
                f"x{spread([one['path'] / one['bare'] for one in took]).median:.2f} without the histogram of gaps; "
                f"{spread([one['bare'] for one in took]).median:.0f} us with the bare SDK",
            )
        )
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    for result in measure(parser.parse_args().rounds):
        print(result, flush=True)


if __name__ == "__main__":
    main()
