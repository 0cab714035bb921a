"""The narrow buckets that stand on known limits, and whose limits they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from otel_claude_stream._core.diagnosis.advice import advise
from otel_claude_stream._core.diagnosis.limits import KNOWN_LIMITS, LimitKind, LimitMatch, label_of
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream._telemetry import schema

WIDEST: Final = 4.0
"""A bucket that is wider than this many seconds names no limit below ten minutes ..."""
WIDEST_SHARE: Final = 0.02
"""... nor one that is wider than this share of the limit."""


@dataclass(frozen=True, slots=True)
class Band:
    """One narrow bucket: above ``low``, up to ``high`` seconds, with the limits that lie in it."""

    low: float
    high: float
    names: tuple[str, ...]
    seconds: tuple[float, ...]

    @property
    def title(self) -> str:
        """``59-62 s: nginx, AWS ALB, Kong``."""
        return f"{self.low:g}-{self.high:g} s: {', '.join(self.names)}"


def bands(kind: LimitKind, bounds: Sequence[float]) -> tuple[Band, ...]:
    """The narrow buckets among ``bounds`` that hold limits of a kind, ascending. The client's own limits count too."""
    found = []
    for low, high in pairwise(bounds):
        inside = [limit for limit in KNOWN_LIMITS if limit.kind is kind and low < limit.seconds < high]
        if inside and high - low <= max(WIDEST, WIDEST_SHARE * high):
            names = tuple(dict.fromkeys(limit.name for limit in inside))
            found.append(Band(low, high, names, tuple(sorted({limit.seconds for limit in inside}))))
    return tuple(found)


IDLE: Final = bands(LimitKind.IDLE, schema.ABORT_IDLE.buckets)
DURATION: Final = bands(LimitKind.DURATION, schema.ABORT_ELAPSED.buckets)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What an on-call engineer wants to read beside one value of ``limit_match``."""

    label: str
    suspects: str
    remedy: str


def suspicions() -> tuple[Suspicion, ...]:
    """One for each limit that can match, in the order of the table of limits; then the values that name none."""
    groups: dict[str, list[object]] = {}
    for limit in KNOWN_LIMITS:
        groups.setdefault(label_of(limit), []).append(limit)
    found = []
    for text, limits in groups.items():
        match = LimitMatch(text, tuple(limits))  # type: ignore[arg-type] # the list holds limits only
        names = ", ".join(dict.fromkeys(limit.name for limit in match.limits))
        found.append(Suspicion(text, names, advise(AbortReason.CONNECTION_CLOSED, match)))
    for text, suspects in (("ambiguous", "an idle limit or one on the whole response"), ("none", "no known limit")):
        found.append(Suspicion(text, suspects, advise(AbortReason.CONNECTION_CLOSED, LimitMatch(text))))
    return tuple(found)
