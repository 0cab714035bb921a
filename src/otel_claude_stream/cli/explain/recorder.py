"""A tracer that keeps its spans as plain data, in the form of what comes over OTLP. For one stream, in one thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanContext, TraceFlags

from otel_claude_stream.cli.otlp.decode import EventData, SpanData, Value
from otel_claude_stream.cli.view.model import SCOPE
from otel_claude_stream.version import __version__

TRACE_ID = 1  # ids of spans that never leave the process


class Recorder(trace.Tracer):
    """Starts spans that are kept; ``ended`` has them in the order in which they ended."""

    def __init__(self) -> None:
        self.ended: list[SpanData] = []
        self._started = 0

    def start_span(self, name: str, *_: Any, **given: Any) -> trace.Span:
        """Start a span at ``start_time``."""
        self._started += 1
        return _KeptSpan(self, name, self._started, given.get("attributes") or {}, int(given.get("start_time") or 0))

    def start_as_current_span(self, name: str, *args: Any, **given: Any) -> Any:
        """As above, and make it the current one."""
        return trace.use_span(self.start_span(name, *args, **given), end_on_exit=True)


class _KeptSpan(trace.Span):
    def __init__(self, recorder: Recorder, name: str, number: int, attributes: Mapping[str, Any], start: int) -> None:
        self._recorder = recorder
        self._name = name
        self._number = number
        self._start = start
        self._attributes: dict[str, Value] = {}
        self._events: list[EventData] = []
        self._open = True
        self.set_attributes(attributes)

    def get_span_context(self) -> SpanContext:
        return SpanContext(TRACE_ID, self._number, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    def is_recording(self) -> bool:
        return self._open

    def set_attribute(self, key: str, value: Any) -> None:
        self._attributes[key] = _plain(value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self._attributes.update({key: _plain(value) for key, value in attributes.items()})

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        kept = {key: _plain(value) for key, value in (attributes or {}).items()}
        self._events.append(EventData(name, timestamp or 0, kept))

    def update_name(self, name: str) -> None:
        self._name = name

    def set_status(self, status: Any, description: str | None = None) -> None:
        """The views read the outcome, not the status."""

    def record_exception(self, exception: BaseException, *_: Any, **__: Any) -> None:
        """No exception is recorded: its message may hold content."""

    def end(self, end_time: int | None = None) -> None:
        if not self._open:
            return
        self._open = False
        self._recorder.ended.append(
            SpanData(
                trace_id=f"{TRACE_ID:032x}",
                span_id=f"{self._number:016x}",
                parent_id="",
                name=self._name,
                scope=SCOPE,
                scope_version=__version__,
                service="",
                start=self._start,
                end=end_time or self._start,
                attributes=self._attributes,
                events=tuple(self._events),
            )
        )


def _plain(value: Any) -> Value:
    return tuple(value) if isinstance(value, list) else value
