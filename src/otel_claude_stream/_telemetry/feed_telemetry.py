"""Records the connections to feeds of agent sessions: the span and the metrics of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Status, StatusCode

from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._core.stream.feed import session_error
from otel_claude_stream._core.summary import Summary
from otel_claude_stream._core.vocabulary import AbortReason, Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.buffer import Labels
from otel_claude_stream._telemetry.span_attributes import AttributeValues, abort_labels, span_attributes
from otel_claude_stream._telemetry.stream_telemetry import Emitter, StreamTelemetry

if TYPE_CHECKING:
    from otel_claude_stream._telemetry.metrics import FeedInstruments

_NAMES: Final = frozenset(attribute.name for attribute in schema.FEED_SPAN.attributes)

_ADVICE: Final = (
    "The feed ended before its last event, and no exception was raised. Connect again, and list the events of the "
    "session: the feed does not repeat those in between."
)
"""Instead of the advice for an answer that is truncated, unless a known limit matches."""


class FeedTelemetry(StreamTelemetry):
    """The span of one connection to a feed, and its metrics. It records no metric of messages."""

    __slots__ = ("_feeds",)

    def __init__(self, emitter: Emitter, call: Call, started: int) -> None:
        self._feeds: FeedInstruments | None = emitter.feeds
        labels: Labels = {}
        if self._feeds is not None and call.feed is not None:
            labels = {**self._feeds.labels.common(call), a.FEED_KIND.name: call.feed.kind}
            del labels[a.REQUEST_MODEL.name]
        super().__init__(emitter, call, started, labels)

    def record_connection(self, number: int, previous: str) -> None:
        """Record which connection to the feed this is, and why the one before ended; `previous` is empty without."""
        found: AttributeValues = {a.FEED_CONNECTION_NUMBER.name: number}
        if previous:
            found[a.FEED_RECONNECT_REASON.name] = previous
            if self._feeds is not None:
                self._feeds.reconnects.add(1, {**self.labels, a.FEED_RECONNECT_REASON.name: previous}, self.context)
        if self.span is not None:
            self.span.set_attributes(found)

    def record_gap(self, seconds: float) -> None:
        """Record the wait before an event."""
        if self._feeds is not None:
            self._feeds.gap.record(seconds, self.labels)

    def record_session_error(self, data: object) -> AttributeValues:
        """Count a `session.error` with this JSON `data`. Return the attributes of its event."""
        kind, status = session_error(data)
        found = {a.ERROR_TYPE.name: kind, a.FEED_ERROR_RETRY.name: status}
        if self._feeds is not None:
            self._feeds.errors.add(1, {**self.labels, **found}, self.context)
        return found

    def detach(self) -> None:
        """Record no measurements any more: in a forked child, because the parent records them."""
        self._feeds = None

    def finish(self, summary: Summary, wall: Callable[[int], int]) -> None:
        """Record the end of the connection and end its span."""
        diagnosis = summary.diagnosis
        outcome = {**self.labels, a.OUTCOME.name: diagnosis.verdict.outcome.value}
        if self._feeds is not None:
            reason = abort_labels(diagnosis) if diagnosis.verdict.reason is not None else {}
            reason.pop(a.PHASE.name, None)
            self._feeds.connections.add(1, {**outcome, **reason}, self.context)
            self._feeds.duration.record(diagnosis.facts.elapsed, outcome, self.context)
        self._emitter.write_events(self, summary, wall)
        span = self.span
        if span is None:
            return
        if span.is_recording():
            span.set_attributes(_attributes(summary, self._emitter.config.semconv))
            if diagnosis.verdict.outcome is Outcome.FAILED:
                span.set_status(Status(StatusCode.ERROR, diagnosis.reason.value))
        span.end(wall(summary.ended))


def _attributes(summary: Summary, semconv: str) -> AttributeValues:
    found = {name: value for name, value in span_attributes(summary, semconv).items() if name in _NAMES}
    verdict = summary.diagnosis.verdict
    if verdict.reason is AbortReason.TRUNCATED and verdict.limit_match == "none":
        found[a.ADVICE.name] = _ADVICE
    return {
        **found,
        a.FEED_LONGEST_GAP.name: summary.message.longest_gap / 1e9,
        a.FEED_LONGEST_SILENCE.name: summary.longest_silence,
    }
