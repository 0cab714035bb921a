"""A small incident in simulated time: the budget holds, whatever the API does, and all is well again afterwards."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import pytest
from tests.benchmarks.incident import NO_BUDGET, OWN, Course, Incident, lines, simulate

from otel_claude_stream._core.retry.policy import Jitter, RetryPolicy
from otel_claude_stream._telemetry import schema

SMALL = Incident(users=30, healthy=30.0, overloaded=120.0, end=190.0, capacity=20.0, reduced=0.5, answer=6.0, pause=5.0)

_names = (f"small-{number}" for number in itertools.count())
"""A host of its own for each run: budgets are those of the process."""


@functools.cache
def run(policy: RetryPolicy, seed: int = 1) -> Course:
    return simulate(next(_names), SMALL, policy, seed=seed)


@pytest.mark.parametrize("seed", [1, 2])
def test_retries_are_a_share_of_the_calls(seed: int) -> None:
    """In every window of the budget: a fifth of the calls that began in it, and the floor. Those of a second either
    side may fall in or out, as the counts here are by the second.
    """
    course, budget = run(OWN, seed), OWN.budget
    assert course.amplification("healthy") == 1.0
    assert course.total("failed", "overloaded") > 100
    window = int(budget.window)
    for start in range(len(course.seconds)):
        part = course.seconds[start : start + window]
        around = course.seconds[max(0, start - 1) : start + window + 1]
        retries = sum(second.requests for second in part) - sum(second.calls for second in part)
        assert retries <= budget.ratio * sum(second.calls for second in around) + budget.min_per_window
    floor = budget.min_per_window * (SMALL.overloaded - SMALL.healthy) / budget.window
    carried = budget.ratio * course.total("calls", "healthy")  # calls before the incident allow retries in it
    overloaded = course.total("calls", "overloaded")
    assert course.amplification("overloaded") <= 1.2 + (floor + budget.min_per_window + carried) / overloaded
    assert course.total("requests", "overloaded") > overloaded  # and it does retry


def test_without_a_budget_the_same_incident_gets_twice_the_requests() -> None:
    """That the test above can fail, and what the budget is for."""
    course = run(replace(OWN, budget=NO_BUDGET))
    assert course.amplification("overloaded") > 2.0
    assert min(second.budget for second in course.seconds if second.budget is not None) > 1000
    assert course.total("completed") <= run(OWN).total("completed") * 1.05  # and they bring nothing


@pytest.mark.parametrize("policy", [OWN, replace(OWN, backoff=replace(OWN.backoff, type=Jitter.NONE))])
def test_all_is_well_again_afterwards(policy: RetryPolicy) -> None:
    course = run(policy)
    recovered = course.recovered_after()
    assert recovered is not None
    assert recovered <= 10
    allowed = [OWN.budget.min_per_window + OWN.budget.ratio * _calls_in_the_last(course, since) for since in (54, 61)]
    left = course.seconds[int(SMALL.end) - 1].budget
    assert left is not None
    assert allowed[0] <= left <= allowed[1]  # all of it; the oldest twelfth of the window is only partly counted


def test_the_telemetry_says_what_the_api_saw() -> None:
    course = run(OWN)
    assert course.counted[schema.REQUESTS.name] == course.total("requests")
    assert course.counted[schema.RETRIES.name] == course.total("requests") - course.total("calls")
    assert course.counted[schema.ABORTS.name] == course.total("failed")
    assert course.counted[schema.ACTIVE.name] == 0


def test_the_same_run_is_the_same() -> None:
    assert run(OWN) == run.__wrapped__(OWN)


def test_the_curve() -> None:
    head, *rows = lines(run(OWN))
    assert "budget" in head
    assert len(rows) == int(SMALL.end) // 10
    assert [row.split()[1] for row in rows] == ["healthy"] * 3 + ["overloaded"] * 9 + ["recovered"] * 7
    assert any("░" in row for row in rows)
    assert "░" not in rows[0]


def _calls_in_the_last(course: Course, seconds: int) -> int:
    end = int(SMALL.end)
    return sum(second.calls for second in course.seconds[end - seconds : end])
