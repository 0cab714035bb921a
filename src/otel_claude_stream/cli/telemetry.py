"""What has been received so far: thread-safe, and as views on request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from otel_claude_stream._telemetry import schema
from otel_claude_stream.cli import otlp
from otel_claude_stream.cli.model import StreamView, is_stream, streams
from otel_claude_stream.cli.otlp import Attributes, SpanData
from otel_claude_stream.cli.receiver import Message


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was known at one moment. ``open`` is None until a metric said it; ``internal_errors`` are our own."""

    views: tuple[StreamView, ...]
    open: int | None
    internal_errors: int


class Telemetry:
    """Collects the messages of a receiver. ``label`` gives a view its title, for those who know the streams."""

    def __init__(self, label: Callable[[StreamView], StreamView] = lambda view: view) -> None:
        self._label = label
        self._lock = threading.Lock()
        self._spans: list[SpanData] = []
        self._values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        self._shown: tuple[int, tuple[StreamView, ...]] = (0, ())

    def add(self, message: Message) -> None:
        """Take in one message of a receiver."""
        match message.signal:
            case "traces":
                spans = list(otlp.spans(message.document))
                with self._lock:
                    self._spans += spans
            case "metrics":
                self._add_points(message.document)
            case "logs":
                return

    def snapshot(self) -> Snapshot:
        """What is known now."""
        with self._lock:
            spans, values = tuple(self._spans), dict(self._values)
        views = self._views(spans)
        active = _sum(values, schema.ACTIVE.name)
        errors = _sum(values, schema.INTERNAL_ERRORS.name)
        return Snapshot(views, None if active is None else int(active), int(errors or 0))

    def ended(self) -> int:
        """How many stream spans have come."""
        with self._lock:
            return sum(1 for span in self._spans if is_stream(span))

    def _views(self, spans: tuple[SpanData, ...]) -> tuple[StreamView, ...]:
        if self._shown[0] != len(spans):
            self._shown = (len(spans), tuple(self._label(view) for view in streams(spans)))
        return self._shown[1]

    def _add_points(self, document: otlp.Document) -> None:
        wanted = {schema.ACTIVE.name, schema.INTERNAL_ERRORS.name}
        found = [point for point in otlp.points(document) if point.name in wanted]
        with self._lock:
            for point in found:
                self._values[point.name, _key(point.attributes)] = point.value


def _key(attributes: Attributes) -> frozenset[tuple[str, str]]:
    return frozenset((name, str(value)) for name, value in attributes.items())


def _sum(values: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str) -> float | None:
    found = [value for (known, _), value in values.items() if known == name]
    return sum(found) if found else None
