"""The telemetry received so far: thread-safe, bounded, and available as views."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_claude_stream._telemetry import schema
from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.otlp import decode, record
from otel_claude_stream.cli.otlp.decode import Document, Point, Signal, SpanData
from otel_claude_stream.cli.otlp.record import UnreadableLine
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.open_streams import OpenStream
from otel_claude_stream.cli.view.printable import printable
from otel_claude_stream.cli.view.sides import PRODUCT
from otel_claude_stream.cli.view.stream_store import StreamStore
from otel_claude_stream.cli.view.summary import Summary

if TYPE_CHECKING:
    from otel_claude_stream.cli.otlp.receive import Message

STALE: Final = 90.0
"""Seconds until an open stream no longer counts unless an export repeats it, as its process may be gone. Metrics are
exported every 60 s by default."""
LINGER: Final = 2.0
"""Seconds for which a stream that is open no longer waits for its span, so that it is not missing in between. A span
that a sampler drops never comes."""
MOST_SERIES: Final = 10_000
METRICS: Final = frozenset({schema.ACTIVE.name, schema.OLDEST_AGE.name, schema.INTERNAL_ERRORS.name})

Series = tuple[str, str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state at one moment.

    ``open`` is the number of open streams, ``oldest`` the age of the oldest in seconds. Both come from ``open_streams``
    if these are known, else from metrics, and are None until then. A stream is open until its span has come.
    ``summary`` covers all streams, also the ``dropped`` ones, which have no view. Views ``without_marks`` have lost
    their events. ``internal_errors`` counts failures of the instrumentation.
    """

    views: tuple[StreamView, ...]
    summary: Summary
    open: int | None
    oldest: float | None
    internal_errors: int
    dropped: int = 0
    without_marks: int = 0
    open_streams: tuple[OpenStream, ...] = ()


class Telemetry:
    """Collects telemetry. ``label`` adds a title to a view, for a command that knows the streams.

    ``live`` returns the open streams, or None as long as no process has written them.
    """

    def __init__(
        self,
        label: Callable[[StreamView], StreamView] = lambda view: view,
        *,
        streams: StreamStore | None = None,
        clock: Callable[[], float] = time.monotonic,
        live: Callable[[], Sequence[OpenStream] | None] = lambda: None,
    ) -> None:
        self._live = live
        self._lock = threading.Lock()
        self._streams = streams or StreamStore(label)
        self._values: dict[Series, tuple[float, float]] = {}
        self._clock = clock
        self._signals: set[Signal] = set()
        self._last_open: dict[str, tuple[OpenStream, float]] = {}

    def add_message(self, message: Message) -> None:
        """Add a message of a receiver."""
        self.add(message.signal, message.document)

    def add(self, signal: Signal, document: Document | list[SpanData]) -> None:
        """Add a document, or the spans of one.

        Raises ``ValueError`` and the like for one that is not OTLP, without adding any of it.
        """
        if isinstance(document, list) or signal == "traces":
            spans = document if isinstance(document, list) else list(decode.spans(document))
            with self._lock:
                self._streams.add(spans)
        elif signal == "metrics":
            self._add_points([point for point in decode.points(document) if point.name in METRICS])
        else:
            lines = [one for one in decode.logs(document) if PRODUCT in one.attributes]
            with self._lock:
                if lines:
                    self._streams.add_lines(lines)
        with self._lock:
            self._signals.add(signal)

    def snapshot(self) -> Snapshot:
        """Return the current state. A stream is either ended or open."""
        live = self._live()
        with self._lock:
            now = self._clock()
            active = self._fresh(schema.ACTIVE.name, now)
            ages = self._fresh(schema.OLDEST_AGE.name, now)
            errors = [value for (name, _, _), (value, _) in self._values.items() if name == schema.INTERNAL_ERRORS.name]
            open_streams = self._without_span(live or (), now)
            if live is not None:
                active, ages = [len(open_streams)], [one.age for one in open_streams]
            return Snapshot(
                views=self._streams.views(),
                summary=self._streams.summary(),
                open=round(sum(active)) if active else None,
                oldest=max(ages, default=None),
                open_streams=open_streams,
                internal_errors=round(sum(errors)),
                dropped=self._streams.dropped,
                without_marks=self._streams.without_marks,
            )

    def ended(self) -> int:
        """Return the number of stream spans received."""
        with self._lock:
            return self._streams.received

    @property
    def empty(self) -> bool:
        """Whether no telemetry has arrived at all."""
        with self._lock:
            return not self._signals

    def _without_span(self, live: Sequence[OpenStream], now: float) -> tuple[OpenStream, ...]:
        """Return the streams of which no span has come: those that are open, and those that have just ended."""
        found = [one for one in live if not self._streams.has(one.key)]
        known = {one.key for one in live}
        ending = {
            key: (one, seen)
            for key, (one, seen) in self._last_open.items()
            if key not in known and now - seen <= LINGER and not self._streams.has(key)
        }
        self._last_open = {one.key: (one, now) for one in found if one.key} | ending
        found += [replace(one, doing="ending", hangs=0.0, area="", stall="") for one, _ in ending.values()]
        return tuple(sorted(found, key=lambda one: (one.started, one.key)))

    def _fresh(self, name: str, now: float) -> list[float]:
        found = self._values.items()
        return [value for (known, _, _), (value, at) in found if known == name and now - at <= STALE]

    def _add_points(self, points: list[Point]) -> None:
        with self._lock:
            now = self._clock()
            for point in points:
                series = point.name, point.process, _key(point)
                self._values.pop(series, None)
                self._values[series] = point.value, now  # the last one, as the first ones go when there are too many
            for series, (_, at) in list(self._values.items()):
                if now - at > STALE and series[0] != schema.INTERNAL_ERRORS.name:
                    del self._values[series]
            for series in list(self._values)[: max(0, len(self._values) - MOST_SERIES)]:
                del self._values[series]


def add_recording(path: Path, telemetry: Telemetry) -> None:
    """Add the requests of a file of OTLP JSON lines. Raises ``CommandError`` if none of its lines can be read."""
    good, bad = 0, list[UnreadableLine]()
    for found in record.read(path):
        if isinstance(found, UnreadableLine):
            bad.append(found)
            continue
        telemetry.add(*found)
        good += 1
    if bad and not good:
        raise CommandError(f"{path} does not contain OTLP JSON lines: line {bad[0].line}: {bad[0].reason}")
    if bad:
        print(printable(left_out(path, bad)), file=sys.stderr)


def left_out(source: object, lines: Sequence[UnreadableLine]) -> str:
    """Return the warning about lines of a recording that were left out."""
    first = f"line {lines[0].line}: {lines[0].reason}"
    return f"warning: {source}: {formatting.plural(len(lines), 'line')} left out; {first}"


def _key(point: Point) -> frozenset[tuple[str, str]]:
    return frozenset((name, str(value)) for name, value in point.attributes.items())
