"""The limit on open requests: threads, tasks and event loops wait for permits, which come back whatever happens."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import replace

import anthropic
import anyio
import pytest
import trio
from tests.support.interrupted_text import COMPLETE, NO_BACKOFF
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.rig import API, instrumented, read
from tests.support.targets import Target, broken

from otel_claude_stream import _guard, no_retry
from otel_claude_stream._core.retry.policy import (
    AUTO,
    MAX_CONCURRENCY,
    Concurrency,
    Mode,
    RetryLimits,
    RetryPolicy,
    Rule,
    SdkRetries,
)
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream._instrumentor import _streams
from otel_claude_stream._session.live import describe
from otel_claude_stream._session.policy_resolver import _limiters
from otel_claude_stream.testing import Error, FakeAPI, Hang, Pause, Script

RETRY = RetryPolicy(mode=Mode.RETRY, rules=(Rule(frozenset(AbortReason), backoff=NO_BACKOFF),))
ONE = replace(RETRY, concurrency=Concurrency(max=1))
TWO = replace(RETRY, concurrency=Concurrency(max=2))
ADAPTS = replace(RETRY, concurrency=Concurrency(max=AUTO), limits=RetryLimits(max_attempts=1))
OVERLOADED = Script.http_error(529)
SLOW = Script(steps=(*COMPLETE.steps[:4], Pause(0.03), *COMPLETE.steps[4:]))
HANGING = Script(steps=(*COMPLETE.steps[:4], Hang(20.0)))
BROKEN = COMPLETE.cut_after(2)
QUEUED = "claude.stream.concurrency."


def state():
    """Return limit, open and waiting requests of the only limiter."""
    [(_, limiter)] = _limiters.by_key()
    return limiter.limit, limiter.in_flight, limiter.queued


def wait_until_queued(number):
    """Wait until so many requests wait for a permit."""
    for _ in range(4000):
        if _limiters.by_key() and state()[2] == number:
            return
        time.sleep(0.001)
    raise AssertionError(f"{state()} instead of {number} requests in the queue")


CLIENTS = []


@pytest.fixture(autouse=True)
def _closed_clients():
    """Close the clients of the test, which keep connections."""
    yield
    while CLIENTS:
        CLIENTS.pop().close()


def sync_client(api):
    CLIENTS.append(anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0))
    return CLIENTS[-1]


def async_client(api):
    return anthropic.AsyncAnthropic(api_key="none", base_url=api.url, max_retries=0)


class Open:
    """Counts the streams that callers have open."""

    def __init__(self):
        self.now = self.most = self.completed = 0
        self._lock = threading.Lock()

    def seen(self, event):
        """Take an event of a stream. The permit is returned with the last one, before the response is closed."""
        with self._lock:
            if event.type == "message_start":
                self.now += 1
                self.most = max(self.most, self.now)
            elif event.type == "message_delta":
                self.now -= 1
                self.completed += 1


def read_sync(api, open_streams):
    for event in sync_client(api).messages.create(**ASK, stream=True):
        open_streams.seen(event)


async def read_async(client, open_streams):
    async for event in await client.messages.create(**ASK, stream=True):
        open_streams.seen(event)


async def read_tasks(api, open_streams, number):
    """Read streams in tasks of this event loop."""
    async with async_client(api) as client, anyio.create_task_group() as group:
        for _ in range(number):
            group.start_soon(read_async, client, open_streams)


# --- Waiting ---------------------------------------------------------------------------------------------------------
def test_threads_and_event_loops_share_the_permits_of_a_process():
    open_streams = Open()
    with FakeAPI(SLOW) as api, observed(retry_policy=TWO) as telemetry:
        threads = [threading.Thread(target=read_sync, args=(api, open_streams)) for _ in range(4)]
        threads += [
            threading.Thread(target=asyncio.run, args=(read_tasks(api, open_streams, 3),)),
            threading.Thread(target=trio.run, args=(read_tasks, api, open_streams, 3)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (open_streams.completed, open_streams.most) == (10, 2)
        assert state() == (2, 0, 0)
        waits = {
            point["attributes"][f"{QUEUED}outcome"]: point["count"]
            for point in telemetry.capture.metrics()[f"{QUEUED}wait"]["points"]
        }
    assert waits == {"admitted": 10}
    spans = telemetry.streams()
    assert {span["attributes"]["claude.stream.outcome"] for span in spans} == {"completed"}
    assert sum(span["attributes"][f"{QUEUED}wait"] > 0 for span in spans) >= 6


def test_requests_are_sent_in_the_order_of_arrival():
    order = []
    with FakeAPI(COMPLETE) as api, observed(retry_policy=ONE):
        client = sync_client(api)
        first = client.messages.create(**ASK, stream=True)

        def call(number):
            with client.messages.create(**ASK, stream=True):
                order.append(number)

        threads = []
        for number in range(4):
            threads.append(threading.Thread(target=call, args=(number,)))
            threads[-1].start()
            wait_until_queued(number + 1)
        doing = [describe(session) for session in list(_streams._sessions.values())[1:4]]
        assert [(row["doing"], row["queued"], row["attempt"]) for row in doing] == [("permit", 4, 0)] * 3
        first.close()
        for thread in threads:
            thread.join()
    assert order == [0, 1, 2, 3]


def test_the_wait_is_no_part_of_the_request(mode):
    """The clock of the response headers begins with the request; the caller has waited from the start of the call."""

    async def body():
        client = sync_client(api)
        first = client.messages.create(**ASK, stream=True)
        closing = threading.Thread(target=lambda: (wait_until_queued(1), time.sleep(0.1), first.close()))
        closing.start()
        async with mode.entered(mode.client(api.url)) as second:
            await mode.all(await mode.do(second.messages.create(**ASK, stream=True)))
        closing.join()

    with FakeAPI(COMPLETE) as api, observed(retry_policy=ONE) as telemetry:
        mode.run(body)
    span = telemetry.streams()[-1]["attributes"]
    wait = span[f"{QUEUED}wait"]
    assert wait >= 0.1
    assert span["claude.stream.time_to_first_token"] >= wait
    assert span["claude.stream.attempt.count"] == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_task_leaves_the_queue_and_its_place(backend):
    async def body():
        async with async_client(api) as client:
            stream = await client.messages.create(**ASK, stream=True)
            with anyio.move_on_after(0.05):
                await client.messages.create(**ASK, stream=True)
            assert state() == (1, 1, 0)
            await stream.close()
            await read_async(client, Open())

    with FakeAPI(COMPLETE) as api, observed(retry_policy=ONE) as telemetry:
        anyio.run(body, backend=backend)
        assert state() == (1, 0, 0)
        assert len(api.requests) == 2
    cancelled = telemetry.streams()[0]["attributes"]
    assert (cancelled["claude.stream.phase"], cancelled["claude.stream.abort.reason"]) == ("queued", "cancelled")
    assert cancelled[f"{QUEUED}wait"] > 0


def test_a_permit_for_an_event_loop_that_was_closed_is_handed_on():
    loop = asyncio.new_event_loop()
    with FakeAPI(COMPLETE) as api, observed(retry_policy=ONE):
        client = sync_client(api)
        first = client.messages.create(**ASK, stream=True)
        waiting = async_client(api)

        async def wait():
            await waiting.messages.create(**ASK, stream=True)

        task = loop.create_task(wait())
        loop.run_until_complete(asyncio.sleep(0.05))
        assert state() == (1, 1, 1)
        task._log_destroy_pending = False
        loop.close()
        first.close()
        assert state() == (1, 0, 0)
        read_sync(api, Open())
        with suppress(RuntimeError):  # the coroutine ends without its loop
            task.get_coro().close()


def test_a_stream_closed_while_its_retry_waits_sends_nothing():
    with FakeAPI([BROKEN, HANGING]) as api, observed(retry_policy=ONE) as telemetry:
        client, raised = sync_client(api), []
        stream = client.messages.create(**ASK, stream=True)
        waiting = threading.Thread(target=lambda: raised.append(client.messages.create(**ASK, stream=True)))
        waiting.start()
        wait_until_queued(1)

        def read_on():
            try:
                list(stream)
            except Exception as error:  # noqa: BLE001 - any exception of the SDK
                raised.append(error)

        reading = threading.Thread(target=read_on)
        reading.start()  # it breaks off, and its permit goes to the other call
        waiting.join()
        wait_until_queued(1)
        stream.close()
        reading.join(2.0)
        assert not reading.is_alive()
        assert len(api.requests) == 2
        raised[0].close()
        assert state() == (1, 0, 0)
    assert "incomplete chunked read" in str(raised[1])
    assert {span["attributes"]["claude.stream.abort.reason"] for span in telemetry.streams()} == {"caller_closed"}


# --- No permit in time -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sdk_retries", SdkRetries)
@pytest.mark.parametrize("way", ["create", "async create"])
def test_a_call_without_a_permit_in_time_raises_a_time_out_of_the_sdk(monkeypatch, way, sdk_retries):
    api = API(COMPLETE)
    with instrumented(monkeypatch, api.clock, retry_policy=replace(ONE, sdk_retries=sdk_retries)) as capture:
        stream = api.client().messages.create(**ASK, stream=True)
        seen = read(api, way)
        stream.close()
        assert api.requests == 1
        metrics = capture.metrics()
    [(kind, text)] = seen.error
    assert kind.endswith("failure.QueueTimeout")
    assert text == (
        "No request was sent: no permit became free within concurrency.queue (10s), with at most 1 open requests "
        "(concurrency.max). Send fewer calls at once, or raise concurrency.queue or concurrency.max."
    )
    span = capture.spans()[0]["attributes"]
    names = ("outcome", "abort.reason", "abort.origin", "phase", "attempt.count", "concurrency.wait")
    assert [span[f"claude.stream.{name}"] for name in names] == [
        "failed", "queue_timeout", "client", "queued", 0, pytest.approx(10.0),
    ]  # fmt: skip
    assert [point["value"] for point in metrics["claude.stream.requests"]["points"] if point["value"]] == [1]
    waits = metrics[f"{QUEUED}wait"]["points"]
    assert {point["attributes"][f"{QUEUED}outcome"]: point["sum"] for point in waits} == {
        "admitted": 0.0, "expired": pytest.approx(10.0),
    }  # fmt: skip


def test_callers_catch_it_as_a_time_out_with_a_request():
    with FakeAPI(COMPLETE) as api, observed(retry_policy=replace(ONE, concurrency=Concurrency(max=1, queue=0.0))):
        client = sync_client(api)
        with (
            client.messages.create(**ASK, stream=True),
            pytest.raises(anthropic.APITimeoutError) as raised,
            client.messages.stream(**ASK),
        ):
            pass
    assert raised.value.request.url.path == "/v1/messages"
    assert "x-api-key" not in raised.value.request.headers
    assert raised.value.message == str(raised.value)


TIMEOUT = "the read timeout of the client or the request"


@pytest.mark.parametrize(
    ("timeout", "deadline", "waited", "limit"),
    [
        (4.0, 600.0, 4.0, TIMEOUT),
        (600.0, 3.0, 3.0, "limits.deadline"),
        (2.5, 3.0, 2.5, TIMEOUT),
        (-1.0, 3.0, 0.0, TIMEOUT),
        (None, None, 10.0, "concurrency.queue"),
    ],
)
def test_the_shortest_limit_bounds_the_wait_and_is_named(monkeypatch, timeout, deadline, waited, limit):
    api, policy = API(COMPLETE), replace(ONE, limits=RetryLimits(deadline=deadline))
    with (
        instrumented(monkeypatch, api.clock, retry_policy=policy),
        api.client().messages.create(**ASK, stream=True),
    ):
        before = api.clock.monotonic_ns()
        [(_, text)] = read(api, client=api.client(timeout=timeout)).error
        assert (api.clock.monotonic_ns() - before) / 1e9 == pytest.approx(waited)
    assert text.startswith(f"No request was sent: no permit became free within {limit} (")
    assert text.endswith(f"Send fewer calls at once, or raise {limit} or concurrency.max.")
    assert (", which ends the wait before concurrency.queue (10s)," in text) is (waited < 10.0)


def test_a_retry_without_a_permit_in_time_raises_the_first_failure(monkeypatch):
    """During its back-off another call takes the permit."""
    api = API([BROKEN, COMPLETE])
    streams = []
    with instrumented(monkeypatch, api.clock, retry_policy=ONE) as capture:
        client = api.client()

        def take_permit(_, seconds):
            assert state() == (1, 0, 0)
            api.clock.advance(seconds)
            streams.append(client.messages.create(**ASK, stream=True))

        with monkeypatch.context() as patch:  # it ends before that of the rig, which it replaces
            patch.setattr("otel_claude_stream._sdk.retry.driver_sync.sleep", take_permit)
            seen = read(api)
        streams[0].close()
    assert "incomplete chunked read" in seen.error[0][1]
    assert (api.requests, state()) == (2, (1, 0, 0))
    [failed] = [span for span in capture.spans() if span["attributes"].get("claude.stream.outcome") == "failed"]
    decisions = [event["attributes"] for event in failed["events"] if event["name"] == "claude.stream.retry"]
    assert [decision["claude.stream.retry.blocked_by"] for decision in decisions] == ["none", "concurrency"]
    assert failed["attributes"]["claude.stream.attempt.count"] == 1


# --- Permits come back -----------------------------------------------------------------------------------------------
def complete(stream):
    list(stream)


def close(stream):
    next(stream)
    stream.close()


def raise_within(stream):
    with suppress(ZeroDivisionError), stream:
        for _ in stream:
            raise ZeroDivisionError


def fail(stream):
    with pytest.raises(Exception, match="incomplete chunked read"):
        list(stream)


def drop(stream):
    next(stream)


ENDS = {
    "completed": (COMPLETE, complete),
    "closed": (COMPLETE, close),
    "raised within": (COMPLETE, raise_within),
    "failed": (COMPLETE.cut_after(6), fail),
    "dropped": (COMPLETE, drop),
}


@pytest.mark.parametrize("mode", [Mode.RETRY, Mode.OBSERVE])
@pytest.mark.parametrize(("script", "end"), ENDS.values(), ids=ENDS)
def test_the_end_of_a_stream_returns_its_permit(monkeypatch, script, end, mode):
    api = API(script)
    with instrumented(monkeypatch, api.clock, retry_policy=replace(ONE, mode=mode)):
        for _ in range(3):
            stream = api.client().messages.create(**ASK, stream=True)
            assert state() == (1, 1, 0)
            end(stream)
            del stream
            gc.collect()
            assert state() == (1, 0, 0)


def test_a_call_that_raises_returns_its_permit(monkeypatch):
    api = API(OVERLOADED)
    with instrumented(monkeypatch, api.clock, retry_policy=ONE):
        for way in ("create", "async create"):
            assert read(api, way, options={"max_retries": 2}).error
            assert state() == (1, 0, 0)


def test_one_permit_is_enough_for_all_attempts_of_a_call(monkeypatch):
    api = API([OVERLOADED, BROKEN, COMPLETE])
    with instrumented(monkeypatch, api.clock, retry_policy=replace(ONE, sdk_retries=SdkRetries.REPLACE)):
        assert not read(api).error
    assert (api.requests, state()) == (3, (1, 0, 0))


def test_a_fallback_model_has_permits_of_its_own(monkeypatch):
    request = {"model": "claude-opus-4-8", "max_tokens": 64, "messages": ASK["messages"]}
    policy = replace(ONE, fallback=(("claude-opus-*", ("claude-sonnet-4-6",)),), sdk_retries=SdkRetries.REPLACE)
    api, taken = API([OVERLOADED, COMPLETE]), {}

    def look(_):
        taken.update({key[1]: limiter.in_flight for key, limiter in _limiters.by_key()})

    with instrumented(monkeypatch, api.clock, retry_policy=policy):
        assert not read(api, before=look, **request).error
    assert taken == {"claude-opus-4-8": 0, "claude-sonnet-4-6": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_begins_without_open_requests(monkeypatch):
    api = API(COMPLETE)
    with (
        instrumented(monkeypatch, api.clock, retry_policy=ONE),
        api.client().messages.create(**ASK, stream=True) as stream,
    ):
        child = os.fork()
        if child == 0:
            failed = 1
            try:
                failed = bool(_limiters.by_key() or read(api).error)
                stream.close()
            finally:
                os._exit(failed)
        assert os.waitpid(child, 0)[1] == 0
        assert state() == (1, 1, 0)


# --- The adaptive limit ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("script", "limit"),
    [
        (OVERLOADED, 2),
        (COMPLETE.cut_after(1, Error()), 2),
        (Script.http_error(429, headers=[("retry-after", "2")]), 2),
        (Script.http_error(429), MAX_CONCURRENCY),  # a spend limit
        (Script.http_error(500), MAX_CONCURRENCY),
        (COMPLETE, MAX_CONCURRENCY),
    ],
)
@pytest.mark.parametrize("mode", [Mode.RETRY, Mode.OBSERVE])
def test_an_overload_lowers_the_limit_below_the_open_requests(monkeypatch, script, limit, mode):
    api = API([COMPLETE, COMPLETE, script])
    with instrumented(monkeypatch, api.clock, retry_policy=replace(ADAPTS, mode=mode)) as capture:
        client = api.client(max_retries=0)
        streams = [client.messages.create(**ASK, stream=True) for _ in range(2)]
        read(api, client=client)
        assert state() == (limit, 2, 0)
        points = capture.metrics()
        for stream in streams:
            stream.close()
    for name, value in (("max_requests", limit), ("in_flight", 2), ("queued", 0)):
        assert [point["value"] for point in points[f"{QUEUED}{name}"]["points"]] == [value]


def test_each_retry_of_the_sdk_may_lower_the_limit(monkeypatch):
    api = API([*[COMPLETE] * 20, *[OVERLOADED] * 3])
    with instrumented(monkeypatch, api.clock, retry_policy=ADAPTS):
        client = api.client(max_retries=2)
        streams = [client.messages.create(**ASK, stream=True) for _ in range(20)]
        read(api, client=client)
        assert state()[0] == 15  # 21 * 0.9 ** 3
        for stream in streams:
            stream.close()


# --- Dry runs ---------- ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["observe", "no_retry", "kill_switch"])
def test_without_a_mode_that_acts_nothing_waits_and_the_wait_is_reported(monkeypatch, source):
    policy = replace(ONE, mode=Mode.OBSERVE if source == "observe" else Mode.RETRY)
    if source == "kill_switch":
        monkeypatch.setenv("OTEL_CLAUDE_STREAM_KILL_SWITCH", "true")
    api = API(COMPLETE)
    with instrumented(monkeypatch, api.clock, retry_policy=policy) as capture:
        before = api.clock.monotonic_ns()
        with no_retry() if source == "no_retry" else nullcontext():
            streams = [api.client().messages.create(**ASK, stream=True) for _ in range(2)]
            assert state() == (1, 2, 0)
        assert api.clock.monotonic_ns() == before
        assert len(list(streams[0])) == len(list(streams[1]))
        assert state() == (1, 0, 0)
        waits = capture.metrics()[f"{QUEUED}wait"]["points"]
    assert [span["attributes"].get(f"{QUEUED}would_wait") for span in capture.spans()] == [None, True]
    assert [span["attributes"].get(f"{QUEUED}wait") for span in capture.spans()] == [0.0, None]
    outcomes = {point["attributes"][f"{QUEUED}outcome"] for point in waits}
    assert outcomes == {"admitted", "would_wait"}


def test_without_a_limit_nothing_is_reported(monkeypatch):
    api = API(COMPLETE)
    with instrumented(monkeypatch, api.clock, retry_policy=RETRY) as capture:
        read(api)
        assert not [name for name in capture.metrics() if name.startswith(QUEUED)]
    assert not [name for name in capture.spans()[0]["attributes"] if name.startswith(QUEUED)]
    assert _limiters.by_key() == []


# --- Failures of this package ----------------------------------------------------------------------------------------
FLOW = "otel_claude_stream._sdk.retry.flow"
PERMITS = "otel_claude_stream._session.permits"
BREAKABLE = [
    *(Target(PERMITS, "CallPermits", name) for name in ("ask", "wake_by", "wait_over")),
    Target(FLOW, "RetryFlow", "permit_wakes"),
    Target("otel_claude_stream._sdk.retry.resend", "Resend", "unsent"),
    Target(FLOW, "", "queue_timeout"),
]


@pytest.mark.parametrize("target", BREAKABLE, ids=lambda target: target.id)
def test_a_failure_of_this_package_lets_the_request_pass(monkeypatch, target):
    monkeypatch.delenv("OTEL_CLAUDE_STREAM_STRICT", raising=False)
    policy = replace(ONE, concurrency=Concurrency(max=1, queue=0.05))
    with FakeAPI(COMPLETE) as api, observed(retry_policy=policy), broken(target) as calls:
        client = sync_client(api)
        with client.messages.create(**ASK, stream=True):
            try:
                with client.messages.create(**ASK, stream=True) as stream:
                    list(stream)
            except anthropic.APITimeoutError:
                assert target.name in ("wake_by", "permit_wakes")  # only the wait was longer than needed
    assert calls
    assert _guard.counts()
