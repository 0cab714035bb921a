"""All targets for the overhead, each as a ratio to another figure of the same run.

Run: python -m tests.benchmarks.bench_targets [--rounds 9]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # measure without the SDK's own tracing

from opentelemetry import trace
from tests.benchmarks import bench_floor, bench_footprint, bench_load, bench_pace
from tests.benchmarks.bench_events import stepped_clock
from tests.benchmarks.bench_native import reader_with_tracing
from tests.benchmarks.measure import Result, Spread, compare_all, differences, interleaved, providers, spread, warm_cpu
from tests.benchmarks.measure import with_settings as on
from tests.support.memory_api import WAYS, chunks, reader

BURST_US = {"sync_create": 1.0, "sync_stream": 1.7, "async_create": 1.5, "async_stream": 2.5}
RECORDS = {"sync_create": 1.5, "sync_stream": 2.0, "async_create": 2.0, "async_stream": 2.0}
"""The most that an event after a wait may cost, in calls of `Histogram.record`."""

MANY = 5
"""How many more rounds the measurements have that take tens of milliseconds. A shared machine disturbs single ones."""

Plain = dict[str, Any]


def bursts(real: Plain, rounds: int) -> Iterator[Result]:
    """Measure an event of a burst."""
    for way, target in BURST_US.items():
        work = reader(way, chunks(3000))
        variants = {"bare": None, "on": real}
        short = reader(way, chunks(10))
        took = compare_all(work, variants, rounds=MANY * rounds, times=1, unit=3000, warm_up=short)
        note = f"{spread([one['bare'] for one in took]).median:.0f} us with the bare SDK"
        yield Result(f"burst, {way}", differences(took, "on", "bare"), target, note, "us")


def waits(real: Plain, rounds: int) -> Iterator[Result]:
    """Measure an event after a wait of a clock that is set by hand, against one `Histogram.record` in a row."""
    record = bench_floor.gaps(real["meter_provider"].get_meter("floor"), bench_floor.GAPS[0])
    for way, target in RECORDS.items():
        with stepped_clock() as clock:
            short = reader(way, chunks(10), clock.step)
            measure = warm_cpu(reader(way, chunks(1000), clock.step), 1, 1000, short)
            took = interleaved(
                {"bare": measure, "on": on(measure, real), "record": warm_cpu(record, 500, 1)},
                MANY * rounds,
            )
        base = spread([one["record"] for one in took])
        yield Result(
            f"after a wait, {way}",
            _relative(differences(took, "on", "bare"), base),
            target,
            f"one record {base.median:.1f} us",
        )


def short_streams(real: Plain, rounds: int) -> Iterator[Result]:
    """Measure a stream of ten deltas and its first event, against what the SDK's own tracing adds to the stream.

    The calls of OpenTelemetry's SDK for the span and the measurements of such a stream are a lower bound. The SDK's own
    tracing records neither metrics nor events, so the span of this package is measured without them too.
    """
    trace.set_tracer_provider(real["tracer_provider"])
    span, metrics = bench_floor.recorded_telemetry(10)
    spans = bench_floor.spans(real["tracer_provider"].get_tracer("floor"), span)
    records = bench_floor.records(real["meter_provider"].get_meter("floor"), metrics)
    first = lambda: spread(bench_footprint.first_event_us(10)).median  # noqa: E731 - a measurement
    for way in WAYS:
        plain, native = (warm_cpu(reader_with_tracing(way, 10, on=tracing), 10, 1) for tracing in (False, True))
        took = interleaved(
            {
                "bare": plain,
                "on": on(plain, real),
                "native": native,
                "span": on(plain, {**real, "metrics": False, "events": "none"}),
                "floor": warm_cpu(lambda: (spans(), records()), 50, 1),
                "first bare": first,
                "first on": on(first, real),
            },
            MANY * rounds,
        )
        added = differences(took, "native", "bare")
        note = f"the SDK's own tracing adds {added.median:.0f} us; OpenTelemetry's calls alone are "
        note += f"x{spread([one['floor'] for one in took]).median / added.median:.2f}, "
        note += f"and this package's span alone is x{differences(took, 'span', 'bare').median / added.median:.2f}"
        yield Result(f"ten deltas, {way}", _relative(differences(took, "on", "bare"), added), 1.0, note)
        if way == WAYS[0]:
            delay = differences(took, "first on", "first bare")
            yield Result("first event, sync_create", _relative(delay, added), 0.5, f"{delay.median:.0f} us")


def _relative(value: Spread, base: Spread) -> Spread:
    """Return a spread relative to a median. Ratios of single differences would vary more than either of them."""
    if base.median <= 0:  # noise; no ratio is within a target then
        return Spread(float("nan"), float("nan"), float("nan"))
    return Spread(value.median / base.median, value.least / base.median, value.most / base.median)


def memory() -> Iterator[Result]:
    """Measure the memory of an open stream."""
    _, added = bench_footprint.memory_of(10)
    ratio = added / bench_footprint.TARGET
    yield Result("open stream, of 8 KiB", Spread(ratio, ratio, ratio), 1.0, f"{added:.0f} bytes")


def measure(rounds: int) -> Iterator[Result]:
    """Measure everything, one figure after the other."""
    real: Plain = providers()
    yield from bench_pace.measure(rounds)
    yield from waits(real, rounds)
    yield from bursts(real, rounds)
    yield from short_streams(real, rounds)
    yield from bench_load.measure(rounds)
    yield from memory()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    results = []
    for result in measure(parser.parse_args().rounds):
        print(result, flush=True)
        results.append(result)
    print(f"{sum(result.met for result in results)} of {len(results)} targets are met")


if __name__ == "__main__":
    main()
