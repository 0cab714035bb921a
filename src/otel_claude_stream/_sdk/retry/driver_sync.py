"""The synchronous driver of `RetryFlow`: reads frames, and carries out its steps.

`driver_sync.py` is generated from `driver_async.py` by `tools/unasync.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from otel_claude_stream._core.stream.message_state import DELTA
from otel_claude_stream._sdk.read.errors import exception_of_caller
from otel_claude_stream._sdk.retry.call_context import CallContext, RequestScope
from otel_claude_stream._sdk.retry.failure import Failure, PendingFailures
from otel_claude_stream._sdk.retry.flow import RetryFlow, Steps
from otel_claude_stream._sdk.retry.forwarding import forward_close_to
from otel_claude_stream._sdk.retry.sleeping import sleep_sync as sleep
from otel_claude_stream._sdk.retry.sleeping import wait_sync as wait
from otel_claude_stream._sdk.retry.steps import Close, Send, Sleep, Step, Wait


def send_sync(retry: RetryFlow, request: Callable[..., Any]) -> Any:
    """Return the result of the call, by one request or several. Raises what the last of them raised."""
    result = _drive(retry.requests(request), retry)
    if isinstance(result, BaseException):
        raise result
    return result


def frames_sync(frames: Iterator[Any], response: Any, retry: RetryFlow) -> Iterator[Any]:
    """Yield the frames of a stream, and of the attempts that follow it."""
    source, first = frames, response
    failure = outcome = None
    gate, pending = retry.gate, PendingFailures()
    try:
        while True:
            try:
                passthrough = gate.passthrough
                for frame in source:
                    if passthrough and frame.event == DELTA:
                        yield frame
                        continue
                    for ready in gate.take(frame):
                        yield ready
                    passthrough = gate.passthrough
                if gate.message_complete:
                    return
                failure = Failure()
            except Exception as error:
                if exception_of_caller(error) is not None:
                    raise
                failure = Failure.of(error)
            outcome = _drive(retry.recover(failure, response, pending), retry)
            if isinstance(outcome, Failure):
                break
            source, response = outcome._iter_events(), retry.response  # noqa: SLF001 - the SDK reads the same
            forward_close_to(first, response)
        for frame in retry.emit_final_failure(outcome, response):
            yield frame
    finally:
        del failure, outcome, pending  # the traceback of what is raised has this frame: a cycle otherwise
        if retry.response is not None:
            retry.response.close()
            first.close()


def _drive(steps: Steps, retry: RetryFlow) -> Any:
    """Carry out the steps, and return their result. Raises at once what the caller's code raised within a step."""
    proceed: Callable[[Any], Step] = steps.send
    answer: Any = None
    interruption: BaseException | None = None
    try:
        while interruption is None:
            try:
                step = proceed(answer)
            except StopIteration as done:
                return done.value
            proceed = steps.send
            try:
                answer = _carry_out(step, retry)
            except Exception as error:
                interruption = exception_of_caller(error)
                if interruption is error or (interruption is not None and not retry.session.is_open):
                    raise  # the first request raises what the SDK makes of it, as without this package
                answer = error
                if not isinstance(step, Send):  # the flow decides what is done about a failed request
                    proceed = steps.throw
        raise interruption
    finally:
        del answer, interruption, proceed, steps  # the traceback of what is raised has this frame: a cycle otherwise


def _carry_out(step: Step, retry: RetryFlow) -> Any:
    match step:
        case Sleep(seconds=seconds):
            return sleep(retry, seconds)
        case Wait(seconds=seconds):
            return wait(retry, seconds)
        case Close(response=response):
            return response.close()
        case Send(call=(args, kwargs)):
            scope = RequestScope(CallContext(retry.session, retry))
            try:
                with scope:
                    return retry.request(*args, **kwargs)
            except BaseException as error:
                scope.failed(error)
                raise


def close_sync(retry: RetryFlow, close: Callable[[], Any]) -> None:
    """Close the stream, and the response that took the place of its own."""
    retry.leave()
    try:
        close()
    finally:
        if retry.response is not None:
            retry.response.close()
