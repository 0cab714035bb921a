"""Measurements that wait: nobody who collects misses one, none is recorded twice, and none waits for long."""

from __future__ import annotations

import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from tests.support.rig import API, instrumented, play, read
from tests.support.scenes import MESSAGE, SCENES

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._telemetry import buffer as module
from otel_claude_stream._telemetry.buffer import MOST, NO_EXEMPLAR, Buffer


class Sink:
    """An instrument that remembers."""

    def __init__(self, *, additive=False):
        self.additive = additive
        self.recorded = []

    def now(self, value, labels, context):
        self.recorded.append((value, labels, context))


A, B = {"model": "a"}, {"model": "b"}
CONTEXT = trace.set_span_in_context(trace.INVALID_SPAN)


def test_it_waits_until_it_is_asked_for():
    sink, buffer = Sink(), Buffer()
    buffer.add(sink, 1.0, A, NO_EXEMPLAR)
    buffer.add(sink, 2.0, B, CONTEXT)
    assert sink.recorded == []
    buffer.flush()
    assert sink.recorded == [(1.0, A, NO_EXEMPLAR), (2.0, B, CONTEXT)]
    buffer.flush()
    assert len(sink.recorded) == 2


def test_it_waits_until_there_are_many():
    """A reader that collects once a minute, or never, does not make it grow."""
    sink, buffer = Sink(), Buffer()
    for number in range(MOST * 3 + 1):
        buffer.add(sink, number, A, NO_EXEMPLAR)
    assert [value for value, _, _ in sink.recorded] == list(range(MOST * 3))


def test_what_counts_is_recorded_as_a_sum():
    """For each set of labels. What has a span to show is recorded by itself, as an exemplar is of one measurement."""
    sink, buffer = Sink(additive=True), Buffer()
    for labels in (A, B, dict(A)):
        buffer.add(sink, 1, labels, NO_EXEMPLAR)
    buffer.add(sink, 1, A, CONTEXT)
    buffer.flush()
    assert sink.recorded == [(1, A, CONTEXT), (2, A, NO_EXEMPLAR), (1, B, NO_EXEMPLAR)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("additive", [True, False])
def test_what_comes_out_of_an_instrument_loses_what_it_had_and_no_more(monkeypatch, error, additive):
    """A Ctrl-C that strikes there, say: sums that were not recorded yet wait on, as does what was not looked at."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "1")
    buffer, sink = Buffer(), Sink(additive=True)

    class Raising(Sink):
        def now(self, value, labels, context):
            if not self.recorded:
                super().now(value, labels, context)
                raise error
            super().now(value, labels, context)

    raising = Raising(additive=additive)
    for number in range(3):
        buffer.add(sink, 1, A, NO_EXEMPLAR)
        buffer.add(raising, 10 + number, A, NO_EXEMPLAR)
        buffer.add(sink, 1, B, NO_EXEMPLAR)
    with pytest.raises(error):
        buffer.flush()
    buffer.flush()
    assert sum(value for value, labels, _ in sink.recorded if labels == A) == 3
    assert sum(value for value, labels, _ in sink.recorded if labels == B) == 3
    assert [value for value, _, _ in raising.recorded] == ([33] if additive else [10, 11, 12])


def test_a_finalizer_may_add_while_it_is_emptied():
    """As a stream does that a garbage collection drops: it neither hangs nor is it lost."""
    buffer = Buffer()

    class Collecting(Sink):
        def now(self, value, labels, context):
            super().now(value, labels, context)
            if value == 1.0:
                buffer.add(self, 2.0, labels, context)

    sink = Collecting()
    buffer.add(sink, 1.0, A, NO_EXEMPLAR)
    buffer.flush()
    assert [value for value, _, _ in sink.recorded] == [1.0, 2.0]


def test_threads_that_add_and_collect_lose_nothing():
    sink, buffer = Sink(), Buffer()

    def work():
        for _ in range(500):
            buffer.add(sink, 1, A, NO_EXEMPLAR)
            buffer.flush()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    buffer.flush()
    assert len(sink.recorded) == 4000


@pytest.mark.parametrize("collect", ["get_metrics_data", "shutdown"])
def test_every_way_to_collect_records_first(collect):
    """A reader that is asked, and a provider that is shut down with everything still waiting."""
    found = []

    class Reader(InMemoryMetricReader):
        def _receive_metrics(self, metrics_data, *args, **kwargs):
            super()._receive_metrics(metrics_data, *args, **kwargs)
            found.extend(
                metric.name
                for resource in metrics_data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            )

        def shutdown(self, *args, **kwargs):
            self.collect()

    reader = Reader()
    provider = MeterProvider([reader])
    instrumentor = ClaudeStreamInstrumentor()
    instrumentor.instrument(tracer_provider=TracerProvider(), meter_provider=provider)
    try:
        read(API(MESSAGE))
        getattr(reader if collect == "get_metrics_data" else provider, collect)()
    finally:
        instrumentor.uninstrument()
    assert {"claude.stream.duration", "claude.stream.requests", "gen_ai.client.token.usage"} <= set(found)


def test_an_sdk_that_is_instrumented_anew_is_collected_too():
    """The meter is the same one, and keeps the callback of the first time."""
    reader = InMemoryMetricReader()
    providers = {"tracer_provider": TracerProvider(), "meter_provider": MeterProvider([reader])}
    instrumentor = ClaudeStreamInstrumentor()
    for number in (1, 2):
        instrumentor.instrument(**providers)
        try:
            read(API(MESSAGE))
            found = reader.get_metrics_data()
        finally:
            instrumentor.uninstrument()
        (count,) = (
            point.count
            for resource in found.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "claude.stream.duration"
            for point in metric.data.data_points
        )
        assert count == number


def test_what_waits_is_recorded_after_uninstrument(monkeypatch):
    capture = play(monkeypatch, SCENES["text"])
    assert capture.metrics()["claude.stream.duration"]["points"][0]["count"] == 1


def test_the_callers_span_is_no_exemplar_of_what_shows_none(monkeypatch):
    """OpenTelemetry's SDK takes the current context for one that is empty."""
    monkeypatch.setattr(module, "MOST", 1)  # recorded inside of the caller's span
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        with trace.use_span(capture.tracer_provider.get_tracer("app").start_span("request")):
            read(api)
        (point,) = capture.metrics()["claude.stream.caller.time"]["points"]
    assert "exemplars" not in point or point["exemplars"] == []
