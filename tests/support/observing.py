"""A context manager that installs the instrumentation, and access to the telemetry that it recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import Capture

PREFIX = "claude.stream."
SYNTHETIC = {"stall", "retry", "abort"}
"""Names of events that are not events of the API."""


class Telemetry:
    """Access to the records of a `Capture`."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture

    def streams(self) -> list[dict[str, Any]]:
        """Return the stream spans that have ended, without attempt spans."""
        return [
            span
            for span in self.capture.spans()
            if span["scope"] == "otel_claude_stream" and span["name"] != "claude.stream.attempt"
        ]

    def stream(self) -> dict[str, Any]:
        """Return the only stream span."""
        (span,) = self.streams()
        return span

    def attributes(self, *names: str) -> tuple[Any, ...]:
        """Return attributes of the only stream span, by names without the prefix `claude.stream.`."""
        values = self.stream()["attributes"]
        return tuple(
            values.get(name if name.startswith(("gen_ai.", "error.", "http.")) else PREFIX + name) for name in names
        )

    def outcome_and_reason(self) -> tuple[Any, ...]:
        """Return the outcome and the abort reason of the only stream span."""
        return self.attributes("outcome", "abort.reason")

    def value(self, metric: str) -> float | None:
        """Return the sum of a metric over all its points; None if nothing was measured."""
        found = self.capture.metrics().get(metric)
        if found is None:
            return None
        return sum(point.get("value", point.get("count", 0)) for point in found["points"])

    def assert_recorded_once(self, streams: int = 1, measured: int | None = None) -> None:
        """Assert that each stream was recorded once, that none is open, and that no internal error occurred.

        ``streams`` is the number of spans, ``measured`` that of measured durations (by default the same).
        """
        assert len(self.streams()) == streams
        assert (self.value("claude.stream.duration") or 0) == (streams if measured is None else measured)
        assert self.value("claude.stream.active") in (None, 0)  # None if it was not collected while a stream was open
        assert self.value("claude.stream.internal.errors") in (None, 0)


def events_of(span: dict[str, Any]) -> Counter[str]:
    """Count the SSE events of a span by type. An event without a count stands for one."""
    found: Counter[str] = Counter()
    for event in span["events"]:
        name = event["name"].removeprefix(PREFIX)
        if name not in SYNTHETIC:
            found[name] += event["attributes"].get("claude.stream.event.coalesced", 1)
    return found


@contextmanager
def observed(**settings: Any) -> Iterator[Telemetry]:
    """Instrument the SDK in the block, and yield the telemetry."""
    with Capture() as capture:
        instrumentor = ClaudeStreamInstrumentor()
        instrumentor.instrument(**capture.providers, **settings)
        try:
            yield Telemetry(capture)
        finally:
            instrumentor.uninstrument()
