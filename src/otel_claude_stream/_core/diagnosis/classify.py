"""Why a stream ended: one table of rules over the facts, first match wins.

Read ``RULES`` from top to bottom: each entry is a sentence, the condition that the sentence states, and what follows.
The order carries meaning. A finished message is finished whatever happens to the connection later; what the caller did
comes before anything the wire did; what somebody *said* (an error event, a status, a body) comes before what can only
be inferred from exceptions; and exceptions are read with their errno, since their classes mislead (measured against
49 proxy set-ups). Where the evidence cannot decide, ``also`` names what else it fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from otel_claude_stream._core.diagnosis.advice import advise
from otel_claude_stream._core.diagnosis.evidence import Evidence
from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.diagnosis.limits import (
    KNOWN_LIMITS,
    Limit,
    LimitKind,
    LimitMatch,
    Remedy,
    match_limit,
    named_products,
    suspects_of,
)
from otel_claude_stream._core.diagnosis.rule import Clock, Rule
from otel_claude_stream._core.diagnosis.rules_inferred import WIRE
from otel_claude_stream._core.diagnosis.rules_reported import SAID
from otel_claude_stream._core.vocabulary import CALLER_REASONS, AbortReason, Origin, Outcome

__all__ = ["RULES", "Clock", "Rule", "Verdict", "classify"]

HELD_SHARE = 0.05
"""A body that is cut, empty, within this share of the wait for its headers: a hop that buffers had held the headers
back, and gave them away at the cut (nginx, measured: at 2.00 s, cut in the same millisecond). Their wait is the
silence."""

RULES: tuple[Rule, ...] = (*SAID, *WIRE)
"""Every rule, in the order in which they are tried. The last one matches everything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of the classifier: what an on-call engineer needs, and how sure it is."""

    outcome: Outcome
    reason: AbortReason | None
    """None when completed."""
    origin: Origin | None
    """None when completed."""
    also_possible: tuple[AbortReason, ...] = ()
    """Reasons that the same evidence fits; never the reason itself."""
    limit_match: str = "none"
    """``idle:60s``, ``duration:30s``, ``ambiguous`` or ``none``: consistent with, never more."""
    suspects: tuple[str, ...] = ()
    """Products that the response betrays or whose default limit fits, in that order."""
    advice: str = ""
    """One line of remedy, empty if there is none."""
    rule: str = ""
    """Id of the rule that decided."""
    fault_after_stop: bool = False
    """Something was raised after ``message_stop``: the message is complete all the same."""
    missing_message_stop: bool = False
    """Only ``message_stop`` was missing: the message is complete all the same."""


def classify(facts: Facts, limits: Sequence[Limit] = KNOWN_LIMITS) -> Verdict:
    """Say why a stream ended. Total: odd or missing facts give a weaker answer, never an exception."""
    evidence = Evidence(facts)
    rule = next(rule for rule in RULES if rule.when(evidence))
    reason = rule.reason(evidence) if callable(rule.reason) else rule.reason
    if reason is None:
        return Verdict(
            Outcome.COMPLETED,
            None,
            None,
            rule=rule.id,
            fault_after_stop=facts.message_stop and bool(evidence.kind) and "GeneratorExit" not in evidence.outer,
            missing_message_stop=not facts.message_stop,
        )
    match, betrayed = _timing(rule.clock, facts, limits)
    return Verdict(
        outcome=Outcome.CLOSED if reason in CALLER_REASONS else Outcome.FAILED,
        reason=reason,
        origin=_between(match, betrayed) if rule.origin is Origin.UNKNOWN else rule.origin,
        also_possible=tuple(other for other in rule.also if other is not reason),
        limit_match=match.label,
        suspects=suspects_of(match, betrayed),
        advice=advise(reason, match),
        rule=rule.id,
    )


def _timing(clock: Clock, facts: Facts, limits: Sequence[Limit]) -> tuple[LimitMatch, tuple[str, ...]]:
    """Compare the ending's times with the limits that could have caused it. Also: products the response betrays."""
    if clock is Clock.NONE:
        return LimitMatch(), ()
    silence, elapsed, flowed = facts.silence, facts.elapsed, facts.bytes_last_5s > 0 or facts.bytes <= 0
    if facts.last_attempt is not None:
        elapsed = facts.last_attempt
    in_body = clock not in (Clock.HEAD, Clock.CLIENT_HEAD)
    if not in_body:
        silence = elapsed = facts.head if facts.head is not None else elapsed
        flowed = True
    elif facts.bytes <= 0 and facts.head is not None and silence <= facts.head * HELD_SHARE:
        silence = facts.head
    own: bool | None = None if clock is Clock.PATH else clock in (Clock.CLIENT_HEAD, Clock.CLIENT_BODY)
    betrayed = () if own else named_products(facts.headers, facts.wording, limits, api_spoke=facts.has_request_id)
    match = match_limit(
        limits,
        silence=silence,
        elapsed=elapsed,
        flowed=flowed,
        in_body=in_body,
        own=own,
        named=frozenset(betrayed),
    )
    return match, betrayed


def _between(match: LimitMatch, betrayed: tuple[str, ...]) -> Origin:
    """Who sits between, as far as a fitting limit tells; a device below HTTP counts as the network.

    A limit on the whole response fits many a crash by chance (the windows of the known ones cover a quarter of the
    first minute), so that alone does not name an origin: the response must betray the product as well.
    """
    if not match.limits or (match.limits[0].kind is LimitKind.DURATION and match.limits[0].name not in betrayed):
        return Origin.UNKNOWN
    below = all(limit.remedy is Remedy.KEEPALIVE for limit in match.limits)
    return Origin.NETWORK if below else Origin.INTERMEDIARY
