"""Set providers, before or after the import of the SDK, and read one answer."""

from __future__ import annotations

import os
import sys

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if "late" in sys.argv:
    import anthropic

url = os.environ["COLLECTOR_URL"]
resource = Resource.create({"service.name": "from-code"})
spans = TracerProvider(resource=resource)
spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url + "/v1/traces")))
trace.set_tracer_provider(spans)
reader = PeriodicExportingMetricReader(OTLPMetricExporter(url + "/v1/metrics"))
metrics.set_meter_provider(MeterProvider([reader], resource=resource))

import anthropic  # noqa: E402 - the order is the subject of the test

with (
    trace.get_tracer("the application").start_as_current_span("work"),
    anthropic.Anthropic(max_retries=0).messages.stream(
        model="claude-sonnet-5", max_tokens=64, messages=[{"role": "user", "content": "Hello?"}]
    ) as stream,
):
    print(stream.get_final_text(), flush=True)
