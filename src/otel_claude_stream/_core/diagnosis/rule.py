"""The structure of a classifier rule. The rules are in ``rules_reported.py`` and ``rules_inferred.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from otel_claude_stream._core.diagnosis.evidence import Evidence
from otel_claude_stream._core.vocabulary import AbortReason, Origin


class LimitCheck(Enum):
    """Which times of an ending are compared with which known limits."""

    NONE = "none"
    HEADERS = "headers"
    """The wait for the response headers, with the limits of intermediaries."""
    BODY = "body"
    """The silence before the end and the duration, with the limits of intermediaries."""
    BODY_ALL_LIMITS = "body_all_limits"
    """As ``BODY``, with the client's limits as well, since its TCP keep-alives detect a dead path."""
    CLIENT_HEADERS = "client_headers"
    """The wait for the response headers, with the client's limits only."""
    CLIENT_BODY = "client_body"
    """The silence before the end and the duration, with the client's limits only."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of ``RULES``."""

    id: str
    description: str
    """The rule as a sentence for people."""
    when: Callable[[Evidence], bool]
    reason: AbortReason | Callable[[Evidence], AbortReason] | None
    """None if the stream completed."""
    origin: Origin | None
    also_possible: tuple[AbortReason, ...] = ()
    limit_check: LimitCheck = LimitCheck.NONE
