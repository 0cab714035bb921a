"""Play random conversations, or read random bodies, and report what differs from what is expected.

A case is defined by its number, so that a finding can be repeated: ``--first 1234 --cases 1``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from tests.fuzz.bodies import BATCH, Bodies
from tests.fuzz.conversations import POLICY, Conversations, ConversationsWithoutSdk

from otel_claude_stream import ClaudeStreamInstrumentor

PROGRESS = 10.0
"""Seconds between two lines of progress."""

Findings = Iterator[tuple[int, list[str]]]
"""The number of each case, or of the last one of a batch, and what was found."""


def conversations(numbers: range, counts: Counter[str], *, without_sdk: bool) -> Findings:
    """Play conversations."""
    instrumentor, played = ClaudeStreamInstrumentor(), ConversationsWithoutSdk() if without_sdk else Conversations()
    instrumentor.instrument(retry_policy=POLICY)
    try:
        for number in numbers:
            result = played.play(number)
            counts["complete"] += result.complete
            counts["continued"] += bool(result.styles)
            counts["continued and complete"] += bool(result.styles) and result.complete
            yield number, [f"conversation {number}: {dict(result.styles)}: {found}" for found in result.violations]
    finally:
        instrumentor.uninstrument()
        played.close()


def bodies(numbers: range) -> Findings:
    """Read bodies with real providers, so that spans and metrics are recorded."""
    read = Bodies()
    providers = {
        "tracer_provider": TracerProvider(shutdown_on_exit=False),
        "meter_provider": MeterProvider(shutdown_on_exit=False),
    }
    try:
        for first in range(numbers.start, numbers.stop, BATCH):
            batch = range(first, min(first + BATCH, numbers.stop))
            yield batch[-1], [f"body {seed}: {found}" for seed, found in read.differences(batch, **providers)]
    finally:
        read.close()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", choices=["conversations", "bodies"])
    parser.add_argument("--cases", type=int, default=100_000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first (default: %(default)s)")
    parser.add_argument("--without-sdk", action="store_true", help="play conversations on the core alone: faster")
    given = parser.parse_args()
    numbers, counts = range(given.first, given.first + given.cases), Counter[str]()
    findings = (
        bodies(numbers) if given.what == "bodies" else conversations(numbers, counts, without_sdk=given.without_sdk)
    )
    shown = begun = time.monotonic()
    for number, found in findings:
        counts["findings"] += len(found)
        for line in found:
            print(line, flush=True)
        if number == numbers[-1] or time.monotonic() - shown > PROGRESS:
            shown, done = time.monotonic(), number - numbers.start + 1
            print(f"{done} of {len(numbers)} in {shown - begun:.0f} s: {dict(counts)}", file=sys.stderr, flush=True)
    return 1 if counts["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
