"""Streams at the exit of the interpreter, in forked children, and under garbage collection and threads."""

from __future__ import annotations

import logging
import os
import threading
import time
from types import SimpleNamespace

import pytest
from tests.support.processes import outcomes, run

from otel_claude_stream._session.stall_ticker import StallTicker

NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
EXIT = ("closed", "interpreter_exit", 2)


def test_streams_that_are_open_at_exit_are_recorded():
    """Each span has the reason `interpreter_exit`, and ends before the exit handler of the provider."""
    lines = run(
        """
        instrument()
        api = FakeAPI(OPEN)
        api.start()
        streams = [begin(api), begin(api), begin(api)]
        """
    )
    assert outcomes(lines) == [EXIT] * 3


def test_streams_that_are_open_at_exit_reach_a_batch_processor():
    lines = run(
        """
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(Printer()))
        ClaudeStreamInstrumentor().instrument(tracer_provider=provider)
        api = FakeAPI(OPEN)
        api.start()
        stream = begin(api)
        """
    )
    assert outcomes(lines) == [EXIT]


def test_the_last_export_of_a_process_has_no_open_stream_and_no_age():
    """A Collector that is scraped would keep the age of the stream that was open at exit."""
    lines = run(
        """
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader

        class Values(MetricExporter):
            def export(self, data, **_):
                emit(**{
                    metric.name.rpartition(".")[2]: [point.value for point in metric.data.data_points]
                    for resource in data.resource_metrics for scope in resource.scope_metrics
                    for metric in scope.metrics if metric.name in ("claude.stream.active", "claude.stream.oldest_age")
                })
                return MetricExportResult.SUCCESS

            def force_flush(self, *_, **__):
                return True

            def shutdown(self, *_, **__):
                pass

        meters = MeterProvider([PeriodicExportingMetricReader(Values(), 3_600_000)])
        ClaudeStreamInstrumentor().instrument(meter_provider=meters)
        api = FakeAPI(OPEN)
        api.start()
        stream = begin(api)
        meters.force_flush()
        """
    )
    before, at_exit = lines
    assert before["active"] == [1]
    assert before["oldest_age"][0] > 0
    assert at_exit == {"active": [0], "oldest_age": [0]}


def test_a_stream_that_is_read_during_the_exit_is_recorded_once():
    """Another thread is blocked in a read, as in a server that stops."""
    lines = run(
        """
        instrument()
        api = FakeAPI(OPEN)
        api.start()
        stream = begin(api)
        threading.Thread(target=lambda: next(stream), daemon=True).start()
        """
    )
    assert outcomes(lines) == [EXIT]


@NEEDS_FORK
def test_only_the_parent_records_a_stream_that_it_opened_before_a_fork():
    """The child ends no span of the parent when it closes the stream or exits, and records its later streams."""
    lines = run(
        """
        instrument()
        api = FakeAPI([OPEN, Script.message("Hi")])
        api.start()
        stream = begin(api)
        child = os.fork()
        if child == 0:
            stream.close()
            del stream
            gc.collect()
            read_one(api)
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        emit(pid=os.getpid(), status=os.waitstatus_to_exitcode(status))
        stream.close()
        """
    )
    (parent,) = [line for line in lines if "status" in line]
    assert parent["status"] == 0
    of_parent = [line for line in lines if line["pid"] == parent["pid"]]
    of_child = [line for line in lines if line["pid"] != parent["pid"]]
    assert outcomes(of_parent) == [("closed", "caller_closed", 2)]
    assert outcomes(of_child) == [("completed", None, 1)]


@NEEDS_FORK
def test_a_child_that_exits_at_once_records_no_stream_of_the_parent():
    """The child does not hang, and ends no span."""
    lines = run(
        """
        instrument()
        api = FakeAPI(OPEN)
        api.start()
        streams = [begin(api) for _ in range(3)]
        for _ in range(3):
            child = os.fork()
            if child == 0:
                sys.exit(0)
            _, status = os.waitpid(child, 0)
            emit(pid=os.getpid(), status=os.waitstatus_to_exitcode(status))
        """
    )
    pid = lines[0]["pid"]
    assert {line["pid"] for line in lines} == {pid}
    assert [line["status"] for line in lines if "status" in line] == [0, 0, 0]
    assert outcomes(lines) == [EXIT] * 3


@NEEDS_FORK
def test_a_child_records_no_pending_measurements_of_its_parent():
    """Measurements that wait for their instruments at the time of a fork are recorded by the parent only.

    Series that begin at 0 exist in both.
    """
    lines = run(
        """
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        reader = InMemoryMetricReader()
        instrument(meter_provider=MeterProvider([reader]))
        api = FakeAPI(Script.message("Hi"))
        api.start()
        read_one(api)
        child = os.fork()
        found = {
            metric.name: metric.data.data_points
            for metrics in reader.get_metrics_data().resource_metrics
            for scope in metrics.scope_metrics
            for metric in scope.metrics
        }
        streams = sum(point.count for point in found.get("claude.stream.duration", ()))
        emit(pid=os.getpid(), child=child, streams=streams, aborts=[
            point.value for point in found["claude.stream.aborts"]
        ])
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        """
    )
    found = {bool(line["child"]): line for line in lines if "child" in line}
    assert {child: line["streams"] for child, line in found.items()} == {False: 0, True: 1}
    assert found[False]["aborts"] == found[True]["aborts"] == [0] * len(found[True]["aborts"]) != []


CYCLE = """
class Cycle:
    # Keeps a stream alive until the next garbage collection.
    def __init__(self, stream):
        self.stream, self.self = stream, self


def drop_in_cycle(api):
    gc.disable()
    cycle = Cycle(begin(api))
    return weakref.ref(cycle)
"""


@pytest.mark.parametrize("where", ["exporter", "reader", "processor", "attributes"])
def test_a_garbage_collection_under_a_lock_of_opentelemetry_does_not_hang(where):
    """The collection drops a stream while OpenTelemetry holds a lock in the same thread. The end is recorded later.

    The locks are not re-entrant, so recording the end at once would block the thread forever.
    """
    lines = run(
        CYCLE
        + f"""
WHERE = {where!r}
"""
        + """
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor

collected = []


def collect_now(*_):
    if dropped is not None and dropped() is not None:
        collected.append(WHERE)
        gc.collect()


dropped = None
if WHERE == "reader":
    # The instrument holds its lock while it collects exemplars.
    from opentelemetry.sdk.metrics._internal.exemplar import exemplar_reservoir as exemplars
    original = exemplars.FixedSizeExemplarReservoirABC.collect

    def collect(self, *args):
        collect_now()
        return original(self, *args)

    exemplars.FixedSizeExemplarReservoirABC.collect = collect


class Collecting(SpanProcessor):
    def on_end(self, span):
        collect_now()


class CollectingExporter(Printer):
    def export(self, spans):
        collect_now()
        return super().export(spans)


class Value(str):
    def __hash__(self):
        collect_now()
        return str.__hash__(self)


provider = TracerProvider()
if WHERE == "processor":
    provider.add_span_processor(Collecting())
provider.add_span_processor(SimpleSpanProcessor(CollectingExporter() if WHERE == "exporter" else Printer()))
reader = InMemoryMetricReader()
meters = MeterProvider([reader])
ClaudeStreamInstrumentor().instrument(tracer_provider=provider, meter_provider=meters)
api = FakeAPI([Script.message("Hi"), OPEN, Script.message("Hi")])
api.start()
read_one(api)
dropped = drop_in_cycle(api)
if WHERE == "reader":
    reader.get_metrics_data()
elif WHERE == "attributes":
    meters.get_meter("x").create_counter("y").add(1, {Value("k"): "v"})
else:
    read_one(api)
assert collected == [WHERE], collected
deadline = threading.Event()
for _ in range(1000):
    deadline.wait(0.01)
    from otel_claude_stream._instrumentor import _streams
    if not len(_streams):
        break
assert not len(_streams)
found = {
    point.attributes["claude.stream.abort.reason"]
    for metrics in reader.get_metrics_data().resource_metrics
    for scope in metrics.scope_metrics
    for metric in scope.metrics if metric.name == "claude.stream.aborts"
    for point in metric.data.data_points if point.value
}
emit(aborted=sorted(found))
"""
    )
    assert ("closed", "abandoned", 2) in outcomes(lines)
    assert [line["aborted"] for line in lines if "aborted" in line] == [["abandoned"]]


def test_streams_of_many_threads_are_each_recorded_once():
    """No stream stays open."""
    lines = run(
        """
        instrument()
        api = FakeAPI(Script.message("Hi there", deltas=4))
        api.start()
        shared = client(api)
        barrier = threading.Barrier(16)

        def work():
            barrier.wait()
            for _ in range(5):
                assert len(list(shared.messages.create(stream=True, **REQUEST))) == 9

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        from otel_claude_stream._instrumentor import _streams
        emit(left=len(_streams))
        """
    )
    assert outcomes(lines) == [("completed", None, 4)] * 80
    assert len({line["span"] for line in lines if "span" in line}) == 80
    assert lines[-1] == {"left": 0}


def test_instrumenting_does_not_import_the_sdk():
    """The import takes more than a second, and an auto-instrumented process may never need it."""
    lines = run(
        """
        loaded = [name for name in sys.modules if name.partition(".")[0] == "anthropic"]
        for name in loaded:
            del sys.modules[name]
        instrument()
        emit(loaded=[name for name in sys.modules if name.partition(".")[0] == "anthropic"])
        os._exit(0)
        """
    )
    assert lines == [{"loaded": []}]


HANGING = """
import logging, time
from otel_claude_stream._auto import exit as bounded


class Lines(logging.Handler):
    def emit(self, record):
        emit(logged=record.getMessage())


class Provider:
    def __init__(self, name, seconds):
        self.name, self.seconds = name, seconds
        atexit.register(self.shutdown)

    def shutdown(self):
        time.sleep(self.seconds)
        emit(pid=os.getpid(), shut_down=self.name)


logging.getLogger("otel_claude_stream").addHandler(Lines())
logging.getLogger("otel_claude_stream").propagate = False
bounded.EXIT_SECONDS = 1.0
bounded.BoundedExit([Provider("dead", 40.0), Provider("alive", 0.0)])
"""


def test_the_exit_waits_for_the_exporters_a_limited_time():
    """The provider whose collector is dead delays neither the exit nor the others. One line is logged."""
    started = time.monotonic()
    lines = run("import atexit" + HANGING)
    assert time.monotonic() - started < 30
    assert [line["shut_down"] for line in lines if "shut_down" in line] == ["alive"]
    (logged,) = [line["logged"] for line in lines if "logged" in line]
    assert "did not finish within 1 s of the exit" in logged


@NEEDS_FORK
def test_the_exit_of_a_forked_child_waits_for_the_exporters_a_limited_time():
    """The threads that wait for the exit do not survive a fork, and are started anew."""
    started = time.monotonic()
    lines = run("import atexit" + HANGING + "if (child := os.fork()) != 0:\n    os.waitpid(child, 0)\n")
    assert time.monotonic() - started < 30
    assert len({line["pid"] for line in lines if line.get("shut_down") == "alive"}) == 2


def test_without_a_further_thread_the_exit_shuts_down_all_providers():
    lines = run(
        "import atexit"
        + HANGING.replace("40.0", "0.0").replace(
            "bounded.BoundedExit",
            """
def fail(*_):
    raise RuntimeError("can't start new thread")


threading.Thread.start = fail
bounded.BoundedExit""",
        )
    )
    assert sorted(line["shut_down"] for line in lines if "shut_down" in line) == ["alive", "dead"]


def test_a_stream_is_recorded_where_no_thread_can_be_started():
    """The thread that looks for stalls is missing, which is logged once. The policy acts."""
    lines = run(
        """
        import logging

        class Lines(logging.Handler):
            def emit(self, record):
                emit(logged=record.getMessage())

        logging.getLogger("otel_claude_stream").addHandler(Lines())
        logging.getLogger("otel_claude_stream").propagate = False
        start = threading.Thread.start

        def fail(thread):
            if "stalls" in thread.name:
                raise RuntimeError("can't start new thread")
            start(thread)

        threading.Thread.start = fail
        instrument(retry_policy={"mode": "retry"})
        api = FakeAPI([Script.message("Hi").cut_after(2), Script.message("Hi")])
        api.start()
        read_one(api)
        read_one(api)
        """
    )
    assert outcomes(lines) == [("completed", None, 1)] * 2
    (logged,) = [line["logged"] for line in lines if "logged" in line]
    assert "cannot start the thread that looks for stalls (can't start new thread)" in logged


def test_the_thread_for_stalls_starts_as_soon_as_that_is_possible(monkeypatch, caplog):
    """A limit of the system may be temporary."""
    start = threading.Thread.start
    ticker = StallTicker((1000.0,), list)

    def fail(_):
        raise RuntimeError("no thread now")

    with caplog.at_level(logging.WARNING, "otel_claude_stream"), monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        ticker.wake()
        ticker.wake()
    assert sum("no thread now" in record.getMessage() for record in caplog.records) == 1
    started = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (started.append(thread), start(thread)))
    ticker.wake()
    ticker.wake()
    assert len(started) == 1
    ticker.stop()
    started[0].join(10)


def test_streams_that_open_while_the_thread_for_stalls_starts_start_no_other(monkeypatch):
    """The start waits for the thread. Meanwhile other threads and greenlets run."""
    start, started = threading.Thread.start, []
    ticker = StallTicker((1000.0,), list)

    def start_slowly(thread):
        started.append(thread)
        if len(started) < 5:
            ticker.wake()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_slowly)
    ticker.wake()
    ticker.stop()
    assert len(started) == 1
    started[0].join(10)


def test_an_interrupt_of_the_start_leaves_one_thread_for_stalls(monkeypatch):
    """The thread may run by then. It ends, and the next stream starts another."""
    start, started = threading.Thread.start, []
    ticker = StallTicker((0.04,), lambda: [SimpleNamespace(check_stall=bool)])

    def start_interrupted(thread):
        started.append(thread)
        start(thread)
        if len(started) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start_interrupted)
    with pytest.raises(KeyboardInterrupt):
        ticker.wake()
    ticker.wake()
    started[0].join(10)
    assert [thread.is_alive() for thread in started] == [False, True]
    ticker.stop()
    started[1].join(10)
    assert not started[1].is_alive()


def test_a_timeout_of_gevent_that_strikes_while_a_stream_begins_is_the_callers():
    """It strikes at the first switch of greenlets, which is in this package if it starts a thread."""
    pytest.importorskip("gevent")
    lines = run(
        """
        import gevent
        instrument()
        api = FakeAPI([Script.message("Hi")])
        api.start()
        start = threading.Thread.start

        def start_slowly(thread):  # as with many greenlets that are ready
            if "stalls" in thread.name:
                gevent.sleep(0.1)
            start(thread)

        threading.Thread.start = start_slowly

        def late():
            with client(api) as closing, gevent.Timeout(0, False):
                list(closing.messages.create(stream=True, **REQUEST))

        gevent.joinall([gevent.spawn(late) for _ in range(10)], raise_error=True)
        read_one(api)
        emit(threads=[thread.name for thread in threading.enumerate()])
        """,
        before="from gevent import monkey; monkey.patch_all()",
    )
    assert outcomes(lines) == [("closed", "caller_error", 0)] * 10 + [("completed", None, 1)]
    (threads,) = [line["threads"] for line in lines if "threads" in line]
    assert threads.count("otel-claude-stream-stalls") <= 2  # one more while the interrupted one ends
