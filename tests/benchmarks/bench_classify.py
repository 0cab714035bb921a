"""The cost of one classification, which runs once for each stream and should take less than 50 microseconds.

Run: python -m tests.benchmarks.bench_classify
"""

from __future__ import annotations

import statistics
import timeit

from tests.support import chains

from otel_claude_stream._core.diagnosis.classify import classify
from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.vocabulary import Phase, Stop

TARGET = 50.0
ROUNDS, CALLS = 15, 2000

_CUT = Facts(
    Stop.RAISED,
    Phase.STREAMING,
    chains.CHUNKED_BODY_CUT,
    status=200,
    content_type="text/event-stream",
    has_request_id=True,
    headers={"server": "nginx/1.22.1", "via": "1.1 lab"},
    events=200,
    bytes=40_000,
    elapsed=95.0,
    time_to_headers=0.4,
    silence=60.0,
)
CASES = {
    "completed": Facts(Stop.EXHAUSTED, Phase.FINISHING, status=200, message_delta=True, message_stop=True),
    "closed by the caller": Facts(Stop.CLOSED, Phase.STREAMING, status=200, events=9),
    "cut after 60 s of silence": _CUT,
    "reset, async chain": Facts(Stop.RAISED, Phase.STREAMING, chains.RESET_ASYNC, status=200, events=9, bytes=99),
    "gateway page": Facts(
        Stop.RAISED,
        Phase.AWAITING_RESPONSE,
        chains.STATUS_ERROR,
        status=504,
        time_to_headers=60.0,
        wording="<html>" + "x" * 1900,
    ),
    "last rule": Facts(Stop.RAISED, Phase.STREAMING, chains.fault("xyz.Odd"), status=200, events=9),
}


def measure(facts: Facts) -> list[float]:
    """Return the microseconds for one classification, in each round."""
    timer = timeit.Timer(lambda: classify(facts))
    return [seconds / CALLS * 1e6 for seconds in timer.repeat(ROUNDS, CALLS)]


def main() -> int:
    worst = 0.0
    for name, facts in CASES.items():
        figures = measure(facts)
        median = statistics.median(figures)
        worst = max(worst, median)
        print(f"{name:28} median {median:6.1f} us   spread {min(figures):.1f} - {max(figures):.1f} us")
    print(f"target: below {TARGET:.0f} us; worst median {worst:.1f} us")
    return int(worst >= TARGET)


if __name__ == "__main__":
    raise SystemExit(main())
