"""The caller leaves: in the back-off, while a further request is made, while a later attempt is read, or after it."""

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
from tests.retry.test_ways import AT, COURSES, POLICY, WHOLE, told
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.rig import API, HTTP, REQUEST, instrumented
from tests.support.scenes import STORY

from otel_claude_stream._core.retry.policy import Backoff, Jitter, Mode, RetryPolicy, Rule
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream._instrumentor import _streams
from otel_claude_stream.testing import FakeAPI, Hang, Script

AT_ONCE = 2.0
"""Seconds within which a caller that leaves is gone, on a machine that is busy; what he leaves would take longer."""
SLOW = Backoff(type=Jitter.NONE, base=20.0, cap=20.0)
SLEEPY = RetryPolicy(mode=Mode.RESUME, rules=(Rule(frozenset(AbortReason), backoff=SLOW),))
BROKEN = {"before the first content": WHOLE.cut_after(2), "in the text": COURSES["resumed"][0]}


@pytest.fixture(autouse=True)
def _nothing_is_left():
    """No stream is open afterwards, however it was left."""
    yield
    gc.collect()
    assert len(_streams) == 0


def assert_left(telemetry, reason, attempts=1):
    """One ending, and the caller's."""
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("closed", reason)
    assert telemetry.attributes("attempt.count") == (attempts,)


def sync_client(api, **options):
    return anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0, **options)


def async_client(api):
    return anthropic.AsyncAnthropic(api_key="none", base_url=api.url, max_retries=0)


def reader(stream):
    """Read a stream in a thread of its own; gives the thread and what it raised."""
    raised = []

    def read():
        try:
            for _ in stream:
                pass
        except Exception as error:  # noqa: BLE001 - whatever the reader gets
            raised.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, raised


def sleeping(session):
    """Wait until the back-off of a session has begun: its decision is told before it."""
    for _ in range(2000):
        if session.state.attempts.over:
            return time.sleep(0.02)
        time.sleep(0.001)
    raise AssertionError("it does not sleep")


@pytest.mark.parametrize("broken", BROKEN)
def test_closed_by_another_thread_in_the_backoff(broken):
    """At once, and nothing is sent any more. The reader gets the error that he would have got."""
    with FakeAPI(BROKEN[broken]) as api, observed(retry_policy=SLEEPY) as telemetry:
        stream = sync_client(api).messages.create(**ASK, stream=True)
        (session,) = _streams._sessions.values()
        thread, raised = reader(stream)
        sleeping(session)
        before = time.monotonic()
        stream.close()
        thread.join(AT_ONCE)
        assert time.monotonic() - before < AT_ONCE
        assert not thread.is_alive()
        assert len(api.requests) == 1
    assert "incomplete chunked read" in str(raised[0])
    assert_left(telemetry, "caller_closed")


@pytest.mark.parametrize("broken", BROKEN)
def test_closed_by_another_thread_while_a_further_request_is_made(broken):
    """The answer comes to nobody: its response is closed, not read."""
    slow = Script(steps=(*told(STORY[AT - 48 :]).steps[:4], Hang(20.0)), header_delay=0.4)
    with FakeAPI([BROKEN[broken], slow]) as api, observed(retry_policy=POLICY) as telemetry:
        stream = sync_client(api).messages.create(**ASK, stream=True)
        thread, raised = reader(stream)
        api.wait_for_requests(2)
        stream.close()
        thread.join(AT_ONCE)
        assert not thread.is_alive()
        api.wait_until(lambda requests: requests[1].client_disconnected)
    assert "incomplete chunked read" in str(raised[0])
    assert telemetry.outcome_and_reason() == ("closed", "caller_closed")


@pytest.mark.parametrize("broken", BROKEN)
def test_closed_by_another_task_in_the_backoff(broken):
    async def body():
        async with async_client(api) as client:
            stream = await client.messages.create(**ASK, stream=True)
            (session,) = _streams._sessions.values()

            async def read():
                async for _ in stream:
                    pass

            task = asyncio.create_task(read())
            await asyncio.to_thread(sleeping, session)
            before = time.monotonic()
            await stream.close()
            with pytest.raises(Exception, match="incomplete chunked read"):
                await task
            assert time.monotonic() - before < AT_ONCE

    with FakeAPI(BROKEN[broken]) as api, observed(retry_policy=SLEEPY) as telemetry:
        asyncio.run(body())
        assert len(api.requests) == 1
    assert_left(telemetry, "caller_closed")


@pytest.mark.parametrize("runner", [asyncio.run, trio.run], ids=["asyncio", "trio"])
@pytest.mark.parametrize("way", ["create", "stream"])
@pytest.mark.parametrize("broken", BROKEN)
def test_cancelled_in_the_backoff(runner, way, broken):
    """At once, and nothing is sent any more."""

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

    with FakeAPI(BROKEN[broken]) as api, observed(retry_policy=SLEEPY) as telemetry:
        before = time.monotonic()
        runner(body) if runner is trio.run else runner(body())
        assert time.monotonic() - before < 0.4 + AT_ONCE
        assert len(api.requests) == 1
    assert_left(telemetry, "cancelled")


def read_whole(messages, way):
    if way == "create":
        for _ in messages.create(**ASK, stream=True):
            pass
    else:
        with messages.stream(**ASK) as stream:
            stream.until_done()


@pytest.mark.parametrize("way", ["create", "stream"])
def test_interrupted_in_the_backoff(way):
    """`KeyboardInterrupt`, of a real signal."""
    with FakeAPI(BROKEN["in the text"]) as api, observed(retry_policy=SLEEPY) as telemetry:
        messages = sync_client(api).messages
        timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        before = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            read_whole(messages, way)
        timer.join()
        assert time.monotonic() - before < 0.4 + AT_ONCE
        assert len(api.requests) == 1
    telemetry.assert_recorded_once()
    assert telemetry.attributes("outcome", "attempt.count") == ("closed", 1)


LEAVES = ("break", "raise", "close")


class Enough(Exception):
    """The caller's own."""


def leave(messages, how):
    """Read on until some of the continuation has come, then leave; all that holds the stream goes with the frame."""
    had = 0
    stream = messages.create(**REQUEST, stream=True)
    for event in stream:
        had += len(event.delta.text) if event.type == "content_block_delta" else 0
        if had > AT:
            if how == "raise":
                raise Enough
            if how == "close":
                stream.close()
            break


def leave_within(messages, how):
    """As `leave`, in a `with` block, of the helper."""
    with messages.stream(**REQUEST) as stream:
        had = 0
        for text in stream.text_stream:
            had += len(text)
            if had > AT:
                if how == "raise":
                    raise Enough
                if how == "close":
                    stream.close()
                return


async def aleave(messages, how):
    """As `leave`."""
    had = 0
    stream = await messages.create(**REQUEST, stream=True)
    async for event in stream:
        had += len(event.delta.text) if event.type == "content_block_delta" else 0
        if had > AT:
            if how == "raise":
                raise Enough
            if how == "close":
                await stream.close()
            break


@pytest.mark.parametrize("how", LEAVES)
@pytest.mark.parametrize("way", [leave, leave_within, aleave], ids=lambda way: way.__name__)
def test_left_while_a_later_attempt_is_read(monkeypatch, way, how):
    """No further request; both responses are closed, and the stream has ended once."""
    api = API([*COURSES["resumed"]])
    with instrumented(monkeypatch, api.clock, retry_policy=POLICY) as capture:
        with contextlib.suppress(Enough):
            if way is aleave:
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
    """The `with` closes what is read, though the caller still holds the stream that he got from it."""
    api = API([*COURSES["resumed"]])
    kept = []

    def read():
        with api.client().messages.with_streaming_response.create(**REQUEST, stream=True) as response:
            kept.append(response.parse())
            had = 0
            for event in kept[0]:
                had += len(event.delta.text) if event.type == "content_block_delta" else 0
                if had > AT:
                    break
        return all(body.closed for body in api.bodies)

    async def aread():
        async with api.async_client().messages.with_streaming_response.create(**REQUEST, stream=True) as response:
            kept.append(await response.parse())
            had = 0
            async for event in kept[0]:
                had += len(event.delta.text) if event.type == "content_block_delta" else 0
                if had > AT:
                    break
        return all(body.closed for body in api.bodies)

    with instrumented(monkeypatch, api.clock, retry_policy=POLICY):
        assert asyncio.run(aread()) if is_async else read()
        kept.clear()
        gc.collect()
    assert api.requests == 2


@pytest.mark.parametrize("course", COURSES)
def test_the_connections_are_given_back(mode, course):
    """A pool of one connection is enough for calls that were recovered, whether read to the end or left."""

    async def body():
        http = getattr(anthropic, "DefaultAsyncHttpxClient" if mode.is_async else "DefaultHttpxClient")
        limits = HTTP.Limits(max_connections=1)
        async with mode.entered(mode.client(api.url, http_client=http(verify=False, limits=limits))) as client:
            for call in range(4):
                had = 0
                stream = await mode.do(client.messages.create(**ASK, stream=True))
                async with mode.entered(stream):
                    async for event in mode.each(stream):
                        had += len(event.delta.text) if event.type == "content_block_delta" else 0
                        if call % 2 and had > AT:
                            break

    with FakeAPI([*COURSES[course]] * 4) as api, observed(retry_policy=POLICY) as telemetry:
        mode.run(body)
        assert len(api.requests) == 4 * len(COURSES[course])
    telemetry.assert_recorded_once(streams=4)
