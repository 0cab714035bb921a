"""Bytecodes of a short stream and of an event in a burst, a measure that does not depend on the load of the machine.

It counts neither time in C nor caches. It shows which share OpenTelemetry's SDK has of what this package adds, and how
that compares with the SDK's own tracing. For an event it shows what each mode of the policy adds.
"""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # measure without the SDK's own tracing

from opentelemetry import trace
from tests.benchmarks.bench_events import stepped_clock
from tests.benchmarks.bench_native import reader_with_tracing
from tests.benchmarks.bench_policy import variants
from tests.benchmarks.measure import providers, with_settings
from tests.support.memory_api import WAYS, chunks, reader

WARM = 20
OURS, TELEMETRY, REST = "this package", "OpenTelemetry", "the SDK"


def owner_of(file: str) -> str:
    """Return whose code a file is."""
    if "otel_claude_stream" in file:
        return OURS
    return TELEMETRY if "opentelemetry" in file else REST


def bytecodes(work: Callable[[], object]) -> Counter[str]:
    """Return the bytecodes that this thread executes in `work`, by the owner of the code."""
    found: Counter[str] = Counter()

    def enter(frame: FrameType, _: str, __: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        owner = owner_of(frame.f_code.co_filename)

        def step(_: FrameType, event: str, __: Any) -> Any:
            found[owner] += event == "opcode"
            return step

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
            totals.append(with_settings(lambda work=work: float(bytecodes(work).total()), settings)())
    return (totals[1] - totals[0]) / (lengths[1] - lengths[0])


def main() -> None:
    """Measure and print."""
    real = providers()
    trace.set_tracer_provider(real["tracer_provider"])  # type: ignore[arg-type] # that of the SDK
    for way in WAYS:
        plain, native = (reader_with_tracing(way, 10, on=tracing) for tracing in (False, True))
        found: Counter[str] = Counter()
        with_settings(lambda plain=plain, found=found: float(found.update(bytecodes(plain)) or 0), real)()
        base = bytecodes(plain).total()
        print(
            f"bytes   {way:14}{base:8} with the bare SDK   {found.total() - base:+7} with this package, of which "
            f"OpenTelemetry has {found[TELEMETRY]}   {bytecodes(native).total() - base:+7} with the SDK's own tracing",
            flush=True,
        )
    modes = variants()
    for way in WAYS:
        counts = {mode: per_event(way, settings) for mode, settings in modes.items()}
        added = "".join(f"{counts[mode] - counts['bare']:+7.1f} in mode {mode}" for mode in modes if mode != "bare")
        print(f"burst   {way:14}{counts['bare']:8.1f} for an event with the bare SDK   {added}", flush=True)


if __name__ == "__main__":
    main()
