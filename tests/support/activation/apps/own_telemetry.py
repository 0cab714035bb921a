"""An application that records a span and a measurement of its own, and never imports the SDK of Anthropic."""

from __future__ import annotations

from opentelemetry import metrics, trace

trace.get_tracer("app").start_span("work").end()
metrics.get_meter("app").create_counter("work").add(1)
print("Hello there.", flush=True)
