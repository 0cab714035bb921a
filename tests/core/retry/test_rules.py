"""The rule for each reason, from the built-in table and the rules of a policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.policy import Backoff, Jitter, RetryLimits, RetryPolicy, Rule
from otel_claude_stream._core.retry.rules import (
    BUILTIN_RULES,
    NOT_RETRYABLE_BY_RULE,
    EffectiveRule,
    Veto,
    effective_rule,
)
from otel_claude_stream._core.vocabulary import CALLER_REASONS
from otel_claude_stream._core.vocabulary import AbortReason as R

DEFAULT_BACKOFF = Backoff()
SHORT_BACKOFF = Backoff(base=0.25, cap=4.0)
NO_BACKOFF = Backoff(base=0.0, cap=0.0)
CALLER_LEFT = EffectiveRule(False, False, 3, DEFAULT_BACKOFF, False, Veto.ALWAYS)

DEFAULTS = {
    #                             retry  resume attempts backoff  retry-after
    R.OVERLOADED: EffectiveRule(True, True, 3, Backoff(base=1.0, cap=30.0), False, fallback=True),
    R.RATE_LIMITED: EffectiveRule(True, False, 3, DEFAULT_BACKOFF, True),
    R.API_ERROR: EffectiveRule(True, True, 3, DEFAULT_BACKOFF, False),
    R.TIMEOUT_ERROR: EffectiveRule(True, False, 2, DEFAULT_BACKOFF, False),
    R.REQUEST_REJECTED: EffectiveRule(True, False, 2, DEFAULT_BACKOFF, False, Veto.UNLESS_SERVER),
    R.STREAM_ERROR: EffectiveRule(True, False, 2, DEFAULT_BACKOFF, False),
    R.GATEWAY_ERROR: EffectiveRule(True, False, 3, DEFAULT_BACKOFF, False),
    R.BAD_RESPONSE: EffectiveRule(False, False, 3, DEFAULT_BACKOFF, False, Veto.UNLESS_RULE),
    R.CONNECT_FAILED: EffectiveRule(True, True, 3, SHORT_BACKOFF, False),
    R.CONNECTION_CLOSED: EffectiveRule(True, True, 3, SHORT_BACKOFF, False),
    R.CONNECTION_RESET: EffectiveRule(True, True, 3, SHORT_BACKOFF, False),
    R.TRUNCATED: EffectiveRule(True, True, 3, SHORT_BACKOFF, False),
    R.DECODE_ERROR: EffectiveRule(False, False, 3, DEFAULT_BACKOFF, False, Veto.UNLESS_RULE),
    R.QUEUE_TIMEOUT: EffectiveRule(False, False, 3, DEFAULT_BACKOFF, False, Veto.ALWAYS),
    R.RESPONSE_TIMEOUT: EffectiveRule(True, False, 2, NO_BACKOFF, False),
    R.FIRST_EVENT_TIMEOUT: EffectiveRule(True, False, 2, NO_BACKOFF, False),
    R.FIRST_CONTENT_TIMEOUT: EffectiveRule(True, False, 2, NO_BACKOFF, False),
    R.SILENT: EffectiveRule(True, True, 2, NO_BACKOFF, False),
    R.NO_PROGRESS: EffectiveRule(True, True, 2, NO_BACKOFF, False),
    R.LIFETIME_EXCEEDED: EffectiveRule(False, False, 3, Backoff(), False),
    R.CALLER_CLOSED: CALLER_LEFT,
    R.CALLER_ERROR: CALLER_LEFT,
    R.CANCELLED: CALLER_LEFT,
    R.ABANDONED: CALLER_LEFT,
    R.INTERPRETER_EXIT: CALLER_LEFT,
}


def test_a_closed_connection_is_retried_after_a_short_backoff():
    rule = effective_rule(RetryPolicy(), R.CONNECTION_CLOSED)
    assert (rule.retry, rule.resume, rule.max_attempts, rule.backoff) == (True, True, 3, SHORT_BACKOFF)


@pytest.mark.parametrize("reason", list(R))
def test_without_rules_of_a_policy_the_built_in_row_applies(reason):
    assert effective_rule(RetryPolicy(), reason) == DEFAULTS[reason]


def test_every_reason_has_a_row_with_an_explanation():
    assert set(BUILTIN_RULES) == set(R)
    assert all(row.why.endswith(".") for row in BUILTIN_RULES.values())


def test_a_rule_of_the_policy_wins_for_the_fields_that_it_sets():
    custom = Backoff(Jitter.NONE, base=7.0, cap=9.0)
    policy = RetryPolicy(rules=(Rule(frozenset({R.SILENT}), resume=False, max_attempts=3, backoff=custom),))
    assert effective_rule(policy, R.SILENT) == EffectiveRule(True, False, 3, custom, False)
    assert effective_rule(policy, R.NO_PROGRESS) == DEFAULTS[R.NO_PROGRESS]


def test_a_rule_of_the_policy_can_set_every_field():
    rule = Rule(frozenset({R.API_ERROR}), False, False, 1, NO_BACKOFF, require_retry_after=True)
    assert effective_rule(RetryPolicy(rules=(rule,)), R.API_ERROR) == EffectiveRule(False, False, 1, NO_BACKOFF, True)


@pytest.mark.parametrize(("reason", "allowed"), [(R.OVERLOADED, False), (R.API_ERROR, True)])
def test_a_rule_allows_or_forbids_a_fallback_model(reason, allowed):
    policy = RetryPolicy(rules=(Rule(frozenset({reason}), fallback=allowed),))
    assert effective_rule(policy, reason).fallback is allowed


def test_only_the_first_rule_that_names_the_reason_applies():
    """The second one does not count, not even for fields that the first leaves unset."""
    policy = RetryPolicy(
        rules=(
            Rule(frozenset({R.API_ERROR}), max_attempts=2),
            Rule(frozenset({R.API_ERROR, R.OVERLOADED}), max_attempts=1, retry=False),
        )
    )
    assert effective_rule(policy, R.API_ERROR) == EffectiveRule(True, True, 2, DEFAULT_BACKOFF, False)
    assert effective_rule(policy, R.OVERLOADED).retry is False


def test_the_backoff_of_the_policy_applies_where_the_row_has_none():
    policy = RetryPolicy(backoff=Backoff(Jitter.EQUAL, 2.0, 5.0, 3.0))
    assert effective_rule(policy, R.API_ERROR).backoff == Backoff(Jitter.EQUAL, 2.0, 5.0, 3.0)
    assert effective_rule(policy, R.OVERLOADED).backoff == Backoff(Jitter.EQUAL, 1.0, 30.0, 3.0)


@pytest.mark.parametrize("enabled", [{"retry": True}, {"resume": True}])
@pytest.mark.parametrize("reason", [R.BAD_RESPONSE, R.DECODE_ERROR])
def test_a_rule_lifts_the_veto_on_an_unreadable_stream(reason, enabled):
    assert effective_rule(RetryPolicy(rules=(Rule(frozenset({reason}), **enabled),)), reason).veto is Veto.NONE
    assert (
        effective_rule(RetryPolicy(rules=(Rule(frozenset({reason}), max_attempts=2),)), reason).veto is Veto.UNLESS_RULE
    )


@pytest.mark.parametrize("reason", sorted(NOT_RETRYABLE_BY_RULE))
def test_no_rule_lifts_the_veto_on_a_rejected_request_or_a_caller_who_left(reason):
    policy = RetryPolicy(rules=(Rule(frozenset({reason}), retry=True, resume=True),))
    assert effective_rule(policy, reason).veto in (Veto.ALWAYS, Veto.UNLESS_SERVER)


def test_rules_cannot_enable_retries_after_the_caller_a_rejection_or_a_wait_in_vain():
    assert CALLER_REASONS | {R.REQUEST_REJECTED, R.QUEUE_TIMEOUT} == NOT_RETRYABLE_BY_RULE


@given(st.sampled_from(list(R)), st.integers(1, 5), st.integers(1, 9))
def test_no_rule_allows_more_attempts_than_the_limits(reason, limit, wanted):
    policy = RetryPolicy(limits=RetryLimits(max_attempts=limit), rules=(Rule(frozenset(R), max_attempts=wanted),))
    assert effective_rule(policy, reason).max_attempts == min(limit, wanted)
