"""What has been received so far: thread-safe, bounded, and as views on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_claude_stream._telemetry import schema
from otel_claude_stream.cli.otlp import decode as otlp
from otel_claude_stream.cli.otlp.decode import Document, Point, Signal
from otel_claude_stream.cli.otlp.receive import Message
from otel_claude_stream.cli.view.model import StreamView, Summary
from otel_claude_stream.cli.view.stream_store import Streams

STALE: Final = 90.0
"""Seconds after which an open stream that no export has told again is not believed: its process is gone. Longer than
the minute that is OpenTelemetry's own interval for metrics."""
WANTED: Final = frozenset({schema.ACTIVE.name, schema.OLDEST_AGE.name, schema.INTERNAL_ERRORS.name})

Series = tuple[str, str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was known at one moment.

    ``open`` streams, and the age in seconds of the ``oldest`` of them, are None until a metric said it;
    ``internal_errors`` are our own. ``summary`` is over all streams that came; ``left_out`` of them have no view any
    more, and ``without_marks`` have one without its events.
    """

    views: tuple[StreamView, ...]
    summary: Summary
    open: int | None
    oldest: float | None
    internal_errors: int
    left_out: int = 0
    without_marks: int = 0


class Telemetry:
    """Collects what came. ``label`` gives a view its title, for those who know the streams."""

    def __init__(
        self,
        label: Callable[[StreamView], StreamView] = lambda view: view,
        *,
        streams: Streams | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._streams = streams or Streams(label)
        self._values: dict[Series, tuple[float, float]] = {}
        self._clock = clock
        self._signals: set[Signal] = set()

    def add(self, message: Message) -> None:
        """Take in one message of a receiver."""
        self.take(message.signal, message.document)

    def take(self, signal: Signal, document: Document) -> None:
        """Take in one document. Raises ``ValueError`` and the like for one that is no OTLP; nothing is taken then."""
        match signal:
            case "traces":
                spans = list(otlp.spans(document))
                with self._lock:
                    self._streams.add(spans)
            case "metrics":
                self._add_points([point for point in otlp.points(document) if point.name in WANTED])
            case "logs":
                pass
        with self._lock:
            self._signals.add(signal)

    def snapshot(self) -> Snapshot:
        """What is known now."""
        with self._lock:
            now = self._clock()
            active = self._fresh(schema.ACTIVE.name, now)
            ages = self._fresh(schema.OLDEST_AGE.name, now)
            errors = [value for (name, _, _), (value, _) in self._values.items() if name == schema.INTERNAL_ERRORS.name]
            return Snapshot(
                views=self._streams.views(),
                summary=self._streams.summary(),
                open=round(sum(active)) if active else None,
                oldest=max(ages, default=None),
                internal_errors=round(sum(errors)),
                left_out=self._streams.left_out,
                without_marks=self._streams.without_marks,
            )

    def ended(self) -> int:
        """How many stream spans have come."""
        with self._lock:
            return self._streams.came

    @property
    def silent(self) -> bool:
        """Whether nothing at all has come."""
        with self._lock:
            return not self._signals

    def _fresh(self, name: str, now: float) -> list[float]:
        found = self._values.items()
        return [value for (known, _, _), (value, at) in found if known == name and now - at <= STALE]

    def _add_points(self, points: list[Point]) -> None:
        with self._lock:
            now = self._clock()
            for point in points:
                series = point.name, point.process, _key(point)
                self._values[series] = point.value, now
            for series, (_, at) in list(self._values.items()):
                if now - at > STALE and series[0] != schema.INTERNAL_ERRORS.name:
                    del self._values[series]


def _key(point: Point) -> frozenset[tuple[str, str]]:
    return frozenset((name, str(value)) for name, value in point.attributes.items())
