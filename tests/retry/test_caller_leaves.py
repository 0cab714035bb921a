"""The caller closes, cancels or drops a stream during the back-off, a further request, or a later attempt."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
import time

import anthropic
import anyio
import pytest
import trio
from tests.support.interrupted_text import BREAK_AT, COMPLETE, CONTINUATION, RECOVERIES, RESUME_AT_ONCE
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.rig import API, HTTP, REQUEST, instrumented

from otel_claude_stream._core.retry.policy import Backoff, Jitter, Mode, RetryPolicy, Rule
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream._instrumentor import _streams
from otel_claude_stream.testing import FakeAPI, Hang, Script

AT_ONCE = 2.0
"""Seconds within which the caller has left, even on a busy machine. The back-off would take longer."""
LONG_BACKOFF = Backoff(type=Jitter.NONE, base=20.0, cap=20.0)
RESUME_LATE = RetryPolicy(mode=Mode.RESUME, rules=(Rule(frozenset(AbortReason), backoff=LONG_BACKOFF),))
BROKEN = {"before the first content": COMPLETE.cut_after(2), "in the text": RECOVERIES["resumed"][0]}


@pytest.fixture(autouse=True)
def _no_stream_stays_open():
    """Assert after each test that no stream is open."""
    yield
    gc.collect()
    assert len(_streams) == 0


def assert_closed_by_caller(telemetry, reason, attempts=1):
    """Assert that the stream ended once, with a reason on the side of the caller."""
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("closed", reason)
    assert telemetry.attributes("attempt.count") == (attempts,)


def sync_client(api, **options):
    return anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0, **options)


def async_client(api):
    return anthropic.AsyncAnthropic(api_key="none", base_url=api.url, max_retries=0)


def read_in_thread(stream):
    """Read a stream in another thread. Return the thread, and a list for the exception that it raises."""
    raised = []

    def read():
        try:
            for _ in stream:
                pass
        except Exception as error:  # noqa: BLE001 - any exception of the SDK
            raised.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, raised


def wait_for_backoff(session):
    """Wait until the back-off of a session has begun, shortly after the end of the first attempt."""
    for _ in range(2000):
        if session.state.attempts.over:
            return time.sleep(0.02)
        time.sleep(0.001)
    raise AssertionError("the back-off did not begin")


@pytest.mark.parametrize("broken", BROKEN)
def test_closed_by_another_thread_in_the_backoff(broken):
    """The stream ends at once without a further request, and the reading thread gets the original error."""
    with FakeAPI(BROKEN[broken]) as api, observed(retry_policy=RESUME_LATE) as telemetry:
        stream = sync_client(api).messages.create(**ASK, stream=True)
        (session,) = _streams._sessions.values()
        thread, raised = read_in_thread(stream)
        wait_for_backoff(session)
        before = time.monotonic()
        stream.close()
        thread.join(AT_ONCE)
        assert time.monotonic() - before < AT_ONCE
        assert not thread.is_alive()
        assert len(api.requests) == 1
    assert "incomplete chunked read" in str(raised[0])
    assert_closed_by_caller(telemetry, "caller_closed")


@pytest.mark.parametrize("broken", BROKEN)
def test_closed_by_another_thread_during_a_further_request(broken):
    """The response to the further request is closed without being read."""
    slow = Script(steps=(*CONTINUATION.steps[:4], Hang(20.0)), header_delay=0.4)
    with FakeAPI([BROKEN[broken], slow]) as api, observed(retry_policy=RESUME_AT_ONCE) as telemetry:
        stream = sync_client(api).messages.create(**ASK, stream=True)
        thread, raised = read_in_thread(stream)
        api.wait_for_requests(2)
        stream.close()
        thread.join(AT_ONCE)
        assert not thread.is_alive()
        api.wait_until(lambda requests: requests[1].client_disconnected)
    assert "incomplete chunked read" in str(raised[0])
    assert telemetry.outcome_and_reason() == ("closed", "caller_closed")


@pytest.mark.parametrize("broken", BROKEN)
def test_closed_by_another_task_in_the_backoff(broken):
    """The reading task gets the original error at once."""

    async def body():
        async with async_client(api) as client:
            stream = await client.messages.create(**ASK, stream=True)
            (session,) = _streams._sessions.values()

            async def read():
                async for _ in stream:
                    pass

            task = asyncio.create_task(read())
            await asyncio.to_thread(wait_for_backoff, session)
            before = time.monotonic()
            await stream.close()
            with pytest.raises(Exception, match="incomplete chunked read"):
                await task
            assert time.monotonic() - before < AT_ONCE

    with FakeAPI(BROKEN[broken]) as api, observed(retry_policy=RESUME_LATE) as telemetry:
        asyncio.run(body())
        assert len(api.requests) == 1
    assert_closed_by_caller(telemetry, "caller_closed")


@pytest.mark.parametrize("runner", [asyncio.run, trio.run], ids=["asyncio", "trio"])
@pytest.mark.parametrize("way", ["create", "stream"])
@pytest.mark.parametrize("broken", BROKEN)
def test_cancelled_in_the_backoff(runner, way, broken):
    """The call ends at once without a further request."""

    async def body():
        async with async_client(api) as client:
            with anyio.move_on_after(0.4) as scope:
                if way == "create":
                    async for _ in await client.messages.create(**ASK, stream=True):
                        pass
                else:
                    async with client.messages.stream(**ASK) as stream:
                        await stream.get_final_message()
            assert scope.cancelled_caught

    with FakeAPI(BROKEN[broken]) as api, observed(retry_policy=RESUME_LATE) as telemetry:
        before = time.monotonic()
        runner(body) if runner is trio.run else runner(body())
        assert time.monotonic() - before < 0.4 + AT_ONCE
        assert len(api.requests) == 1
    assert_closed_by_caller(telemetry, "cancelled")


def read_to_the_end(messages, way):
    if way == "create":
        for _ in messages.create(**ASK, stream=True):
            pass
    else:
        with messages.stream(**ASK) as stream:
            stream.until_done()


@pytest.mark.parametrize("way", ["create", "stream"])
def test_interrupted_in_the_backoff(way):
    """A real signal raises `KeyboardInterrupt`."""
    with FakeAPI(BROKEN["in the text"]) as api, observed(retry_policy=RESUME_LATE) as telemetry:
        messages = sync_client(api).messages
        timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        before = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            read_to_the_end(messages, way)
        timer.join()
        assert time.monotonic() - before < 0.4 + AT_ONCE
        assert len(api.requests) == 1
    telemetry.assert_recorded_once()
    assert telemetry.attributes("outcome", "attempt.count") == ("closed", 1)


WAYS_TO_LEAVE = ("break", "raise", "close")


class CallerError(Exception):
    """An error that the caller raises."""


def leave(messages, how):
    """Leave after some text of the continuation. The return drops the last reference to the stream."""
    received = 0
    stream = messages.create(**REQUEST, stream=True)
    for event in stream:
        received += len(event.delta.text) if event.type == "content_block_delta" else 0
        if received > BREAK_AT:
            if how == "raise":
                raise CallerError
            if how == "close":
                stream.close()
            break


def leave_block(messages, how):
    """Leave the `with` block of `messages.stream()` after some text of the continuation."""
    with messages.stream(**REQUEST) as stream:
        received = 0
        for text in stream.text_stream:
            received += len(text)
            if received > BREAK_AT:
                if how == "raise":
                    raise CallerError
                if how == "close":
                    stream.close()
                return


async def leave_async(messages, how):
    """Leave an asynchronous stream after some text of the continuation."""
    received = 0
    stream = await messages.create(**REQUEST, stream=True)
    async for event in stream:
        received += len(event.delta.text) if event.type == "content_block_delta" else 0
        if received > BREAK_AT:
            if how == "raise":
                raise CallerError
            if how == "close":
                await stream.close()
            break


@pytest.mark.parametrize("how", WAYS_TO_LEAVE)
@pytest.mark.parametrize("way", [leave, leave_block, leave_async], ids=lambda way: way.__name__)
def test_left_during_a_later_attempt(monkeypatch, way, how):
    """There is no further request, both responses are closed, and the stream ends once."""
    api = API([*RECOVERIES["resumed"]])
    with instrumented(monkeypatch, api.clock, retry_policy=RESUME_AT_ONCE) as capture:
        with contextlib.suppress(CallerError):
            if way is leave_async:
                asyncio.run(way(api.async_client().messages, how))
            else:
                way(api.client().messages, how)
        gc.collect()
        assert api.requests == 2
        assert all(body.closed for body in api.bodies)
        (span,) = [span for span in capture.spans() if span["name"].startswith("chat")]
    assert span["attributes"]["claude.stream.outcome"] == "closed"
    assert span["attributes"]["claude.stream.resumed"] is True


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_left_by_the_end_of_a_streaming_response(monkeypatch, is_async):
    """The end of the `with` block closes the later response, although the caller still has the stream."""
    api = API([*RECOVERIES["resumed"]])
    streams = []

    def read():
        with api.client().messages.with_streaming_response.create(**REQUEST, stream=True) as response:
            streams.append(response.parse())
            received = 0
            for event in streams[0]:
                received += len(event.delta.text) if event.type == "content_block_delta" else 0
                if received > BREAK_AT:
                    break
        return all(body.closed for body in api.bodies)

    async def read_async():
        async with api.async_client().messages.with_streaming_response.create(**REQUEST, stream=True) as response:
            streams.append(await response.parse())
            received = 0
            async for event in streams[0]:
                received += len(event.delta.text) if event.type == "content_block_delta" else 0
                if received > BREAK_AT:
                    break
        return all(body.closed for body in api.bodies)

    with instrumented(monkeypatch, api.clock, retry_policy=RESUME_AT_ONCE):
        assert asyncio.run(read_async()) if is_async else read()
        streams.clear()
        gc.collect()
    assert api.requests == 2


@pytest.mark.parametrize("recovery", RECOVERIES)
def test_the_connections_return_to_the_pool(mode, recovery):
    """A pool of one connection is enough for retried and resumed calls, whether read to the end or left."""

    async def body():
        http = getattr(anthropic, "DefaultAsyncHttpxClient" if mode.is_async else "DefaultHttpxClient")
        limits = HTTP.Limits(max_connections=1)
        async with mode.entered(mode.client(api.url, http_client=http(verify=False, limits=limits))) as client:
            for call in range(4):
                received = 0
                stream = await mode.do(client.messages.create(**ASK, stream=True))
                async with mode.entered(stream):
                    async for event in mode.each(stream):
                        received += len(event.delta.text) if event.type == "content_block_delta" else 0
                        if call % 2 and received > BREAK_AT:
                            break

    with FakeAPI([*RECOVERIES[recovery]] * 4) as api, observed(retry_policy=RESUME_AT_ONCE) as telemetry:
        mode.run(body)
        assert len(api.requests) == 4 * len(RECOVERIES[recovery])
    telemetry.assert_recorded_once(streams=4)
