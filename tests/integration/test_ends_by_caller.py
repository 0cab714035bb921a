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
"""Four events that are read, two more, and then a silence that only the caller ends."""
WAIT = 5.0


class OwnError(Exception):
    """Raised by the caller's own code."""


async def opened(mode, client):
    """A stream with some events read."""
    stream = await mode.do(client.messages.create(**ASK, stream=True))
    for _ in range(4):
        assert await anext(stream) if mode.is_async else next(stream)
    return stream


async def left(mode, api):
    """Wait until the caller's side has closed the connection; an event loop may have to turn for that."""
    deadline = time.monotonic() + WAIT
    while not api.requests[0].client_left:
        gc.collect()
        assert time.monotonic() < deadline, "the connection was not released"
        await mode.do(mode.pause())


# --- Each a way to leave a stream: takes mode, client and server ------------------------------------------------------
async def break_in_with(mode, client, api):
    async with mode.entered(await mode.do(client.messages.create(**ASK, stream=True))) as stream:
        async for _ in mode.each(stream):
            break


async def break_in_helper(mode, client, api):
    async with mode.entered(client.messages.stream(**ASK)) as stream:
        async for _ in mode.each(stream.text_stream):
            break


async def close_after_break(mode, client, api):
    await mode.close(await opened(mode, client))


async def close_unread(mode, client, api):
    await mode.close(await mode.do(client.messages.create(**ASK, stream=True)))


async def close_twice(mode, client, api):
    stream = await opened(mode, client)
    await mode.close(stream)
    await mode.close(stream)


async def close_while_handling_an_exception(mode, client, api):
    stream = await opened(mode, client)
    try:
        int("no number")
    except ValueError:
        await mode.close(stream)


async def close_the_response(mode, client, api):
    stream = await opened(mode, client)
    await mode.close(stream.response)
    with contextlib.suppress(Exception):
        await by_iteration(mode, stream, Seen())


async def close_the_client(mode, client, api):
    stream = await opened(mode, client)
    await mode.close(client)
    with contextlib.suppress(Exception):
        await by_iteration(mode, stream, Seen())


async def leave_by_exit_stack(mode, client, api):
    async with contextlib.AsyncExitStack() as stack:
        stream = await stack.enter_async_context(mode.entered(client.messages.stream(**ASK)))
        assert await anext(stream) if mode.is_async else next(stream)


async def raise_in_with(mode, client, api):
    with contextlib.suppress(OwnError):
        async with mode.entered(client.messages.stream(**ASK)) as stream:
            async for _ in mode.each(stream):
                raise OwnError


async def raise_in_loop(mode, client, api):
    async def loop():
        async for _ in mode.each(await opened(mode, client)):
            raise OwnError

    with contextlib.suppress(OwnError):
        await loop()


async def drop(mode, client, api):
    stream = await opened(mode, client)
    del stream


async def drop_with_a_copy(mode, client, api):
    stream = await mode.do(client.messages.create(**ASK, stream=True))
    copied = copy.copy(stream)
    assert await anext(copied) if mode.is_async else next(copied)
    del stream, copied


async def close_a_generator_around_it(mode, client, api):
    async def texts():
        async with mode.entered(client.messages.stream(**ASK)) as stream:
            async for text in mode.each(stream.text_stream):
                yield text

    generator = texts()
    assert await generator.__anext__()
    await generator.aclose()


async def cancel_the_task(mode, client, api):
    task = asyncio.ensure_future(by_iteration(mode, await opened(mode, client), Seen()))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def cancel_in_with(mode, client, api):
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(helper_read_through(mode, client), 0.3)


async def helper_read_through(mode, client):
    async with client.messages.stream(**ASK) as stream:
        await by_iteration(mode, stream, Seen())


async def time_out(mode, client, api):
    if not hasattr(asyncio, "timeout"):
        pytest.skip("asyncio.timeout came with Python 3.11")
    stream = await opened(mode, client)
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
    stream = await opened(mode, client.with_options(timeout=0.3))  # a blocked read does not notice that it was closed
    closer = threading.Timer(0.05, stream.close)
    closer.start()
    with contextlib.suppress(Exception):
        await by_iteration(mode, stream, Seen())
    closer.join()


async def close_from_another_task(mode, client, api):
    stream = await opened(mode, client)
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
    (close_a_generator_around_it, "abandoned", BOTH),
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
def test_each_way_to_leave_a_stream_has_its_reason(mode, leave, reason, seen_by_us):
    """Closed by the caller, by one span that ends once; the connection is released, and nothing counts as an error."""
    script = LONG if leave is not cancel_the_request else Script(steps=(Pause(30),), before_headers=30)

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            await leave(mode, client, api)
            await left(mode, api)
            gc.collect()
        await settled(mode, seen_by_us)

    with FakeAPI(script) as api:
        mode.run(body)
    seen_by_us.told_once()
    assert seen_by_us.ending() == ("closed", reason)
    assert seen_by_us.of("abort.origin", "error.type") == ("caller", None)
    assert seen_by_us.stream()["status"]["code"] == "UNSET"


async def settled(mode, telemetry):
    """Wait until the span has ended: a dropped stream may end in the event loop's next turn, or in another thread."""
    deadline = time.monotonic() + WAIT
    while not telemetry.streams() and time.monotonic() < deadline:
        gc.collect()
        await mode.do(mode.pause())


@pytest.mark.skipif(
    not hasattr(anthropic, "_tracing"),
    reason="before 1.14 the SDK needs a garbage collection to notice a dropped stream",
)
def test_a_dropped_stream_needs_no_garbage_collection(mode, seen_by_us):
    """We hold nothing that keeps it: the connection is released with its last reference, as without us."""
    at_once = sys.version_info >= (3, 11)  # 3.10 keeps the response, though closed, until the next collection

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            stream = await opened(mode, client)
            gc.collect()
            gc.disable()
            try:
                del stream
                deadline = time.monotonic() + WAIT
                while not api.requests[0].client_left and time.monotonic() < deadline:
                    await mode.do(mode.pause())
                assert api.requests[0].client_left
            finally:
                gc.enable()

    with FakeAPI(LONG) as api:
        mode.run(body)
    if not at_once:
        gc.collect()
    seen_by_us.told_once()
    assert seen_by_us.ending() == ("closed", "abandoned")


def test_a_stream_that_is_never_read_and_dropped_is_abandoned(mode, seen_by_us):
    """The SDK leaks its connection, with us and without; the span says that nobody read."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            stream = await mode.do(client.messages.create(**ASK, stream=True))
            del stream
            await settled(mode, seen_by_us)

    with warnings.catch_warnings(), FakeAPI(LONG) as api:
        warnings.simplefilter("ignore", ResourceWarning)
        mode.run(body)
        gc.collect()
    seen_by_us.told_once()
    assert seen_by_us.ending() == ("closed", "abandoned")
    assert seen_by_us.of("read.mode", "event.count", "read.bytes") == ("none", 0, 0)


def test_a_manager_that_is_never_entered_sends_nothing(mode, seen_by_us):
    """`messages.stream()` alone is no request, and no span."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            manager = client.messages.stream(**ASK)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # the SDK's own coroutine "was never awaited"
                del manager
                gc.collect()

    with FakeAPI(WHOLE) as api:
        mode.run(body)
        assert api.requests == []
    seen_by_us.told_once(streams=0)


@pytest.mark.parametrize("then", ["close", "iterate again", "close twice"])
def test_what_comes_after_the_end_changes_nothing(mode, then, seen_by_us):
    """A stream that was read to its end is complete, whatever is done with it later."""

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
    seen_by_us.told_once()
    assert seen_by_us.ending() == ("completed", None)


def test_leaving_right_after_message_stop_is_completed(mode, seen_by_us):
    """Nothing of the answer was missing when the caller left."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            async with mode.entered(client.messages.stream(**ASK)) as stream:
                async for event in mode.each(stream):
                    if event.type == "message_stop":
                        break
            await left(mode, api)

    with FakeAPI(WHOLE.insert_pause(len(WHOLE.steps), 30)) as api:
        mode.run(body)
    seen_by_us.told_once()
    assert seen_by_us.ending() == ("completed", None)


def test_streams_that_are_read_in_turns_are_told_apart(mode, seen_by_us):
    """Two streams, one event of each at a time."""
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
    seen_by_us.told_once(streams=2)
    assert [
        tuple(
            span["attributes"][name]
            for name in ("gen_ai.response.model", "claude.stream.delta.count", "claude.stream.outcome")
        )
        for span in seen_by_us.streams()
    ] == [("claude-sonnet-4-5-20250929", 6, "completed"), ("claude-other", 20, "completed")]


def test_a_stream_may_be_read_elsewhere_than_where_it_was_opened(mode, seen_by_us):
    """In another thread, or in another task."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            stream = await opened(mode, client)
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
    seen_by_us.told_once()
    assert seen_by_us.ending() == ("completed", None)


def test_a_copy_of_a_stream_is_the_same_stream(mode, seen_by_us):
    """`copy(stream)`, as the SDK itself makes one: read through the copy, the original dropped."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            stream = await opened(mode, client)
            twin = copy.copy(stream)
            del stream
            gc.collect()
            await by_iteration(mode, twin, seen := Seen())
            assert seen.events[-1].type == "message_stop"

    with FakeAPI(WHOLE) as api:
        mode.run(body)
    seen_by_us.told_once()
    assert seen_by_us.ending() == ("completed", None)


@pytest.mark.parametrize("cancelled", [False, True], ids=["read", "cancelled"])
def test_under_trio(cancelled, seen_by_us):
    """The async client on another event loop: nothing of ours is asyncio's."""
    trio = pytest.importorskip("trio", reason="trio is not installed")
    mode = Mode("async")

    async def body():
        async with mode.client(api.url) as client, client.messages.stream(**ASK) as stream:
            with trio.move_on_after(0.1 if cancelled else WAIT):
                await by_iteration(mode, stream, Seen())

    with FakeAPI(LONG if cancelled else WHOLE) as api:
        trio.run(body)
    seen_by_us.told_once()
    assert seen_by_us.ending() == (("closed", "cancelled") if cancelled else ("completed", None))


def test_nothing_is_read_before_it_is_asked_for(mode):
    """No request before the call is awaited or entered, no byte of the body before the first `next()`."""

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
