"""The retry budget limits retries during a small simulated incident, and allows recovery afterwards."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import pytest
from tests.benchmarks.incident import NO_BUDGET, REPLACE_SDK_RETRIES, simulate_with_the_sdk

from otel_claude_stream._core.retry.policy import Jitter, Mode, RetryPolicy
from otel_claude_stream._telemetry import schema
from otel_claude_stream.cli.simulate.course import Course, chart_lines
from otel_claude_stream.cli.simulate.incidents import OVERLOAD
from otel_claude_stream.cli.simulate.simulation import simulate

SMALL = replace(
    OVERLOAD,
    users=30,
    begins=30.0,
    ends=120.0,
    until=190.0,
    first=1.0,
    deltas=5,
    every=1.0,
    pause=5.0,
    capacity=20 / 30,
    reduced=0.5 / 30,
)

_names = (f"small-{number}" for number in itertools.count())
"""A new host for each run, as the budgets of the process are kept by host."""


@functools.cache
def run(policy: RetryPolicy, seed: int = 1) -> Course:
    return simulate_with_the_sdk(next(_names), SMALL, policy, seed=seed)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_retries_are_limited_to_a_share_of_the_calls(seed: int) -> None:
    """In every window of the budget, retries are at most a fifth of the calls plus the minimum.

    Counts are by the second, so the calls of one more second on either side are included.
    """
    course, budget = run(REPLACE_SDK_RETRIES, seed), REPLACE_SDK_RETRIES.budget
    assert course.amplification("healthy") == 1.0
    assert course.total("failed", "incident") > 100
    window = int(budget.window)
    for start in range(len(course.seconds)):
        part = course.seconds[start : start + window]
        around = course.seconds[max(0, start - 1) : start + window + 1]
        retries = sum(second.requests for second in part) - sum(second.calls for second in part)
        assert retries <= budget.ratio * sum(second.calls for second in around) + budget.min_per_window
    floor = budget.min_per_window * (SMALL.ends - SMALL.begins) / budget.window
    carried = budget.ratio * course.total("calls", "healthy")  # calls before the incident allow retries in it
    calls = course.total("calls", "incident")
    assert course.amplification("incident") <= 1.2 + (floor + budget.min_per_window + carried) / calls
    assert course.total("requests", "incident") > calls  # there are retries


def test_without_a_budget_the_incident_has_twice_the_requests() -> None:
    """This shows the effect of the budget."""
    course = run(replace(REPLACE_SDK_RETRIES, budget=NO_BUDGET))
    assert course.amplification("incident") > 2.0
    assert min(second.budget for second in course.seconds if second.budget is not None) > 1000
    assert (
        course.total("completed") <= run(REPLACE_SDK_RETRIES).total("completed") * 1.05
    )  # without more completed calls


@pytest.mark.parametrize(
    "policy",
    [
        REPLACE_SDK_RETRIES,
        pytest.param(
            replace(REPLACE_SDK_RETRIES, backoff=replace(REPLACE_SDK_RETRIES.backoff, type=Jitter.NONE)),
            marks=pytest.mark.long,
        ),
    ],
)
def test_calls_stop_failing_after_the_incident(policy: RetryPolicy) -> None:
    course = run(policy)
    recovered = course.recovered_after()
    assert recovered is not None
    assert recovered <= 10
    allowed = [
        REPLACE_SDK_RETRIES.budget.min_per_window + REPLACE_SDK_RETRIES.budget.ratio * _calls_in_the_last(course, since)
        for since in (54, 61)
    ]
    left = course.seconds[int(SMALL.until) - 1].budget
    assert left is not None
    assert allowed[0] <= left <= allowed[1]  # the full budget; the oldest twelfth of the window counts partly


def test_the_metrics_match_the_counts_of_the_api() -> None:
    course = run(REPLACE_SDK_RETRIES)
    assert course.counted[schema.REQUESTS.name] == course.total("requests")
    assert course.counted[schema.RETRIES.name] == course.total("requests") - course.total("calls")
    assert course.counted[schema.ABORTS.name] == course.total("failed")
    assert course.counted[schema.ACTIVE.name] == 0


def test_a_simulation_is_reproducible() -> None:
    short = replace(SMALL, begins=5.0, ends=20.0, until=30.0)
    first, second = (simulate_with_the_sdk(next(_names), short, REPLACE_SDK_RETRIES, seed=1) for _ in range(2))
    assert first.total("failed") > 0
    assert first == second


def test_the_chart_has_a_line_for_each_ten_seconds() -> None:
    head, *rows = chart_lines(run(REPLACE_SDK_RETRIES))
    assert "budget" in head
    assert len(rows) == int(SMALL.until) // 10
    assert [row.split()[1] for row in rows] == ["healthy"] * 3 + ["incident"] * 9 + ["recovered"] * 7
    assert any("░" in row for row in rows)
    assert "░" not in rows[0]


def _calls_in_the_last(course: Course, seconds: int) -> int:
    end = int(SMALL.until)
    return sum(second.calls for second in course.seconds[end - seconds : end])


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(RetryPolicy(), marks=pytest.mark.long, id="observe"),
        pytest.param(RetryPolicy(Mode.RETRY), marks=pytest.mark.long, id="keep"),
        pytest.param(REPLACE_SDK_RETRIES, id="replace"),
        pytest.param(replace(REPLACE_SDK_RETRIES, budget=NO_BUDGET), id="unlimited"),
    ],
)
def test_the_command_simulates_what_the_sdk_and_the_policy_do(policy: RetryPolicy) -> None:
    """The command replaces the SDK, the transport and the instrumentation by a model. The policy is the same."""
    real, model = run(policy), simulate(SMALL, policy, seed=1)
    for phase in ("healthy", "incident", "recovered"):
        assert model.amplification(phase) == pytest.approx(real.amplification(phase), rel=0.03)
        for figure in ("calls", "completed", "failed"):
            assert model.total(figure, phase) == pytest.approx(real.total(figure, phase), rel=0.08, abs=8)
    assert abs((model.recovered_after() or 0) - (real.recovered_after() or 0)) <= 5
