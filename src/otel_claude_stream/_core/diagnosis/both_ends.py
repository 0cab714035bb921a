"""Decide from both ends of a request who ended a stream: from the client's verdict, and from the API's own span.

The first rule that matches wins. A rule changes the origin only where the two ends together leave one party. The two
ends are compared by durations, since the clocks of two machines differ. A request reaches the API after the client
began it. So if the API worked for longer than the client waited, it was still working when the client saw the end.

The meaning of the span's status is that of the API's documentation. It was not tried against the API itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from otel_claude_stream._core.diagnosis.advice import REASON_ADVICE
from otel_claude_stream._core.vocabulary import AbortReason, Origin, Outcome

OUTLIVED: Final = 1.0
"""Seconds by which the API's span must be longer than the client's request to have outlived it."""
PRECEDED: Final = 5.0
"""Seconds by which it must be shorter, and end earlier, to have ended before. A large request takes long to arrive."""

_HOPS: Final = (
    "The API did its part, so a hop between it and the application ended the stream. Look in the logs of each hop for "
    "this request, and compare their time-outs with its duration."
)


class ApiOutcome(str, Enum):
    """The end of a request as the API's own span records it."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """The span has no status. By the documentation, the sender cancelled the request."""
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class BothEnds:
    """The ending of a stream as the client classified it, and what is known of the API's end of its last request.

    ``longer`` is the duration of the API's span minus that of the client's request, in seconds. ``later`` is the
    difference of their ends, by their clocks.
    """

    outcome: Outcome
    origin: Origin
    api: ApiOutcome
    longer: float = 0.0
    later: float = 0.0

    @property
    def outlived(self) -> bool:
        """Whether the API still worked on the request when the client saw the end."""
        return self.longer > OUTLIVED

    @property
    def preceded(self) -> bool:
        """Whether the API's end came before the client's, by duration and by clock."""
        return self.longer < -PRECEDED and self.later < -PRECEDED


class JoinRule(NamedTuple):
    """One rule. ``origin`` is None if the rule does not change the client's verdict."""

    id: str
    description: str
    when: Callable[[BothEnds], bool]
    origin: Origin | None = None
    advice: str = ""


JOIN_RULES: Final = (
    JoinRule(
        "api_absent",
        "No span of the API is known for this request, or its spans contradict each other. So this is no evidence.",
        lambda e: e.api is ApiOutcome.ABSENT,
    ),
    JoinRule(
        "message_complete",
        "The client received the whole message, whatever the API recorded.",
        lambda e: e.outcome is Outcome.COMPLETED,
    ),
    JoinRule(
        "caller_ended",
        "The application ended the stream itself, so the API may have completed or have been cancelled.",
        lambda e: e.outcome is Outcome.CLOSED or e.origin is Origin.CALLER,
    ),
    JoinRule(
        "api_reported",
        "The client received an error in the API's own form.",
        lambda e: e.origin is Origin.ANTHROPIC,
    ),
    JoinRule(
        "client_timed_out",
        "A time-out of the client ended the request, and the API's end did not come well before it.",
        lambda e: e.origin is Origin.CLIENT and not e.preceded,
    ),
    JoinRule(
        "api_outlived",
        "The API was still working on the request when the client saw the end. Something in between ended the stream.",
        lambda e: e.outlived,
        Origin.INTERMEDIARY,
        _HOPS,
    ),
    JoinRule(
        "api_completed",
        "The API completed the message, and the client did not receive it. Something in between ended the stream.",
        lambda e: e.api is ApiOutcome.COMPLETED,
        Origin.INTERMEDIARY,
        _HOPS,
    ),
    JoinRule(
        "api_cancelled",
        "The API saw a cancel that the client did not make. Something in between hung up on both.",
        lambda e: e.api is ApiOutcome.CANCELLED,
        Origin.INTERMEDIARY,
        _HOPS,
    ),
    JoinRule(
        "api_failed_behind_a_hop",
        "The API failed too, but the client's evidence names a hop in between. The two do not decide.",
        lambda e: e.origin is Origin.INTERMEDIARY,
    ),
    JoinRule(
        "api_failed",
        "The API failed too, so nothing in between has to be the cause.",
        lambda _: True,
        Origin.ANTHROPIC,
        REASON_ADVICE[AbortReason.API_ERROR],
    ),
)
"""Every rule, in the order in which they are tried. The last one matches what is left: the API failed the request."""


def join(ends: BothEnds) -> JoinRule:
    """Return the first rule that matches."""
    return next(rule for rule in JOIN_RULES if rule.when(ends))
