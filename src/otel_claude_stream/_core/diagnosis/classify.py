"""Classify why a stream ended, by one table of rules over the facts. The first match wins.

Read ``RULES`` from top to bottom. Each entry has a sentence, the condition that the sentence describes, and the result.
The order carries meaning:

1. A complete message is complete, whatever happens to the connection later.
2. Actions of the caller come before anything on the network.
3. A reported failure (an error event, a status, a body) comes before one inferred from exceptions.
4. Exceptions are read with their errno, since their classes mislead (measured against 49 proxy set-ups).

Where the evidence cannot decide, ``also_possible`` names the other reasons that fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from otel_claude_stream._core.diagnosis.advice import advise
from otel_claude_stream._core.diagnosis.evidence import PROVIDER_REASONS, Evidence
from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.diagnosis.limits import (
    KNOWN_LIMITS,
    Limit,
    LimitKind,
    LimitMatch,
    Remedy,
    match_limit,
    products_in_response,
    suspects_of,
)
from otel_claude_stream._core.diagnosis.rule import LimitCheck, Rule
from otel_claude_stream._core.diagnosis.rules_inferred import INFERRED_RULES
from otel_claude_stream._core.diagnosis.rules_reported import REPORTED_RULES
from otel_claude_stream._core.vocabulary import CALLER_REASONS, AbortReason, Origin, Outcome

__all__ = ["RULES", "Diagnosis", "LimitCheck", "Rule", "Verdict", "classify"]

BUFFERED_HEADERS_SHARE = 0.05
"""If an empty body is cut within this share of the wait for its headers, a buffering hop had held the headers back.

nginx releases them at the cut (measured: headers at 2.00 s, cut in the same millisecond). The wait for the headers is
then the silence."""

RULES: tuple[Rule, ...] = (*REPORTED_RULES, *INFERRED_RULES)
"""Every rule, in the order in which they are tried. The last one matches everything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the classifier, for an on-call engineer, with the doubts that remain."""

    outcome: Outcome
    reason: AbortReason | None
    """None when completed."""
    origin: Origin | None
    """None when completed."""
    also_possible: tuple[AbortReason, ...] = ()
    """Other reasons that the same evidence fits, without the reason itself."""
    limit_match: str = "none"
    """``idle:60s``, ``duration:30s``, ``ambiguous`` or ``none``. The ending is consistent with it, no more."""
    suspects: tuple[str, ...] = ()
    """Products that the response names, then products whose default limit fits."""
    advice: str = ""
    """One line of remedy, empty if there is none."""
    rule: str = ""
    """Id of the rule that matched."""
    fault_after_stop: bool = False
    """An exception was raised after ``message_stop``. The message is complete."""
    missing_message_stop: bool = False
    """Only ``message_stop`` was missing. The message is complete."""


class Diagnosis(NamedTuple):
    """The facts about the end of a stream or an attempt, and the verdict on them."""

    facts: Facts
    verdict: Verdict

    @property
    def reason(self) -> AbortReason:
        """The abort reason; `stream_error` if there is none."""
        return self.verdict.reason or AbortReason.STREAM_ERROR

    @property
    def error_type(self) -> str:
        """The provider's error type, else the abort reason."""
        return self.facts.error_type or self.reason.value

    @property
    def known_error_type(self) -> str:
        """The same, as one of a closed set. A type that no provider documents is replaced by the abort reason."""
        reported = self.error_type.lower()
        return reported if reported in PROVIDER_REASONS else self.reason.value


def classify(facts: Facts, limits: Sequence[Limit] = KNOWN_LIMITS) -> Verdict:
    """Return why a stream ended. Implausible or missing facts give a weaker verdict, never an exception."""
    evidence = Evidence(facts)
    rule = next(rule for rule in RULES if rule.when(evidence))
    reason = rule.reason(evidence) if callable(rule.reason) else rule.reason
    if reason is None:
        has_fault = bool(evidence.outermost) and "GeneratorExit" not in evidence.outermost_classes
        return Verdict(
            Outcome.COMPLETED,
            None,
            None,
            rule=rule.id,
            fault_after_stop=facts.message_stop and has_fault,
            missing_message_stop=not facts.message_stop,
        )
    match, products = _check_limits(rule.limit_check, evidence, limits)
    return Verdict(
        outcome=Outcome.CLOSED if reason in CALLER_REASONS else Outcome.FAILED,
        reason=reason,
        origin=_origin_of_limit(match, products) if rule.origin is Origin.UNKNOWN else rule.origin,
        also_possible=tuple(other for other in rule.also_possible if other is not reason),
        limit_match=match.label,
        suspects=suspects_of(match, products),
        advice=advise(reason, match),
        rule=rule.id,
    )


def _check_limits(check: LimitCheck, evidence: Evidence, limits: Sequence[Limit]) -> tuple[LimitMatch, tuple[str, ...]]:
    """Return the limits that could have caused the ending, and the products that the response names."""
    if check is LimitCheck.NONE:
        return LimitMatch(), ()
    facts = evidence.facts
    silence, elapsed = facts.silence, facts.age_of_attempt
    bytes_until_end = facts.bytes_last_5s > 0 or facts.bytes <= 0
    in_body = check not in (LimitCheck.HEADERS, LimitCheck.CLIENT_HEADERS)
    headers_wait = facts.time_to_headers
    if not in_body:
        silence = elapsed = headers_wait if headers_wait is not None else elapsed
        bytes_until_end = True
    elif facts.bytes <= 0 and headers_wait is not None and silence <= headers_wait * BUFFERED_HEADERS_SHARE:
        silence = headers_wait
    of_client: bool | None = check in (LimitCheck.CLIENT_HEADERS, LimitCheck.CLIENT_BODY)
    if check is LimitCheck.BODY_ALL_LIMITS:
        of_client = None
    products: tuple[str, ...] = ()
    if not of_client:
        products = products_in_response(facts.headers, facts.wording, limits, from_api=evidence.from_api)
    match = match_limit(
        limits,
        silence=silence,
        elapsed=elapsed,
        bytes_until_end=bytes_until_end,
        in_body=in_body,
        of_client=of_client,
        products=frozenset(products),
    )
    return match, products


def _origin_of_limit(match: LimitMatch, products: tuple[str, ...]) -> Origin:
    """Return the origin that a matching limit implies. A device below HTTP counts as the network.

    The windows of the known limits on a whole response cover a quarter of the first minute. Such a limit fits many a
    crash by chance, so it implies an origin only if the response also names the product.
    """
    if not match.limits or (match.limits[0].kind is LimitKind.DURATION and match.limits[0].name not in products):
        return Origin.UNKNOWN
    below_http = all(limit.remedy is Remedy.KEEPALIVE for limit in match.limits)
    return Origin.NETWORK if below_http else Origin.INTERMEDIARY
