"""Telemetry of an application under test, kept in memory; runs in the environment of the application.

`Probe` sets the global providers, as an application does, and switches our instrumentation on. Frameworks and
neighbours that emit OpenTelemetry spans and metrics are recorded by the same providers.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

MODE_VARIABLE = "FRAMEWORKS_MODE"
"""`bare` (without our instrumentation), `observe` or `retry`."""
PORT_VARIABLE = "FRAMEWORKS_PORT"
"""The port on which the server of an application listens."""

SCOPE = "otel_claude_stream"
SDK_SCOPE = "com.anthropic.sdk.python"
ACTIVE = "claude.stream.active"
INTERNAL_ERRORS = "claude.stream.internal.errors"
TOKEN_USAGE = "gen_ai.client.token.usage"
POLICY = {"version": 1, "mode": "retry", "backoff": {"base": "10ms", "cap": "10ms"}}
END_SECONDS = 5.0
"""The longest wait for the end of a stream that the application dropped or whose client left."""


class Recorder(SpanProcessor):
    """Keeps the spans that ended, and knows which ones of calls of the SDK and of their requests are still open."""

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []
        self.open_calls: set[int] = set()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        scope = span.instrumentation_scope.name if span.instrumentation_scope else ""
        # The span of a request to a server of these tests ends later than its response.
        if scope in {SCOPE, SDK_SCOPE} or "/ask/" in f"{span.name} {(span.attributes or {}).get('url.path')}":
            self.open_calls.add(span.context.span_id)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)
        self.open_calls.discard(span.context.span_id)


class Probe:
    """Global providers in memory; `switch` turns our instrumentation on or off."""

    def __init__(self) -> None:
        self.span_processor = Recorder()
        delta = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
        self.metric_reader = InMemoryMetricReader(preferred_temporality=delta)
        self.other_spans: list[str] = []
        """Names of spans that a neighbour records without OpenTelemetry."""
        self.around: Callable[[], AbstractContextManager[Any]] = nullcontext
        """A context manager around each call, for neighbours that need a trace."""
        self._instrumented = False

    def set_providers(self) -> None:
        """Make the providers the global ones."""
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(self.span_processor)
        trace.set_tracer_provider(provider)
        metrics.set_meter_provider(MeterProvider([self.metric_reader], shutdown_on_exit=False))

    def switch(self, mode: str) -> None:
        """Instrument for a mode, with the global providers."""
        if mode == "bare":
            return
        from otel_claude_stream import ClaudeStreamInstrumentor

        if self._instrumented:
            ClaudeStreamInstrumentor().uninstrument()
        ClaudeStreamInstrumentor().instrument(**({"retry_policy": POLICY} if mode == "retry" else {}))
        self._instrumented = True

    def collect(self) -> dict[str, Any]:
        """Wait until no call is open, then return and clear what was recorded."""
        deadline = time.monotonic() + END_SECONDS
        measured: dict[str, list[tuple[str, dict[str, Any], float]]] = {}
        while True:
            gc.collect()
            points = self._points()
            for name, values in points.items():
                measured[name] = [*measured.get(name, []), *values] if name != ACTIVE else values
            active = sum(value for _, _, value in points.get(ACTIVE, []))
            if not (active or self.span_processor.open_calls) or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        spans, self.span_processor.ended = self.span_processor.ended, []
        self.span_processor.open_calls.clear()
        others, self.other_spans[:] = sorted(self.other_spans), []
        return {
            "spans": [_plain(span, {one.context.span_id: one for one in spans}) for span in spans],
            "other_spans": others,
            "active": active,
            "internal_errors": [attributes for _, attributes, _ in measured.get(INTERNAL_ERRORS, [])],
            "output_tokens": [
                [scope, value]
                for scope, attributes, value in measured.get(TOKEN_USAGE, [])
                if attributes.get("gen_ai.token.type") == "output"
            ],
        }

    def _points(self) -> dict[str, list[tuple[str, dict[str, Any], float]]]:
        """The measurements since the last call, by metric: scope, attributes and value or sum."""
        found: dict[str, list[tuple[str, dict[str, Any], float]]] = {}
        data = self.metric_reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        value = point.value if hasattr(point, "value") else point.sum
                        found.setdefault(metric.name, []).append((scope.scope.name, dict(point.attributes), value))
        return found


def _plain(span: ReadableSpan, ended: dict[int, ReadableSpan]) -> dict[str, Any]:
    parent = span.parent and ended.get(span.parent.span_id)
    return {
        "scope": span.instrumentation_scope.name if span.instrumentation_scope else "",
        "name": span.name,
        "kind": span.kind.name,
        "status": span.status.status_code.name,
        "parent": [parent.instrumentation_scope.name, parent.name] if parent else None,
        "seconds": ((span.end_time or 0) - (span.start_time or 0)) / 1e9,
        "attributes": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in (span.attributes or {}).items()
            if key.startswith("claude.stream.") or key in {"gen_ai.operation.name", "gen_ai.usage.output_tokens"}
        },
    }


def in_worker() -> Probe:
    """The probe of a server process or worker, in the mode of its environment."""
    probe = Probe()
    probe.set_providers()
    probe.switch(os.environ[MODE_VARIABLE])
    return probe
