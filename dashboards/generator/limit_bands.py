"""Narrow histogram buckets around known limits, and the advice for each limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from otel_claude_stream._core.diagnosis.advice import advise
from otel_claude_stream._core.diagnosis.limits import KNOWN_LIMITS, LimitKind, LimitMatch, label_of
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream._telemetry import schema

MAX_WIDTH: Final = 4.0
"""A bucket around a limit may have this width in seconds,"""
MAX_WIDTH_SHARE: Final = 0.02
"""or this share of its upper bound, whichever is larger."""


@dataclass(frozen=True, slots=True)
class Band:
    """A narrow bucket, above ``low`` and up to ``high`` seconds, with the known limits inside."""

    low: float
    high: float
    names: tuple[str, ...]
    seconds: tuple[float, ...]

    @property
    def title(self) -> str:
        """The title of its bar, such as ``59-62 s: nginx, AWS ALB, Kong``."""
        return f"{self.low:g}-{self.high:g} s: {', '.join(self.names)}"


def bands(kind: LimitKind, bounds: Sequence[float]) -> tuple[Band, ...]:
    """Return the narrow buckets among ``bounds`` that contain limits of a kind, those of the SDK included."""
    found = []
    for low, high in pairwise(bounds):
        inside = [limit for limit in KNOWN_LIMITS if limit.kind is kind and low < limit.seconds < high]
        if inside and high - low <= max(MAX_WIDTH, MAX_WIDTH_SHARE * high):
            names = tuple(dict.fromkeys(limit.name for limit in inside))
            found.append(Band(low, high, names, tuple(sorted({limit.seconds for limit in inside}))))
    return tuple(found)


IDLE: Final = bands(LimitKind.IDLE, schema.ABORT_IDLE.buckets)
DURATION: Final = bands(LimitKind.DURATION, schema.ABORT_ELAPSED.buckets)


@dataclass(frozen=True, slots=True)
class LimitAdvice:
    """Suspects and remedy for one value of the label ``limit_match``."""

    label: str
    suspects: str
    remedy: str


def limit_advice() -> tuple[LimitAdvice, ...]:
    """Return the advice for each limit in the order of the table of limits, then for the values without a limit."""
    groups: dict[str, list[object]] = {}
    for limit in KNOWN_LIMITS:
        groups.setdefault(label_of(limit), []).append(limit)
    found = []
    for text, limits in groups.items():
        match = LimitMatch(text, tuple(limits))  # type: ignore[arg-type] # the list holds limits only
        names = ", ".join(dict.fromkeys(limit.name for limit in match.limits))
        found.append(LimitAdvice(text, names, advise(AbortReason.CONNECTION_CLOSED, match)))
    for text, suspects in (("ambiguous", "an idle limit or one on the whole response"), ("none", "no known limit")):
        found.append(LimitAdvice(text, suspects, advise(AbortReason.CONNECTION_CLOSED, LimitMatch(text))))
    return tuple(found)
