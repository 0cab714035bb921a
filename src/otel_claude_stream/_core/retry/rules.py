"""What is done about each abort reason: the built-in table, and what a policy's own rules make of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from otel_claude_stream._core.retry.policy import Backoff, RetryPolicy
from otel_claude_stream._core.vocabulary import CALLER_REASONS
from otel_claude_stream._core.vocabulary import AbortReason as R


class Veto(str, Enum):
    """Who can lift the no of a reason that is never retried."""

    NONE = "none"
    """There is nothing to lift."""
    RULE = "rule"
    """A rule of the policy that says `retry` or `resume` itself."""
    SERVER = "server"
    """The server's `x-should-retry: true` to this very request, before a response; no rule can know that beforehand."""
    FIRM = "firm"
    """Nobody."""


@dataclass(frozen=True, slots=True)
class Builtin:
    """One row of the built-in table. None: what the policy says for all reasons."""

    retry: bool
    resume: bool
    why: str
    max_attempts: int | None = None
    base: float | None = None
    """Seconds; type and multiplier of the back-off are always the policy's."""
    cap: float | None = None
    require_retry_after: bool = False
    veto: Veto = Veto.NONE


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds for one reason under one policy, every field resolved."""

    retry: bool
    resume: bool
    max_attempts: int
    """The first included; never above the policy's own limit."""
    backoff: Backoff
    require_retry_after: bool
    veto: Veto = Veto.NONE


BUILTIN: dict[R, Builtin] = {
    # From Anthropic.
    R.OVERLOADED: Builtin(
        retry=True,
        resume=True,
        base=1.0,
        cap=30.0,
        why="The fleet is busy for seconds, not milliseconds; the in-stream form carries no retry-after.",
    ),
    R.RATE_LIMITED: Builtin(
        retry=True,
        resume=False,
        require_retry_after=True,
        why="Without retry-after it is a spend limit (rate-limit documentation): no retry can succeed.",
    ),
    R.API_ERROR: Builtin(
        retry=True,
        resume=True,
        why="An internal error of the API: transient as a rule, and retried by the SDK as well.",
    ),
    R.TIMEOUT_ERROR: Builtin(
        retry=True,
        resume=False,
        max_attempts=2,
        why="The API gave up on this request after a long time; the same request takes as long again.",
    ),
    R.REQUEST_REJECTED: Builtin(
        retry=True,
        resume=False,
        max_attempts=2,
        veto=Veto.SERVER,
        why="The same request is rejected again (validation, permission, size), and the server knows of exceptions.",
    ),
    R.STREAM_ERROR: Builtin(
        retry=True,
        resume=False,
        max_attempts=2,
        why="An error of a type that nobody knows: it may be lasting, so one try, and no words of ours after it.",
    ),
    # From something in between.
    R.GATEWAY_ERROR: Builtin(
        retry=True,
        resume=False,
        why="A hop had no answer from behind; a hop that refuses to carry the request refuses a longer one too.",
    ),
    R.BAD_RESPONSE: Builtin(
        retry=False,
        resume=False,
        veto=Veto.RULE,
        why="A proxy that answers in the API's place answers the retry as well.",
    ),
    # From the wire.
    R.CONNECT_FAILED: Builtin(
        retry=True,
        resume=True,
        base=0.25,
        cap=4.0,
        why="Nothing was sent. Short waits: another address or a moment later is what helps.",
    ),
    R.CONNECTION_CLOSED: Builtin(
        retry=True,
        resume=True,
        base=0.25,
        cap=4.0,
        why="A server or hop that went away (deployment, crash, idle limit): the next connection meets another one.",
    ),
    R.CONNECTION_RESET: Builtin(
        retry=True,
        resume=True,
        base=0.25,
        cap=4.0,
        why="As a closed connection; a path that forgot the connection (NAT) resets it too.",
    ),
    R.TRUNCATED: Builtin(
        retry=True,
        resume=True,
        base=0.25,
        cap=4.0,
        why="A crash upstream behind a proxy that ends the body properly: a third of them look so.",
    ),
    R.DECODE_ERROR: Builtin(
        retry=False,
        resume=False,
        veto=Veto.RULE,
        why="Something rewrites the stream, or the SDK does not understand it: it will again.",
    ),
    # From clocks: the wait itself was the back-off. One more try, since a path that is stuck twice stays so.
    R.RESPONSE_TIMEOUT: Builtin(
        retry=True,
        resume=False,
        max_attempts=2,
        base=0.0,
        cap=0.0,
        why="The whole time-out was waited already.",
    ),
    R.FIRST_EVENT_TIMEOUT: Builtin(
        retry=True,
        resume=False,
        max_attempts=2,
        base=0.0,
        cap=0.0,
        why="A response that stays empty; Claude Code tries once more, too.",
    ),
    R.SILENT: Builtin(
        retry=True,
        resume=True,
        max_attempts=2,
        base=0.0,
        cap=0.0,
        why="The path is dead; a new connection takes another one.",
    ),
    R.NO_PROGRESS: Builtin(
        retry=True,
        resume=True,
        max_attempts=2,
        base=0.0,
        cap=0.0,
        why="The server is stuck while its pings go on.",
    ),
    # From the caller.
    **{
        reason: Builtin(retry=False, resume=False, veto=Veto.FIRM, why="Nobody waits for the answer any more.")
        for reason in CALLER_REASONS
    },
}
"""Total over the reasons. Rates and yes or no are those of the Anthropic SDK (0.5 s to 8 s), Claude Code's published
policy (a stall once, a certificate never) and gRPC's allow-list by cause; the waits of an overload are AWS's class of
throttling errors (base 1 s)."""

CLOSED_TO_RULES: frozenset[R] = frozenset(
    reason for reason, row in BUILTIN.items() if row.veto in (Veto.FIRM, Veto.SERVER)
)
"""Reasons that no rule of a policy makes retryable: one that says so can never have an effect."""


def rule_for(policy: RetryPolicy, reason: R) -> Effective:
    """What holds for a reason: the policy's first rule that names it, else the built-in row, else the policy.

    That order holds for each field on its own. Where a row has rates of its own, type and multiplier are the policy's.
    """
    row = BUILTIN[reason]
    rule = next((rule for rule in policy.rules if reason in rule.reasons), None)
    retry, resume, veto, attempts = row.retry, row.resume, row.veto, row.max_attempts
    require = row.require_retry_after
    backoff = policy.backoff
    if row.base is not None and row.cap is not None:
        backoff = replace(backoff, base=row.base, cap=row.cap)
    if rule is not None:
        if veto is Veto.RULE and (rule.retry or rule.resume):
            veto = Veto.NONE
        retry = retry if rule.retry is None else rule.retry
        resume = resume if rule.resume is None else rule.resume
        attempts = attempts if rule.max_attempts is None else rule.max_attempts
        backoff = backoff if rule.backoff is None else rule.backoff
        require = require if rule.require_retry_after is None else rule.require_retry_after
    most = policy.limits.max_attempts
    return Effective(
        retry=retry,
        resume=resume,
        max_attempts=most if attempts is None else min(attempts, most),
        backoff=backoff,
        require_retry_after=require,
        veto=veto,
    )
