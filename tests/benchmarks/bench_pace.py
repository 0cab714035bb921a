"""CPU time of streams at the pace of a real wire, as a ratio to the bare SDK.

The transport waits 2 ms before each event. Meanwhile the caches of the processor lose the code and data of the
instrumentation. An event then costs several times what it costs in a tight loop.

The lower bound for any instrumentation that measures gaps is the bare SDK with a transport that records one histogram
of OpenTelemetry after each wait. `gaps=none` shows the rest of this package.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from typing import Any

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # measure without the SDK's own tracing

from tests.benchmarks.bench_floor import GAPS, Work, gaps
from tests.benchmarks.measure import Result, interleaved, providers, spread, warm_cpu, with_settings
from tests.support.memory_api import WAYS, Before, chunks, reader

DELTAS = 100
WAIT = 0.002
TARGET = 1.10


def waits(way: str, record: Work | None = None) -> Before:
    """Return what waits before each chunk of a stream that is read in this way, and then calls `record`."""

    def wait() -> None:
        time.sleep(WAIT)
        if record is not None:
            record()

    async def wait_async() -> None:
        await asyncio.sleep(WAIT)
        if record is not None:
            record()

    return wait if way.startswith("sync") else wait_async


def measure(rounds: int = 9) -> list[Result]:
    """Return the ratio of each way."""
    real: dict[str, Any] = providers()
    record = gaps(real["meter_provider"].get_meter("floor"), GAPS[0])
    found = []
    for way in WAYS:
        plain, recording = (
            warm_cpu(reader(way, chunks(DELTAS), waits(way, work)), 1, DELTAS, reader(way, chunks(10)))
            for work in (None, record)
        )
        took = interleaved(
            {
                "bare": plain,
                "on": with_settings(plain, real),
                "path": with_settings(plain, {**real, "gaps": "none"}),
                "record": recording,
            },
            rounds,
        )
        ratios = {name: spread([one[name] / one["bare"] for one in took]) for name in took[0]}
        note = f"x{ratios['record'].median:.2f} with one record for each event alone; "
        note += f"x{ratios['path'].median:.2f} without the histogram of gaps; "
        note += f"{spread([one['bare'] for one in took]).median:.0f} us with the bare SDK"
        found.append(Result(f"real pace, {way}", ratios["on"], TARGET, note))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    for result in measure(parser.parse_args().rounds):
        print(result, flush=True)


if __name__ == "__main__":
    main()
