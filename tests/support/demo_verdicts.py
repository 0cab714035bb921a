"""The verdicts that the instrumentation must give in the scenarios of the demo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otel_claude_stream._core.retry.context import Action, Blocker
from otel_claude_stream._core.retry.policy import Mode
from otel_claude_stream._core.vocabulary import AbortReason, Outcome


@dataclass(frozen=True, slots=True)
class Expected:
    """The verdict on one stream. ``reasons`` are alternatives, none for a complete stream.

    ``recovered`` is the last action of a retry policy, ``blocked`` the reason why it did not do more.
    """

    outcome: Outcome = Outcome.COMPLETED
    reasons: tuple[AbortReason, ...] = ()
    requests: int = 1
    recovered: Action | None = None
    blocked: Blocker | None = None


def failed(reason: AbortReason, requests: int = 1) -> Expected:
    """Expect a stream that failed."""
    return Expected(Outcome.FAILED, (reason,), requests)


def closed(*reasons: AbortReason) -> Expected:
    """Expect a stream that the caller closed."""
    return Expected(Outcome.CLOSED, reasons)


def recovered(action: Action, requests: int = 2) -> Expected:
    """Expect a complete stream with a pause."""
    return Expected(requests=requests, recovered=action)


def given_up(
    reason: AbortReason, blocked: Blocker | None, requests: int = 1, recovered: Action | None = None
) -> Expected:
    """Expect the first error, as without a policy."""
    return Expected(Outcome.FAILED, (reason,), requests, recovered, blocked)


_OBSERVED: Final = {
    "overloaded_early": failed(AbortReason.OVERLOADED),
    "overloaded_late": failed(AbortReason.OVERLOADED),
    "retried": Expected(requests=3),
    "exhausted": failed(AbortReason.OVERLOADED, 3),
    "rate_limited": Expected(requests=2),
    "gateway": failed(AbortReason.GATEWAY_ERROR, 2),
    "cut_idle": failed(AbortReason.CONNECTION_CLOSED),
    "reset": failed(AbortReason.CONNECTION_RESET),
    "truncated": failed(AbortReason.TRUNCATED),
    "read_timeout": failed(AbortReason.SILENT),
    "html": failed(AbortReason.BAD_RESPONSE),
    "break": closed(AbortReason.CALLER_CLOSED),
    "bug": closed(AbortReason.CALLER_ERROR),
    "cancelled": closed(AbortReason.CANCELLED),
    "abandoned": closed(AbortReason.ABANDONED, AbortReason.INTERPRETER_EXIT),
}
"""The verdicts of a mode that only observes. The other streams complete."""

_RECOVERED: Final = {
    "overloaded_early": recovered(Action.RETRY),
    "refused": recovered(Action.RETRY, 3),
    "mixed": recovered(Action.RETRY, 3),
    "rate_limited": recovered(Action.RETRY),
    "overloaded_late": recovered(Action.RESUME),
    "cut_idle": recovered(Action.RESUME),
    "reset": recovered(Action.RESUME),
    "truncated": recovered(Action.RESUME),
    "read_timeout": recovered(Action.RESUME),
    "prefill": recovered(Action.RESUME),
    "no_prefill": recovered(Action.RESUME, 3),
    "preamble": recovered(Action.RESUME),
    "repeated": recovered(Action.RESUME),
    "mismatch": given_up(AbortReason.OVERLOADED, None, 2, Action.RESUME),
    "restart": given_up(AbortReason.OVERLOADED, None, 2, Action.RESUME),
    "second_failure": given_up(AbortReason.OVERLOADED, Blocker.RESUMES, 2, Action.RESUME),
    "busy_again": given_up(AbortReason.OVERLOADED, Blocker.RESUMES, 2, Action.RESUME),
    "exhausted": given_up(AbortReason.OVERLOADED, Blocker.ATTEMPTS, 3, Action.RETRY),
    "tool": given_up(AbortReason.OVERLOADED, Blocker.TOOL),
    "thinking": given_up(AbortReason.OVERLOADED, Blocker.OUTPUT),
    "too_short": given_up(AbortReason.CONNECTION_RESET, Blocker.TOO_SHORT),
    "spend_limit": given_up(AbortReason.RATE_LIMITED, Blocker.RULE),
    "later": given_up(AbortReason.RATE_LIMITED, Blocker.RETRY_AFTER),
    "html": given_up(AbortReason.BAD_RESPONSE, Blocker.NEVER),
    "cancelled": closed(AbortReason.CANCELLED),
}
"""The verdicts in `resume`. The other streams complete."""

_IN_RETRY: Final[Mapping[str, AbortReason]] = {
    "overloaded_late": AbortReason.OVERLOADED,
    "cut_idle": AbortReason.CONNECTION_CLOSED,
    "reset": AbortReason.CONNECTION_RESET,
    "truncated": AbortReason.TRUNCATED,
    "read_timeout": AbortReason.SILENT,
    "prefill": AbortReason.CONNECTION_CLOSED,
    "no_prefill": AbortReason.CONNECTION_CLOSED,
    "preamble": AbortReason.OVERLOADED,
    "repeated": AbortReason.OVERLOADED,
    "busy_again": AbortReason.OVERLOADED,
    "mismatch": AbortReason.OVERLOADED,
    "restart": AbortReason.OVERLOADED,
    "second_failure": AbortReason.OVERLOADED,
    "too_short": AbortReason.CONNECTION_RESET,
}
"""Streams whose text broke, and the reason: continued in `resume`, given up in `retry`."""


def expected(name: str, mode: Mode) -> Expected:
    """Return the verdict to expect in a mode. In `retry`, a text that broke is not continued."""
    if mode is Mode.RETRY and name in _IN_RETRY:
        return given_up(_IN_RETRY[name], Blocker.OUTPUT)
    return (_OBSERVED if mode is Mode.OBSERVE else _RECOVERED).get(name, Expected())
