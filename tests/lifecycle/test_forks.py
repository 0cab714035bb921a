"""Forks while other threads of the parent hold locks: of OpenTelemetry, of the application, and of this package."""

from __future__ import annotations

import os

import pytest
from tests.support.processes import outcomes, run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

FORK = """
import faulthandler, logging, time
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

class Lines(logging.Handler):
    def emit(self, record):
        emit(logged=record.getMessage())

logging.getLogger("otel_claude_stream").addHandler(Lines())
logging.getLogger("otel_claude_stream").propagate = False


def in_child(act):
    # A child that hangs is killed, and the parent fails.
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(20, exit=True)  # it says where the child hangs
        act()
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status


def held_by_a_thread(*locks):
    # Hold locks in a thread that the child does not have. Return a function that releases them.
    done, ready = threading.Event(), threading.Event()

    def hold():
        held = [lock for lock in locks if lock.acquire(False)]
        ready.set()
        done.wait()
        for lock in held:
            lock.release()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    ready.wait()
    return lambda: (done.set(), thread.join())
"""


def children(lines):
    """Return the outcomes of the streams that a child recorded."""
    return outcomes([line for line in lines if line.get("pid") != lines[0]["pid"]])


def test_a_child_records_although_threads_held_locks_of_opentelemetry():
    """All locks of its SDK are held at the fork. Streams and metrics of the child are recorded."""
    lines = run(
        FORK
        + """
reader = InMemoryMetricReader()
instrument(meter_provider=MeterProvider([reader]))
api = FakeAPI(Script.message("Hi"))
api.start()
read_one(api)
reader.get_metrics_data()  # each series has a lock
lock_types = type(threading.Lock()), type(threading.RLock())
locks = [
    value
    for found in gc.get_objects()
    if str(type(found).__module__).startswith("opentelemetry.sdk")
    for value in list(getattr(found, "__dict__", {}).values()) if isinstance(value, lock_types)
]
assert len(locks) > 20, len(locks)
release = held_by_a_thread(*locks)


def act():
    read_one(api)
    (metrics,) = reader.get_metrics_data().resource_metrics
    emit(pid=os.getpid(), metrics=len(metrics.scope_metrics))


in_child(act)
release()
read_one(api)
"""
    )
    assert children(lines) == [("completed", None, 1)]
    assert [line["metrics"] for line in lines if "metrics" in line] == [1]
    assert len(outcomes(lines)) == 3


@pytest.mark.parametrize("where", ["attribute", "closure"])
def test_a_child_does_not_wait_for_a_lock_of_a_span_processor(where):
    """Nothing is recorded then, and one line is logged, which names what `doctor` names. The policy still acts."""
    lines = run(
        FORK
        + f"WHERE = {where!r}"
        + """
from opentelemetry.sdk.trace import SpanProcessor
from otel_claude_stream._session.fork_locks import unreleased_locks

lock = threading.Lock()


def create():
    enclosed = lock

    class WithClosure(SpanProcessor):
        def on_start(self, span, parent_context=None):
            with enclosed:
                pass

    class WithAttribute(SpanProcessor):
        def __init__(self):
            self.lock = lock

        def on_start(self, span, parent_context=None):
            with self.lock:
                pass

    return WithClosure() if WHERE == "closure" else WithAttribute()


meters = MeterProvider([InMemoryMetricReader()])
provider = instrument(retry_policy={"mode": "retry"}, meter_provider=meters)
provider.add_span_processor(create())
emit(pid=os.getpid(), unreleased=unreleased_locks([provider, meters]))
api = FakeAPI([Script.message("Hi"), Script.message("Hi").cut_after(2), Script.message("Hi"), Script.message("Hi")])
api.start()
read_one(api)
release = held_by_a_thread(lock)
in_child(lambda: (read_one(api), read_one(api), emit(pid=os.getpid(), requests=1)))
release()
read_one(api)
"""
    )
    assert children(lines) == []
    assert len(outcomes(lines)) == 2
    assert sum("requests" in line for line in lines) == 1
    (logged,) = [line["logged"] for line in lines if "logged" in line]
    ((owner,),) = [line["unreleased"] for line in lines if "unreleased" in line]
    assert owner.startswith("__main__.create.<locals>.With")
    assert f"a thread of the parent held a lock of {owner} at the fork" in logged


FIRST_CALL = """
from otel_claude_stream._sdk.attach import assembly

assembling, original = threading.Event(), assembly.assemble


def assemble(plan):
    assembling.set()
    time.sleep(SECONDS)
    return original(plan)


assembly.assemble = assemble
api = FakeAPI(Script.message("Hi"))
api.start()
read_one(api)  # the SDK and Python import modules with it, whose locks a child would wait for
instrument(retry_policy={"mode": "retry"})
first = threading.Thread(target=read_one, args=(api,), daemon=True)
first.start()
assembling.wait()
in_child(lambda: read_one(api))
first.join()
emit(pid=os.getpid())
"""


def test_a_fork_waits_for_the_first_call_of_another_thread():
    """The hooks are complete in the child then, which records its streams."""
    limit = "from otel_claude_stream import _guard\n_guard.FORK_WAIT = 30.0\nSECONDS = 0.3\n"
    lines = run(FORK + limit + FIRST_CALL)
    pid = next(line["pid"] for line in lines if "outcome" not in line)
    assert outcomes([line for line in lines if line["pid"] != pid]) == [("completed", None, 1)]
    assert len(outcomes(lines)) == 2


def test_a_fork_waits_for_the_first_call_of_another_thread_only_so_long():
    """The streams of the child are not recorded then, and do not hang."""
    limit = "from otel_claude_stream import _guard\n_guard.FORK_WAIT = 0.05\nSECONDS = 1.0\n"
    lines = run(FORK + limit + FIRST_CALL)
    pid = next(line["pid"] for line in lines if "outcome" not in line)
    assert [line["pid"] for line in lines] == [pid, pid]


def test_a_failure_is_reported_in_a_child_of_a_thread_that_reported_one():
    lines = run(
        FORK
        + """
from otel_claude_stream import _guard

os.environ["OTEL_CLAUDE_STREAM_STRICT"] = ""
release = held_by_a_thread(_guard._lock)
in_child(lambda: (_guard.report("here", ValueError()), emit(counted=_guard.counts()["here"])))
release()
"""
    )
    assert [line["counted"] for line in lines if "counted" in line] == [1]
