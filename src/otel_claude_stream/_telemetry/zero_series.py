"""The counter series that are created with the value 0, before their first event.

A series that starts at 1 has an `increase()` of 0 in Prometheus, so the first abort of a kind would raise no alert. The
first stream of each model and server creates the series that alerts use. There are hundreds of combinations of reason,
phase and origin. This list has those that the classifier returns in common cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_claude_stream._core.retry.context import Action, Blocker
from otel_claude_stream._core.stream.timing import label
from otel_claude_stream._core.vocabulary import AbortReason as Reason
from otel_claude_stream._core.vocabulary import Origin, Outcome, Phase
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry.buffer import Labels
from otel_claude_stream._telemetry.metrics import Instruments
from otel_claude_stream._telemetry.spec import Attribute

_BEFORE_HEADERS: Final = (Phase.AWAITING_RESPONSE,)
_DURING_STREAM: Final = (Phase.AWAITING_FIRST_TOKEN, Phase.STREAMING)

_ABORTS: Final[tuple[tuple[Reason, Origin, tuple[Phase, ...]], ...]] = (
    (Reason.OVERLOADED, Origin.ANTHROPIC, (*_BEFORE_HEADERS, *_DURING_STREAM)),
    (Reason.RATE_LIMITED, Origin.ANTHROPIC, _BEFORE_HEADERS),
    (Reason.API_ERROR, Origin.ANTHROPIC, (*_BEFORE_HEADERS, *_DURING_STREAM)),
    (Reason.TIMEOUT_ERROR, Origin.ANTHROPIC, _BEFORE_HEADERS),
    (Reason.GATEWAY_ERROR, Origin.INTERMEDIARY, _BEFORE_HEADERS),
    (Reason.BAD_RESPONSE, Origin.INTERMEDIARY, (Phase.AWAITING_FIRST_EVENT,)),
    (Reason.CONNECT_FAILED, Origin.NETWORK, (Phase.CONNECTING,)),
    (Reason.CONNECTION_CLOSED, Origin.UNKNOWN, (*_BEFORE_HEADERS, *_DURING_STREAM)),
    (Reason.CONNECTION_RESET, Origin.UNKNOWN, (*_BEFORE_HEADERS, *_DURING_STREAM)),
    (Reason.TRUNCATED, Origin.UNKNOWN, _DURING_STREAM),
    (Reason.SILENT, Origin.CLIENT, _DURING_STREAM),
    (Reason.RESPONSE_TIMEOUT, Origin.CLIENT, _BEFORE_HEADERS),
)

_RETRIED: Final = (
    Reason.OVERLOADED,
    Reason.RATE_LIMITED,
    Reason.API_ERROR,
    Reason.GATEWAY_ERROR,
    Reason.CONNECT_FAILED,
    Reason.RESPONSE_TIMEOUT,
)

_BROKEN: Final = (
    Reason.OVERLOADED,
    Reason.API_ERROR,
    Reason.CONNECTION_CLOSED,
    Reason.CONNECTION_RESET,
    Reason.TRUNCATED,
)
"""The most frequent reasons of streams that broke after their response headers, on which the policy acts."""

_STATUSES: Final = (200, 429, 500, 529)

_STALLS: Final = ("silent", "pings_only")


def _labels(**pairs: tuple[Attribute, str | int]) -> Labels:
    return {attribute.name: value for attribute, value in pairs.values()}


def create_stalls(instruments: Instruments, labels: Labels, thresholds: tuple[float, ...]) -> None:
    """Create the series of stalls of calls with these labels."""
    for further in stalls(thresholds):
        instruments.stalls.add(0, {**labels, **further})


def create(instruments: Instruments, labels: Labels, *, active: bool, thresholds: tuple[float, ...]) -> None:
    """Create the series of calls with these common labels. If not `active`, the policy only observes."""
    create_stalls(instruments, labels, thresholds)
    for counter, series in (
        (instruments.aborts, aborts()),
        (instruments.attempt_aborts, aborts()),
        (instruments.retries, retries()),
        (instruments.retry_decisions, decisions(active=active)),
        (instruments.recoveries, recoveries(active=active)),
        (instruments.requests, requests()),
    ):
        for further in series:
            counter.add(0, {**labels, **further})


def aborts() -> Iterator[Labels]:
    """Yield the labels of `claude.stream.aborts` and `claude.stream.attempt.aborts`."""
    for reason, origin, phases in _ABORTS:
        for phase in phases:
            yield _labels(
                reason=(a.REASON, reason.value),
                phase=(a.PHASE, phase.value),
                origin=(a.ORIGIN, origin.value),
                limit=(a.LIMIT_MATCH, "none"),
            )


def retries() -> Iterator[Labels]:
    """Yield the labels of `claude.stream.retries`."""
    for reason in _RETRIED:
        yield _labels(
            reason=(a.RETRY_REASON, reason.value), decision=(a.RETRY_DECISION, "retry"), layer=(a.RETRY_LAYER, "sdk")
        )


def decisions(*, active: bool) -> Iterator[Labels]:
    """Yield the labels of `claude.stream.retry.decisions`. If not `active`, the policy only observes."""
    outcomes = [(Action.RETRY, Blocker.NONE), (Action.GIVE_UP, Blocker.OUTPUT)]
    if active:
        outcomes += [(Action.RESUME, Blocker.NONE), (Action.GIVE_UP, Blocker.BUDGET)]
    for reason in _BROKEN:
        for action, blocker in outcomes:
            yield {
                a.RETRY_REASON.name: reason.value,
                a.RETRY_DECISION.name: action.value,
                a.RETRY_BLOCKED_BY.name: blocker.value,
                a.RETRY_DRY_RUN.name: not active,
            }


def recoveries(*, active: bool) -> Iterator[Labels]:
    """Yield the labels of `claude.stream.recoveries`. There are none if the policy only observes."""
    if active:
        for action in ("retry", "resume"):
            for outcome in (Outcome.COMPLETED, Outcome.FAILED):
                yield _labels(action=(a.RECOVERY_ACTION, action), outcome=(a.RECOVERY_OUTCOME, outcome.value))


def requests() -> Iterator[Labels]:
    """Yield the labels of `claude.stream.requests`."""
    for status in _STATUSES:
        yield _labels(layer=(a.RETRY_LAYER, "sdk"), status=(a.STATUS_CODE, status))


def stalls(thresholds: tuple[float, ...]) -> Iterator[Labels]:
    """Yield the labels of `claude.stream.stalls` for these thresholds."""
    for threshold in thresholds:
        for kind in _STALLS:
            yield _labels(threshold=(a.STALL_THRESHOLD, label(threshold)), kind=(a.STALL_KIND, kind))
