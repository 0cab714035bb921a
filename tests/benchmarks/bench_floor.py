"""The cost of OpenTelemetry's own calls for the span, events and measurements of a stream.

It is a lower bound for any instrumentation with the same telemetry. Within an application the calls cost more, as the
caches of the processor are in use by other code.
"""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # as in the other benchmarks

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from tests.benchmarks.measure import cpu, providers, spread
from tests.support.memory_api import chunks, reader

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import Capture

ROUNDS = 15
TIMES = 2000
OPEN = 200
GAPS = ("claude.stream.chunk.gap", "gen_ai.client.operation.time_per_output_chunk")

Plain = dict[str, Any]
Work = Callable[[], object]


def recorded_telemetry(deltas: int) -> tuple[Plain, dict[str, Plain]]:
    """Return the span and the metrics of one stream."""
    instrumentor = ClaudeStreamInstrumentor()
    with Capture() as capture:
        instrumentor.instrument(skip_dep_check=True, **capture.providers)
        try:
            reader("sync_create", chunks(deltas))()
            (span,) = capture.spans()
            return span, capture.metrics()
        finally:
            instrumentor.uninstrument()


def spans(tracer: Any, span: Plain) -> Work:
    """Return a function that creates the same span with its events and attributes."""
    first = dict(list(span["attributes"].items())[:5])

    def make() -> None:
        made = tracer.start_span(span["name"], kind=SpanKind.CLIENT, attributes=first, start_time=span["start_ns"])
        for event in span["events"]:
            made.add_event(event["name"], event["attributes"] or None, event["time_ns"])
        made.set_attributes(span["attributes"])
        made.end(span["end_ns"])

    return make


def records(meter: Any, metrics: dict[str, Plain]) -> Work:
    """Return a function that records the same measurements, except zeros."""
    context = Context({"no": "exemplar"})
    calls: list[tuple[Callable[..., object], float, Plain]] = []
    for name, metric in metrics.items():
        if metric["kind"] == "histogram":
            record = meter.create_histogram(name, unit=metric["unit"]).record
            for point in metric["points"]:
                calls += [(record, point["sum"] / point["count"], point["attributes"])] * point["count"]
        elif metric["kind"] == "sum" and metric["monotonic"]:
            add = meter.create_counter(name, unit=metric["unit"]).add
            calls += [(add, point["value"], point["attributes"]) for point in metric["points"] if point["value"]]

    def make() -> None:
        for call, value, attributes in calls:
            call(value, attributes, context)

    return make


def gaps(meter: Any, *names: str) -> Work:
    """Return a function that records one gap in these histograms."""
    common = {"gen_ai.request.model": "claude-sonnet-5", "server.address": "127.0.0.1"}
    more = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "server.port": 9}
    labels_of = {GAPS[0]: common, GAPS[1]: common | more}
    context = Context({"no": "exemplar"})
    instruments = [(meter.create_histogram(name, unit="s"), labels_of[name]) for name in names]

    def make() -> None:
        for instrument, labels in instruments:
            instrument.record(0.02, labels, context)

    return make


def bytes_of_a_span(tracer: Any, span: Plain) -> float:
    """Return the bytes held by an open span with the attributes that samplers use."""
    first = dict(list(span["attributes"].items())[:5])
    open_spans: list[object] = [None] * OPEN
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for place in range(OPEN):
        open_spans[place] = tracer.start_span(f"chat {place}", kind=SpanKind.CLIENT, attributes=first)
    found = (tracemalloc.get_traced_memory()[0] - before) / OPEN
    tracemalloc.stop()
    return found


def main() -> None:
    """Measure and print."""
    real: dict[str, Any] = providers()
    tracer, meter = real["tracer_provider"].get_tracer("floor"), real["meter_provider"].get_meter("floor")
    span, metrics = recorded_telemetry(10)
    print(f"with opentelemetry-sdk {version('opentelemetry-sdk')}")
    for what, work in (
        ("a gap in both histograms", gaps(meter, *GAPS)),
        ("a gap in ours alone", gaps(meter, GAPS[0])),
        ("the span of ten deltas", spans(tracer, span)),
        ("the measurements of ten deltas", records(meter, metrics)),
    ):
        found = spread([cpu(work, TIMES) * 1e6 for _ in range(ROUNDS)])
        print(f"floor   {what:32}{found!s:>32} us", flush=True)
    print(f"floor   {'an open span':32}{bytes_of_a_span(tracer, span):+32.0f} B")


if __name__ == "__main__":
    main()
