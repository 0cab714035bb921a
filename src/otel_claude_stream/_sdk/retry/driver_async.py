"""The asynchronous side of a recovery: as `sync_driver`, with `await`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.stream.message_state import DELTA
from otel_claude_stream._sdk.retry.failure import Failure, PendingFailures
from otel_claude_stream._sdk.retry.flow import Recovery, Steps
from otel_claude_stream._sdk.retry.forwarding import forward_close_to
from otel_claude_stream._sdk.retry.steps import Close, Send, Sleep

Request = Callable[..., Any]


async def sleep(recovery: Recovery, seconds: float) -> bool:
    """Wait. False, at once, if the caller closes the stream meanwhile."""
    import anyio  # the SDK's own; not before it is imported

    left = anyio.Event()
    recovery.leave_async = left.set
    with anyio.move_on_after(seconds):
        await left.wait()
    recovery.leave_async = None
    return not recovery.left.is_set()


async def send_async(recovery: Recovery, request: Request) -> Any:
    """The result of the call, by one request or by several. Raises what the last of them raised."""
    recovery.request = request
    result = await _drive(recovery.requests(), recovery)
    if isinstance(result, BaseException):
        raise result
    return result


async def arecovering(frames: AsyncIterator[Any], response: Any, recovery: Recovery) -> AsyncIterator[Any]:
    """The frames of a stream, and of the attempts that follow it."""
    source, first = frames, response
    failure = outcome = None
    gate, standing = recovery.gate, PendingFailures()
    try:
        while True:
            failure = None
            through = gate.through and not gate.splicing
            try:
                async for frame in source:
                    name = frame.event
                    if through and name == DELTA:
                        yield frame
                        continue
                    if name == "error":
                        failure = Failure(frame=frame)
                        break
                    for ready in gate.take(name, frame):
                        yield ready
                    through = gate.through and not gate.splicing
                else:
                    failure = gate.ended()
            except Exception as error:  # noqa: BLE001 - whatever reading raises is a failure of the attempt
                failure = Failure.of(error)
            if failure is None:
                return
            outcome = await _recover(recovery, failure, response, standing)
            if isinstance(outcome, Failure):
                break
            source, response = outcome._iter_events(), recovery.response  # noqa: SLF001 - what the SDK itself reads
            forward_close_to(first, response)
        for word in recovery.last_words(outcome, response):
            yield word
    finally:
        del failure, outcome, standing  # the traceback of what is raised has this frame: a cycle otherwise
        if recovery.response is not None:
            await recovery.response.aclose()
            await first.aclose()


async def _recover(recovery: Recovery, failure: Failure, response: Any, standing: PendingFailures) -> Any:
    try:
        return await _drive(recovery.recover(failure, response, standing), recovery)
    except Exception as error:  # noqa: BLE001 - the boundary: the caller gets the failure he would have got
        _guard.report("recovery", error)
        return standing.latest if failure.seam and standing.latest is not None else failure


async def _drive(steps: Steps, recovery: Recovery) -> Any:
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as done:
            return done.value
        match step:
            case Sleep():
                answer = await sleep(recovery, step.seconds)
            case Close():
                answer = await step.response.aclose()
            case Send():
                args, kwargs = step.call
                entered = recovery.enter()
                try:
                    answer = await recovery.request(*args, **kwargs)
                except GeneratorExit:  # thrown away: no context is left to restore
                    raise
                except BaseException as error:
                    recovery.leave_request(entered)
                    if not isinstance(error, Exception):
                        raise
                    answer = error
                else:
                    recovery.leave_request(entered)


async def close_async(recovery: Recovery, close: Callable[[], Awaitable[None]]) -> None:
    """Close the stream, and the response that took the place of its own."""
    recovery.leave()
    try:
        await close()
    finally:
        if recovery.response is not None:
            await recovery.response.aclose()
