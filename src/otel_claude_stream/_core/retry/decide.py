"""Decide what is done about a stream that failed. The first check that objects wins, in the order of `Blocker`.

Checks that nothing can override come first: the kill switch, the caller, and failures that are never retried. Next are
what was delivered, the policy's rules and the limits. The token of the shared budget is taken last, if no other
check objected. So no token is spent on a retry that does not happen.
"""

from __future__ import annotations

from collections.abc import Callable

from otel_claude_stream._core.retry.context import Action, Blocker, Decision, DelaySource, RetryContext
from otel_claude_stream._core.retry.policy import Backoff, Jitter, Mode, OnExceed, RetryPolicy, SdkRetries
from otel_claude_stream._core.retry.rules import EffectiveRule, Veto, effective_rule
from otel_claude_stream._core.vocabulary import CALLER_REASONS, AbortReason

THREAD_SAFE_REASONS = frozenset(
    {AbortReason.OVERLOADED, AbortReason.RATE_LIMITED, AbortReason.API_ERROR, AbortReason.CONNECT_FAILED}
)
"""Failures after which a threaded request can be sent again: the API rejected it, or nothing was sent.

The server holds "either the whole reply or none of it" (the SDK's documentation). After a cut or a time-out it may be
writing the whole reply. Sent again, the request gets status 400 with `thread_continue_in_flight` or
`thread_already_continued`, or a second reply.
"""

RETRY_AFTER_SPREAD = 0.1
"""Share of the server's `retry-after` that is added to it at most, so that clients do not all retry in that second.

Nothing is subtracted, since an early retry is wasted."""

MAX_RETRY_AFTER_SPREAD = 5.0
"""Seconds. AWS's SDKs allow as much above the server's value."""

MAX_DELAY = 86_400.0
"""Seconds. No delay of a policy is longer than a day, so that every delay is finite."""

DECORRELATED_GROWTH = 3.0
"""Each delay is at most three times the one before (AWS Architecture Blog, "Exponential Backoff And Jitter")."""

_DURATION_LIMIT = "duration:"
"""Prefix of a match with a limit on the whole response. A retry takes as long and meets the limit again."""


def decide(policy: RetryPolicy, context: RetryContext, *, take_token: Callable[[], bool], random: float) -> Decision:
    """Decide what is done about a stream that failed.

    Args:
        policy: The policy of the call. Mode `OBSERVE` allows nothing; for a dry run, pass one with another mode.
        context: The failure, and what was sent and delivered so far.
        take_token: Takes a token of the shared budget, and returns False if there is none. It is called at most once,
            as the last check.
        random: A random number from 0 to 1 for the delay.
    """
    rule = effective_rule(policy, context.reason)
    blocker = _hard_blocker(policy, context, rule)
    if blocker is not Blocker.NONE:
        return Decision(Action.GIVE_UP, blocker)
    action, blocker = _possible_action(policy, context)
    if action is Action.RETRY and _may_fall_back(context, rule) and context.fallback:
        action = Action.FALLBACK
    if blocker is Blocker.NONE:
        blocker = _rule_or_limit_blocker(policy, context, rule, action)
    if blocker is not Blocker.NONE:
        return Decision(Action.GIVE_UP, blocker)
    fallback = action is Action.FALLBACK  # another model has another load, so nothing is waited for
    delay, source = (0.0, DelaySource.NONE) if fallback else _delay(policy, context, rule, random)
    deadline = policy.limits.deadline
    if deadline is not None and not context.elapsed + delay <= deadline:
        return Decision(Action.GIVE_UP, Blocker.DEADLINE)
    if source is DelaySource.RETRY_AFTER and delay > policy.retry_after.max:
        return Decision(Action.GIVE_UP, Blocker.RETRY_AFTER)
    if not take_token():
        return Decision(Action.GIVE_UP, Blocker.BUDGET)
    return Decision(action, Blocker.NONE, delay, source, (context.fallback or "") if fallback else "")


def sdk_retry_blocker(
    policy: RetryPolicy, *, requested: float | None, delay: float, elapsed: float, take_token: Callable[[], bool]
) -> Blocker:
    """Return what forbids the SDK's own next retry, which no decision is taken about.

    Args:
        policy: The policy of the call, which acts.
        requested: The seconds that the server asked to wait; None if it did not.
        delay: The seconds that the SDK sleeps before the retry, as far as they are known.
        elapsed: The seconds since the start of the call.
        take_token: As for `decide`.
    """
    allowed, deadline = policy.retry_after, policy.limits.deadline
    if requested is not None and requested > allowed.max and allowed.on_exceed is OnExceed.FAIL:
        return Blocker.RETRY_AFTER
    if deadline is not None and (elapsed >= deadline or elapsed + delay > deadline):
        return Blocker.DEADLINE
    return Blocker.NONE if take_token() else Blocker.BUDGET


def _hard_blocker(policy: RetryPolicy, context: RetryContext, rule: EffectiveRule) -> Blocker:
    """Return what forbids any further attempt, whatever was delivered and whatever the limits allow.

    `x-should-retry: false` always wins. `true` lifts the veto on a rejected request, but only before a response, where
    the SDK obeys it too for any status. It lifts no other veto, replaces no `retry-after`, and exceeds no limit.
    """
    if policy.kill_switch or policy.mode is Mode.OBSERVE:
        return Blocker.KILL_SWITCH
    if context.reason in CALLER_REASONS:
        return Blocker.CALLER
    server_requests_retry = context.should_retry is True and context.before_response
    vetoed = rule.veto is not Veto.NONE and not (rule.veto is Veto.UNLESS_SERVER and server_requests_retry)
    if vetoed or context.certificate_rejected or context.should_retry is False:
        return Blocker.NEVER
    if context.before_response and policy.sdk_retries is SdkRetries.KEEP:
        if not _may_fall_back(context, rule):
            return Blocker.SDK
        return Blocker.NONE if context.fallback else Blocker.MODEL
    return Blocker.NONE


def _may_fall_back(context: RetryContext, rule: EffectiveRule) -> bool:
    """Return whether another model may answer. The caller sees the name of the model in the first event."""
    return rule.fallback and context.fallback is not None and not context.delivered.started


def _possible_action(policy: RetryPolicy, context: RetryContext) -> tuple[Action, Blocker]:
    """Return the action that what was delivered and requested allows, such that nothing is delivered twice."""
    delivered = context.delivered
    if delivered.finished:
        return Action.GIVE_UP, Blocker.OUTPUT
    if delivered.tool:
        return Action.GIVE_UP, Blocker.TOOL
    if delivered.citations or delivered.other:
        return Action.GIVE_UP, Blocker.OUTPUT
    if delivered.text > 0:
        return _resume_action(policy, context)
    if delivered.unknown or (delivered.thinking and policy.commit.thinking_is_output):
        return Action.GIVE_UP, Blocker.OUTPUT
    if context.capabilities.thread and context.reason not in THREAD_SAFE_REASONS:
        return Action.GIVE_UP, Blocker.REQUEST
    return Action.RETRY, Blocker.NONE


def _resume_action(policy: RetryPolicy, context: RetryContext) -> tuple[Action, Blocker]:
    """Return whether a partly delivered text can be resumed."""
    request = context.capabilities
    if policy.mode is not Mode.RESUME:
        return Action.GIVE_UP, Blocker.OUTPUT
    if request.thread or request.structured_output or request.forced_tool:
        return Action.GIVE_UP, Blocker.REQUEST
    if context.delivered.text < policy.resume.min_partial_chars:
        return Action.GIVE_UP, Blocker.TOO_SHORT
    return Action.RESUME, Blocker.NONE


def _rule_or_limit_blocker(policy: RetryPolicy, context: RetryContext, rule: EffectiveRule, action: Action) -> Blocker:
    """Return what forbids the action, out of the rule of its reason and the limits of the call."""
    limits = policy.limits
    if action is not Action.FALLBACK:
        allowed = rule.resume if action is Action.RESUME else rule.retry
        if not allowed or (rule.require_retry_after and _retry_after(context) is None):
            return Blocker.RULE
    recurs = context.reason is AbortReason.GATEWAY_ERROR and context.limit_match.startswith(_DURATION_LIMIT)
    if context.attempt >= (min(rule.max_attempts, 2) if recurs else rule.max_attempts):
        return Blocker.ATTEMPTS
    if action is Action.RESUME and context.resumes >= limits.max_resumes:
        return Blocker.RESUMES
    if context.requests >= limits.max_requests:
        return Blocker.REQUESTS
    return Blocker.NONE


def _delay(policy: RetryPolicy, context: RetryContext, rule: EffectiveRule, random: float) -> tuple[float, DelaySource]:
    """Return the delay in seconds and its source.

    The delay exceeds the cap if the server requests more and the policy gives up in that case.
    """
    requested, allowed = _retry_after(context), policy.retry_after
    if allowed.honour and requested:  # 0 requests no particular wait, so the backoff spreads it
        if requested > allowed.max:
            return (allowed.max if allowed.on_exceed is OnExceed.CAP else requested), DelaySource.RETRY_AFTER
        spread = max(0.0, min(1.0, random)) * min(requested * RETRY_AFTER_SPREAD, MAX_RETRY_AFTER_SPREAD)
        return min(requested + spread, allowed.max), DelaySource.RETRY_AFTER
    delay = backoff_delay(rule.backoff, context.attempt, context.previous_delay, random)
    return delay, DelaySource.BACKOFF


def _retry_after(context: RetryContext) -> float | None:
    """Return the server's `retry-after`, None if it is missing or no valid wait."""
    requested = context.retry_after
    return requested if requested is not None and requested >= 0.0 else None


def backoff_delay(backoff: Backoff, retry_number: int, previous: float | None, random: float) -> float:
    """Return the seconds to wait before a retry, finite and from 0 to the cap for any arguments.

    Args:
        backoff: The delays of the policy.
        retry_number: The number of the retry, from 1.
        previous: The delay before the previous retry, for the decorrelated jitter.
        random: A random number from 0 to 1.
    """
    fraction = max(0.0, min(1.0, random))
    cap = max(0.0, min(MAX_DELAY, backoff.cap))
    base = max(0.0, min(cap, backoff.base))
    bound = _exponential_bound(base, backoff.multiplier, retry_number, cap)
    if backoff.type is Jitter.FULL:
        delay = bound * fraction
    elif backoff.type is Jitter.EQUAL:
        delay = bound * (0.5 + fraction / 2)
    elif backoff.type is Jitter.DECORRELATED:
        upper = max(base, min(cap, DECORRELATED_GROWTH * (base if previous is None else previous)))
        delay = base + fraction * (upper - base)
    else:
        delay = bound
    return max(0.0, min(cap, delay))


def _exponential_bound(base: float, multiplier: float, retry_number: int, cap: float) -> float:
    """Return the bound that grows with each retry, up to the cap."""
    if base <= 0.0:
        return 0.0
    try:
        return max(0.0, min(cap, base * max(0.0, multiplier) ** max(0, retry_number - 1)))
    except OverflowError:
        return cap
