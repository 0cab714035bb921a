"""Exceptions of the caller's code inside a read, a back-off or a request: they pass at once, under every policy."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import signal
import sys
import threading
import time
import weakref
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import anthropic
import pytest
from tests.support.modes import ASK
from tests.support.observing import Telemetry, observed
from tests.support.rig import API, REQUEST, WAYS, chain, instrumented
from tests.support.scenes import STORY, paced_script

from otel_claude_stream._core.retry.policy import Backoff, Jitter, Mode, RetryPolicy, Rule, SdkRetries
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream._instrumentor import _streams
from otel_claude_stream._sdk.retry import driver_async, driver_sync
from otel_claude_stream.testing import FakeAPI, Script

LATER = 30.0
"""Seconds that a read, a back-off or a request would last without the exception."""
AT_ONCE = 10.0
"""Seconds within which it is raised, on a busy machine."""
BLOCKING = {"read", "wait"}
"""Functions that block: `read` of the HTTP library, and `wait` of the back-off."""

WHOLE = paced_script(STORY)
CUT = WHOLE.cut_after(2)


class JobTimeout(Exception):
    """A deadline as the one of RQ."""


class Stop(BaseException):
    """A deadline as the one of Dramatiq."""


KINDS = (JobTimeout, TimeoutError, Stop)


def acting(mode, delay=0.01, **settings):
    """Return a policy whose mode retries every failure, after a back-off."""
    back_off = Backoff(type=Jitter.NONE, base=delay, cap=delay)
    return RetryPolicy(mode=mode, rules=(Rule(frozenset(AbortReason), backoff=back_off),), **settings)


POLICIES = {
    "observe": RetryPolicy(),
    "retry": acting(Mode.RETRY),
    "resume": acting(Mode.RESUME),
    "replace": acting(Mode.RETRY, sdk_retries=SdkRetries.REPLACE),
}


@pytest.fixture(autouse=True)
def _nothing_is_left():
    """No stream is open afterwards."""
    yield
    gc.collect()
    assert len(_streams) == 0


class Alarm:
    """A signal handler that raises, with what it raised."""

    def __init__(self, kind):
        self.kind = kind
        self.raised = []

    def __call__(self, *_):
        self.raised.append(self.kind("deadline of the job"))
        raise self.raised[-1]

    @contextmanager
    def handled(self):
        before = signal.signal(signal.SIGALRM, self)
        try:
            yield self
        finally:
            signal.signal(signal.SIGALRM, before)


@pytest.fixture
def ring_in_back_off(monkeypatch):
    """Let the alarm ring in the back-off."""
    sleep = driver_sync.sleep

    def slept(*args):
        ring()
        return sleep(*args)

    monkeypatch.setattr(driver_sync, "sleep", slept)


def is_blocked(thread):
    """Wait until a thread blocks. Return false if it has ended, or if no alarm is expected any longer."""
    seen, still = None, 0
    while still < 3 and thread.is_alive() and isinstance(signal.getsignal(signal.SIGALRM), Alarm):
        time.sleep(0.01)
        code, at = place_of(thread)
        still = still + 1 if (code, at) == seen and code.co_name in BLOCKING else 0
        seen = code, at
    return still == 3


def place_of(thread):
    """Return the code that a thread executes, and the instruction."""
    frame = sys._current_frames()[thread.ident]
    return frame.f_code, frame.f_lasti


def ring(api=None, number=0):
    """Let the alarm ring once the main thread blocks, and the server has got so many requests."""

    def wait():
        if api is not None:
            api.wait_for_requests(number, AT_ONCE)
        if is_blocked(threading.main_thread()):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    threading.Thread(target=wait, daemon=True).start()


def read(client, deltas=None):
    """Read a stream; set the alarm when it is open (0), or after so many deltas."""
    with client.messages.create(**ASK, stream=True) as stream:
        if deltas == 0:
            ring()
        for event in stream:
            if event.type == "content_block_delta" and deltas is not None:
                deltas -= 1
                if deltas == 0:
                    ring()


PLACES = {
    "before the first content": ([WHOLE.insert_pause(1, LATER), WHOLE], 0),
    "after content": ([WHOLE.insert_pause(6, LATER), WHOLE], 2),
    "in the request": ([replace(WHOLE, header_delay=LATER), WHOLE], None),
}


def struck(kind, scripts, deltas, policy=None, **options):
    """Return what the caller got, what the handler raised, the number of requests, and the span's end."""
    recorded = observed(retry_policy=policy) if policy is not None else nullcontext()
    alarm = Alarm(kind)
    with FakeAPI(scripts) as api, recorded as telemetry, alarm.handled():
        client = anthropic.Anthropic(api_key="none", base_url=api.url, **{"max_retries": 0, **options})
        if deltas is None:
            ring(api, len(scripts) - 1)
        started = time.monotonic()
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - compared below
            read(client, deltas)
        assert time.monotonic() - started < AT_ONCE
        requests = len(api.requests)
        client.close()
        if telemetry is not None:
            telemetry.assert_recorded_once()
    (made,) = alarm.raised
    return caught.value, made, requests, telemetry.outcome_and_reason() if telemetry is not None else None


@functools.cache
def chain_without_this_package(place, kind):
    return chain(struck(kind, *PLACES[place])[0])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_a_deadline_by_signal_is_raised_as_without_this_package(place, kind, policy):
    expected = chain_without_this_package(place, kind)
    error, made, requests, end = struck(kind, *PLACES[place], policy=POLICIES[policy])
    assert chain(error) == expected
    assert made in causes(error)  # httpcore removes the cause of its exception
    assert not hasattr(error, "__notes__")
    assert (requests, end) == (1, ("closed", "caller_error"))


def causes(error):
    """Return an exception and what led to it."""
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


@pytest.mark.usefixtures("ring_in_back_off")
@pytest.mark.parametrize("mode", [Mode.RETRY, Mode.RESUME])
@pytest.mark.parametrize("kind", KINDS)
def test_a_deadline_in_the_back_off_is_raised(kind, mode):
    error, made, requests, end = struck(kind, [CUT, WHOLE], -1, acting(mode, LATER))
    assert error is made
    assert not hasattr(error, "__notes__")
    assert (requests, end) == (1, ("closed", "caller_error"))


@pytest.mark.usefixtures("ring_in_back_off")
@pytest.mark.parametrize("kind", KINDS)
def test_a_deadline_in_the_back_off_before_a_response_is_raised(kind):
    policy = acting(Mode.RETRY, LATER, sdk_retries=SdkRetries.REPLACE)
    alarm = Alarm(kind)
    with FakeAPI([Script.http_error(529), WHOLE]) as api, observed(retry_policy=policy) as telemetry, alarm.handled():
        client = anthropic.Anthropic(api_key="none", base_url=api.url)
        with pytest.raises(kind) as caught:
            read(client)
        assert caught.value is alarm.raised[0]
        assert len(api.requests) == 1
        client.close()
        assert telemetry.outcome_and_reason() == ("closed", "caller_error")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("retries", [0, 2])
def test_a_deadline_in_a_further_request_is_raised_itself(kind, retries):
    """The caller reads a stream and does not know of that request. The SDK makes no retry of it either."""
    scripts = [CUT, replace(WHOLE, header_delay=LATER), WHOLE]
    error, made, requests, end = struck(kind, scripts, None, acting(Mode.RETRY), max_retries=retries)
    assert error is made
    assert (requests, end) == (2, ("closed", "caller_error"))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", [JobTimeout, Stop])
def test_an_asynchronous_exception_is_raised(kind, policy):
    raised = []

    def job():
        try:
            read(client)
        except BaseException as error:  # noqa: BLE001 - compared below
            raised.append(type(error))

    # The thread notices it when a ping ends the read.
    script, alarm = WHOLE.insert_pause(1, AT_ONCE, ping_interval=0.25), Alarm(kind)
    with (
        FakeAPI([script, WHOLE]) as api,
        observed(retry_policy=POLICIES[policy]) as telemetry,
        alarm.handled(),
    ):
        client = anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0)
        thread = threading.Thread(target=job)
        thread.start()
        api.wait_for_requests(1)
        assert is_blocked(thread)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(kind))
        thread.join()
        assert (raised, len(api.requests)) == ([kind], 1)
        client.close()
        assert telemetry.outcome_and_reason() == ("closed", "caller_error")


# --- Without sockets: exceptions raised by code of the caller inside a read ------------------------------------------
class Strikes:
    """Raises inside the read with a certain number."""

    def __init__(self, make, at):
        self.make = make
        self.at = at

    def __call__(self, chunks):
        self.at -= 1
        if self.at == 0:
            raise self.make()
        return chunks


def open_and_read(api, way):
    async def by_async():
        client = api.async_client(max_retries=0)
        if way == "async create":
            async with await client.messages.create(**REQUEST, stream=True) as stream:
                _ = [event async for event in stream]
        else:
            async with client.messages.stream(**REQUEST) as stream:
                _ = [event async for event in stream]

    if way.startswith("async"):
        asyncio.run(by_async())
        return
    client = api.client(max_retries=0)
    with (
        client.messages.create(**REQUEST, stream=True)
        if way == "create"
        else client.messages.stream(**REQUEST) as stream
    ):
        list(stream)


@pytest.mark.parametrize("policy", ["observe", "retry", "resume"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [3, 7])
@pytest.mark.parametrize("way", WAYS)
def test_an_exception_inside_a_read_is_raised_in_every_way_of_reading(monkeypatch, way, at, kind, policy):
    api, error = API([WHOLE, WHOLE]), kind("deadline")
    api.chunks = Strikes(lambda: error, at)
    with instrumented(monkeypatch, api.clock, retry_policy=POLICIES[policy]) as capture:
        with pytest.raises(kind) as caught:
            open_and_read(api, way)
        assert caught.value is error
        assert error.__context__ is error.__cause__ is None
        assert api.requests == 1
        assert Telemetry(capture).outcome_and_reason() == ("closed", "caller_error")


@pytest.mark.parametrize("kind", [*KINDS, asyncio.CancelledError, KeyboardInterrupt])
@pytest.mark.parametrize("way", ["create", "async create"])
def test_an_exception_inside_the_back_off_is_raised_in_both_drivers(monkeypatch, way, kind):
    api, error = API([CUT, WHOLE]), kind("deadline")

    def sleep(*_):
        raise error

    async def sleep_async(*_):
        raise error

    # The patches end before those of the rig, which they replace.
    with (
        instrumented(monkeypatch, api.clock, retry_policy=acting(Mode.RETRY)) as capture,
        monkeypatch.context() as patch,
    ):
        patch.setattr(driver_sync, "sleep", sleep)
        patch.setattr(driver_async, "sleep", sleep_async)
        with pytest.raises(kind) as caught:
            open_and_read(api, way)
        if kind in KINDS:
            assert caught.value is error
        assert api.requests == 1
        reason = "caller_error" if kind in KINDS else "cancelled"
        assert Telemetry(capture).outcome_and_reason() == ("closed", reason)


@pytest.mark.parametrize("place", ["read", "back-off"])
def test_the_exception_is_in_no_reference_cycle(monkeypatch, place):
    api = API([WHOLE if place == "read" else CUT, WHOLE])

    def sleep(*_):
        raise JobTimeout

    if place == "read":
        api.chunks = Strikes(JobTimeout, 3)
    gc.collect()
    gc.disable()
    try:
        with instrumented(monkeypatch, api.clock, retry_policy=acting(Mode.RETRY)), monkeypatch.context() as patch:
            patch.setattr(driver_sync, "sleep", sleep)
            try:
                open_and_read(api, "create")
            except JobTimeout as error:
                left = weakref.ref(error)
            api.chunks = list
            assert left() is None
    finally:
        gc.enable()
