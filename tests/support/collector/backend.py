"""A backend that accepts OTLP/HTTP, keeps everything as plain data, and can be taken down for a while."""

from __future__ import annotations

import json
from contextlib import contextmanager

from tests.support.collector.running import eventually
from tests.support.ports import HOST, free_port

from otel_claude_stream.cli.otlp.receive import Receiver


class Backend:
    """Listens on one port while it is up, and keeps what arrived over outages."""

    def __init__(self):
        self.port = free_port()
        self.messages = []
        self.errors = []
        self._receiver = None
        self._token = "token-of-the-backend"

    @property
    def settings(self):
        """Settings that point the gateway to this backend."""
        return {
            f"OTELCOL_{signal.upper()}_ENDPOINT": f"http://{HOST}:{self.port}/{self._token}/v1/{signal}"
            for signal in ("traces", "metrics", "logs")
        }

    def up(self):
        self._receiver = Receiver(self.messages.append, self.errors.append, port=self.port, token=self._token)
        self._receiver.__enter__()
        return self

    def down(self):
        """Stop listening, so that connections are refused."""
        if self._receiver is not None:
            self._receiver.__exit__(None, None, None)
            self._receiver = None

    def documents(self, signal):
        return [message.document for message in list(self.messages) if message.signal == signal]

    def spans(self):
        """Every span that arrived, once for each arrival."""
        return [
            span
            for document in self.documents("traces")
            for resource in document.get("resourceSpans", ())
            for scope in resource.get("scopeSpans", ())
            for span in scope.get("spans", ())
        ]

    def points(self):
        """Every data point that arrived, with the name of its metric."""
        return [
            (metric["name"], point)
            for document in self.documents("metrics")
            for resource in document.get("resourceMetrics", ())
            for scope in resource.get("scopeMetrics", ())
            for metric in scope.get("metrics", ())
            for kind in ("sum", "gauge", "histogram", "exponentialHistogram", "summary")
            for point in metric.get(kind, {}).get("dataPoints", ())
        ]

    def logs(self):
        return [
            record
            for document in self.documents("logs")
            for resource in document.get("resourceLogs", ())
            for scope in resource.get("scopeLogs", ())
            for record in scope.get("logRecords", ())
        ]

    def text(self):
        """Everything that arrived, as one text to search."""
        return json.dumps([message.document for message in list(self.messages)])

    def wait_for_spans(self, count, seconds=30.0):
        eventually(lambda: len(self.spans()) >= count, seconds)
        return self.spans()


@contextmanager
def backend():
    """A backend that is up. Fails the test if it received something that it could not read."""
    one = Backend()
    try:
        yield one.up()
    finally:
        one.down()
        assert one.errors == [], one.errors
