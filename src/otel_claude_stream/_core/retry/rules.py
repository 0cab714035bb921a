"""The rule for each abort reason, from a built-in table that the rules of a policy override."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from otel_claude_stream._core.retry.context import Action
from otel_claude_stream._core.retry.policy import Backoff, RetryPolicy
from otel_claude_stream._core.vocabulary import CALLER_REASONS
from otel_claude_stream._core.vocabulary import AbortReason as R


class Veto(str, Enum):
    """The condition that lifts the veto on retries for a reason that is never retried."""

    NONE = "none"
    """There is no veto."""
    UNLESS_RULE = "unless_rule"
    """A rule of the policy that sets `retry` or `resume`."""
    UNLESS_SERVER = "unless_server"
    """The server's `x-should-retry: true` to this request, before a response. No rule can know it in advance."""
    ALWAYS = "always"
    """Nothing."""


@dataclass(frozen=True, slots=True)
class BuiltinRule:
    """One row of the built-in table. None takes the value that the policy sets for all reasons."""

    action: Action
    """The most that is done: a resume, where it is possible, a retry, or nothing."""
    why: str
    max_attempts: int | None = None
    backoff: tuple[float, float] | None = None
    """Base and cap in seconds. Type and multiplier of the backoff are always those of the policy."""
    require_retry_after: bool = False
    fallback: bool = False
    """Whether a fallback model may take over."""
    veto: Veto = Veto.NONE

    @property
    def retry(self) -> bool:
        """Whether the reason is retried."""
        return self.action is not Action.GIVE_UP

    @property
    def resume(self) -> bool:
        """Whether a text that broke for the reason is continued."""
        return self.action is Action.RESUME


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """The rule for one reason under one policy, with every field resolved."""

    retry: bool
    resume: bool
    max_attempts: int
    """Attempts, the first included, at most the limit of the policy."""
    backoff: Backoff
    require_retry_after: bool
    veto: Veto = Veto.NONE
    fallback: bool = False


_SHORT = (0.25, 4.0)
_NO_WAIT = (0.0, 0.0)

BUILTIN_RULES: dict[R, BuiltinRule] = {
    # From Anthropic.
    R.OVERLOADED: BuiltinRule(
        Action.RESUME,
        "An overload lasts for seconds, not milliseconds. In a stream it comes without retry-after.",
        backoff=(1.0, 30.0),
        fallback=True,
    ),
    R.RATE_LIMITED: BuiltinRule(
        Action.RETRY,
        "Without retry-after it is a spend limit (rate-limit documentation), and no retry can succeed.",
        require_retry_after=True,
    ),
    R.API_ERROR: BuiltinRule(
        Action.RESUME, "An internal error of the API is usually transient, and the SDK retries it as well."
    ),
    R.TIMEOUT_ERROR: BuiltinRule(
        Action.RETRY,
        "The API gave up on this request after a long time. The same request takes as long again.",
        max_attempts=2,
    ),
    R.REQUEST_REJECTED: BuiltinRule(
        Action.RETRY,
        "The same request is rejected again (validation, permission, size), unless the server requests a retry.",
        max_attempts=2,
        veto=Veto.UNLESS_SERVER,
    ),
    R.STREAM_ERROR: BuiltinRule(
        Action.RETRY,
        "The type of the error is unknown. It may be permanent, so it is retried once and never resumed.",
        max_attempts=2,
    ),
    # From an intermediary.
    R.GATEWAY_ERROR: BuiltinRule(
        Action.RETRY,
        "The upstream of a hop did not answer. A hop that rejects the request rejects a longer one as well.",
    ),
    R.BAD_RESPONSE: BuiltinRule(
        Action.GIVE_UP, "A proxy that answers in place of the API answers the retry as well.", veto=Veto.UNLESS_RULE
    ),
    # From the network.
    R.CONNECT_FAILED: BuiltinRule(
        Action.RESUME,
        "Nothing was sent. The waits are short, since another address or a moment later helps.",
        backoff=_SHORT,
    ),
    R.CONNECTION_CLOSED: BuiltinRule(
        Action.RESUME,
        "A server or hop went away (deployment, crash, idle limit). The next connection reaches another one.",
        backoff=_SHORT,
    ),
    R.CONNECTION_RESET: BuiltinRule(
        Action.RESUME, "As a closed connection. A device that lost the connection (NAT) resets it too.", backoff=_SHORT
    ),
    R.TRUNCATED: BuiltinRule(
        Action.RESUME,
        "The upstream crashed behind a proxy that ended the body cleanly, as in a third of such crashes.",
        backoff=_SHORT,
    ),
    R.DECODE_ERROR: BuiltinRule(
        Action.GIVE_UP, "A hop rewrites the stream, or the SDK cannot read it. It happens again.", veto=Veto.UNLESS_RULE
    ),
    # From time-outs. The wait was a backoff. One more attempt only, since a path that is stuck twice stays stuck.
    R.QUEUE_TIMEOUT: BuiltinRule(
        Action.GIVE_UP, "The call has waited for as long as the policy allows.", veto=Veto.ALWAYS
    ),
    R.RESPONSE_TIMEOUT: BuiltinRule(
        Action.RETRY, "The whole time-out has already passed.", max_attempts=2, backoff=_NO_WAIT
    ),
    R.FIRST_EVENT_TIMEOUT: BuiltinRule(
        Action.RETRY, "The response stays empty. Claude Code retries once, too.", max_attempts=2, backoff=_NO_WAIT
    ),
    R.FIRST_CONTENT_TIMEOUT: BuiltinRule(
        Action.RETRY, "No content arrived, so a retry repeats nothing.", max_attempts=2, backoff=_NO_WAIT
    ),
    R.SILENT: BuiltinRule(
        Action.RESUME, "The path is dead. A new connection takes another one.", max_attempts=2, backoff=_NO_WAIT
    ),
    R.NO_PROGRESS: BuiltinRule(
        Action.RESUME, "The server is stuck while its pings go on.", max_attempts=2, backoff=_NO_WAIT
    ),
    R.LIFETIME_EXCEEDED: BuiltinRule(
        Action.GIVE_UP, "The call has had its time, and another attempt would take as long again."
    ),
    # From the caller.
    **{reason: BuiltinRule(Action.GIVE_UP, "The caller left.", veto=Veto.ALWAYS) for reason in CALLER_REASONS},
}
"""A row for every reason.

Sources:

- the Anthropic SDK: delays of 0.5 s to 8 s
- Claude Code's published policy: a stall is retried once, a rejected certificate never
- gRPC: an allow-list by cause
- AWS: delays of throttling errors for overloads (base 1 s)
"""

NOT_RETRYABLE_BY_RULE: frozenset[R] = frozenset(
    reason for reason, row in BUILTIN_RULES.items() if row.veto in (Veto.ALWAYS, Veto.UNLESS_SERVER)
)
"""Reasons that a rule of a policy cannot make retryable. Such a rule has no effect."""


def effective_rule(policy: RetryPolicy, reason: R) -> EffectiveRule:
    """Return the rule for a reason.

    Each field comes from the policy's first rule that names the reason, else from the built-in row, else from the
    policy. If a row sets base and cap of the backoff, type and multiplier are those of the policy.
    """
    row = BUILTIN_RULES[reason]
    rule = next((rule for rule in policy.rules if reason in rule.reasons), None)
    retry, resume, veto, max_attempts = row.retry, row.resume, row.veto, row.max_attempts
    require_retry_after, fallback = row.require_retry_after, row.fallback
    backoff = policy.backoff
    if row.backoff is not None:
        backoff = replace(backoff, base=row.backoff[0], cap=row.backoff[1])
    if rule is not None:
        if veto is Veto.UNLESS_RULE and (rule.retry or rule.resume):
            veto = Veto.NONE
        retry = retry if rule.retry is None else rule.retry
        resume = resume if rule.resume is None else rule.resume
        max_attempts = max_attempts if rule.max_attempts is None else rule.max_attempts
        backoff = backoff if rule.backoff is None else rule.backoff
        require_retry_after = require_retry_after if rule.require_retry_after is None else rule.require_retry_after
        fallback = fallback if rule.fallback is None else rule.fallback
    limit = policy.limits.max_attempts
    return EffectiveRule(
        retry=retry,
        resume=resume,
        max_attempts=limit if max_attempts is None else min(max_attempts, limit),
        backoff=backoff,
        require_retry_after=require_retry_after,
        veto=veto,
        fallback=fallback,
    )
