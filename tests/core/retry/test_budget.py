"""The retry budget, in any window, from any thread, with any clock."""

from __future__ import annotations

import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.budget import (
    BUCKETS,
    MAX_KEYS,
    OVERFLOW,
    RetryBudget,
    RetryBudgets,
    key_of,
)
from otel_claude_stream._core.retry.policy import Budget, Scope

S = 1_000_000_000
BUCKET = 5 * S  # in a window of 60 s
STEPS = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(0, 20 * S) | st.sampled_from([0, 1, BUCKET - 1, BUCKET, 11 * BUCKET, 12 * BUCKET - 1]),
    ),
    max_size=100,
)


def tokens_taken(budget: RetryBudget, now: int, wanted: int) -> int:
    return sum(budget.take(now) for _ in range(wanted))


def test_each_call_adds_its_share():
    budget = RetryBudget(Budget(ratio=0.2, min_per_window=0))
    for _ in range(12):
        budget.count_call(0)
    assert budget.remaining(0) == pytest.approx(2.4)
    assert tokens_taken(budget, 0, 10) == 2


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        (Scope.HOST_MODEL, ("api", "claude", ())),
        (Scope.HOST, ("api", "", ())),
        (Scope.MODEL, ("", "claude", ())),
        (Scope.LABEL, ("", "", (("tenant", "a"),))),
        (Scope.HOST_MODEL_LABEL, ("api", "claude", (("tenant", "a"),))),
        (Scope.PROCESS, ("", "", ())),
    ],
)
def test_the_scope_decides_which_streams_share_a_budget(scope, key):
    assert key_of(scope, "api", "claude", (("tenant", "a"),)) == key


def test_without_calls_the_floor_remains():
    budget = RetryBudget(Budget())
    assert budget.remaining(0) == 6.0
    assert tokens_taken(budget, 0, 10) == 6
    assert budget.remaining(0) == 0.0


def test_an_empty_budget_grants_no_retry():
    budget = RetryBudget(Budget(ratio=0.0, min_per_window=0))
    budget.count_call(0)
    assert not budget.take(0)


def test_a_token_returns_after_the_window():
    budget = RetryBudget(Budget(min_per_window=1, window=60.0))
    assert budget.take(0)
    assert not budget.take(60 * S - 1)
    assert budget.take(65 * S)


def test_calls_older_than_the_window_allow_no_retry():
    budget = RetryBudget(Budget(ratio=1.0, min_per_window=0, window=60.0))
    budget.count_call(0)
    assert budget.remaining(50 * S) == 1.0
    assert budget.remaining(61 * S) == 0.0


def test_a_retry_counts_for_the_whole_window_and_at_most_a_bucket_more():
    """The token is taken at the end of a bucket, with and without activity until the end of the window."""
    for quiet in (True, False):
        budget = RetryBudget(Budget(min_per_window=1, window=60.0))
        assert budget.take(BUCKET - 1)
        for number in range(0 if quiet else 11):
            assert budget.remaining((number + 1) * BUCKET) == 0.0
        assert budget.remaining(BUCKET - 1 + 60 * S) == 0.0
        assert budget.remaining(BUCKET + 60 * S) == 1.0


def test_a_call_counts_no_longer_than_the_window_under_load():
    budget = RetryBudget(Budget(ratio=1.0, min_per_window=0, window=60.0))
    budget.count_call(0)
    assert [budget.remaining(number * BUCKET) for number in range(30)] == [1.0] * 12 + [0.0] * 18


def test_a_clock_that_goes_back_a_little_keeps_the_counts():
    budget = RetryBudget(Budget(min_per_window=1, window=60.0))
    assert budget.take(100 * S)
    assert not budget.take(70 * S)
    assert not budget.take(100 * S)


def test_a_clock_that_goes_back_by_more_than_the_window_resets_the_counts():
    """Otherwise an empty budget would stay empty until the clock caught up."""
    budget = RetryBudget(Budget(min_per_window=1, window=60.0))
    assert budget.take(10_000 * S)
    assert budget.take(0)
    assert not budget.take(1)


@given(STEPS, st.integers(0, 3), st.floats(0, 1))
def test_no_window_holds_more_retries_than_its_share_and_the_floor(steps, floor, ratio):
    """Checked at each grant, over the window that ends there."""
    window = 60 * S
    budget = RetryBudget(Budget(ratio=ratio, min_per_window=floor, window=60.0))
    now, calls, retries = 0, [], []
    for is_call, step in steps:
        now += step
        if is_call:
            budget.count_call(now)
            calls.append(now)
        elif budget.take(now):
            retries.append(now)
            in_window = sum(at > now - window for at in retries)
            assert in_window <= ratio * sum(at > now - window for at in calls) + floor + 1e-9


@given(STEPS)
def test_exactly_the_remaining_retries_can_be_taken(steps):
    budget = RetryBudget(Budget())
    now = 0
    for is_call, step in steps:
        now += step
        if is_call:
            budget.count_call(now)
        before = budget.remaining(now)
        assert budget.take(now) is (before >= 1.0)


@given(st.lists(st.integers(-(10**19), 10**19), max_size=50))
def test_any_clock_leaves_between_no_and_all_retries(clock):
    budget = RetryBudget(Budget(ratio=1.0))
    for count, now in enumerate(clock, 1):
        budget.count_call(now)
        budget.take(now)
        assert 0.0 <= budget.remaining(now) <= count + 6.0


def test_memory_is_bounded():
    budget = RetryBudget(Budget())
    for now in range(0, 10_000 * S, S):
        budget.count_call(now)
    assert len(budget._calls) == len(budget._retries) == BUCKETS + 1


def test_each_key_has_a_separate_budget():
    budgets, budget = RetryBudgets(threading.RLock), Budget(min_per_window=1)
    assert budgets.take(("a", ""), budget, 0)
    assert not budgets.take(("a", ""), budget, 0)
    assert budgets.take(("b", ""), budget, 0)
    budgets.count_call(("c", ""), budget, 0)
    assert budgets.remaining(("c", ""), budget, 0) == 1.2
    assert budgets.remaining_by_key(0) == [(("a", ""), 0.0), (("b", ""), 0.0), (("c", ""), 1.2)]


def test_different_policies_count_apart_and_the_gauge_shows_the_least():
    budgets, key = RetryBudgets(threading.RLock), ("a", "")
    assert budgets.take(key, Budget(min_per_window=1), 0)
    assert budgets.take(key, Budget(min_per_window=5), 0)
    assert budgets.remaining_by_key(0) == [(key, 0.0)]


def test_too_many_keys_share_one_budget():
    budgets, budget = RetryBudgets(threading.RLock), Budget(min_per_window=1)
    for number in range(MAX_KEYS):
        assert budgets.take((str(number), ""), budget, 0)
    assert budgets.take(("late", ""), budget, 0)
    assert not budgets.take(("later", ""), budget, 0)
    assert not budgets.take(("other rate", ""), Budget(min_per_window=9), 0)
    assert not budgets.take(("0", ""), budget, 0)
    assert len(budgets.remaining_by_key(0)) == MAX_KEYS + 1
    assert budgets.remaining_by_key(0)[-1] == (OVERFLOW, 0.0)


def test_a_forked_child_starts_again_even_if_the_lock_was_held():
    budgets, budget = RetryBudgets(threading.Lock), Budget(min_per_window=1)
    assert budgets.take(("a", ""), budget, 0)
    budgets._lock.__enter__()  # another thread of the parent was counting when it forked
    budgets.reset()
    assert budgets.take(("a", ""), budget, 0)


@pytest.mark.skipif(sys.platform == "emscripten", reason="a Python for Node cannot start threads")
def test_threads_together_take_no_more_than_the_budget():
    budgets, budget, granted = RetryBudgets(threading.RLock), Budget(min_per_window=500), []

    def work():
        granted.append(sum(budgets.take(("a", ""), budget, 0) for _ in range(200)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 500
