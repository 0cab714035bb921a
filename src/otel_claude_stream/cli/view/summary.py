"""Figures over many streams."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream.cli.view.model import StreamView

MOST_VALUES: Final = 100  # different outcomes or reasons, of which a program may invent any number
OTHER: Final = "other"
LATEST: Final = 10_000  # times to the first token that the percentiles cover: a run may last for weeks


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures over many streams. Pairs of a value and its count are ordered, the most frequent first."""

    streams: int
    outcomes: Mapping[str, int]
    reasons: tuple[tuple[str, int], ...]
    ttft_p50: float | None
    ttft_p95: float | None
    longest_silence: float | None
    requests: int
    start: int
    end: int
    policy_results: tuple[tuple[str, int], ...] = ()
    recovered_cuts: tuple[tuple[str, int], ...] = ()
    """Limits at which attempts were cut whose streams did not fail."""


class Tally:
    """Counts streams, one after the other. The percentiles cover the last 10 000 times to the first token."""

    def __init__(self) -> None:
        self.streams: int = 0
        self._outcomes = {outcome.value: 0 for outcome in Outcome}
        self._reasons: dict[str, int] = {}
        self._policy_results: dict[str, int] = {}
        self._recovered_cuts: dict[str, int] = {}
        self._ttfts: deque[float] = deque(maxlen=LATEST)
        self._silence: float | None = None
        self._requests = 0
        self._start: int | None = None
        self._end = 0

    def add(self, view: StreamView) -> None:
        """Count one stream."""
        self.streams += 1
        _count(self._outcomes, view.outcome)
        if view.reason:
            _count(self._reasons, view.reason)
        if view.policy_result:
            self._policy_results[view.policy_result] = self._policy_results.get(view.policy_result, 0) + 1
        for attempt in view.attempts[:-1]:
            if attempt.limit and view.outcome != Outcome.FAILED.value:
                _count(self._recovered_cuts, attempt.limit)
        if view.ttft is not None:
            self._ttfts.append(view.ttft)
        self._silence = max(self._silence or 0.0, view.longest_silence or 0.0)
        self._requests += view.requests
        self._start = view.start if self._start is None else min(self._start, view.start)
        self._end = max(self._end, view.end)

    def summary(self) -> Summary:
        """Return the figures so far; each known outcome is in them, zero or not."""
        return Summary(
            streams=self.streams,
            outcomes=dict(self._outcomes),
            reasons=_most_frequent_first(self._reasons),
            policy_results=_most_frequent_first(self._policy_results),
            recovered_cuts=_most_frequent_first(self._recovered_cuts),
            ttft_p50=percentile(self._ttfts, 0.5),
            ttft_p95=percentile(self._ttfts, 0.95),
            longest_silence=self._silence,
            requests=self._requests,
            start=self._start or 0,
            end=self._end,
        )


def summarise(views: Iterable[StreamView]) -> Summary:
    """Return the figures over ``views``."""
    tally = Tally()
    for view in views:
        tally.add(view)
    return tally.summary()


def percentile(values: Collection[float], share: float) -> float | None:
    """Return the value below which ``share`` (0 to 1) of ``values`` lie, interpolated linearly; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _count(counts: dict[str, int], value: str) -> None:
    key = value if value in counts or len(counts) < MOST_VALUES else OTHER
    counts[key] = counts.get(key, 0) + 1


def _most_frequent_first(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
