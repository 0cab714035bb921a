"""The decision about a stream that broke: a row for each thing that can stand in the way, and the laws over all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.context import (
    Action,
    Blocker,
    Decision,
    DelaySource,
    Delivered,
    RequestCapabilities,
    RetryContext,
)
from otel_claude_stream._core.retry.decide import decide
from otel_claude_stream._core.retry.policy import (
    Backoff,
    Commit,
    Jitter,
    Mode,
    OnExceed,
    Resume,
    RetryAfter,
    RetryLimits,
    RetryPolicy,
    Rule,
    SdkRetries,
)
from otel_claude_stream._core.vocabulary import CALLER_REASONS, Phase
from otel_claude_stream._core.vocabulary import AbortReason as R

POLICY = RetryPolicy(mode=Mode.RESUME, sdk_retries=SdkRetries.REPLACE)
RETRY_ONLY = replace(POLICY, mode=Mode.RETRY)
KEEP = replace(POLICY, sdk_retries=SdkRetries.KEEP)
THINKING_HIDDEN = replace(POLICY, commit=Commit(thinking_is_output=False))
CAPPED = replace(POLICY, retry_after=RetryAfter(on_exceed=OnExceed.CAP))
DEAF = replace(POLICY, retry_after=RetryAfter(honour=False))
PATIENT = replace(POLICY, limits=RetryLimits(deadline=None))
TEXT = Delivered(started=True, text=64)


def with_rule(**said: object) -> RetryPolicy:
    return replace(POLICY, rules=(Rule(frozenset(R), **said),))


def broke(reason: R = R.CONNECTION_RESET, delivered: Delivered | None = None, **known: object) -> RetryContext:
    return RetryContext(reason, Phase.STREAMING, delivered or Delivered(), **known)


def decided(policy: RetryPolicy, situation: RetryContext, random: float = 1.0) -> Decision:
    return decide(policy, situation, take=lambda: True, random=random)


BLOCKED = {
    "the policy's kill switch": (replace(POLICY, kill_switch=True), broke(), Blocker.KILL_SWITCH),
    "the kill switch of this stream": (POLICY, broke(killed=True), Blocker.KILL_SWITCH),
    "observing only": (replace(POLICY, mode=Mode.OBSERVE), broke(), Blocker.KILL_SWITCH),
    "the switch comes before the caller": (POLICY, broke(killed=True, caller_gone=True), Blocker.KILL_SWITCH),
    "the caller is gone": (POLICY, broke(caller_gone=True), Blocker.CALLER),
    **{f"the reason is the caller's: {r.value}": (POLICY, broke(r), Blocker.CALLER) for r in CALLER_REASONS},
    "the caller comes before the never-list": (
        POLICY, broke(R.REQUEST_REJECTED, caller_gone=True), Blocker.CALLER,
    ),
    "the request was rejected": (POLICY, broke(R.REQUEST_REJECTED), Blocker.NEVER),
    "rejected, whatever a rule says": (with_rule(retry=True), broke(R.REQUEST_REJECTED), Blocker.NEVER),
    "rejected in the stream, whatever the header says": (
        POLICY, broke(R.REQUEST_REJECTED, should_retry=True), Blocker.NEVER,
    ),
    "the response was none of the API's": (POLICY, broke(R.BAD_RESPONSE), Blocker.NEVER),
    "and the header lifts nothing there": (
        POLICY, broke(R.BAD_RESPONSE, should_retry=True, before_response=True), Blocker.NEVER,
    ),
    "the stream could not be decoded": (POLICY, broke(R.DECODE_ERROR), Blocker.NEVER),
    "the certificate was refused": (POLICY, broke(R.CONNECT_FAILED, certificate=True), Blocker.NEVER),
    "the server says not to": (POLICY, broke(R.OVERLOADED, should_retry=False), Blocker.NEVER),
    "the server's no wins over a user's rule": (
        with_rule(retry=True), broke(R.OVERLOADED, should_retry=False), Blocker.NEVER,
    ),
    "never comes before the SDK": (KEEP, broke(R.REQUEST_REJECTED, before_response=True), Blocker.NEVER),
    "before the response the SDK retries": (KEEP, broke(R.OVERLOADED, before_response=True), Blocker.SDK),
    "the answer is complete": (POLICY, broke(delivered=Delivered(text=99, finished=True)), Blocker.OUTPUT),
    "complete, with a tool": (POLICY, broke(delivered=Delivered(tool=True, finished=True)), Blocker.OUTPUT),
    "a tool began": (POLICY, broke(delivered=Delivered(tool=True)), Blocker.TOOL),
    "a tool began after text": (POLICY, broke(delivered=Delivered(text=99, tool=True)), Blocker.TOOL),
    "citations": (POLICY, broke(delivered=Delivered(text=99, citations=True)), Blocker.OUTPUT),
    "content of an unknown kind": (POLICY, broke(delivered=Delivered(other=True)), Blocker.OUTPUT),
    "text, and the mode only retries": (RETRY_ONLY, broke(delivered=TEXT), Blocker.OUTPUT),
    "text in a thread": (POLICY, broke(delivered=TEXT, traits=RequestCapabilities(thread=True)), Blocker.REQUEST),
    "text of structured output": (
        POLICY, broke(delivered=TEXT, traits=RequestCapabilities(structured_output=True)), Blocker.REQUEST,
    ),
    "text before a forced tool": (
        POLICY, broke(delivered=TEXT, traits=RequestCapabilities(forced_tool=True)), Blocker.REQUEST,
    ),
    "too little text": (POLICY, broke(delivered=Delivered(text=63)), Blocker.TOO_SHORT),
    "thinking": (POLICY, broke(delivered=Delivered(thinking=True)), Blocker.OUTPUT),
    "a thread that was cut": (POLICY, broke(traits=RequestCapabilities(thread=True)), Blocker.REQUEST),
    "a thread that timed out": (
        POLICY, broke(R.RESPONSE_TIMEOUT, traits=RequestCapabilities(thread=True), before_response=True),
        Blocker.REQUEST,
    ),
    "a rule against retries": (with_rule(retry=False), broke(), Blocker.RULE),
    "a rule against resumes": (with_rule(resume=False), broke(delivered=TEXT), Blocker.RULE),
    "the table against resumes": (POLICY, broke(R.TIMEOUT_ERROR, TEXT), Blocker.RULE),
    "a rate limit without retry-after": (POLICY, broke(R.RATE_LIMITED), Blocker.RULE),
    "and should-retry does not stand for it": (
        POLICY, broke(R.RATE_LIMITED, should_retry=True, before_response=True), Blocker.RULE,
    ),
    "a retry-after that is no figure": (POLICY, broke(R.RATE_LIMITED, retry_after=float("nan")), Blocker.RULE),
    "a retry-after in the past": (POLICY, broke(R.RATE_LIMITED, retry_after=-1.0), Blocker.RULE),
    "the rule comes before the attempts": (with_rule(retry=False), broke(attempt=9), Blocker.RULE),
    "all attempts are made": (POLICY, broke(attempt=3), Blocker.ATTEMPTS),
    "all attempts of the rule": (POLICY, broke(R.SILENT, attempt=2), Blocker.ATTEMPTS),
    "one attempt only": (with_rule(max_attempts=1), broke(), Blocker.ATTEMPTS),
    "a gateway's limit on the whole response, twice": (
        POLICY, broke(R.GATEWAY_ERROR, attempt=2, limit_match="duration:30s"), Blocker.ATTEMPTS,
    ),
    "all resumes are made": (POLICY, broke(delivered=TEXT, resumes=1, attempt=2), Blocker.RESUMES),
    "all requests are sent": (POLICY, broke(requests=6), Blocker.REQUESTS),
    "past the deadline": (POLICY, broke(elapsed=600.1), Blocker.DEADLINE),
    "the sleep would end past the deadline": (POLICY, broke(R.API_ERROR, elapsed=599.6), Blocker.DEADLINE),
    "the server's wait would, too": (POLICY, broke(retry_after=50.0, elapsed=560.0), Blocker.DEADLINE),
    "time that is no figure": (POLICY, broke(elapsed=float("nan")), Blocker.DEADLINE),
    "a day of retry-after": (POLICY, broke(retry_after=86400.0), Blocker.DEADLINE),
    "and without a deadline": (PATIENT, broke(retry_after=86400.0), Blocker.RETRY_AFTER),
    "an endless retry-after": (PATIENT, broke(retry_after=float("inf")), Blocker.RETRY_AFTER),
    "a longer retry-after than allowed": (POLICY, broke(retry_after=60.1), Blocker.RETRY_AFTER),
}  # fmt: skip


@pytest.mark.parametrize(("policy", "situation", "blocker"), BLOCKED.values(), ids=BLOCKED)
def test_what_stands_in_the_way(policy, situation, blocker):
    """And the token of the budget stays where it is."""
    takes = []
    found = decide(policy, situation, take=lambda: takes.append(1) or True, random=1.0)
    assert found == Decision(Action.GIVE_UP, blocker)
    assert takes == []


def test_an_empty_budget_comes_last():
    assert decide(POLICY, broke(), take=lambda: False, random=0.5) == Decision(Action.GIVE_UP, Blocker.BUDGET)


def again(delay: float, source: DelaySource = DelaySource.BACKOFF) -> Decision:
    return Decision(Action.RETRY, Blocker.NONE, delay, source)


def on(delay: float, source: DelaySource = DelaySource.BACKOFF) -> Decision:
    return Decision(Action.RESUME, Blocker.NONE, delay, source)


SERVER = DelaySource.RETRY_AFTER

ALLOWED = {
    "nothing was delivered": (POLICY, broke(), again(0.25)),
    "nothing but the start": (RETRY_ONLY, broke(delivered=Delivered(started=True)), again(0.25)),
    "the second time it waits longer": (POLICY, broke(attempt=2), again(0.5)),
    "overloaded": (POLICY, broke(R.OVERLOADED), again(1.0)),
    "a stall at once": (POLICY, broke(R.SILENT), again(0.0)),
    "before the response, where the policy retries": (POLICY, broke(R.OVERLOADED, before_response=True), again(1.0)),
    "after the response, where the SDK retries before it": (KEEP, broke(R.OVERLOADED), again(1.0)),
    "text goes on": (POLICY, broke(delivered=TEXT), on(0.25)),
    "text after thinking goes on": (POLICY, broke(delivered=Delivered(text=64, thinking=True)), on(0.25)),
    "hidden thinking is repeated": (THINKING_HIDDEN, broke(delivered=Delivered(thinking=True)), again(0.25)),
    "structured output before its first token": (
        POLICY, broke(traits=RequestCapabilities(structured_output=True)), again(0.25),
    ),
    "a forced tool before its first token": (POLICY, broke(traits=RequestCapabilities(forced_tool=True)), again(0.25)),
    "a thread that was refused": (POLICY, broke(R.OVERLOADED, traits=RequestCapabilities(thread=True)), again(1.0)),
    "a rejected request, at the server's word": (
        POLICY, broke(R.REQUEST_REJECTED, should_retry=True, before_response=True), again(0.5),
    ),
    "what a hop garbled, at the user's word": (with_rule(retry=True), broke(R.BAD_RESPONSE), again(0.5)),
    "a rate limit with retry-after": (POLICY, broke(R.RATE_LIMITED, retry_after=10.0), again(11.0, SERVER)),
    "at a long one, little is added": (POLICY, broke(retry_after=54.0), again(59.0, SERVER)),
    "nothing is added past the cap": (POLICY, broke(retry_after=59.0), again(60.0, SERVER)),
    "a retry-after of the cap itself": (POLICY, broke(retry_after=60.0), again(60.0, SERVER)),
    "a longer one, capped": (CAPPED, broke(retry_after=86400.0), again(60.0, SERVER)),
    "an endless one, capped": (CAPPED, broke(retry_after=float("inf")), again(60.0, SERVER)),
    "a retry-after of nothing is spread": (POLICY, broke(R.RATE_LIMITED, retry_after=0.0), again(0.5)),
    "a retry-after that is not honoured": (DEAF, broke(R.RATE_LIMITED, retry_after=10.0), again(0.5)),
    "one that is no figure": (POLICY, broke(retry_after=float("nan")), again(0.25)),
    "the wait ends at the deadline": (POLICY, broke(R.API_ERROR, elapsed=599.5), again(0.5)),
    "no deadline": (PATIENT, broke(elapsed=1e9), again(0.25)),
    "a gateway's limit on the whole response, once": (
        POLICY, broke(R.GATEWAY_ERROR, limit_match="duration:30s"), again(0.5),
    ),
    "a gateway's limit on silence, twice": (
        POLICY, broke(R.GATEWAY_ERROR, attempt=2, limit_match="idle:60s"), again(1.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("policy", "situation", "decision"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_done(policy, situation, decision):
    takes = []
    found = decide(policy, situation, take=lambda: takes.append(1) or True, random=1.0)
    assert found == decision
    assert takes == [1]


def test_without_chance_the_server_is_taken_at_its_word():
    assert decided(POLICY, broke(retry_after=10.0), random=0.0) == again(10.0, SERVER)


def test_a_short_text_goes_on_where_the_policy_allows_it():
    policy = replace(POLICY, resume=Resume(min_partial_chars=1))
    assert decided(policy, broke(delivered=Delivered(text=1))).action is Action.RESUME


# ------------------------------------------------------------------------------------------------------------ the laws

FLAG = st.booleans()
FIGURE = st.floats(0, 1000) | st.sampled_from([float("nan"), float("inf"), -1.0])
POLICIES = st.builds(
    RetryPolicy,
    mode=st.sampled_from(Mode),
    sdk_retries=st.sampled_from(SdkRetries),
    limits=st.builds(
        RetryLimits, st.integers(1, 5), st.integers(0, 3), st.integers(1, 12), st.none() | st.floats(1, 900)
    ),
    backoff=st.builds(Backoff, st.sampled_from(Jitter), st.floats(0, 5), st.floats(0, 60), st.floats(1, 4)),
    retry_after=st.builds(RetryAfter, FLAG, st.floats(0, 120), st.sampled_from(OnExceed)),
    rules=st.lists(
        st.builds(
            Rule,
            st.frozensets(st.sampled_from(R)),
            st.none() | FLAG,
            st.none() | FLAG,
            st.none() | st.integers(1, 5),
            st.none() | st.builds(Backoff),
            st.none() | FLAG,
        ),
        max_size=3,
    ).map(tuple),
    resume=st.builds(Resume, min_partial_chars=st.integers(0, 100)),
    commit=st.builds(Commit, FLAG),
    kill_switch=st.sampled_from([False, False, False, True]),
)
DELIVERED = st.builds(Delivered, FLAG, FLAG, st.integers(0, 200), FLAG, FLAG, FLAG, FLAG)
SITUATIONS = st.builds(
    RetryContext,
    reason=st.sampled_from(R),
    phase=st.sampled_from(Phase),
    delivered=st.just(Delivered()) | DELIVERED,
    traits=st.builds(RequestCapabilities, FLAG, FLAG, FLAG, FLAG),
    limit_match=st.sampled_from(["none", "idle:60s", "duration:30s", "ambiguous"]),
    certificate=st.sampled_from([False, False, True]),
    retry_after=st.none() | FIGURE,
    should_retry=st.sampled_from([None, None, True, False]),
    before_response=FLAG,
    attempt=st.integers(1, 6),
    resumes=st.integers(0, 4),
    requests=st.integers(1, 14),
    elapsed=FIGURE,
    previous_delay=st.none() | st.floats(0, 60),
    killed=st.sampled_from([False, False, False, True]),
    caller_gone=st.sampled_from([False, False, False, True]),
)


@given(POLICIES, SITUATIONS, FLAG, st.floats(0, 1))
def test_nothing_is_done_that_a_policy_or_the_output_forbids(policy, situation, token, random):
    takes = []
    found = decide(policy, situation, take=lambda: takes.append(1) or token, random=random)
    delivered, limits = situation.delivered, policy.limits
    assert len(takes) <= 1
    if found.action is Action.GIVE_UP:
        assert found.blocked_by is not Blocker.NONE
        assert (found.blocked_by is Blocker.BUDGET) is bool(takes)
        return
    assert takes == [1]
    assert token
    assert found.blocked_by is Blocker.NONE
    assert policy.mode is not Mode.OBSERVE
    assert not any((policy.kill_switch, situation.killed, situation.caller_gone, situation.certificate))
    assert situation.reason not in CALLER_REASONS
    assert situation.should_retry is not False
    assert situation.attempt < limits.max_attempts
    assert situation.requests < limits.max_requests
    assert limits.deadline is None or situation.elapsed + found.delay <= limits.deadline
    assert 0.0 <= found.delay <= max(policy.retry_after.max, 60.0)
    assert not any((delivered.tool, delivered.citations, delivered.other, delivered.finished))
    if found.action is Action.RETRY:
        assert delivered.text == 0
        assert not (delivered.thinking and policy.commit.thinking_is_output)
    else:
        assert policy.mode is Mode.RESUME
        assert delivered.text >= max(1, policy.resume.min_partial_chars)
        assert situation.resumes < limits.max_resumes


@given(POLICIES, st.lists(SITUATIONS, min_size=1, max_size=20), st.floats(0, 1))
def test_a_call_never_costs_more_than_its_limits(policy, failures, random):
    """Whatever fails in whatever order: attempts, resumes, requests, and the sleeps before the deadline."""
    attempt, resumes, requests, elapsed, previous, text = 1, 0, 1, 0.0, None, 0
    for failure in failures:
        text += failure.delivered.text
        found = decided(
            policy,
            replace(
                failure,
                delivered=replace(failure.delivered, text=text),
                attempt=attempt,
                resumes=resumes,
                requests=requests,
                elapsed=elapsed,
                previous_delay=previous,
            ),
            random,
        )
        if found.action is Action.GIVE_UP:
            break
        assert found.action is (Action.RESUME if text else Action.RETRY)
        attempt, resumes, requests = attempt + 1, resumes + (found.action is Action.RESUME), requests + 1
        elapsed, previous = elapsed + found.delay, found.delay
    assert attempt <= policy.limits.max_attempts
    assert resumes <= policy.limits.max_resumes
    assert requests <= policy.limits.max_requests
    assert policy.limits.deadline is None or elapsed <= policy.limits.deadline
