"""The buffer of measurements: each is recorded exactly once, and before metrics are collected."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from types import SimpleNamespace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from tests.support.process_table import wait_until
from tests.support.rig import API, instrumented, play, read
from tests.support.scenes import MESSAGE, SCENES

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._session.stall_ticker import StallTicker
from otel_claude_stream._telemetry import buffer as buffer_module
from otel_claude_stream._telemetry import metrics as metrics_module
from otel_claude_stream._telemetry.buffer import BUFFER, CAPACITY, NO_EXEMPLAR, SLICE, Buffer
from otel_claude_stream.testing import Script


def _has_recorded(instrument, count):
    return len(instrument.recorded) == count


class FakeInstrument:
    """An instrument that keeps what it records."""

    def __init__(self):
        self.recorded = []

    def record_now(self, value, labels, context):
        self.recorded.append((value, labels, context))


A, B = {"model": "a"}, {"model": "b"}
CONTEXT = trace.set_span_in_context(trace.INVALID_SPAN)


def test_measurements_are_recorded_by_flush():
    instrument, buffer = FakeInstrument(), Buffer()
    buffer.add(instrument, 1.0, A, NO_EXEMPLAR)
    buffer.add(instrument, 2.0, B, CONTEXT)
    assert instrument.recorded == []
    buffer.flush()
    assert instrument.recorded == [(1.0, A, NO_EXEMPLAR), (2.0, B, CONTEXT)]
    buffer.flush()
    assert len(instrument.recorded) == 2


def test_the_buffer_is_bounded_if_nothing_flushes_it():
    """Each further measurement that does not fit records a slice of the oldest ones, so no reader waits for all."""
    instrument, buffer = FakeInstrument(), Buffer()
    for number in range(CAPACITY + 1):
        assert instrument.recorded == []
        buffer.add(instrument, number, A, NO_EXEMPLAR)
    assert [value for value, _, _ in instrument.recorded] == list(range(SLICE))
    for number in range(CAPACITY + 1, CAPACITY + 1 + 4 * SLICE):
        buffer.add(instrument, number, A, NO_EXEMPLAR)
    assert [value for value, _, _ in instrument.recorded] == list(range(5 * SLICE))


def test_the_reader_of_a_stream_records_no_gap(monkeypatch):
    """The thread that looks for stalls does, or a collection. Recording takes longer than the event itself."""
    api, seen = API(Script.message(deltas=500, gap=0.02)), []
    original = metrics_module.Histogram.record_now
    monkeypatch.setattr(
        metrics_module.Histogram, "record_now", lambda *given: (seen.append(threading.get_ident()), original(*given))
    )
    with instrumented(monkeypatch, api.clock) as capture:
        read(api)
        assert threading.get_ident() not in seen
        assert capture.metrics()["claude.stream.chunk.gap"]["points"][0]["count"] == 499


def test_the_thread_that_looks_for_stalls_flushes_the_buffer(monkeypatch):
    """It does so while a stream is open, and once more after the last one."""
    instrument = FakeInstrument()
    open_streams = [SimpleNamespace(check_stall=lambda: None)]
    ticker = StallTicker((0.04,), lambda: list(open_streams))
    ticker.wake()
    try:
        for number in range(2):
            BUFFER.add(instrument, number, A, NO_EXEMPLAR)
            wait_until(partial(_has_recorded, instrument, number + 1))
    finally:
        open_streams.clear()
        ticker.stop()


def test_a_flush_waits_for_the_measurements_that_another_thread_is_recording():
    """The collection that follows would miss them, and the last one of a process has no successor."""
    taken, proceed, order, buffer = threading.Event(), threading.Event(), [], Buffer()

    class Waits(FakeInstrument):
        def record_now(self, value, labels, context):
            taken.set()
            assert proceed.wait(5)
            order.append("recorded")

    def flush_and_collect():
        buffer.flush()
        order.append("collected")

    buffer.add(Waits(), 1.0, A, NO_EXEMPLAR)
    recording = threading.Thread(target=buffer.flush)
    recording.start()
    assert taken.wait(5)
    collecting = threading.Thread(target=flush_and_collect)
    collecting.start()
    collecting.join(0.05)
    proceed.set()
    for thread in (recording, collecting):
        thread.join()
    assert order == ["recorded", "collected"]


def test_a_flush_does_not_wait_for_ever(monkeypatch):
    """A signal handler that collects metrics may interrupt the very thread that records."""
    monkeypatch.setattr(buffer_module, "LONGEST_WAIT", 0.01)
    collected, buffer = [], Buffer()

    class Collects(FakeInstrument):
        def record_now(self, value, labels, context):
            buffer.flush()
            collected.append(value)

    buffer.add(Collects(), 1.0, A, NO_EXEMPLAR)
    buffer.flush()
    assert collected == [1.0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_fork_waits_until_no_measurement_is_being_recorded():
    """The child would inherit the locks of OpenTelemetry's SDK, held by a thread that it does not have."""
    locked, lock = threading.Event(), threading.Lock()

    class Locks(FakeInstrument):
        def record_now(self, value, labels, context):
            with lock:
                locked.set()
                time.sleep(0.1)

    BUFFER.flush()
    BUFFER.add(Locks(), 1.0, A, NO_EXEMPLAR)
    flushing = threading.Thread(target=BUFFER.flush)
    flushing.start()
    assert locked.wait(5)
    child = os.fork()
    if child == 0:
        os._exit(int(lock.locked()))
    flushing.join()
    assert os.waitpid(child, 0)[1] == 0
    assert not lock.locked()
    added = FakeInstrument()
    BUFFER.add(added, 1.0, A, NO_EXEMPLAR)
    BUFFER.flush()
    assert len(added.recorded) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_in_an_instrument_loses_only_the_measurement_that_it_recorded(monkeypatch, error):
    """After a Ctrl-C, for example, measurements that were not recorded yet stay in the buffer."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "1")
    buffer, instrument = Buffer(), FakeInstrument()

    class RaisesOnce(FakeInstrument):
        def record_now(self, value, labels, context):
            if not self.recorded:
                super().record_now(value, labels, context)
                raise error
            super().record_now(value, labels, context)

    raising = RaisesOnce()
    for number in range(3):
        buffer.add(instrument, 1, A, NO_EXEMPLAR)
        buffer.add(raising, 10 + number, A, NO_EXEMPLAR)
        buffer.add(instrument, 1, B, NO_EXEMPLAR)
    with pytest.raises(error):
        buffer.flush()
    buffer.flush()
    assert sum(value for value, labels, _ in instrument.recorded if labels == A) == 3
    assert sum(value for value, labels, _ in instrument.recorded if labels == B) == 3
    assert [value for value, _, _ in raising.recorded] == [10, 11, 12]


def test_a_measurement_added_during_a_flush_is_recorded():
    """The garbage collector may end a stream during a flush. That must not deadlock."""
    buffer = Buffer()

    class AddsDuringFlush(FakeInstrument):
        def record_now(self, value, labels, context):
            super().record_now(value, labels, context)
            if value == 1.0:
                buffer.add(self, 2.0, labels, context)

    instrument = AddsDuringFlush()
    buffer.add(instrument, 1.0, A, NO_EXEMPLAR)
    buffer.flush()
    assert [value for value, _, _ in instrument.recorded] == [1.0, 2.0]


def test_threads_that_add_and_flush_lose_nothing():
    instrument, buffer = FakeInstrument(), Buffer()

    def work():
        for _ in range(500):
            buffer.add(instrument, 1, A, NO_EXEMPLAR)
            buffer.flush()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    buffer.flush()
    assert len(instrument.recorded) == 4000


@pytest.mark.parametrize("collect", ["get_metrics_data", "shutdown"])
def test_every_way_to_collect_metrics_flushes_the_buffer_first(collect):
    """A reader collects, or a provider shuts down while measurements are in the buffer."""
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


def test_a_second_instrumentation_is_collected_too():
    """The meter is the same, and keeps the callback of the first instrumentation."""
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


def test_buffered_measurements_are_recorded_after_uninstrument(monkeypatch):
    capture = play(monkeypatch, SCENES["text"])
    assert capture.metrics()["claude.stream.duration"]["points"][0]["count"] == 1


def test_a_measurement_without_a_span_has_no_exemplar_of_the_callers_span(monkeypatch):
    """OpenTelemetry's SDK would replace an empty context by the current one."""
    monkeypatch.setattr(buffer_module, "CAPACITY", 0)  # so that it is recorded inside of the caller's span
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        with trace.use_span(capture.tracer_provider.get_tracer("app").start_span("request")):
            read(api)
        (point,) = capture.metrics()["claude.stream.caller.time"]["points"]
    assert "exemplars" not in point or point["exemplars"] == []
