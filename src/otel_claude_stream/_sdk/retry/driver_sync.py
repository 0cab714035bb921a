"""The synchronous side of a recovery: reads, sleeps, sends and closes as the flow says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.stream.message_state import DELTA
from otel_claude_stream._sdk.retry.failure import Failure, PendingFailures
from otel_claude_stream._sdk.retry.flow import Recovery, Steps
from otel_claude_stream._sdk.retry.forwarding import forward_close_to
from otel_claude_stream._sdk.retry.steps import Close, Send, Sleep

Request = Callable[..., Any]


def sleep(recovery: Recovery, seconds: float) -> bool:
    """Wait. False, at once, if the caller closes the stream meanwhile."""
    return not recovery.left.wait(seconds)


def send_sync(recovery: Recovery, request: Request) -> Any:
    """The result of the call, by one request or by several. Raises what the last of them raised."""
    recovery.request = request
    result = _drive(recovery.requests(), recovery)
    if isinstance(result, BaseException):
        raise result
    return result


def recovering(frames: Iterator[Any], response: Any, recovery: Recovery) -> Iterator[Any]:
    """The frames of a stream, and of the attempts that follow it."""
    source, first = frames, response
    failure = outcome = None
    gate, standing = recovery.gate, PendingFailures()
    try:
        while True:
            failure = None
            through = gate.through and not gate.splicing
            try:
                for frame in source:
                    name = frame.event
                    if through and name == DELTA:
                        yield frame
                        continue
                    if name == "error":
                        failure = Failure(frame=frame)
                        break
                    yield from gate.take(name, frame)
                    through = gate.through and not gate.splicing
                else:
                    failure = gate.ended()
            except Exception as error:  # noqa: BLE001 - whatever reading raises is a failure of the attempt
                failure = Failure.of(error)
            if failure is None:
                return
            outcome = _recover(recovery, failure, response, standing)
            if isinstance(outcome, Failure):
                break
            source, response = outcome._iter_events(), recovery.response  # noqa: SLF001 - what the SDK itself reads
            forward_close_to(first, response)
        yield from recovery.last_words(outcome, response)
    finally:
        del failure, outcome, standing  # the traceback of what is raised has this frame: a cycle otherwise
        if recovery.response is not None:
            recovery.response.close()
            first.close()


def _recover(recovery: Recovery, failure: Failure, response: Any, standing: PendingFailures) -> Any:
    try:
        return _drive(recovery.recover(failure, response, standing), recovery)
    except Exception as error:  # noqa: BLE001 - the boundary: the caller gets the failure he would have got
        _guard.report("recovery", error)
        return standing.latest if failure.seam and standing.latest is not None else failure


def _drive(steps: Steps, recovery: Recovery) -> Any:
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as done:
            return done.value
        match step:
            case Sleep():
                answer = sleep(recovery, step.seconds)
            case Close():
                answer = step.response.close()
            case Send():
                args, kwargs = step.call
                entered = recovery.enter()
                try:
                    answer = recovery.request(*args, **kwargs)
                except Exception as error:  # noqa: BLE001 - what is done about it the flow decides
                    answer = error
                finally:
                    recovery.leave_request(entered)


def close_sync(recovery: Recovery, close: Callable[[], None]) -> None:
    """Close the stream, and the response that took the place of its own."""
    recovery.leave()
    try:
        close()
    finally:
        if recovery.response is not None:
            recovery.response.close()
