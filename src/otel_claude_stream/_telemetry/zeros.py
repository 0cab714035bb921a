"""The counter series that exist before their first event.

A series that is born at 1 has an `increase()` of 0: the first abort of a kind would raise no alert. So the series that
alerts ask for are made at zero with the first stream of each model and server. A closed list: not every combination of
reason, phase and origin, of which there are hundreds, but the ones that the classifier gives in the usual cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_claude_stream._core.retry.context import Action, Blocker
from otel_claude_stream._core.stream.timing import label
from otel_claude_stream._core.vocabulary import AbortReason as Reason
from otel_claude_stream._core.vocabulary import Origin, Outcome, Phase
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry.spec import Attribute

Labels = dict[str, str | int]

_BEFORE: Final = (Phase.AWAITING_RESPONSE,)
_INSIDE: Final = (Phase.AWAITING_FIRST_TOKEN, Phase.STREAMING)

_ABORTS: Final[tuple[tuple[Reason, Origin, tuple[Phase, ...]], ...]] = (
    (Reason.OVERLOADED, Origin.ANTHROPIC, (*_BEFORE, *_INSIDE)),
    (Reason.RATE_LIMITED, Origin.ANTHROPIC, _BEFORE),
    (Reason.API_ERROR, Origin.ANTHROPIC, (*_BEFORE, *_INSIDE)),
    (Reason.TIMEOUT_ERROR, Origin.ANTHROPIC, _BEFORE),
    (Reason.GATEWAY_ERROR, Origin.INTERMEDIARY, _BEFORE),
    (Reason.BAD_RESPONSE, Origin.INTERMEDIARY, (Phase.AWAITING_FIRST_EVENT,)),
    (Reason.CONNECT_FAILED, Origin.NETWORK, (Phase.CONNECTING,)),
    (Reason.CONNECTION_CLOSED, Origin.UNKNOWN, (*_BEFORE, *_INSIDE)),
    (Reason.CONNECTION_RESET, Origin.UNKNOWN, (*_BEFORE, *_INSIDE)),
    (Reason.TRUNCATED, Origin.UNKNOWN, _INSIDE),
    (Reason.SILENT, Origin.CLIENT, _INSIDE),
    (Reason.RESPONSE_TIMEOUT, Origin.CLIENT, _BEFORE),
)

_RETRIED: Final = (
    Reason.OVERLOADED,
    Reason.RATE_LIMITED,
    Reason.API_ERROR,
    Reason.GATEWAY_ERROR,
    Reason.CONNECT_FAILED,
    Reason.RESPONSE_TIMEOUT,
)

_BROKE: Final = (
    Reason.OVERLOADED,
    Reason.API_ERROR,
    Reason.CONNECTION_CLOSED,
    Reason.CONNECTION_RESET,
    Reason.TRUNCATED,
)
"""Reasons that the policy acts on most: those of streams that broke after their response headers."""

_STATUSES: Final = (200, 429, 500, 529)

_STALLS: Final = ("silent", "pings_only")


def _named(**pairs: tuple[Attribute, str | int]) -> Labels:
    return {attribute.name: value for attribute, value in pairs.values()}


def aborts() -> Iterator[Labels]:
    """Labels of `claude.stream.aborts`."""
    for reason, origin, phases in _ABORTS:
        for phase in phases:
            yield _named(
                reason=(a.REASON, reason.value),
                phase=(a.PHASE, phase.value),
                origin=(a.ORIGIN, origin.value),
                limit=(a.LIMIT_MATCH, "none"),
            )


def retries() -> Iterator[Labels]:
    """Labels of `claude.stream.retries`."""
    for reason in _RETRIED:
        yield _named(
            reason=(a.RETRY_REASON, reason.value), decision=(a.RETRY_DECISION, "retry"), layer=(a.RETRY_LAYER, "sdk")
        )


def decisions(*, active: bool) -> Iterator[Labels]:
    """Labels of `claude.stream.retry.decisions`; `active` where the policy does more than observe."""
    outcomes = [(Action.RETRY, Blocker.NONE), (Action.GIVE_UP, Blocker.OUTPUT)]
    if active:
        outcomes += [(Action.RESUME, Blocker.NONE), (Action.GIVE_UP, Blocker.BUDGET)]
    for reason in _BROKE:
        for action, blocker in outcomes:
            yield {
                a.RETRY_REASON.name: reason.value,
                a.RETRY_DECISION.name: action.value,
                a.RETRY_BLOCKED_BY.name: blocker.value,
                a.RETRY_DRY_RUN.name: not active,
            }


def recoveries(*, active: bool) -> Iterator[Labels]:
    """Labels of `claude.stream.recoveries`; none where the policy only observes."""
    if active:
        for action in ("retry", "resume"):
            for result in (Outcome.COMPLETED, Outcome.FAILED):
                yield _named(action=(a.RECOVERY_ACTION, action), outcome=(a.RECOVERY_OUTCOME, result.value))


def requests() -> Iterator[Labels]:
    """Labels of `claude.stream.requests`."""
    for status in _STATUSES:
        yield _named(layer=(a.RETRY_LAYER, "sdk"), status=(a.STATUS_CODE, status))


def stalls(thresholds: tuple[float, ...]) -> Iterator[Labels]:
    """Labels of `claude.stream.stalls`, for these thresholds."""
    for threshold in thresholds:
        for kind in _STALLS:
            yield _named(threshold=(a.STALL_THRESHOLD, label(threshold)), kind=(a.STALL_KIND, kind))
