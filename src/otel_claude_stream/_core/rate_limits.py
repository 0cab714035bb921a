"""The rate limits that the API reported last, by server, model and kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from otel_claude_stream._core.stream.call import RateLimit

MAX_REPORTS = 1024
"""The most limits that are kept. With a further one the table begins anew."""

KEPT_AFTER_RESET = 120.0
"""Seconds for which a limit is reported after it was replenished. Metrics are collected once a minute by default."""


class LimitKey(NamedTuple):
    """One rate limit. Server and model are values of labels, so their number is bounded."""

    server: str
    model: str
    kind: str


class RateLimits:
    """The last report of each limit. Times are nanoseconds of the monotonic clock.

    Any thread may write, and another one reads. Each access is one operation of a dict, and there is no lock that a
    fork could leave held.
    """

    def __init__(self) -> None:
        self._reports: dict[LimitKey, tuple[RateLimit, int]] = {}

    def record(self, server: str, model: str, limits: Mapping[str, RateLimit], now: int) -> None:
        """Record the limits of one response, by their kind."""
        for kind, limit in limits.items():
            key = LimitKey(server, model, kind)
            if key not in self._reports and len(self._reports) >= MAX_REPORTS:
                self._reports.clear()
            self._reports[key] = (limit, now)

    def current(self, now: int) -> list[tuple[LimitKey, RateLimit]]:
        """Return the limits as reported last, without those that were replenished some time ago.

        The time until the reset has been counted down.
        """
        found = []
        for key, (limit, at) in list(self._reports.items()):
            left = (limit.reset_after or 0.0) - (now - at) / 1e9
            if left > -KEPT_AFTER_RESET:
                reset_after = None if limit.reset_after is None else max(0.0, left)
                found.append((key, limit._replace(reset_after=reset_after)))
        return found

    def clear(self) -> None:
        """Forget all limits."""
        self._reports.clear()
