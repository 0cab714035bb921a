"""A bounded store of streams, for runs that may last for weeks, which counts the streams that it drops."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream.cli.otlp.decode import LogData, SpanData
from otel_claude_stream.cli.view.model import StreamView, is_stream, stream_view
from otel_claude_stream.cli.view.sides import Sides
from otel_claude_stream.cli.view.summary import Summary, Tally

MOST_STREAMS: Final = 2000  # some 10 kB each without their events
MOST_MARKS: Final = 200_000  # events of all of them together, some 200 bytes each: 40 MB
PENDING: Final = 64
"""The newest streams keep their spans, since related spans may still come. Exporters send at most 512 in a batch."""
MOST_RELATED: Final = 4096  # spans of others; they end within seconds of the stream that they belong to

SDK_SCOPES: Final = "com.anthropic.sdk."
"""Prefix of the scopes of the SDK's own spans, below which the API's spans are."""

Key = tuple[str, str]
"""Trace ID and span ID."""


class StreamStore:
    """Accepts spans in any order and returns views of the streams among them. Not thread-safe.

    Beyond ``streams`` streams, the oldest completed ones are dropped first, then the oldest. Beyond ``marks`` events,
    streams lose their events in the same order. ``label`` adds a title to a view.
    """

    def __init__(
        self,
        label: Callable[[StreamView], StreamView] = lambda view: view,
        *,
        streams: int = MOST_STREAMS,
        marks: int = MOST_MARKS,
    ) -> None:
        self._label = label
        self._most_streams, self._most_marks = streams, marks
        self._pending: OrderedDict[Key, SpanData] = OrderedDict()
        self._pending_views: dict[Key, StreamView] = {}
        self._final: OrderedDict[Key, StreamView] = OrderedDict()
        self._marks_by_stream: OrderedDict[Key, int] = OrderedDict()
        self._marks = 0
        self._related: OrderedDict[Key, SpanData] = OrderedDict()
        self._children: dict[Key, list[SpanData]] = {}
        self._tally = Tally()
        self._views: tuple[StreamView, ...] | None = ()
        self._without_marks: set[Key] = set()
        self._sides = Sides()
        self.dropped: int = 0

    def add(self, spans: Iterable[SpanData]) -> None:
        """Add spans, except for those that came before."""
        spans = list(spans)
        self._sides.add_spans(spans)
        for span in spans:
            key = span.trace_id, span.span_id
            if is_stream(span):
                if key not in self._pending and key not in self._final:
                    self._pending[key] = span
                    self._tally.add(self._view(key))
            elif key not in self._related and _is_related(span):
                self._add_related(key, replace(span, events=()))
        while len(self._pending) > PENDING:
            self._finalise_oldest()
        while self._final and len(self._final) + len(self._pending) > self._most_streams:
            self._drop_one()
        while self._marks > self._most_marks and len(self._marks_by_stream) > 1:
            self._drop_marks_of_one()
        self._views = None

    def add_lines(self, lines: Iterable[LogData]) -> None:
        """Add the lines of proxies among log records."""
        self._sides.add_lines(lines)
        self._views = None

    def has(self, key: str) -> bool:
        """Whether the stream with the key of a view is among those that are kept."""
        trace, _, span = key.partition("/")
        return (trace, span) in self._pending or (trace, span) in self._final

    def views(self) -> tuple[StreamView, ...]:
        """Return the streams that are kept, by start."""
        if self._views is None:
            found = [*self._final.values(), *(self._view(key) for key in self._pending)]
            self._views = self._sides.join(sorted(found, key=lambda view: (view.start, view.end, view.key)))
        return self._views

    def summary(self) -> Summary:
        """Return the figures over all streams that came, dropped ones included."""
        return self._tally.summary()

    @property
    def received(self) -> int:
        """The number of streams that came."""
        return self._tally.streams

    @property
    def without_marks(self) -> int:
        """The number of views that have lost their events."""
        return len(self._without_marks)

    def _view(self, key: Key) -> StreamView:
        """Return the view of a pending stream, made again if a related span has come."""
        if key not in self._pending_views:
            span = self._pending[key]
            parent = self._related.get((span.trace_id, span.parent_id))
            self._pending_views[key] = self._label(stream_view(span, self._children.get(key, ()), parent))
        return self._pending_views[key]

    def _add_related(self, key: Key, span: SpanData) -> None:
        parent = span.trace_id, span.parent_id
        self._related[key] = span
        self._children.setdefault(parent, []).append(span)
        for stream_key, stream in self._pending.items():
            if stream_key == parent or (stream.trace_id, stream.parent_id) == key:
                self._pending_views.pop(stream_key, None)
        if len(self._related) > MOST_RELATED:
            self._drop_oldest_related()

    def _drop_oldest_related(self) -> None:
        _, oldest = self._related.popitem(last=False)
        parent = oldest.trace_id, oldest.parent_id
        siblings = self._children[parent]
        siblings.remove(oldest)
        if not siblings:
            del self._children[parent]

    def _finalise_oldest(self) -> None:
        key = next(iter(self._pending))
        view = self._view(key)
        del self._pending[key], self._pending_views[key]
        self._final[key] = view
        self._marks_by_stream[key] = len(view.marks)
        self._marks += len(view.marks)

    def _drop_marks_of_one(self) -> None:
        key = self._first_to_drop(self._marks_by_stream)
        marks = self._marks_by_stream.pop(key)
        self._marks -= marks
        if marks:
            self._without_marks.add(key)
            self._final[key] = replace(self._final[key], marks=(), gaps=())

    def _drop_one(self) -> None:
        key = self._first_to_drop(self._final)
        del self._final[key]
        self._marks -= self._marks_by_stream.pop(key, 0)
        self._without_marks.discard(key)
        self.dropped += 1

    def _first_to_drop(self, among: Mapping[Key, object]) -> Key:
        """Return the oldest that completed, else the oldest."""
        completed = (key for key in among if self._final[key].outcome == Outcome.COMPLETED.value)
        return next(completed, None) or next(iter(among))


def _is_related(span: SpanData) -> bool:
    """Whether a view may need a span that is no stream: an attempt, a span of the SDK, or a span with the usage."""
    if span.name == schema.ATTEMPT_SPAN.name or span.scope.startswith(SDK_SCOPES):
        return True
    return a.INPUT_TOKENS.name in span.attributes or a.OUTPUT_TOKENS.name in span.attributes
