"""The telemetry of the test stream that arrived at the receiver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.otlp.decode import Document
from otel_claude_stream.cli.otlp.receive import Message
from otel_claude_stream.cli.view.model import SCOPE
from otel_claude_stream.cli.view.telemetry import Telemetry

CHAT: Final = "chat"


class Arrived:
    """Collects messages of the receiver, in several threads.

    ``metrics`` are names of instruments, ``span_events`` and ``log_events`` names of events. ``chat_scopes`` are the
    instrumentation scopes of `chat` spans with tokens.
    """

    def __init__(self) -> None:
        self.streams: Telemetry = Telemetry()
        self.metrics: set[str] = set()
        self.span_events: set[str] = set()
        self.log_events: set[str] = set()
        self.chat_scopes: set[str] = set()

    def add_message(self, message: Message) -> None:
        """Add the telemetry of one request."""
        self.streams.add_message(message)
        match message.signal:
            case "traces":
                self._add_spans(message.document)
            case "metrics":
                self.metrics.update(metric.get("name", "") for metric in _items(message.document, "metrics"))
            case "logs":
                self.log_events.update(record.get("eventName", "") for record in _items(message.document, "logs"))

    def _add_spans(self, document: Document) -> None:
        for span in decode.spans(document):
            if span.attributes.get(a.OPERATION_NAME.name) == CHAT and a.INPUT_TOKENS.name in span.attributes:
                self.chat_scopes.add(span.scope)
            if span.scope == SCOPE:
                self.span_events.update(event.name for event in span.events)


KEYS: Final = {
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}


def _items(document: Document, signal: str) -> Iterator[Document]:
    """Yield the metrics or log records of this package's scope."""
    resources, scopes, items = KEYS[signal]
    for resource in document.get(resources, ()):
        for scope in resource.get(scopes, ()):
            if scope.get("scope", {}).get("name") == SCOPE:
                yield from scope.get(items, ())
