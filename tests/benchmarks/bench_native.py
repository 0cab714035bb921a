"""The cost of the SDK's own tracing on the same streams, for comparison."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import anthropic
from opentelemetry import trace
from tests.benchmarks.measure import cpu, providers, spread
from tests.support.memory_api import WAYS, chunks, reader

ROUNDS = 11
SWITCH = "ANTHROPIC_OPEN_TELEMETRY"


def reader_with_tracing(way: str, deltas: int, *, on: bool) -> Callable[[], int]:
    """Return a reader whose client has the SDK's tracing on or off, which is fixed when the client is created."""
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = str(on).lower()
    try:
        return reader(way, chunks(deltas))
    finally:
        if before is None:
            del os.environ[SWITCH]
        else:
            os.environ[SWITCH] = before


def main() -> None:
    """Measure and print."""
    if not hasattr(anthropic.Anthropic, "_gen_ai_provider_name"):
        print(f"anthropic {anthropic.__version__} has no tracing")
        return
    real: dict[str, Any] = providers()
    trace.set_tracer_provider(real["tracer_provider"])
    for name, deltas, times, unit in (("burst", 5000, 2, 5000), ("short", 10, 100, 1)):
        for way in WAYS:
            works = {on: reader_with_tracing(way, deltas, on=on) for on in (False, True)}
            added = []
            for number in range(ROUNDS):
                took = {}
                for on in (False, True) if number % 2 else (True, False):
                    works[on]()
                    took[on] = cpu(works[on], times) / unit * 1e6
                added.append(took[True] - took[False])
            print(f"{name:8}{way:14}{'':26}   {spread(added)!s:>34}   the SDK's own tracing", flush=True)


if __name__ == "__main__":
    main()
