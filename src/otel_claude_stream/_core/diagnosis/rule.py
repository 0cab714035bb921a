"""The shape of a classifier rule. The rules themselves are in ``rules_said.py`` and ``rules_wire.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from otel_claude_stream._core.diagnosis.evidence import Evidence
from otel_claude_stream._core.vocabulary import AbortReason, Origin


class Clock(Enum):
    """Which time of an ending may be compared with the known limits."""

    NONE = "none"
    HEAD = "head"
    """How long the response's headers took, or the failure to get any."""
    BODY = "body"
    """The silence before the end, and the duration."""
    PATH = "path"
    """As BODY, with the client's own limits among the candidates: a dead path is noticed by its keep-alives."""
    CLIENT_HEAD = "client_head"
    """The client's own clock ran out before the headers: only its own limits."""
    CLIENT_BODY = "client_body"
    """The client's own clock ran out in the body: only its own limits."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of ``RULES``."""

    id: str
    says: str
    """The rule as a sentence, for people."""
    when: Callable[[Evidence], bool]
    reason: AbortReason | Callable[[Evidence], AbortReason] | None
    """None: the stream completed."""
    origin: Origin | None
    also: tuple[AbortReason, ...] = ()
    clock: Clock = Clock.NONE
