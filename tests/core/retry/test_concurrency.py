"""The bounds and the order of the concurrency limiter, and permits that are returned whatever happens."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.diagnosis.classify import Diagnosis, Verdict
from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.retry.budget import MAX_KEYS, OVERFLOW
from otel_claude_stream._core.retry.concurrency import (
    DECREASE,
    QUIET_NS,
    AdaptiveLimit,
    Limiter,
    Limiters,
    Permit,
    is_pushback,
    longest_wait,
    no_permit,
)
from otel_claude_stream._core.retry.policy import AUTO, MAX_CONCURRENCY, Concurrency
from otel_claude_stream._core.vocabulary import AbortReason, Origin, Outcome, Phase, Stop

S = 1_000_000_000
ACTIONS = ("enter", "anyway", "accept", "reject", "leave", "wait")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS), st.integers(0, 30), st.sampled_from([0, 1, S, QUIET_NS + 1]) | st.integers(0, 20 * S)
    ),
    max_size=200,
)


def lowered(in_flight: int, at: int = S) -> AdaptiveLimit:
    limit = AdaptiveLimit()
    limit.rejected(at, in_flight, 0)
    return limit


def entered(limiter: Limiter, number: int, now: int = 0) -> list[Permit]:
    permits = [Permit() for _ in range(number)]
    for permit in permits:
        limiter.enter(permit, now)
    return permits


# --- The adaptive limit ----------------------------------------------------------------------------------------------
def test_without_a_rejection_the_limit_is_the_ceiling():
    limit = AdaptiveLimit()
    limit.accepted(0, MAX_CONCURRENCY)
    assert limit.value == MAX_CONCURRENCY


def test_a_rejection_lowers_the_limit_to_a_share_of_the_open_requests():
    assert lowered(100).value == 100 * DECREASE


def test_rejections_of_requests_from_before_a_decrease_lower_the_limit_once():
    limit = lowered(100, at=5 * S)
    limit.rejected(6 * S, 100, 5 * S - 1)
    assert limit.value == 90.0
    limit.rejected(6 * S, 100, 5 * S)
    assert limit.value == 81.0


def test_a_limit_of_accepted_requests_raises_the_limit_by_one():
    limit = lowered(100)
    for _ in range(90):
        limit.accepted(2 * S, 100)
    assert limit.value == pytest.approx(91.0, abs=0.01)


def test_a_limit_that_is_not_used_does_not_grow():
    limit = lowered(100)
    for at in (2 * S, 100 * S):
        limit.accepted(at, 89)
    assert limit.value == 90.0


def test_the_limit_grows_faster_after_a_while_without_a_rejection():
    limit = lowered(100)
    limit.accepted(S + QUIET_NS, 90)
    assert limit.value < 90.1
    limit.accepted(S + QUIET_NS + 1, 90)
    assert limit.value == pytest.approx(99.0, abs=0.1)


def test_a_clock_that_starts_again_holds_the_limit_neither_up_nor_down():
    limit = lowered(100, at=1000 * S)
    limit.rejected(S, 100, 0)
    assert limit.value == 81.0
    limit = lowered(100, at=1000 * S)
    limit.accepted(S, 90)
    assert limit.value > 94.0


@given(STEPS)
def test_the_limit_stays_within_its_bounds_and_moves_for_its_reasons_only(steps):
    limit, now, decreased_at = AdaptiveLimit(), 0, None
    for action, in_flight, passed in steps:
        now += passed
        before = limit.value
        if action == "reject":
            started = max(0, now - in_flight * S)
            limit.rejected(now, max(1, in_flight), started)
            if limit.value < before:
                assert decreased_at is None or started >= decreased_at
            if decreased_at is None or started >= decreased_at:
                decreased_at = now
            assert limit.value <= before
        else:
            limit.accepted(now, in_flight)
            assert limit.value >= before
            assert limit.value == before or in_flight >= int(before)
        assert 1.0 <= limit.value <= MAX_CONCURRENCY


# --- Permits ---------------------------------------------------------------------------------------------------------
def test_no_more_permits_are_granted_than_the_limit_and_in_the_order_of_arrival():
    limiter, woken = Limiter(Concurrency(max=2)), []
    permits = entered(limiter, 5)
    for number, permit in enumerate(permits):
        permit.wake = lambda number=number: woken.append(number)
    assert [permit.granted for permit in permits] == [True, True, False, False, False]
    assert (limiter.limit, limiter.in_flight, limiter.queued) == (2, 2, 3)
    limiter.leave(permits[1], 1)
    limiter.leave(permits[0], 2)
    assert woken == [2, 3]
    assert permits[3].started == 2


def test_what_wakes_is_called_at_once_if_the_permit_was_granted_before():
    limiter, woken = Limiter(Concurrency(max=1)), []
    first, second = entered(limiter, 2)
    first.wake_by(lambda: woken.append(1))
    second.wake_by(lambda: woken.append(2))
    assert woken == [1]
    limiter.leave(first, 1)
    assert woken == [1, 2]


def test_one_that_leaves_the_queue_is_skipped():
    limiter = Limiter(Concurrency(max=1))
    first, second, third = entered(limiter, 3)
    limiter.leave(second, 1)
    limiter.leave(first, 2)
    assert (second.granted, third.granted, limiter.in_flight, limiter.queued) == (False, True, 1, 0)


def test_a_permit_is_returned_once():
    limiter = Limiter(Concurrency(max=1))
    first, second, third = entered(limiter, 3)
    for _ in range(3):
        limiter.leave(first, 1)
    assert (second.granted, third.granted) == (True, False)


def test_a_permit_that_is_granted_to_one_that_leaves_is_handed_on():
    limiter = Limiter(Concurrency(max=1))
    first, second, third = entered(limiter, 3)
    second.wake = lambda: limiter.leave(second, 1)  # as a task that is cancelled at the same moment
    limiter.leave(first, 1)
    assert (third.granted, limiter.in_flight, limiter.queued) == (True, 1, 0)


def test_one_that_left_gets_no_permit_any_more():
    limiter, permit = Limiter(Concurrency(max=1)), Permit()
    limiter.leave(permit, 0)
    limiter.enter(permit, 1)
    assert not limiter.enter_anyway(permit, 1) or not permit.granted
    assert (permit.granted, limiter.in_flight, limiter.queued) == (False, 0, 0)


def test_in_a_dry_run_nothing_waits_and_the_limit_is_compared():
    limiter = Limiter(Concurrency(max=2))
    assert [limiter.enter_anyway(Permit(), 0) for _ in range(4)] == [True, True, False, False]
    assert (limiter.in_flight, limiter.queued) == (4, 0)


def test_a_fixed_limit_does_not_adapt():
    limiter = Limiter(Concurrency(max=3))
    permits = entered(limiter, 3)
    limiter.rejected(permits[0], 1)
    limiter.accepted(permits[1], 1)
    assert limiter.limit == 3


def test_an_adaptive_limit_grants_nothing_until_the_open_requests_are_fewer():
    limiter = Limiter(Concurrency(max=AUTO))
    permits = entered(limiter, 10)
    limiter.rejected(permits[0], S)
    limiter.leave(permits[0], S)
    [late] = entered(limiter, 1, S)
    assert (limiter.limit, limiter.in_flight, late.granted) == (9, 9, False)
    limiter.leave(permits[1], 2 * S)
    assert late.granted


def test_requests_that_follow_with_the_same_permit_lower_the_limit_again():
    limiter = Limiter(Concurrency(max=AUTO))
    permits = entered(limiter, 100)
    limiter.rejected(permits[0], S)
    limiter.rejected(permits[1], S + 1)  # began before
    assert limiter.limit == 90
    limiter.rejected(permits[0], 2 * S)  # the SDK's second request
    assert limiter.limit == 81


def test_the_answer_to_a_permit_that_was_returned_changes_nothing():
    limiter = Limiter(Concurrency(max=AUTO))
    permits = entered(limiter, 12)
    limiter.leave(permits[0], 1)
    limiter.rejected(permits[0], 2)
    assert limiter.limit == MAX_CONCURRENCY
    limiter.rejected(permits[1], 2)
    limiter.accepted(permits[0], 2 + QUIET_NS + 1)
    assert limiter.limit == 9
    limiter.accepted(permits[1], 2 + QUIET_NS + 1)
    assert limiter.limit == 10


@given(st.sampled_from([1, 2, 7, AUTO]), STEPS)
def test_permits_are_never_lost_and_none_is_free_while_others_wait(most, steps):
    limiter, permits, now = Limiter(Concurrency(max=most)), [], 0
    granted: list[Permit] = []
    for action, number, passed in steps:
        now += passed
        before = limiter.in_flight
        if action in ("enter", "anyway"):
            permits.append(Permit())
            permits[-1].wake = lambda permit=permits[-1]: granted.append(permit)
            if action == "enter":
                limiter.enter(permits[-1], now)
                assert limiter.in_flight <= max(before, limiter.limit)
            else:
                limiter.enter_anyway(permits[-1], now)
        elif permits and action != "wait":
            change = {"accept": limiter.accepted, "reject": limiter.rejected, "leave": limiter.leave}[action]
            change(permits[number % len(permits)], now)
        held = [permit for permit in permits if permit.granted and not permit.returned]
        waiting = [permit for permit in permits if not permit.granted and not permit.returned]
        assert (limiter.in_flight, limiter.queued) == (len(held), len(waiting))
        assert not waiting or limiter.in_flight >= limiter.limit
        assert 1 <= limiter.limit <= (MAX_CONCURRENCY if most == AUTO else most)
    for permit in permits:
        limiter.leave(permit, now)
    assert (limiter.in_flight, limiter.queued) == (0, 0)
    assert granted == sorted(granted, key=permits.index)


def test_a_finaliser_may_return_a_permit_in_the_middle_of_a_change():
    limiter = Limiter(Concurrency(max=1))
    first, second, third, fourth = entered(limiter, 4)

    class Dropped:
        def __del__(self):
            limiter.leave(second, 2)  # as the garbage collector ends a dropped stream

    garbage = [Dropped()]
    second.wake = garbage.clear
    limiter.leave(first, 1)
    assert (second.returned, third.granted, fourth.granted, limiter.in_flight) == (True, True, False, 1)


def test_after_an_interrupt_in_the_middle_of_a_change_permits_are_granted_again():
    limiter = Limiter(Concurrency(max=1))
    first, second, third = entered(limiter, 3)

    def interrupt():
        raise KeyboardInterrupt

    second.wake = interrupt
    with pytest.raises(KeyboardInterrupt):
        limiter.leave(first, 1)
    limiter.leave(second, 2)
    assert (third.granted, limiter.in_flight, limiter.queued) == (True, 1, 0)


def test_another_owner_that_finishes_meanwhile_is_no_error():
    limiter = Limiter(Concurrency(max=1))

    class Finishing(dict[str, object]):
        def setdefault(self, key, default=None):
            return object()  # another thread applies changes, and is done before this one looks again

    limiter._owner = Finishing()
    permit = Permit()
    limiter.enter(permit, 0)
    assert not permit.granted
    limiter._owner = {}
    limiter.enter(Permit(), 1)
    assert permit.granted


def test_threads_share_permits_and_lose_none():
    limiter, failures, most = Limiter(Concurrency(max=3)), [], 0

    def work():
        nonlocal most
        for _ in range(300):
            permit, woken = Permit(), threading.Lock()
            woken.acquire()
            permit.wake = woken.release
            limiter.enter(permit, 0)
            if not woken.acquire(timeout=20):
                failures.append("never granted")
            most = max(most, limiter.in_flight)
            time.sleep(0)
            limiter.leave(permit, 0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
    assert 1 <= most <= 3
    assert (limiter.in_flight, limiter.queued) == (0, 0)


# --- Keys ------------------------------------------------------------------------------------------------------------
def test_a_key_has_one_limiter_for_each_limit():
    limiters, key, fixed = Limiters(), ("api", "claude", ()), Concurrency(max=2)
    assert limiters.limiter(key, fixed) is limiters.limiter(key, Concurrency(max=2))
    assert limiters.limiter(key, fixed) is not limiters.limiter(key, Concurrency(max=3))
    assert limiters.limiter(key, fixed) is not limiters.limiter(("api", "other", ()), fixed)
    assert [key for key, _ in limiters.by_key()] == [key, key, ("api", "other", ())]
    limiters.reset()
    assert limiters.by_key() == []


def test_further_keys_share_a_limiter():
    limiters = Limiters()
    for number in range(MAX_KEYS + 5):
        last = limiters.limiter(("", str(number), ()), Concurrency(max=2))
    assert last is limiters.limiter(("", "another", ()), Concurrency(max=3))
    assert [key for key, _ in limiters.by_key()][MAX_KEYS:] == [OVERFLOW]


# --- Rejections ------------------------------------------------------------------------------------------------------
FACTS = Facts(Stop.RAISED, Phase.AWAITING_RESPONSE)


@pytest.mark.parametrize(
    ("reason", "retry_after", "lowers"),
    [
        (AbortReason.OVERLOADED, None, True),
        (AbortReason.RATE_LIMITED, 3.0, True),
        (AbortReason.RATE_LIMITED, None, False),  # a spend limit
        (AbortReason.API_ERROR, 3.0, False),
    ],
)
def test_an_overload_and_a_rate_limit_lower_the_limit(reason, retry_after, lowers):
    verdict = Verdict(Outcome.FAILED, reason, Origin.ANTHROPIC)
    assert is_pushback(Diagnosis(replace(FACTS, retry_after=retry_after), verdict)) is lowers


# --- The end of a wait ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("deadline", "age", "read_timeout", "name", "left"),
    [
        (None, 0.0, None, "concurrency.queue", 10.0),
        (60.0, 0.0, 600.0, "concurrency.queue", 10.0),
        (60.0, 57.0, 600.0, "limits.deadline", 3.0),
        (60.0, 61.0, None, "limits.deadline", 0.0),
        (60.0, 0.0, 4.0, "the read timeout of the client or the request", 4.0),
        (None, 0.0, -1.0, "the read timeout of the client or the request", 0.0),
    ],
)
def test_the_shortest_limit_ends_a_wait(deadline, age, read_timeout, name, left):
    found = longest_wait(Concurrency(queue=10.0), deadline, age, read_timeout)
    assert (found.name, found.left) == (name, left)


def test_the_message_of_a_call_without_a_permit_names_the_limit_that_ended_its_wait():
    concurrency = Concurrency(max=2, queue=10.0)
    end = "with at most 2 open requests (concurrency.max). Send fewer calls at once, or raise "
    assert no_permit(concurrency, longest_wait(concurrency, None, 0.0, None), 2) == (
        f"No request was sent: no permit became free within concurrency.queue (10s), {end}"
        "concurrency.queue or concurrency.max."
    )
    assert no_permit(concurrency, longest_wait(concurrency, 60.0, 57.0, None), 2) == (
        "No request was sent: no permit became free within limits.deadline (1m), which ends the wait before "
        f"concurrency.queue (10s), {end}limits.deadline or concurrency.max."
    )
