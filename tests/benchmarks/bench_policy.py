"""The cost of a retry policy on a healthy stream, in each mode, and its delay of the first delta.

Run: python -m tests.benchmarks.bench_policy
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
import timeit
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Literal, cast

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # measure without the SDK's own tracing

from tests.benchmarks.measure import compare_all, cpu, differences, providers, spread
from tests.support.memory_api import FIRST_DELTA, REQUEST, WAYS, chunks, reader, sync_client

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._core.retry.concurrency import Limiters
from otel_claude_stream._core.retry.policy import AUTO, Concurrency, Mode, RetryPolicy
from otel_claude_stream._sdk.retry.driver_async import frames_async
from otel_claude_stream._sdk.retry.driver_sync import frames_sync
from otel_claude_stream._sdk.retry.flow import RetryFlow
from otel_claude_stream._session.attempts import Attempts
from otel_claude_stream._session.permits import CallPermits

EVENTS = 5000


def variants() -> dict[str, dict[str, object] | None]:
    """Return the arguments of `instrument()` for each variant, None for the bare SDK.

    All variants share providers as in production.
    """
    real = providers()
    modes: dict[str, dict[str, object] | None] = {
        mode.value: {**real, "retry_policy": RetryPolicy(mode=mode)} for mode in Mode
    }
    return {"bare": None, **modes}


def first_delta_us(repeats: int) -> list[float]:
    """Measure the microseconds from the arrival of the first delta until the caller has it."""
    sent_at: list[int] = []
    client = sync_client(chunks(20), lambda: sent_at.append(time.perf_counter_ns()))
    took = []
    for _ in range(repeats):
        sent_at.clear()
        with client.messages.create(stream=True, **REQUEST) as stream:
            for event in stream:
                if event.type == "content_block_delta":
                    took.append((time.perf_counter_ns() - sent_at[FIRST_DELTA]) / 1e3)
                    break
    return took


class Frame:
    """The part of a frame that the driver uses."""

    event = "content_block_delta"


class Through:
    """A gate that lets all frames through, as after the first content."""

    passthrough = True
    message_complete = True


class Idle:
    """A recovery with nothing to do, as on a healthy stream."""

    gate = Through()
    response = None


async def _frames(frames: list[Frame]) -> AsyncIterator[Frame]:
    for frame in frames:
        yield frame


async def _drained(frames: AsyncIterator[Frame]) -> None:
    async for _ in frames:
        pass


def driver_us(rounds: int) -> dict[str, list[float]]:
    """Microseconds that the driver of a recovery, and nothing else, adds to each frame of a burst."""
    frames, through, loop = [Frame()] * EVENTS, cast("RetryFlow", Idle()), asyncio.new_event_loop()
    found: dict[str, list[float]] = {"sync": [], "async": []}
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "sync": (
            lambda: deque(iter(frames), maxlen=0),
            lambda: deque(frames_sync(iter(frames), None, through), maxlen=0),
        ),
        "async": (
            lambda: loop.run_until_complete(_drained(_frames(frames))),
            lambda: loop.run_until_complete(_drained(frames_async(_frames(frames), None, through))),
        ),
    }
    for _ in range(rounds):
        for name, (bare, driven) in pairs.items():
            found[name].append((cpu(driven, 3) - cpu(bare, 3)) / EVENTS * 1e6)
    loop.close()
    return found


def permit(most: int | Literal["auto"]) -> Callable[[], None]:
    """Return what the limit on open requests does for a call that gets a permit at once."""
    limiters, concurrency, attempts = Limiters(), Concurrency(max=most), Attempts(0, None)

    def call() -> None:
        permits = CallPermits(limiters, ("api", "claude", ()), concurrency, time.perf_counter_ns, lambda *_: None)
        assert permits.ask(attempts)
        permits.accepted()
        assert permits.outcome.wait == 0.0
        permits.leave()

    return call


def permit_us(most: int | Literal["auto"], rounds: int, calls: int = 2000) -> list[float]:
    """Microseconds that a permit adds to a call."""
    return [timeit.timeit(permit(most), timer=time.process_time, number=calls) / calls * 1e6 for _ in range(rounds)]


def _with(settings: dict[str, object] | None, work: Callable[[], list[float]]) -> list[float]:
    if settings is None:
        return work()
    instrumentor = ClaudeStreamInstrumentor()
    instrumentor.instrument(skip_dep_check=True, **settings)
    try:
        return work()
    finally:
        instrumentor.uninstrument()


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="measure only the ways to read whose name starts with this")
    arguments = parser.parse_args()
    compared = variants()
    print("us per event of a healthy stream, median [middle half]; target: retry and resume within +0.5 of observe")
    print(f"{'way':14}{'bare':>8}   {'observe - bare':>24}   {'retry - observe':>24}   {'resume - observe':>24}")
    for way in WAYS:
        if way.startswith(arguments.only):
            rounds = compare_all(reader(way, chunks(EVENTS)), compared, rounds=arguments.rounds, times=2, unit=EVENTS)
            bare = spread([took["bare"] for took in rounds]).median
            pairs = (("observe", "bare"), ("retry", "observe"), ("resume", "observe"))
            shown = "   ".join(f"{differences(rounds, *pair)!s:>24}" for pair in pairs)
            print(f"{way:14}{bare:8.2f}   {shown}", flush=True)
    print("\nus per event added by the driver of a recovery alone, median [middle half]")
    for name, values in driver_us(arguments.rounds).items():
        print(f"{name:14}{spread(values)!s:>24}", flush=True)
    print("\nus per call added by a permit (`concurrency`), median [middle half]; target: at most 5")
    for most in (AUTO, 8):
        print(f"{most!s:14}{spread(permit_us(most, arguments.rounds))!s:>24}", flush=True)
    print("\nus from the wire to the caller for the first delta, median [middle half]; retry and resume deliver events")
    print("before it at the same time, so this includes their decoding")
    found: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(arguments.rounds):
        for name, settings in compared.items():
            found[name] += _with(settings, lambda: first_delta_us(20))
    for name, took in found.items():
        print(f"{name:14}{spread(took)!s:>24}", flush=True)


if __name__ == "__main__":
    main()
