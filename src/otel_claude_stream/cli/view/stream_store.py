"""The streams that are kept of a run that may last for weeks: bounded, and what was left out is counted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream.cli.otlp.decode import SpanData
from otel_claude_stream.cli.view.model import StreamView, Summary, Tally, is_stream, stream_view

STREAMS: Final = 2000  # some 10 kB each without their events
MARKS: Final = 200_000  # events of all of them together, some 200 bytes each: 40 MB
SETTLING: Final = 64
"""The newest streams, whose relatives may still come: these keep their spans. Exporters send batches of 512 at most."""
RELATIVES: Final = 4096  # spans of others; they end within seconds of the stream they belong to

Key = tuple[str, str]
"""Trace id and span id."""


@dataclass(slots=True)
class _Settling:
    """A stream whose relatives may still come; ``view`` is None if it must be made anew."""

    span: SpanData
    view: StreamView | None


class Streams:
    """Takes spans in any order and gives views of the streams among them. Not thread-safe.

    Of more than ``streams`` the oldest completed ones go first, then the oldest; of more than ``marks`` events, theirs
    in the same order. ``label`` gives a view its title, for those who know the streams.
    """

    def __init__(
        self,
        label: Callable[[StreamView], StreamView] = lambda view: view,
        *,
        streams: int = STREAMS,
        marks: int = MARKS,
    ) -> None:
        self._label = label
        self._most_streams, self._most_marks = streams, marks
        self._settling: OrderedDict[Key, _Settling] = OrderedDict()
        self._settled: OrderedDict[Key, StreamView] = OrderedDict()
        self._whole: OrderedDict[Key, int] = OrderedDict()
        self._marks = 0
        self._relatives: OrderedDict[Key, SpanData] = OrderedDict()
        self._children: dict[Key, list[SpanData]] = {}
        self._tally = Tally()
        self._shown: tuple[StreamView, ...] | None = ()
        self._bare: set[Key] = set()
        self.left_out: int = 0

    def add(self, spans: Iterable[SpanData]) -> None:
        """Take in spans; one that came already is ignored."""
        for span in spans:
            key = span.trace_id, span.span_id
            if is_stream(span):
                if key not in self._settling and key not in self._settled:
                    self._settling[key] = _Settling(span, None)
                    self._tally.add(self._view(key))
            elif key not in self._relatives and _matters(span):
                self._relate(key, replace(span, events=()))
        while len(self._settling) > SETTLING:
            self._settle()
        while self._settled and len(self._settled) + len(self._settling) > self._most_streams:
            self._leave_out()
        while self._marks > self._most_marks and len(self._whole) > 1:
            self._strip()
        self._shown = None

    def views(self) -> tuple[StreamView, ...]:
        """The streams that are kept, by start."""
        if self._shown is None:
            found = [*self._settled.values(), *(self._view(key) for key in self._settling)]
            self._shown = tuple(sorted(found, key=lambda view: (view.start, view.end, view.key)))
        return self._shown

    def summary(self) -> Summary:
        """Figures over all streams that came, those that were left out included."""
        return self._tally.summary()

    @property
    def came(self) -> int:
        """How many streams there were."""
        return self._tally.streams

    @property
    def without_marks(self) -> int:
        """How many of the views have lost their events."""
        return len(self._bare)

    def _view(self, key: Key) -> StreamView:
        found = self._settling[key]
        if found.view is None:
            parent = self._relatives.get((found.span.trace_id, found.span.parent_id))
            found.view = self._label(stream_view(found.span, self._children.get(key, ()), parent))
        return found.view

    def _relate(self, key: Key, span: SpanData) -> None:
        above = span.trace_id, span.parent_id
        self._relatives[key] = span
        self._children.setdefault(above, []).append(span)
        for stream_key, stream in self._settling.items():
            if stream_key == above or (stream.span.trace_id, stream.span.parent_id) == key:
                stream.view = None
        if len(self._relatives) > RELATIVES:
            _, oldest = self._relatives.popitem(last=False)
            of = oldest.trace_id, oldest.parent_id
            siblings = self._children[of]
            siblings.remove(oldest)
            if not siblings:
                del self._children[of]

    def _settle(self) -> None:
        key = next(iter(self._settling))
        view = self._view(key)
        del self._settling[key]
        self._settled[key] = view
        self._whole[key] = len(view.marks)
        self._marks += len(view.marks)

    def _strip(self) -> None:
        key = self._least_wanted(self._whole)
        marks = self._whole.pop(key)
        self._marks -= marks
        if marks:
            self._bare.add(key)
            self._settled[key] = replace(self._settled[key], marks=(), gaps=())

    def _leave_out(self) -> None:
        key = self._least_wanted(self._settled)
        del self._settled[key]
        self._marks -= self._whole.pop(key, 0)
        self._bare.discard(key)
        self.left_out += 1

    def _least_wanted(self, among: Mapping[Key, object]) -> Key:
        """The oldest that completed, else the oldest."""
        completed = (key for key in among if self._settled[key].outcome == Outcome.COMPLETED.value)
        return next(completed, None) or next(iter(among))


def _matters(span: SpanData) -> bool:
    """Whether a view may need a span that is no stream: an attempt, or somebody's usage."""
    if span.name == schema.ATTEMPT_SPAN.name:
        return True
    return a.INPUT_TOKENS.name in span.attributes or a.OUTPUT_TOKENS.name in span.attributes
