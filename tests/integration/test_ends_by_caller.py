"""Streams that the caller ends, by closing, dropping, cancelling or raising."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import signal
import sys
import threading
import time
import warnings

import anthropic
import pytest
from tests.support.modes import ASK, Mode
from tests.support.observing import observed
from tests.support.ways import END, Seen, by_iteration

from otel_claude_stream.testing import FakeAPI, Pause, Script

WHOLE = Script.message("Streams carry an answer.", deltas=6)
LONG = WHOLE.insert_pause(7, 30)
"""Seven events (one is a ping), then a silence that only the caller ends. The tests read four of them."""
WAIT = 5.0


class ApplicationError(Exception):
    """Raised by the code of the caller."""


async def open_stream(mode, client):
    """Open a stream and read four events."""
    stream = await mode.do(client.messages.create(**ASK, stream=True))
    for _ in range(4):
        assert await anext(stream) if mode.is_async else next(stream)
    return stream


async def wait_for_disconnect(mode, api):
    """Wait until the client has closed the connection, which may need turns of the event loop."""
    deadline = time.monotonic() + WAIT
    while not api.requests[0].client_disconnected:
        gc.collect()
        assert time.monotonic() < deadline, "the connection was not released"
        await mode.do(mode.pause())


# --- Ways to leave a stream, as functions of mode, client and server --------------------------------------------------
async def break_in_with(mode, client, api):
    async with mode.entered(await mode.do(client.messages.create(**ASK, stream=True))) as stream:
        async for _ in mode.each(stream):
            break


async def break_in_helper(mode, client, api):
    async with mode.entered(client.messages.stream(**ASK)) as stream:
        async for _ in mode.each(stream.text_stream):
            break


async def close_after_break(mode, client, api):
    await mode.close(await open_stream(mode, client))


async def close_unread(mode, client, api):
    await mode.close(await mode.do(client.messages.create(**ASK, stream=True)))


async def close_twice(mode, client, api):
    stream = await open_stream(mode, client)
    await mode.close(stream)
    await mode.close(stream)


async def close_while_handling_an_exception(mode, client, api):
    stream = await open_stream(mode, client)
    try:
        int("no number")
    except ValueError:
        await mode.close(stream)


async def close_the_response(mode, client, api):
    stream = await open_stream(mode, client)
    await mode.close(stream.response)
    with contextlib.suppress(Exception):
        await by_iteration(mode, stream, Seen())


async def close_the_client(mode, client, api):
    stream = await open_stream(mode, client)
    await mode.close(client)
    with contextlib.suppress(Exception):
        await by_iteration(mode, stream, Seen())


async def leave_by_exit_stack(mode, client, api):
    async with contextlib.AsyncExitStack() as stack:
        stream = await stack.enter_async_context(mode.entered(client.messages.stream(**ASK)))
        assert await anext(stream) if mode.is_async else next(stream)


async def raise_in_with(mode, client, api):
    with contextlib.suppress(ApplicationError):
        async with mode.entered(client.messages.stream(**ASK)) as stream:
            async for _ in mode.each(stream):
                raise ApplicationError


async def raise_in_loop(mode, client, api):
    async def loop():
        async for _ in mode.each(await open_stream(mode, client)):
            raise ApplicationError

    with contextlib.suppress(ApplicationError):
        await loop()


async def drop(mode, client, api):
    stream = await open_stream(mode, client)
    del stream


async def drop_with_a_copy(mode, client, api):
    stream = await mode.do(client.messages.create(**ASK, stream=True))
    copied = copy.copy(stream)
    assert await anext(copied) if mode.is_async else next(copied)
    del stream, copied


async def texts_of(mode, client):
    async with mode.entered(client.messages.stream(**ASK)) as stream:
        async for text in mode.each(stream.text_stream):
            yield text


async def close_a_generator_around_it(mode, client, api):
    generator = texts_of(mode, client)
    assert await generator.__anext__()
    await generator.aclose()


async def close_a_generator_around_a_generator(mode, client, api):
    async def lines():
        async for text in texts_of(mode, client):
            yield text

    async with contextlib.aclosing(lines()) as generator:
        assert await generator.__anext__()


async def lose_a_generator_around_it(mode, client, api):
    """The generator is in a reference cycle, so only a garbage collection closes it."""

    def texts():
        with client.messages.stream(**ASK) as stream:
            yield from stream.text_stream

    cycle = [texts_of(mode, client) if mode.is_async else texts()]
    cycle.append(cycle)
    assert await anext(cycle[0]) if mode.is_async else next(cycle[0])
    del cycle
    gc.collect()


async def cancel_the_task(mode, client, api):
    task = asyncio.ensure_future(by_iteration(mode, await open_stream(mode, client), Seen()))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def cancel_in_with(mode, client, api):
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read_to_the_end(mode, client), 0.3)


async def read_to_the_end(mode, client):
    async with client.messages.stream(**ASK) as stream:
        await by_iteration(mode, stream, Seen())


async def time_out(mode, client, api):
    if not hasattr(asyncio, "timeout"):
        pytest.skip("asyncio.timeout came with Python 3.11")
    stream = await open_stream(mode, client)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await by_iteration(mode, stream, Seen())
    await mode.close(stream)


async def cancel_the_request(mode, client, api):
    task = asyncio.ensure_future(client.messages.create(**ASK, stream=True))
    while not api.requests:  # noqa: ASYNC110 - a server in another thread sets no event of this loop
        await asyncio.sleep(0.001)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def interrupt(mode, client, api):
    reader = threading.get_ident()
    with contextlib.suppress(KeyboardInterrupt), client.messages.create(**ASK, stream=True) as stream:
        assert next(stream)
        api.wait_for_requests(1)
        threading.Timer(0.1, signal.pthread_kill, (reader, signal.SIGINT)).start()
        await by_iteration(mode, stream, Seen())


async def close_from_another_thread(mode, client, api):
    stream = await open_stream(mode, client.with_options(timeout=0.3))  # a blocked read does not notice the close
    closer = threading.Timer(0.05, stream.close)
    closer.start()
    with contextlib.suppress(Exception):
        await by_iteration(mode, stream, Seen())
    closer.join()


async def close_from_another_task(mode, client, api):
    stream = await open_stream(mode, client)
    task = asyncio.ensure_future(by_iteration(mode, stream, Seen()))
    await asyncio.sleep(0.02)
    await stream.close()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(task, WAIT)


BOTH, SYNC, ASYNC = ("sync", "async"), ("sync",), ("async",)
ENDS = [
    (break_in_with, "caller_closed", BOTH),
    (break_in_helper, "caller_closed", BOTH),
    (close_after_break, "caller_closed", BOTH),
    (close_unread, "caller_closed", BOTH),
    (close_twice, "caller_closed", BOTH),
    (close_while_handling_an_exception, "caller_closed", BOTH),
    (close_the_response, "caller_closed", BOTH),
    (close_the_client, "caller_closed", BOTH),
    (leave_by_exit_stack, "caller_closed", BOTH),
    (raise_in_with, "caller_error", BOTH),
    (raise_in_loop, "abandoned", BOTH),
    (drop, "abandoned", BOTH),
    (drop_with_a_copy, "abandoned", BOTH),
    (close_a_generator_around_it, "caller_closed", BOTH),
    (close_a_generator_around_a_generator, "caller_closed", BOTH),
    (lose_a_generator_around_it, "abandoned", BOTH),
    (cancel_the_task, "cancelled", ASYNC),
    (cancel_in_with, "cancelled", ASYNC),
    (time_out, "cancelled", ASYNC),
    (cancel_the_request, "cancelled", ASYNC),
    (interrupt, "cancelled", SYNC),
    (close_from_another_thread, "caller_closed", SYNC),
    (close_from_another_task, "caller_closed", ASYNC),
]
CASES = [
    pytest.param(Mode(name), leave, reason, id=f"{name}-{leave.__name__}")
    for leave, reason, names in ENDS
    for name in names
]


@pytest.mark.parametrize(("mode", "leave", "reason"), CASES)
def test_each_way_to_leave_a_stream_has_an_abort_reason(mode, leave, reason, telemetry):
    """The span ends once and without an error, and the connection is released."""
    script = LONG if leave is not cancel_the_request else Script(steps=(Pause(30),), header_delay=30)

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            await leave(mode, client, api)
            await wait_for_disconnect(mode, api)
            gc.collect()
        await wait_for_span(mode, telemetry)

    with FakeAPI(script) as api:
        mode.run(body)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("closed", reason)
    assert telemetry.attributes("abort.origin", "error.type") == ("caller", None)
    assert telemetry.stream()["status"]["code"] == "UNSET"


async def wait_for_span(mode, telemetry):
    """Wait until a span has ended. That of a dropped stream may end later, or in another thread."""
    deadline = time.monotonic() + WAIT
    while not telemetry.streams() and time.monotonic() < deadline:
        gc.collect()
        await mode.do(mode.pause())


@pytest.mark.skipif(
    not hasattr(anthropic, "_tracing"),
    reason="before 1.14 the SDK closes a dropped stream only at a garbage collection",
)
def test_a_dropped_stream_is_closed_without_a_garbage_collection(mode, telemetry):
    """The instrumentation holds no reference to the stream that would delay its close."""
    at_once = sys.version_info >= (3, 11)  # Python 3.10 keeps the closed response until the next collection

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            stream = await open_stream(mode, client)
            gc.collect()
            gc.disable()
            try:
                del stream
                deadline = time.monotonic() + WAIT
                while not api.requests[0].client_disconnected and time.monotonic() < deadline:
                    await mode.do(mode.pause())
                assert api.requests[0].client_disconnected
            finally:
                gc.enable()

    with FakeAPI(LONG) as api:
        mode.run(body)
    if not at_once:
        gc.collect()
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("closed", "abandoned")


def test_a_stream_dropped_unread_is_abandoned(mode, telemetry):
    """The SDK leaks the connection, with and without instrumentation. The span shows that nothing was read."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            stream = await mode.do(client.messages.create(**ASK, stream=True))
            del stream
            await wait_for_span(mode, telemetry)

    with warnings.catch_warnings(), FakeAPI(LONG) as api:
        warnings.simplefilter("ignore", ResourceWarning)
        mode.run(body)
        gc.collect()
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("closed", "abandoned")
    assert telemetry.attributes("read.mode", "event.count", "read.bytes") == ("none", 0, 0)


def test_a_stream_manager_that_is_not_entered_has_no_span(mode, telemetry):
    """`messages.stream()` sends no request before `with`."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            manager = client.messages.stream(**ASK)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a coroutine of the SDK "was never awaited"
                del manager
                gc.collect()

    with FakeAPI(WHOLE) as api:
        mode.run(body)
        assert api.requests == []
    telemetry.assert_recorded_once(streams=0)


@pytest.mark.parametrize("then", ["close", "iterate again", "close twice"])
def test_use_of_a_stream_after_its_end_does_not_change_its_outcome(mode, then, telemetry):

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            stream = await mode.do(client.messages.create(**ASK, stream=True))
            await by_iteration(mode, stream, Seen())
            if then == "iterate again":
                assert await mode.all(stream) == []
            else:
                await mode.close(stream)
            if then == "close twice":
                await mode.close(stream)

    with FakeAPI(WHOLE) as api:
        mode.run(body)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("completed", None)


def test_a_stream_left_right_after_message_stop_is_completed(mode, telemetry):
    """The caller has the whole message by then."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            async with mode.entered(client.messages.stream(**ASK)) as stream:
                async for event in mode.each(stream):
                    if event.type == "message_stop":
                        break
            await wait_for_disconnect(mode, api)

    with FakeAPI(WHOLE.insert_pause(len(WHOLE.steps), 30)) as api:
        mode.run(body)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("completed", None)


def test_streams_read_in_turns_have_separate_telemetry(mode, telemetry):
    short, long = WHOLE, Script.message("Another and longer answer.", deltas=20, model="claude-other")

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            streams = [await mode.do(client.messages.create(**ASK, stream=True)) for _ in range(2)]
            while streams:
                for stream in list(streams):
                    event = await anext(stream, END) if mode.is_async else next(stream, END)
                    if event is END:
                        streams.remove(stream)

    with FakeAPI([short, long]) as api:
        mode.run(body)
    telemetry.assert_recorded_once(streams=2)
    assert [
        tuple(
            span["attributes"][name]
            for name in ("gen_ai.response.model", "claude.stream.delta.count", "claude.stream.outcome")
        )
        for span in telemetry.streams()
    ] == [("claude-sonnet-4-5-20250929", 6, "completed"), ("claude-other", 20, "completed")]


def test_a_stream_can_be_read_in_another_thread_or_task(mode, telemetry):

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            stream = await open_stream(mode, client)
            seen = Seen()
            if mode.is_async:
                await asyncio.ensure_future(by_iteration(mode, stream, seen))
            else:
                reader = threading.Thread(target=mode.run, args=(by_iteration, mode, stream, seen))
                reader.start()
                reader.join()
            assert seen.events[-1].type == "message_stop"

    with FakeAPI(WHOLE) as api:
        mode.run(body)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("completed", None)


def test_a_copied_stream_has_the_span_of_the_original(mode, telemetry):
    """The SDK itself makes such copies with `copy.copy`. The original is dropped."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            stream = await open_stream(mode, client)
            twin = copy.copy(stream)
            del stream
            gc.collect()
            await by_iteration(mode, twin, seen := Seen())
            assert seen.events[-1].type == "message_stop"

    with FakeAPI(WHOLE) as api:
        mode.run(body)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("completed", None)


@pytest.mark.parametrize("cancelled", [False, True], ids=["read", "cancelled"])
def test_streams_work_under_trio(cancelled, telemetry):
    """The instrumentation does not depend on asyncio."""
    trio = pytest.importorskip("trio", reason="trio is not installed")
    mode = Mode("async")

    async def body():
        async with mode.client(api.url) as client, client.messages.stream(**ASK) as stream:
            with trio.move_on_after(0.1 if cancelled else WAIT):
                await by_iteration(mode, stream, Seen())

    with FakeAPI(LONG if cancelled else WHOLE) as api:
        trio.run(body)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == (("closed", "cancelled") if cancelled else ("completed", None))


def test_the_instrumentation_does_not_read_ahead(mode):
    """No request is sent before `with`, and no byte of the body is read before the first `next()`."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            manager = client.messages.stream(**ASK)
            assert api.requests == []
            async with mode.entered(manager) as stream:
                assert len(api.requests) == 1
                assert stream.response.num_bytes_downloaded == 0
                assert await anext(stream) if mode.is_async else next(stream)
                assert stream.response.num_bytes_downloaded > 0

    with observed(), FakeAPI(WHOLE) as api:
        mode.run(body)
