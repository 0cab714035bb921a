"""The ends that no caller tells: of the process, of a fork, of a stream that nobody holds any more."""

from __future__ import annotations

import os

import pytest
from tests.support.processes import run, told

NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
EXIT = ("closed", "interpreter_exit", 2)


def test_streams_that_are_open_at_exit_are_told():
    """Each as `interpreter_exit`, and exported: our handler runs before the provider's."""
    lines = run(
        """
        instrument()
        api = FakeAPI(OPEN)
        api.start()
        streams = [begin(api), begin(api), begin(api)]
        """
    )
    assert told(lines) == [EXIT] * 3


def test_streams_that_are_open_at_exit_reach_a_batch_processor_too():
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
    assert told(lines) == [EXIT]


def test_a_stream_is_told_once_though_it_is_read_while_the_process_exits():
    """Another thread is blocked in it, as in a server that is stopped."""
    lines = run(
        """
        instrument()
        api = FakeAPI(OPEN)
        api.start()
        stream = begin(api)
        threading.Thread(target=lambda: next(stream), daemon=True).start()
        """
    )
    assert told(lines) == [EXIT]


@NEEDS_FORK
def test_a_fork_leaves_the_parents_stream_to_the_parent():
    """The child ends no span of the parent's, by reading, closing or exiting; its own streams are its own."""
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
            answered(api)
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        say(pid=os.getpid(), status=os.waitstatus_to_exitcode(status))
        stream.close()
        """
    )
    (said,) = [line for line in lines if "status" in line]
    assert said["status"] == 0
    own = [line for line in lines if line["pid"] == said["pid"]]
    of_child = [line for line in lines if line["pid"] != said["pid"]]
    assert told(own) == [("closed", "caller_closed", 2)]
    assert told(of_child) == [("completed", None, 1)]


@NEEDS_FORK
def test_a_child_that_exits_at_once_tells_nothing_of_the_parents():
    """Also with a lock of ours held by another thread at the time of the fork: it does not hang."""
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
            say(pid=os.getpid(), status=os.waitstatus_to_exitcode(status))
        """
    )
    pid = lines[0]["pid"]
    assert {line["pid"] for line in lines} == {pid}
    assert [line["status"] for line in lines if "status" in line] == [0, 0, 0]
    assert told(lines) == [EXIT] * 3


@NEEDS_FORK
def test_a_child_records_nothing_that_waited_in_its_parent():
    """Measurements that are on their way to their instruments at a fork are the parent's."""
    lines = run(
        """
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        reader = InMemoryMetricReader()
        instrument(meter_provider=MeterProvider([reader]))
        api = FakeAPI(Script.message("Hi"))
        api.start()
        answered(api)
        child = os.fork()
        say(pid=os.getpid(), child=child, streams=sum(
            point.count
            for metrics in reader.get_metrics_data().resource_metrics
            for scope in metrics.scope_metrics
            for metric in scope.metrics if metric.name == "claude.stream.duration"
            for point in metric.data.data_points
        ))
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        """
    )
    assert {bool(line["child"]): line["streams"] for line in lines if "child" in line} == {False: 0, True: 1}


HOLDING = """
class Holding:
    # A stream that only a cycle holds: a garbage collection, and nothing else, drops it.
    def __init__(self, stream):
        self.stream, self.self = stream, self


def dropping(api):
    gc.disable()
    holding = Holding(begin(api))
    return weakref.ref(holding)
"""


@pytest.mark.parametrize("where", ["exporter", "reader", "processor", "attributes"])
def test_a_collection_inside_of_opentelemetrys_locks_does_not_hang(where):
    """A stream dropped by a garbage collection that interrupts OpenTelemetry on this very thread, where its locks,
    which are not re-entrant, may be held: seen as a deadlock of a metric reader's thread. The end is told all the same.
    """
    lines = run(
        HOLDING
        + f"""
WHERE = {where!r}
"""
        + """
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor

collected = []


def collect_now(*_):
    if gone is not None and gone() is not None:
        collected.append(WHERE)
        gc.collect()


gone = None
if WHERE == "reader":
    # Where the exemplars are put together, the lock of the instrument is held.
    from opentelemetry.sdk.metrics._internal.exemplar import exemplar_reservoir as exemplars
    kept = exemplars.FixedSizeExemplarReservoirABC.collect

    def collect(self, *args):
        collect_now()
        return kept(self, *args)

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
answered(api)
gone = dropping(api)
if WHERE == "reader":
    reader.get_metrics_data()
elif WHERE == "attributes":
    meters.get_meter("x").create_counter("y").add(1, {Value("k"): "v"})
else:
    answered(api)
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
say(aborted=sorted(found))
"""
    )
    assert ("closed", "abandoned", 2) in told(lines)
    assert [line["aborted"] for line in lines if "aborted" in line] == [["abandoned"]]


def test_many_threads_open_streams_at_once():
    """Each stream is told once, and none is left."""
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
        say(left=len(_streams))
        """
    )
    assert told(lines) == [("completed", None, 4)] * 80
    assert len({line["span"] for line in lines if "span" in line}) == 80
    assert lines[-1] == {"left": 0}


def test_the_sdk_is_not_imported_by_instrumenting():
    """It takes over a second: an auto-instrumentation must not tax every process."""
    lines = run(
        """
        loaded = [name for name in sys.modules if name.partition(".")[0] == "anthropic"]
        for name in loaded:
            del sys.modules[name]
        instrument()
        say(loaded=[name for name in sys.modules if name.partition(".")[0] == "anthropic"])
        os._exit(0)
        """
    )
    assert lines == [{"loaded": []}]
