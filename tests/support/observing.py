"""The instrumentation in place for a while, and what it told in the words of the tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import Capture

PREFIX = "claude.stream."
OWN = {"stall", "retry", "abort"}


class Telemetry:
    """What a `Capture` holds, asked by the tests."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture

    def streams(self) -> list[dict[str, Any]]:
        """The stream spans that ended, attempts left out."""
        return [
            span
            for span in self.capture.spans()
            if span["scope"] == "otel_claude_stream" and span["name"] != "claude.stream.attempt"
        ]

    def stream(self) -> dict[str, Any]:
        """The one stream span."""
        (span,) = self.streams()
        return span

    def of(self, *names: str) -> tuple[Any, ...]:
        """Attributes of the one stream span, by their names without `claude.stream.`."""
        attributes = self.stream()["attributes"]
        return tuple(
            attributes.get(name if name.startswith(("gen_ai.", "error.", "http.")) else PREFIX + name) for name in names
        )

    def ending(self) -> tuple[Any, ...]:
        """Outcome and reason of the one stream."""
        return self.of("outcome", "abort.reason")

    def value(self, metric: str) -> float | None:
        """The sum of a metric over all its points; None if nothing was measured."""
        found = self.capture.metrics().get(metric)
        if found is None:
            return None
        return sum(point.get("value", point.get("count", 0)) for point in found["points"])

    def told_once(self, streams: int = 1, measured: int | None = None) -> None:
        """Assert that so many streams were told (and measured), each once, that none is open, and nothing failed."""
        assert len(self.streams()) == streams
        assert (self.value("claude.stream.duration") or 0) == (streams if measured is None else measured)
        assert self.value("claude.stream.active") in (None, 0)  # None: never asked while one was open
        assert self.value("claude.stream.internal.errors") in (None, 0)


def events_of(span: dict[str, Any]) -> Counter[str]:
    """The SSE events that a span tells, by type; one without a count is one."""
    found: Counter[str] = Counter()
    for event in span["events"]:
        name = event["name"].removeprefix(PREFIX)
        if name not in OWN:
            found[name] += event["attributes"].get("claude.stream.event.coalesced", 1)
    return found


@contextmanager
def observed(**settings: Any) -> Iterator[Telemetry]:
    """Instrument, and take it out again."""
    with Capture() as capture:
        instrumentor = ClaudeStreamInstrumentor()
        instrumentor.instrument(**capture.providers, **settings)
        try:
            yield Telemetry(capture)
        finally:
            instrumentor.uninstrument()
