"""The connections to the feeds of agent sessions. They are observed and never retried."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Final

from otel_claude_stream._config import StreamConfig
from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.diagnosis.limits import Limit
from otel_claude_stream._core.retry.policy import RetryPolicy
from otel_claude_stream._core.stream.call import Call, Feed
from otel_claude_stream._core.stream.feed import SESSION_ERROR, FeedState, is_last
from otel_claude_stream._core.stream.hot_path import Arrival
from otel_claude_stream._core.stream.timing import BURST_NS
from otel_claude_stream._core.summary import NO_RETRIES
from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._session.call_policy import CallPolicy
from otel_claude_stream._session.report import diagnosis_of, summary_of
from otel_claude_stream._session.session import StreamSession
from otel_claude_stream._telemetry.feed_telemetry import FeedTelemetry
from otel_claude_stream._telemetry.span_attributes import abort_attributes

_NS = 1_000_000_000

NEVER_RETRIED: Final = CallPolicy(RetryPolicy(), tokens=None, random=random.random)
"""The policy of all connections, as nothing is counted on a policy that only observes."""

_OF_ALL_STREAMS: Final = frozenset({"ping", "error"})

MAX_FEEDS: Final = 256
"""The feeds whose connections are counted. A process reads a few at a time."""


class FeedConnections:
    """The connections of this process to each feed: how many, and why the last one ended."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, Feed | None], tuple[int, str]] = {}

    def connected(self, call: Call) -> tuple[int, str]:
        """Count a connection. Return its number, and why the one before ended; empty if it did not."""
        key = call.server_address, call.feed
        number, reason = self._last.pop(key, (0, ""))
        self._last[key] = number + 1, ""
        for oldest in list(self._last)[:-MAX_FEEDS]:  # `list` and `pop` are atomic, so no lock is needed
            self._last.pop(oldest, None)
        return number + 1, reason

    def ended(self, call: Call, reason: str) -> None:
        """Record why a connection ended."""
        key = call.server_address, call.feed
        if key in self._last:
            self._last[key] = self._last[key][0], reason


class FeedSession(StreamSession):
    """The listener of one connection. All its events are frames, and no wait of it is a stall."""

    __slots__ = ("_connections",)

    _message: FeedState
    _telemetry: FeedTelemetry

    def __init__(
        self,
        call: Call,
        telemetry: FeedTelemetry,
        config: StreamConfig,
        limits: tuple[Limit, ...],
        call_policy: CallPolicy,
        *,
        connections: FeedConnections,
        **more: Any,
    ) -> None:
        """Create the session of a connection, with the arguments of `StreamSession`."""
        super().__init__(call, telemetry, replace(config, stall_thresholds=()), limits, call_policy, **more)
        self._message = FeedState(self.hot, budget=telemetry.event_budget)
        self.state = replace(self.state, message=self._message)
        self._connections = connections
        telemetry.record_connection(*connections.connected(call))

    def frame(self, name: str | None, data: object) -> None:
        """Record an event of the feed, a ping or an error."""
        feed, hot = self.state.call.feed, self.hot
        if name is None or name in _OF_ALL_STREAMS or feed is None:
            super().frame(name, data)
            return
        self._timing.note_event(hot.waited)
        gap = self._timing.gap
        hot.wait_at_last_event = hot.waited
        if self.is_over:  # the caller reads on after it closed the stream
            return
        if gap > BURST_NS:
            self._telemetry.record_gap(gap / _NS)
        detail = self._telemetry.record_session_error(data) if name == SESSION_ERROR else None
        self._message.feed_event(name, hot.last_byte_at, gap, detail=detail, last=is_last(feed, name, data))

    def event(self, event: object, arrival: Arrival | None = None) -> None:
        """Do nothing: the event was recorded as a frame."""

    def _finish(self, end: End, now: int) -> None:
        state, message, attempts = self.state, self._message, self.state.attempts
        message.close_batches(self.hot.last_byte_at)
        found = diagnosis_of(state, end, now, attempts.last_reply, opened=self.is_open)
        reason = found.verdict.reason
        if reason is not None:
            message.record_synthetic_event("abort", now, abort_attributes(found, found.facts.elapsed))
        if attempts.is_under_way(now):
            self._end_last_attempt(found if found.verdict.outcome is Outcome.FAILED else None, now)
        self._connections.ended(state.call, reason.value if reason is not None else "completed")
        self._telemetry.finish(summary_of(state, end, found, NO_RETRIES, ended=now), self._timing.wall)
