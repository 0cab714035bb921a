"""The decision about a stream that failed: each blocker, each action, and the properties of all decisions."""

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
from otel_claude_stream._core.retry.decide import decide, sdk_retry_blocker
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
WITHOUT_RETRY_AFTER = replace(POLICY, retry_after=RetryAfter(honour=False))
NO_DEADLINE = replace(POLICY, limits=RetryLimits(deadline=None))
TEXT = Delivered(started=True, text=64)


def policy_with_rule(**fields: object) -> RetryPolicy:
    return replace(POLICY, rules=(Rule(frozenset(R), **fields),))


def failed(reason: R = R.CONNECTION_RESET, delivered: Delivered | None = None, **known: object) -> RetryContext:
    return RetryContext(reason, Phase.STREAMING, delivered or Delivered(), **known)


def decision_for(policy: RetryPolicy, context: RetryContext, random: float = 1.0) -> Decision:
    return decide(policy, context, take_token=lambda: True, random=random)


def test_a_reset_connection_is_retried_with_backoff():
    assert decision_for(POLICY, failed(R.CONNECTION_RESET)) == Decision(
        Action.RETRY, Blocker.NONE, 0.25, DelaySource.BACKOFF
    )


BLOCKED = {
    "the kill switch": (replace(POLICY, kill_switch=True), failed(), Blocker.KILL_SWITCH),
    "mode observe": (replace(POLICY, mode=Mode.OBSERVE), failed(), Blocker.KILL_SWITCH),
    "the kill switch comes before the caller": (
        replace(POLICY, kill_switch=True), failed(R.CALLER_CLOSED), Blocker.KILL_SWITCH,
    ),
    **{f"by the caller: {r.value}": (POLICY, failed(r), Blocker.CALLER) for r in sorted(CALLER_REASONS)},
    "the request was rejected": (POLICY, failed(R.REQUEST_REJECTED), Blocker.NEVER),
    "rejected, and a rule enables retries": (policy_with_rule(retry=True), failed(R.REQUEST_REJECTED), Blocker.NEVER),
    "rejected in the stream, and the server requests a retry": (
        POLICY, failed(R.REQUEST_REJECTED, should_retry=True), Blocker.NEVER,
    ),
    "the response is not from the API": (POLICY, failed(R.BAD_RESPONSE), Blocker.NEVER),
    "the response is not from the API, and requests a retry": (
        POLICY, failed(R.BAD_RESPONSE, should_retry=True, before_response=True), Blocker.NEVER,
    ),
    "the stream could not be decoded": (POLICY, failed(R.DECODE_ERROR), Blocker.NEVER),
    "the certificate was refused": (POLICY, failed(R.CONNECT_FAILED, certificate_rejected=True), Blocker.NEVER),
    "the server forbids it": (POLICY, failed(R.OVERLOADED, should_retry=False), Blocker.NEVER),
    "the server forbids it, and a rule enables retries": (
        policy_with_rule(retry=True), failed(R.OVERLOADED, should_retry=False), Blocker.NEVER,
    ),
    "a veto comes before the SDK": (KEEP, failed(R.REQUEST_REJECTED, before_response=True), Blocker.NEVER),
    "before the response the SDK retries": (KEEP, failed(R.OVERLOADED, before_response=True), Blocker.SDK),
    "before the response the SDK retries, and no fallback model takes the request": (
        KEEP, failed(R.OVERLOADED, before_response=True, fallback=""), Blocker.MODEL,
    ),
    "before the response the SDK retries, and the reason allows no fallback": (
        KEEP, failed(R.API_ERROR, before_response=True, fallback="other"), Blocker.SDK,
    ),
    "a fallback after all attempts": (POLICY, failed(R.OVERLOADED, fallback="other", attempt=3), Blocker.ATTEMPTS),
    "a fallback after all requests": (POLICY, failed(R.OVERLOADED, fallback="other", requests=6), Blocker.REQUESTS),
    "a fallback past the deadline": (POLICY, failed(R.OVERLOADED, fallback="other", elapsed=600.1), Blocker.DEADLINE),
    "a fallback that the server forbids": (
        POLICY, failed(R.OVERLOADED, fallback="other", should_retry=False), Blocker.NEVER,
    ),
    "a fallback after text": (RETRY_ONLY, failed(R.OVERLOADED, TEXT, fallback="other"), Blocker.OUTPUT),
    "the answer is complete": (POLICY, failed(delivered=Delivered(text=99, finished=True)), Blocker.OUTPUT),
    "complete, with a tool": (POLICY, failed(delivered=Delivered(tool=True, finished=True)), Blocker.OUTPUT),
    "a tool began": (POLICY, failed(delivered=Delivered(tool=True)), Blocker.TOOL),
    "a tool began after text": (POLICY, failed(delivered=Delivered(text=99, tool=True)), Blocker.TOOL),
    "citations": (POLICY, failed(delivered=Delivered(text=99, citations=True)), Blocker.OUTPUT),
    "content of an unknown kind": (POLICY, failed(delivered=Delivered(other=True)), Blocker.OUTPUT),
    "text, and the mode only retries": (RETRY_ONLY, failed(delivered=TEXT), Blocker.OUTPUT),
    "text in a thread": (
        POLICY, failed(delivered=TEXT, capabilities=RequestCapabilities(thread=True)), Blocker.REQUEST,
    ),
    "text of structured output": (
        POLICY, failed(delivered=TEXT, capabilities=RequestCapabilities(structured_output=True)), Blocker.REQUEST,
    ),
    "text before a forced tool": (
        POLICY, failed(delivered=TEXT, capabilities=RequestCapabilities(forced_tool=True)), Blocker.REQUEST,
    ),
    "too little text": (POLICY, failed(delivered=Delivered(text=63)), Blocker.TOO_SHORT),
    "thinking": (POLICY, failed(delivered=Delivered(thinking=True)), Blocker.OUTPUT),
    "an event of an unknown type": (POLICY, failed(delivered=Delivered(unknown=True)), Blocker.OUTPUT),
    "a thread that was cut": (POLICY, failed(capabilities=RequestCapabilities(thread=True)), Blocker.REQUEST),
    "a thread that timed out": (
        POLICY, failed(R.RESPONSE_TIMEOUT, capabilities=RequestCapabilities(thread=True), before_response=True),
        Blocker.REQUEST,
    ),
    "a rule against retries": (policy_with_rule(retry=False), failed(), Blocker.RULE),
    "a rule against resumes": (policy_with_rule(resume=False), failed(delivered=TEXT), Blocker.RULE),
    "the table against resumes": (POLICY, failed(R.TIMEOUT_ERROR, TEXT), Blocker.RULE),
    "a rate limit without retry-after": (POLICY, failed(R.RATE_LIMITED), Blocker.RULE),
    "a rate limit without retry-after, and the server requests a retry": (
        POLICY, failed(R.RATE_LIMITED, should_retry=True, before_response=True), Blocker.RULE,
    ),
    "a retry-after that is not a number": (POLICY, failed(R.RATE_LIMITED, retry_after=float("nan")), Blocker.RULE),
    "a retry-after in the past": (POLICY, failed(R.RATE_LIMITED, retry_after=-1.0), Blocker.RULE),
    "the rule comes before the attempts": (policy_with_rule(retry=False), failed(attempt=9), Blocker.RULE),
    "all attempts of the policy": (POLICY, failed(attempt=3), Blocker.ATTEMPTS),
    "all attempts of the rule": (POLICY, failed(R.SILENT, attempt=2), Blocker.ATTEMPTS),
    "one attempt only": (policy_with_rule(max_attempts=1), failed(), Blocker.ATTEMPTS),
    "a gateway's limit on the whole response, twice": (
        POLICY, failed(R.GATEWAY_ERROR, attempt=2, limit_match="duration:30s"), Blocker.ATTEMPTS,
    ),
    "all resumes": (POLICY, failed(delivered=TEXT, resumes=1, attempt=2), Blocker.RESUMES),
    "all requests": (POLICY, failed(requests=6), Blocker.REQUESTS),
    "past the deadline": (POLICY, failed(elapsed=600.1), Blocker.DEADLINE),
    "the delay would end past the deadline": (POLICY, failed(R.API_ERROR, elapsed=599.6), Blocker.DEADLINE),
    "the wait of the server would end past the deadline": (
        POLICY, failed(retry_after=50.0, elapsed=560.0), Blocker.DEADLINE,
    ),
    "an elapsed time that is not a number": (POLICY, failed(elapsed=float("nan")), Blocker.DEADLINE),
    "a day of retry-after": (POLICY, failed(retry_after=86400.0), Blocker.DEADLINE),
    "a day of retry-after without a deadline": (NO_DEADLINE, failed(retry_after=86400.0), Blocker.RETRY_AFTER),
    "an infinite retry-after": (NO_DEADLINE, failed(retry_after=float("inf")), Blocker.RETRY_AFTER),
    "a longer retry-after than allowed": (POLICY, failed(retry_after=60.1), Blocker.RETRY_AFTER),
}  # fmt: skip


@pytest.mark.parametrize(("policy", "context", "blocker"), BLOCKED.values(), ids=BLOCKED)
def test_a_blocker_prevents_any_action_and_takes_no_token(policy, context, blocker):
    tokens = []
    found = decide(policy, context, take_token=lambda: tokens.append(1) or True, random=1.0)
    assert found == Decision(Action.GIVE_UP, blocker)
    assert tokens == []


def test_an_empty_budget_blocks_last():
    assert decide(POLICY, failed(), take_token=lambda: False, random=0.5) == Decision(Action.GIVE_UP, Blocker.BUDGET)


def retry_in(delay: float, source: DelaySource = DelaySource.BACKOFF) -> Decision:
    return Decision(Action.RETRY, Blocker.NONE, delay, source)


def resume_in(delay: float, source: DelaySource = DelaySource.BACKOFF) -> Decision:
    return Decision(Action.RESUME, Blocker.NONE, delay, source)


def fallback_to(model: str) -> Decision:
    return Decision(Action.FALLBACK, model=model)


SERVER = DelaySource.RETRY_AFTER

ALLOWED = {
    "nothing was delivered": (POLICY, failed(), retry_in(0.25)),
    "only the start was delivered": (RETRY_ONLY, failed(delivered=Delivered(started=True)), retry_in(0.25)),
    "the second delay is longer": (POLICY, failed(attempt=2), retry_in(0.5)),
    "overloaded": (POLICY, failed(R.OVERLOADED), retry_in(1.0)),
    "a stall, without delay": (POLICY, failed(R.SILENT), retry_in(0.0)),
    "before the response, where the policy retries": (
        POLICY, failed(R.OVERLOADED, before_response=True), retry_in(1.0),
    ),
    "after the response, where the SDK retries before it": (KEEP, failed(R.OVERLOADED), retry_in(1.0)),
    "text was delivered": (POLICY, failed(delivered=TEXT), resume_in(0.25)),
    "text was delivered after thinking": (POLICY, failed(delivered=Delivered(text=64, thinking=True)), resume_in(0.25)),
    "text was delivered, and an event of an unknown type": (
        POLICY, failed(delivered=Delivered(text=64, unknown=True)), resume_in(0.25),
    ),
    "hidden thinking was delivered": (THINKING_HIDDEN, failed(delivered=Delivered(thinking=True)), retry_in(0.25)),
    "structured output before its first token": (
        POLICY, failed(capabilities=RequestCapabilities(structured_output=True)), retry_in(0.25),
    ),
    "a forced tool before its first token": (
        POLICY, failed(capabilities=RequestCapabilities(forced_tool=True)), retry_in(0.25),
    ),
    "a thread that was rejected": (
        POLICY, failed(R.OVERLOADED, capabilities=RequestCapabilities(thread=True)), retry_in(1.0),
    ),
    "a rejected request, if the server requests it": (
        POLICY, failed(R.REQUEST_REJECTED, should_retry=True, before_response=True), retry_in(0.5),
    ),
    "an unreadable response, if a rule enables it": (
        policy_with_rule(retry=True), failed(R.BAD_RESPONSE), retry_in(0.5),
    ),
    "a rate limit with retry-after": (POLICY, failed(R.RATE_LIMITED, retry_after=10.0), retry_in(11.0, SERVER)),
    "a long retry-after is spread by little": (POLICY, failed(retry_after=54.0), retry_in(59.0, SERVER)),
    "a retry-after is not spread past the cap": (POLICY, failed(retry_after=59.0), retry_in(60.0, SERVER)),
    "a retry-after of the cap itself": (POLICY, failed(retry_after=60.0), retry_in(60.0, SERVER)),
    "a longer retry-after, capped": (CAPPED, failed(retry_after=86400.0), retry_in(60.0, SERVER)),
    "an infinite retry-after, capped": (CAPPED, failed(retry_after=float("inf")), retry_in(60.0, SERVER)),
    "a retry-after of 0 uses the backoff": (POLICY, failed(R.RATE_LIMITED, retry_after=0.0), retry_in(0.5)),
    "a retry-after that is not honoured": (
        WITHOUT_RETRY_AFTER, failed(R.RATE_LIMITED, retry_after=10.0), retry_in(0.5),
    ),
    "a retry-after that is not a number, not required": (POLICY, failed(retry_after=float("nan")), retry_in(0.25)),
    "the wait ends at the deadline": (POLICY, failed(R.API_ERROR, elapsed=599.5), retry_in(0.5)),
    "no deadline": (NO_DEADLINE, failed(elapsed=1e9), retry_in(0.25)),
    "a gateway's limit on the whole response, once": (
        POLICY, failed(R.GATEWAY_ERROR, limit_match="duration:30s"), retry_in(0.5),
    ),
    "a fallback model takes the request": (
        POLICY, failed(R.OVERLOADED, fallback="other", retry_after=30.0), fallback_to("other"),
    ),
    "a fallback model, although the SDK retries before the response": (
        KEEP, failed(R.OVERLOADED, before_response=True, fallback="other"), fallback_to("other"),
    ),
    "a fallback model, where a rule forbids retries": (
        policy_with_rule(retry=False, fallback=True), failed(R.API_ERROR, fallback="other"), fallback_to("other"),
    ),
    "a fallback model after a rate limit, if a rule allows it": (
        policy_with_rule(fallback=True), failed(R.RATE_LIMITED, fallback="other"), fallback_to("other"),
    ),
    "no fallback model takes the request": (POLICY, failed(R.OVERLOADED, fallback=""), retry_in(1.0)),
    "a fallback model, but a rule forbids it": (
        policy_with_rule(fallback=False, backoff=Backoff(base=1.0)), failed(R.OVERLOADED, fallback="other"),
        retry_in(1.0),
    ),
    "a fallback model, but the caller has the start of the message": (
        POLICY, failed(R.OVERLOADED, Delivered(started=True), fallback="other"), retry_in(1.0),
    ),
    "a fallback model, but text was delivered": (POLICY, failed(R.OVERLOADED, TEXT, fallback="other"), resume_in(1.0)),
    "a gateway's limit on silence, twice": (
        POLICY, failed(R.GATEWAY_ERROR, attempt=2, limit_match="idle:60s"), retry_in(1.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("policy", "context", "decision"), ALLOWED.values(), ids=ALLOWED)
def test_an_action_has_a_delay_and_takes_one_token(policy, context, decision):
    tokens = []
    found = decide(policy, context, take_token=lambda: tokens.append(1) or True, random=1.0)
    assert found == decision
    assert tokens == [1]


def test_a_random_number_of_0_adds_nothing_to_retry_after():
    assert decision_for(POLICY, failed(retry_after=10.0), random=0.0) == retry_in(10.0, SERVER)


def test_a_short_text_is_resumed_if_the_policy_allows_it():
    policy = replace(POLICY, resume=Resume(min_partial_chars=1))
    assert decision_for(policy, failed(delivered=Delivered(text=1))).action is Action.RESUME


# ------------------------------------------------------------------------------------------------------ the properties

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
            st.none() | FLAG,
        ),
        max_size=3,
    ).map(tuple),
    resume=st.builds(Resume, min_partial_chars=st.integers(0, 100)),
    commit=st.builds(Commit, FLAG),
    kill_switch=st.sampled_from([False, False, False, True]),
)
DELIVERED = st.builds(Delivered, FLAG, FLAG, st.integers(0, 200), FLAG, FLAG, FLAG, FLAG)
CONTEXTS = st.builds(
    RetryContext,
    reason=st.sampled_from(R),
    phase=st.sampled_from(Phase),
    delivered=st.just(Delivered()) | DELIVERED,
    capabilities=st.builds(RequestCapabilities, FLAG, FLAG, FLAG, FLAG),
    limit_match=st.sampled_from(["none", "idle:60s", "duration:30s", "ambiguous"]),
    certificate_rejected=st.sampled_from([False, False, True]),
    retry_after=st.none() | FIGURE,
    should_retry=st.sampled_from([None, None, True, False]),
    before_response=FLAG,
    attempt=st.integers(1, 6),
    resumes=st.integers(0, 4),
    fallback=st.sampled_from([None, "", "other"]),
    requests=st.integers(1, 14),
    elapsed=FIGURE,
    previous_delay=st.none() | st.floats(0, 60),
)


@given(POLICIES, CONTEXTS, FLAG, st.floats(0, 1))
def test_no_action_violates_the_policy_or_duplicates_output(policy, context, token, random):
    tokens = []
    found = decide(policy, context, take_token=lambda: tokens.append(1) or token, random=random)
    delivered, limits = context.delivered, policy.limits
    assert len(tokens) <= 1
    if found.action is Action.GIVE_UP:
        assert found.blocked_by is not Blocker.NONE
        assert (found.blocked_by is Blocker.BUDGET) is bool(tokens)
        return
    assert tokens == [1]
    assert token
    assert found.blocked_by is Blocker.NONE
    assert policy.mode is not Mode.OBSERVE
    assert not policy.kill_switch
    assert not context.certificate_rejected
    assert context.reason not in CALLER_REASONS
    assert context.should_retry is not False
    assert context.attempt < limits.max_attempts
    assert context.requests < limits.max_requests
    assert limits.deadline is None or context.elapsed + found.delay <= limits.deadline
    assert 0.0 <= found.delay <= max(policy.retry_after.max, 60.0)
    assert not any((delivered.tool, delivered.citations, delivered.other, delivered.finished))
    assert found.model == ("other" if found.action is Action.FALLBACK else "")
    if found.action is Action.FALLBACK:
        assert context.fallback == "other"
        assert found.delay == 0.0
        assert not delivered.started
    if found.action is not Action.RESUME:
        assert delivered.text == 0
        assert not (delivered.thinking and policy.commit.thinking_is_output)
    else:
        assert policy.mode is Mode.RESUME
        assert delivered.text >= max(1, policy.resume.min_partial_chars)
        assert context.resumes < limits.max_resumes


@given(POLICIES, st.lists(CONTEXTS, min_size=1, max_size=20), st.floats(0, 1))
def test_a_call_never_costs_more_than_its_limits(policy, failures, random):
    """For any failures in any order: attempts, resumes, requests, and the delays before the deadline."""
    attempt, resumes, requests, elapsed, previous, text, fallback = 1, 0, 1, 0.0, None, 0, "other"
    for failure in failures:
        text += failure.delivered.text
        found = decision_for(
            policy,
            replace(
                failure,
                delivered=replace(failure.delivered, text=text),
                attempt=attempt,
                resumes=resumes,
                requests=requests,
                elapsed=elapsed,
                previous_delay=previous,
                fallback=fallback,
            ),
            random,
        )
        if found.action is Action.GIVE_UP:
            break
        if found.action is Action.FALLBACK:
            assert not text
            fallback = None
        else:
            assert found.action is (Action.RESUME if text else Action.RETRY)
        attempt, resumes, requests = attempt + 1, resumes + (found.action is Action.RESUME), requests + 1
        elapsed, previous = elapsed + found.delay, found.delay
    assert attempt <= policy.limits.max_attempts
    assert resumes <= policy.limits.max_resumes
    assert requests <= policy.limits.max_requests
    assert policy.limits.deadline is None or elapsed <= policy.limits.deadline


# --- The SDK's own retries ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("policy", "known", "blocker"),
    [
        (POLICY, {}, Blocker.NONE),
        (POLICY, {"requested": 60.0, "delay": 60.0}, Blocker.NONE),
        (POLICY, {"requested": 60.1}, Blocker.RETRY_AFTER),
        (CAPPED, {"requested": 60.1}, Blocker.NONE),
        (POLICY, {"elapsed": 599.0, "delay": 1.0}, Blocker.NONE),
        (POLICY, {"elapsed": 599.0, "delay": 1.1}, Blocker.DEADLINE),
        (POLICY, {"elapsed": 600.0}, Blocker.DEADLINE),
        (NO_DEADLINE, {"elapsed": 1e9}, Blocker.NONE),
        (POLICY, {"tokens": 0}, Blocker.BUDGET),
        (POLICY, {"tokens": 0, "requested": 61.0, "elapsed": 600.0}, Blocker.RETRY_AFTER),
        (POLICY, {"tokens": 0, "elapsed": 600.0}, Blocker.DEADLINE),
    ],
)
def test_a_retry_of_the_sdk_is_stopped_by_the_limits_of_the_policy(policy, known, blocker):
    taken = []
    tokens = known.pop("tokens", 1)

    def take():
        taken.append(1)
        return len(taken) <= tokens

    found = sdk_retry_blocker(policy, **{"requested": None, "delay": 0.0, "elapsed": 0.0, **known}, take_token=take)
    assert found is blocker
    assert len(taken) == (blocker in (Blocker.NONE, Blocker.BUDGET))  # no token for a retry that is not made
