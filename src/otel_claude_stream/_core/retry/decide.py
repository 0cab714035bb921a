"""What is done about a stream that broke: the checks in their order, the first that objects wins.

The order is that of `Blocker`. What nobody may override comes first (the switch, the caller, the never-list), then what
the caller already holds, then what the policy allows, then the costs; the token of the shared budget is taken last,
and only if nothing else stood in the way, so that no token is spent on a retry that does not happen.
"""

from __future__ import annotations

from collections.abc import Callable

from otel_claude_stream._core.retry import backoff
from otel_claude_stream._core.retry.context import Action, Blocker, Decision, DelaySource, RetryContext
from otel_claude_stream._core.retry.policy import Mode, OnExceed, RetryPolicy, SdkRetries
from otel_claude_stream._core.retry.rules import Effective, Veto, rule_for
from otel_claude_stream._core.vocabulary import CALLER_REASONS, AbortReason

THREAD_SAFE_REASONS = frozenset(
    {AbortReason.OVERLOADED, AbortReason.RATE_LIMITED, AbortReason.API_ERROR, AbortReason.CONNECT_FAILED}
)
"""Failures after which a threaded request may be sent again: the API itself said no, or nothing was sent.

The server holds "either the whole reply or none of it" (the SDK's words). After a cut or a time-out it may be writing
the whole one: sent again, it answers 400 `thread_continue_in_flight` or `thread_already_continued`, or twice.
"""

RETRY_AFTER_SPREAD = 0.1
"""A tenth is added to what the server asks for, at most: clients that were told the same second do not return in it.
Only upwards: earlier than asked is a retry lost."""

LONGEST_SPREAD = 5.0
"""Seconds; AWS's SDKs allow as much above the server's word."""

SAME_AGAIN = "duration:"
"""A limit on the whole response: the same answer, just as long, meets it again."""


def decide(policy: RetryPolicy, situation: RetryContext, *, take: Callable[[], bool], random: float) -> Decision:
    """Say what is done about a stream that broke.

    Args:
        policy: what is allowed. In mode `OBSERVE` nothing is: for a dry run, pass one with another mode.
        situation: what is known.
        take: takes a token of the shared budget, False if there is none. Called at most once, as the last check.
        random: chance, from 0 to 1, for the delay.
    """
    rule = rule_for(policy, situation.reason)
    blocker = _excluded(policy, situation, rule)
    if blocker is not Blocker.NONE:
        return Decision(Action.GIVE_UP, blocker)
    action, blocker = _possible(policy, situation)
    if blocker is Blocker.NONE:
        blocker = _disallowed(policy, situation, rule, action)
    if blocker is not Blocker.NONE:
        return Decision(Action.GIVE_UP, blocker)
    wait, source = _delay(policy, situation, rule, random)
    deadline = policy.limits.deadline
    if deadline is not None and not situation.elapsed + wait <= deadline:
        return Decision(Action.GIVE_UP, Blocker.DEADLINE)
    if source is DelaySource.RETRY_AFTER and wait > policy.retry_after.max:
        return Decision(Action.GIVE_UP, Blocker.RETRY_AFTER)
    if not take():
        return Decision(Action.GIVE_UP, Blocker.BUDGET)
    return Decision(action, Blocker.NONE, wait, source)


def _excluded(policy: RetryPolicy, situation: RetryContext, rule: Effective) -> Blocker:
    """What forbids any further attempt, whatever was delivered and whatever the rules cost.

    `x-should-retry: false` always wins. `true` lifts the veto of a request that was rejected, before a response only
    (the SDK obeys it there too, whatever the status); it lifts nothing that the table refuses for other causes, no
    missing `retry-after`, and no limit.
    """
    if policy.kill_switch or situation.killed or policy.mode is Mode.OBSERVE:
        return Blocker.KILL_SWITCH
    if situation.caller_gone or situation.reason in CALLER_REASONS:
        return Blocker.CALLER
    told_to = situation.should_retry is True and situation.before_response
    vetoed = rule.veto is not Veto.NONE and not (rule.veto is Veto.SERVER and told_to)
    if vetoed or situation.certificate or situation.should_retry is False:
        return Blocker.NEVER
    if situation.before_response and policy.sdk_retries is SdkRetries.KEEP:
        return Blocker.SDK
    return Blocker.NONE


def _possible(policy: RetryPolicy, situation: RetryContext) -> tuple[Action, Blocker]:
    """What could be done, by what the caller holds and what was asked. Nothing is ever handed out twice."""
    delivered, traits = situation.delivered, situation.traits
    if delivered.finished:
        return Action.GIVE_UP, Blocker.OUTPUT
    if delivered.tool:
        return Action.GIVE_UP, Blocker.TOOL
    if delivered.citations or delivered.other:
        return Action.GIVE_UP, Blocker.OUTPUT
    if delivered.text > 0:
        return _continuable(policy, situation)
    if delivered.thinking and policy.commit.thinking_is_output:
        return Action.GIVE_UP, Blocker.OUTPUT
    if traits.thread and situation.reason not in THREAD_SAFE_REASONS:
        return Action.GIVE_UP, Blocker.REQUEST
    return Action.RETRY, Blocker.NONE


def _continuable(policy: RetryPolicy, situation: RetryContext) -> tuple[Action, Blocker]:
    """Whether a text, of which the caller holds a part, can go on."""
    traits = situation.traits
    if policy.mode is not Mode.RESUME:
        return Action.GIVE_UP, Blocker.OUTPUT
    if traits.thread or traits.structured_output or traits.forced_tool:
        return Action.GIVE_UP, Blocker.REQUEST
    if situation.delivered.text < policy.resume.min_partial_chars:
        return Action.GIVE_UP, Blocker.TOO_SHORT
    return Action.RESUME, Blocker.NONE


def _disallowed(policy: RetryPolicy, situation: RetryContext, rule: Effective, action: Action) -> Blocker:
    """What of the reason's rule and of the limits stands against it."""
    limits = policy.limits
    allowed = rule.resume if action is Action.RESUME else rule.retry
    if not allowed or (rule.require_retry_after and _asked(situation) is None):
        return Blocker.RULE
    recurs = situation.reason is AbortReason.GATEWAY_ERROR and situation.limit_match.startswith(SAME_AGAIN)
    if situation.attempt >= (min(rule.max_attempts, 2) if recurs else rule.max_attempts):
        return Blocker.ATTEMPTS
    if action is Action.RESUME and situation.resumes >= limits.max_resumes:
        return Blocker.RESUMES
    if situation.requests >= limits.max_requests:
        return Blocker.REQUESTS
    return Blocker.NONE


def _delay(policy: RetryPolicy, situation: RetryContext, rule: Effective, random: float) -> tuple[float, DelaySource]:
    """Seconds to wait, and on whose word. May be above the cap where the server asks for more and that is to fail."""
    asked, allowed = _asked(situation), policy.retry_after
    if allowed.honour and asked:  # 0 asks for no wait in particular: the back-off spreads it
        if asked > allowed.max:
            return (allowed.max if allowed.on_exceed is OnExceed.CAP else asked), DelaySource.RETRY_AFTER
        spread = max(0.0, min(1.0, random)) * min(asked * RETRY_AFTER_SPREAD, LONGEST_SPREAD)
        return min(asked + spread, allowed.max), DelaySource.RETRY_AFTER
    wait = backoff.delay(rule.backoff, situation.attempt, situation.previous_delay, random)
    return wait, DelaySource.BACKOFF


def _asked(situation: RetryContext) -> float | None:
    """What the server's `retry-after` asks for, None if it says nothing that can be waited for."""
    asked = situation.retry_after
    return asked if asked is not None and asked >= 0.0 else None
