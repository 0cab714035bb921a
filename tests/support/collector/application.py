"""An application with the real SDK, instrumented, that exports by OTLP to the Collector."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress

import anthropic
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from tests.support.proxies import calls

from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig

SERVICE = {"service.name": "shop", "service.namespace": "test", "service.instance.id": "one"}


class Application:
    """Makes calls, and flushes the telemetry."""

    def __init__(self, tracers, meters):
        self.tracers = tracers
        self.meters = meters
        self.tracer = tracers.get_tracer("shop")

    def stream(self, url, model="claude-sonnet-5", retries=0):
        """Read one stream to its end. Returns how it ended for the application."""
        with (
            calls.client("sync-stream") as http,
            anthropic.Anthropic(api_key="none", base_url=url, max_retries=retries, http_client=http) as client,
        ):
            try:
                with client.messages.stream(model=model, max_tokens=99, messages=calls.MESSAGES) as stream:
                    for _ in stream:
                        continue
            except Exception as error:  # noqa: BLE001 - any exception is a result
                return calls.code_of(error)
        return "END"

    def close_early(self, url, model="claude-sonnet-5"):
        """Make one call, and close its stream at the first event."""
        with (
            calls.client("sync-stream") as http,
            anthropic.Anthropic(api_key="none", base_url=url, max_retries=0, http_client=http) as client,
            client.messages.stream(model=model, max_tokens=99, messages=calls.MESSAGES) as stream,
        ):
            next(iter(stream))

    def flush(self):
        """Export everything that was recorded."""
        assert self.tracers.force_flush(20_000)
        assert self.meters.force_flush(20_000)


@contextmanager
def application(url, config=None, *, timeout=10.0, **processor):
    """An instrumented application that exports to the Collector at ``url``."""
    with ExitStack() as stack:
        resource = Resource(SERVICE)
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{url}/v1/traces", timeout=timeout)
        tracers.add_span_processor(BatchSpanProcessor(exporter, **processor))
        metrics = OTLPMetricExporter(f"{url}/v1/metrics", timeout=timeout)
        reader = PeriodicExportingMetricReader(metrics, export_interval_millis=3_600_000)
        meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        instrumentor = ClaudeStreamInstrumentor()
        instrumentor.instrument(tracer_provider=tracers, meter_provider=meters, config=config or StreamConfig())
        stack.callback(instrumentor.uninstrument)
        stack.callback(shut_down, tracers, meters)
        yield Application(tracers, meters)


def shut_down(*providers):
    """Shut providers down, also if the Collector is gone."""
    for provider in providers:
        with suppress(Exception):
            provider.shutdown()
