"""Bytecodes of an event in a burst in each mode of the policy, which do not depend on the load of the machine.

It counts neither time in C nor caches.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # measure without the SDK's own tracing

from tests.benchmarks.bench_events import stepped_clock
from tests.benchmarks.bench_policy import variants
from tests.benchmarks.measure import with_settings
from tests.support.memory_api import WAYS, chunks, reader

WARM = 20


def bytecodes(work: Callable[[], object], within: str = "") -> int:
    """Return the number of bytecodes that this thread executes in `work`, in files with `within` in their path."""
    found = 0

    def enter(frame: FrameType, _: str, __: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return step if within in frame.f_code.co_filename else None

    def step(_: FrameType, event: str, __: Any) -> Any:
        nonlocal found
        found += event == "opcode"
        return step

    before = sys.gettrace()
    gc.collect()
    gc.disable()  # a collection empties caches of the SDK, which are filled again
    try:
        for _ in range(WARM):
            work()
        sys.settrace(enter)
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    return found


def per_event(way: str, settings: Mapping[str, object] | None, lengths: tuple[int, int] = (20, 60)) -> float:
    """Return the bytecodes of an event in a burst, from the difference between two lengths of a stream.

    The clock stands still, so no event is one after a wait. `settings` are the arguments of `instrument()`, or None for
    the bare SDK.
    """
    totals = []
    for deltas in lengths:
        work = reader(way, chunks(deltas))
        with stepped_clock():
            totals.append(with_settings(lambda work=work: float(bytecodes(work)), settings)())
    return (totals[1] - totals[0]) / (lengths[1] - lengths[0])


def main() -> None:
    """Measure and print."""
    modes = variants()
    for way in WAYS:
        counts = {mode: per_event(way, settings) for mode, settings in modes.items()}
        added = "".join(f"{counts[mode] - counts['bare']:+7.1f} in mode {mode}" for mode in modes if mode != "bare")
        print(f"burst   {way:14}{counts['bare']:8.1f} for an event with the bare SDK   {added}", flush=True)


if __name__ == "__main__":
    main()
