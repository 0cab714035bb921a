"""Compare ways of retrying in a simulated incident with 200 users and two minutes of overload.

The SDK and the policy are real. The last column is what `otel-claude-stream simulate` reports for the same incident.

Run: python -m tests.benchmarks.bench_incident
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # the SDK's own tracing is not part of the simulation

from tests.benchmarks.incident import NO_BUDGET, REPLACE_SDK_RETRIES, simulate_with_the_sdk

from otel_claude_stream._core.retry.policy import Mode, RetryPolicy
from otel_claude_stream.cli.simulate.course import chart_lines
from otel_claude_stream.cli.simulate.incidents import OVERLOAD
from otel_claude_stream.cli.simulate.simulation import simulate

VARIANTS = (
    ("observe", "the retries of the SDK only (max_retries=2)", RetryPolicy()),
    ("keep", "mode retry, sdk_retries keep, where the SDK's retries use the budget too", RetryPolicy(Mode.RETRY)),
    ("unlimited", "mode retry, sdk_retries replace, without a budget", replace(REPLACE_SDK_RETRIES, budget=NO_BUDGET)),
    (
        "replace",
        "mode retry, sdk_retries replace, the default budget: 20 % of the calls, and 6 a minute",
        REPLACE_SDK_RETRIES,
    ),
)
TARGET = 1.2


def main() -> None:
    """Print a chart for each way of retrying, and a table of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"one of {', '.join(name for name, _, _ in VARIANTS)}")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    incident, done = replace(OVERLOAD, users=200), []
    for name, title, policy in VARIANTS:
        if arguments.only in ("", name):
            started = time.perf_counter()
            course = simulate_with_the_sdk(f"{name}-{arguments.seed}", incident, policy, seed=arguments.seed)
            done.append((name, course, simulate(incident, policy, seed=arguments.seed).amplification("incident")))
            print(f"\n-- {title} ({time.perf_counter() - started:.0f} s)")
            print("\n".join(chart_lines(course)), flush=True)
    print(
        f"\nDuring the incident; amplification is HTTP requests for each call, target at most {TARGET} plus the minimum"
    )
    print(f"{'':10}  amplification  calls  requests  served  failed  recovered after  amplification in the command")
    for name, course, modelled in done:
        calls, requests, completed, failed = (
            course.total(figure, "incident") for figure in ("calls", "requests", "completed", "failed")
        )
        after = course.recovered_after()
        print(
            f"{name:10}  {course.amplification('overloaded'):13.2f}  {calls:5}  {requests:8}  {completed:6}  {failed:6}"
            f"  {'never' if after is None else f'{after} s':>15}  {modelled:28.2f}"
        )


if __name__ == "__main__":
    sys.exit(main())
