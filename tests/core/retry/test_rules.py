"""What holds for each reason: the built-in table, and how a policy's rules lie over it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.policy import Backoff, Jitter, RetryLimits, RetryPolicy, Rule
from otel_claude_stream._core.retry.rules import BUILTIN, CLOSED_TO_RULES, Effective, Veto, rule_for
from otel_claude_stream._core.vocabulary import CALLER_REASONS
from otel_claude_stream._core.vocabulary import AbortReason as R

USUAL = Backoff()
WIRE = Backoff(base=0.25, cap=4.0)
AT_ONCE = Backoff(base=0.0, cap=0.0)
GONE = Effective(False, False, 3, USUAL, False, Veto.FIRM)

DEFAULTS = {
    #                             retry  resume attempts backoff  retry-after
    R.OVERLOADED: Effective(True, True, 3, Backoff(base=1.0, cap=30.0), False),
    R.RATE_LIMITED: Effective(True, False, 3, USUAL, True),
    R.API_ERROR: Effective(True, True, 3, USUAL, False),
    R.TIMEOUT_ERROR: Effective(True, False, 2, USUAL, False),
    R.REQUEST_REJECTED: Effective(True, False, 2, USUAL, False, Veto.SERVER),
    R.STREAM_ERROR: Effective(True, False, 2, USUAL, False),
    R.GATEWAY_ERROR: Effective(True, False, 3, USUAL, False),
    R.BAD_RESPONSE: Effective(False, False, 3, USUAL, False, Veto.RULE),
    R.CONNECT_FAILED: Effective(True, True, 3, WIRE, False),
    R.CONNECTION_CLOSED: Effective(True, True, 3, WIRE, False),
    R.CONNECTION_RESET: Effective(True, True, 3, WIRE, False),
    R.TRUNCATED: Effective(True, True, 3, WIRE, False),
    R.DECODE_ERROR: Effective(False, False, 3, USUAL, False, Veto.RULE),
    R.RESPONSE_TIMEOUT: Effective(True, False, 2, AT_ONCE, False),
    R.FIRST_EVENT_TIMEOUT: Effective(True, False, 2, AT_ONCE, False),
    R.SILENT: Effective(True, True, 2, AT_ONCE, False),
    R.NO_PROGRESS: Effective(True, True, 2, AT_ONCE, False),
    R.CALLER_CLOSED: GONE,
    R.CALLER_ERROR: GONE,
    R.CANCELLED: GONE,
    R.ABANDONED: GONE,
    R.INTERPRETER_EXIT: GONE,
}


@pytest.mark.parametrize("reason", list(R))
def test_without_rules_the_built_in_row_holds(reason):
    assert rule_for(RetryPolicy(), reason) == DEFAULTS[reason]


def test_every_row_says_why():
    assert set(BUILTIN) == set(R)
    assert all(row.why.endswith(".") for row in BUILTIN.values())


def test_a_users_rule_wins_for_the_fields_that_it_says():
    mine = Backoff(Jitter.NONE, base=7.0, cap=9.0)
    policy = RetryPolicy(rules=(Rule(frozenset({R.SILENT}), resume=False, max_attempts=3, backoff=mine),))
    assert rule_for(policy, R.SILENT) == Effective(True, False, 3, mine, False)
    assert rule_for(policy, R.NO_PROGRESS) == DEFAULTS[R.NO_PROGRESS]


def test_every_field_of_a_users_rule_holds():
    rule = Rule(frozenset({R.API_ERROR}), False, False, 1, AT_ONCE, require_retry_after=True)
    assert rule_for(RetryPolicy(rules=(rule,)), R.API_ERROR) == Effective(False, False, 1, AT_ONCE, True)


def test_the_first_rule_that_names_the_reason_wins_as_a_whole():
    """The second one is never asked, not even for what the first leaves open."""
    policy = RetryPolicy(
        rules=(
            Rule(frozenset({R.API_ERROR}), max_attempts=2),
            Rule(frozenset({R.API_ERROR, R.OVERLOADED}), max_attempts=1, retry=False),
        )
    )
    assert rule_for(policy, R.API_ERROR) == Effective(True, True, 2, USUAL, False)
    assert rule_for(policy, R.OVERLOADED).retry is False


def test_the_policys_backoff_holds_where_the_row_has_no_rates():
    policy = RetryPolicy(backoff=Backoff(Jitter.EQUAL, 2.0, 5.0, 3.0))
    assert rule_for(policy, R.API_ERROR).backoff == Backoff(Jitter.EQUAL, 2.0, 5.0, 3.0)
    assert rule_for(policy, R.OVERLOADED).backoff == Backoff(Jitter.EQUAL, 1.0, 30.0, 3.0)


@pytest.mark.parametrize("said", [{"retry": True}, {"resume": True}])
@pytest.mark.parametrize("reason", [R.BAD_RESPONSE, R.DECODE_ERROR])
def test_a_users_rule_lifts_the_no_of_the_table_for_what_a_hop_garbled(reason, said):
    assert rule_for(RetryPolicy(rules=(Rule(frozenset({reason}), **said),)), reason).veto is Veto.NONE
    assert rule_for(RetryPolicy(rules=(Rule(frozenset({reason}), max_attempts=2),)), reason).veto is Veto.RULE


@pytest.mark.parametrize("reason", sorted(CLOSED_TO_RULES))
def test_no_rule_lifts_the_no_of_the_caller_or_to_a_rejected_request(reason):
    policy = RetryPolicy(rules=(Rule(frozenset({reason}), retry=True, resume=True),))
    assert rule_for(policy, reason).veto in (Veto.FIRM, Veto.SERVER)


def test_what_is_closed_to_rules_is_the_caller_and_a_rejected_request():
    assert CALLER_REASONS | {R.REQUEST_REJECTED} == CLOSED_TO_RULES


@given(st.sampled_from(list(R)), st.integers(1, 5), st.integers(1, 9))
def test_no_rule_allows_more_attempts_than_the_limits(reason, most, wanted):
    policy = RetryPolicy(limits=RetryLimits(max_attempts=most), rules=(Rule(frozenset(R), max_attempts=wanted),))
    assert rule_for(policy, reason).max_attempts == min(most, wanted)
