"""What a policy costs a healthy stream: modes retry and resume against observe and the bare SDK, and the first delta.

Run: python -m tests.benchmarks.bench_policy
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import cast

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # bare means bare: without the SDK's own tracing

from tests.benchmarks.measure import compare_all, cpu, differences, providers, spread
from tests.support.memory_api import FIRST_DELTA, REQUEST, WAYS, chunks, reader, sync_client

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy
from otel_claude_stream._sdk.retry.driver_async import frames_async
from otel_claude_stream._sdk.retry.driver_sync import frames_sync
from otel_claude_stream._sdk.retry.flow import RetryFlow

EVENTS = 5000


def variants() -> dict[str, dict[str, object] | None]:
    """What `instrument()` is given in each, None for the bare SDK; providers as in production, and the same for all."""
    real = providers()
    modes: dict[str, dict[str, object] | None] = {
        mode.value: {**real, "retry_policy": RetryPolicy(mode=mode)} for mode in Mode
    }
    return {"bare": None, **modes}


def first_delta_us(repeats: int) -> list[float]:
    """Microseconds from the moment that the wire hands over the first delta until the caller has it, each time anew."""
    handed: list[int] = []
    client = sync_client(chunks(20), lambda: handed.append(time.perf_counter_ns()))
    took = []
    for _ in range(repeats):
        handed.clear()
        with client.messages.create(stream=True, **REQUEST) as stream:
            for event in stream:
                if event.type == "content_block_delta":
                    took.append((time.perf_counter_ns() - handed[FIRST_DELTA]) / 1e3)
                    break
    return took


class Frame:
    """A frame of a burst, as the driver sees one."""

    event = "content_block_delta"


class Through:
    """A gate that the first content has passed: the driver asks it for nothing more."""

    passthrough = True
    message_complete = True


class Idle:
    """A recovery with nothing to do."""

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
    """Run and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="ways to read whose name begins so")
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
    print("\nus per event that the driver of a recovery adds by itself, median [middle half]")
    for name, values in driver_us(arguments.rounds).items():
        print(f"{name:14}{spread(values)!s:>24}", flush=True)
    print(
        "\nus from the wire to the caller for the first delta, median [middle half]; retry and resume release what came"
    )
    print("before it only now, so the SDK decodes that in this time")
    found: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(arguments.rounds):
        for name, settings in compared.items():
            found[name] += _with(settings, lambda: first_delta_us(20))
    for name, took in found.items():
        print(f"{name:14}{spread(took)!s:>24}", flush=True)


if __name__ == "__main__":
    main()
