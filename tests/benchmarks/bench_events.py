"""CPU time for each event and each stream, in bursts, paced streams and short streams."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # measure without the SDK's own tracing

from tests.benchmarks.measure import compare, providers
from tests.support.memory_api import WAYS, chunks, reader

from otel_claude_stream import _instrumentor


class SteppedClock:
    """A clock that stands still until the body advances it between events."""

    def __init__(self) -> None:
        self.now = 1_000_000_000

    def __call__(self) -> int:
        return self.now

    def step(self) -> None:
        self.now += 20_000_000


@contextmanager
def stepped_clock() -> Iterator[SteppedClock]:
    """Let streams use a clock that is set by hand."""
    clock, original = SteppedClock(), _instrumentor.CLOCK
    _instrumentor.CLOCK = clock
    try:
        yield clock
    finally:
        _instrumentor.CLOCK = original


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    real = providers()
    print(f"{'':8}{'way':14}{'bare us':>26}   {'added us, median [middle half]':>34}")
    for way in WAYS:
        if way.startswith(arguments.only):
            base, added = compare(reader(way, chunks(5000)), rounds=arguments.rounds, times=3, settings=real, unit=5000)
            print(f"{'burst':8}{way:14}{base!s:>26}   {added!s:>34}", flush=True)
    for name, gaps in (("paced", "claude_stream"), ("both", "both")):  # each gap in one histogram, or in two
        for way in WAYS:
            if way.startswith(arguments.only):
                with stepped_clock() as clock:
                    work = reader(way, chunks(1000), clock.step)
                    base, added = compare(
                        work, rounds=arguments.rounds, times=3, settings={**real, "gaps": gaps}, unit=1000
                    )
                print(f"{name:8}{way:14}{base!s:>26}   {added!s:>34}", flush=True)
    for way in WAYS:
        if way.startswith(arguments.only):
            base, added = compare(reader(way, chunks(10)), rounds=arguments.rounds, times=100, settings=real, unit=1)
            print(f"{'short':8}{way:14}{base!s:>26}   {added!s:>34}", flush=True)


if __name__ == "__main__":
    main()
