"""CPU time for each event and each stream, in bursts, paced streams and short streams."""

from __future__ import annotations

import argparse
import os

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


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    real = providers()
    print(f"{'':8}{'way':14}{'bare us':>26}   {'added us, median [middle half]':>34}   target")
    for way in WAYS:
        if way.startswith(arguments.only):
            base, added = compare(reader(way, chunks(5000)), rounds=arguments.rounds, times=3, settings=real, unit=5000)
            print(f"{'burst':8}{way:14}{base!s:>26}   {added!s:>34}   +1.0 per event", flush=True)
    for name, gaps in (("paced", "both"), ("one", "claude_stream")):  # each gap in two histograms, or in one
        for way in WAYS:
            if way.startswith(arguments.only):
                clock = SteppedClock()
                original = _instrumentor.CLOCK
                _instrumentor.CLOCK = clock
                work = reader(way, chunks(1000), clock.step)
                base, added = compare(
                    work, rounds=arguments.rounds, times=3, settings={**real, "gaps": gaps}, unit=1000
                )
                _instrumentor.CLOCK = original
                print(f"{name:8}{way:14}{base!s:>26}   {added!s:>34}   +9 per event", flush=True)
    for way in WAYS:
        if way.startswith(arguments.only):
            base, added = compare(reader(way, chunks(10)), rounds=arguments.rounds, times=100, settings=real, unit=1)
            print(f"{'short':8}{way:14}{base!s:>26}   {added!s:>34}   +250 per stream", flush=True)


if __name__ == "__main__":
    main()
