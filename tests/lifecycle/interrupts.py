"""Streams that an exception interrupts at a random instruction of this package or of OpenTelemetry.

The tests run some hundreds of them. To run more: ``python -m tests.lifecycle.interrupts --runs 10000 --seed 1``
"""

from __future__ import annotations

import argparse
import asyncio
import dis
import functools
import gc
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FrameType, SimpleNamespace
from typing import Any

import anthropic
from anthropic import _base_client
from opentelemetry import context as otel_context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from tests.support.rig import API, REQUEST

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._instrumentor import _streams
from otel_claude_stream._sdk.retry.call_context import current_call
from otel_claude_stream.testing import Error, Script

MESSAGE = Script.message("All is well.", deltas=3)
BROKEN = MESSAGE.cut_after(4, Error())
FAST = {"type": "none", "base": "0s", "cap": "0s"}
POLICY = {
    "mode": "resume",
    "budget": {"ratio": 1.0, "min_per_window": 1000},
    "backoff": FAST,
    "rules": [{"reasons": ["overloaded", "api_error", "stream_error", "truncated"], "backoff": FAST}],
}


class Stop(KeyboardInterrupt):
    """An exception that no `except Exception` catches, as of Ctrl-C."""


class TimeIsUp(Exception):
    """An exception of a signal handler that limits the time of a job."""


def read_sync(api: API) -> None:
    """Read a stream to its end."""
    with api.client(max_retries=1).messages.create(stream=True, **REQUEST) as stream:
        for _ in stream:
            pass


def read_async(api: API) -> None:
    """Read a stream to its end in a coroutine."""

    async def main() -> BaseException | None:
        # Caught inside of the task, because frames of asyncio form a cycle with the exception of a task.
        try:
            async with await api.async_client(max_retries=1).messages.create(stream=True, **REQUEST) as stream:
                async for _ in stream:
                    pass
        except BaseException as error:  # noqa: BLE001 - compared by the caller
            return error
        return None

    raised = asyncio.run(main())
    try:
        if raised is not None:
            raise raised
    finally:
        del raised  # its traceback has this frame: a cycle otherwise


def leave(api: API) -> None:
    """Leave a stream without closing it."""
    next(iter(api.client().messages.create(stream=True, **REQUEST)))


SCENES: dict[str, tuple[Callable[[API], None], tuple[Script, ...]]] = {
    "read": (read_sync, (MESSAGE,)),
    "broken": (read_sync, (BROKEN, MESSAGE)),
    "rejected": (read_sync, (Script.http_error(529), MESSAGE)),
    "read async": (read_async, (MESSAGE,)),
    "broken async": (read_async, (BROKEN, MESSAGE)),
    "left": (leave, (MESSAGE,)),
}


class Spans(SpanProcessor):
    """The spans that are open."""

    def __init__(self) -> None:
        self.open: dict[int, Any] = {}
        self.ended = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.open[span.context.span_id] = span

    def on_end(self, span: Any) -> None:
        self.ended += 1
        self.open.pop(span.context.span_id, None)


def _is_interrupted(frame: FrameType | None) -> bool:
    """Whether the code of a frame belongs to this package, or to OpenTelemetry called by it and not by the SDK."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        package = module.partition(".")[0]
        if package == "otel_claude_stream":
            return not module.startswith("otel_claude_stream.testing")
        if package != "opentelemetry":
            return False
        frame = frame.f_back
    return False


@functools.cache
def _checks(code: CodeType) -> frozenset[int]:
    """Return the offsets of the instructions after which the interpreter lets a signal handler run."""
    return frozenset(
        instruction.offset
        for instruction in dis.get_instructions(code)
        if instruction.opname.startswith(("CALL", "JUMP_", "POP_JUMP", "RESUME"))
        and "FORWARD" not in instruction.opname
    )


class Interrupt:
    """Raises an exception at the instruction with a number.

    It counts the instructions of the interrupted code at which the interpreter looks for signals. These follow a call,
    a jump, and the start of a function. Only there an exception of a signal handler or another thread can strike.
    """

    def __init__(self, at: int, error: type[BaseException]) -> None:
        self.at = at
        self._last: dict[FrameType, int] = {}
        self.count = 0
        self.error = error
        self.raised: BaseException | None = None
        self.where = ""

    def __call__(self, frame: FrameType, kind: str, _: object) -> Any:
        """Trace the calls of all functions."""
        self._last.pop(frame, None)
        if kind == "call" and _is_interrupted(frame):
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return self.step
        return None

    def step(self, frame: FrameType, kind: str, _: object) -> Any:
        """Count an instruction."""
        if kind == "opcode":
            last = self._last.get(frame)
            self._last[frame] = frame.f_lasti
            self.count += last is None or last in _checks(frame.f_code)
            if self.count == self.at:
                sys.settrace(None)
                self._last.clear()
                code = frame.f_code
                self.where = f"{frame.f_globals['__name__']}:{code.co_name}:{frame.f_lineno}:{frame.f_lasti}"
                self.raised = self.error()
                raise self.raised
        elif kind == "return":
            self._last.pop(frame, None)
        return self.step


OLD = tuple(map(int, anthropic.__version__.split(".")[:2])) < (1, 14)
"""Releases of the SDK before 1.14 leave interrupted streams in cycles, which end at the next garbage collection."""


@dataclass
class Result:
    """The defects that the interrupts revealed, and their places."""

    runs: int = 0
    struck: int = 0
    unraisable: int = 0
    found: Counter[str] = field(default_factory=Counter)
    places: list[str] = field(default_factory=list)

    def note(self, what: str, where: str) -> None:
        """Count a defect."""
        self.found[what] += 1
        self.places.append(f"{what}: {where}")


def _read(scene: str, interrupt: Interrupt) -> BaseException | None:
    act, scripts = SCENES[scene]
    api = API(scripts)
    try:
        sys.settrace(interrupt)
        act(api)
    except BaseException as error:  # noqa: BLE001 - compared by the caller
        return error
    finally:
        sys.settrace(None)
    return None


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


class Runs:
    """Interrupted streams, and the check after each of them."""

    def __init__(self, seed: int, error: type[BaseException]) -> None:
        self.spans = Spans()
        self.result = Result()
        self._chance = random.Random(seed)
        self._error = error
        self._before = otel_context.get_current()
        self._left: dict[int, str] = {}
        self._lost: list[object] = []
        self._sizes: dict[str, int] = {}

    def measure(self) -> None:
        """Count the instructions of each scene."""
        for scene in SCENES:
            for _ in range(2):  # the first one creates the hooks
                probe = Interrupt(-1, self._error)
                _read(scene, probe)
            self._sizes[scene] = probe.count
        sys.unraisablehook = lambda found: self._lost.append(found.exc_value)
        # An event loop closes asynchronous generators that were dropped, and logs what they raise.
        asyncio.BaseEventLoop.call_exception_handler = lambda _, found: self._lost.append(found.get("exception"))

    def one(self) -> None:
        """Interrupt one stream."""
        scene = self._chance.choice(list(SCENES))
        interrupt = Interrupt(self._chance.randrange(1, self._sizes[scene]), self._error)
        got, result = _read(scene, interrupt), self.result
        where = f"{scene} at {interrupt.at}: {interrupt.where}"
        result.runs += 1
        if interrupt.raised is not None:
            result.struck += 1
            if interrupt.raised in self._lost:  # Python drops the exceptions of finalizers
                result.unraisable += 1
            elif got is not interrupt.raised and not (self._error is TimeIsUp and interrupt.raised in _causes(got)):
                result.note(f"raised {type(got).__name__}" if got is not None else "swallowed", where)
        self._lost.clear()
        interrupt.raised = got = None
        if otel_context.get_current() != self._before:
            result.note("context left", where)
            otel_context.attach(self._before)
        if current_call.get() is not None:
            result.note("call left", where)
            current_call.set(None)
        self.look(where)

    def look(self, where: str) -> None:
        """Note the spans that were left open by the stream before this one."""
        if OLD:
            gc.collect()
        for span in set(self._left) & set(self.spans.open):
            self.result.note("span open", self._left[span])
            del self.spans.open[span]
        self._left = dict.fromkeys(self.spans.open, where)

    def last(self) -> None:
        """Read one more stream, and look for what is left."""
        _read("read", Interrupt(-1, self._error))
        self.look("")
        if len(_streams):
            self.result.note("stream open", "at the end")


def interrupt_streams(runs: int, seed: int, error: type[BaseException], policy: Any, progress: Any = None) -> Result:
    """Interrupt so many streams, and return what the interrupts left behind."""
    found = Runs(seed, error)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(found.spans)
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    handler = signal.signal(signal.SIGUSR2, Interrupt.step) if error is TimeIsUp else None
    hook, clock = sys.unraisablehook, _base_client.time
    handle = asyncio.BaseEventLoop.call_exception_handler
    _base_client.time = SimpleNamespace(**{**vars(time), "sleep": lambda _: None})
    ClaudeStreamInstrumentor().instrument(
        tracer_provider=provider, meter_provider=meters, retry_policy=policy, stall_thresholds=()
    )
    try:
        found.measure()
        for _ in range(runs):
            found.one()
            if progress is not None and found.result.runs % 100 == 0:
                progress(found.result)
        found.last()
    finally:
        sys.unraisablehook, _base_client.time = hook, clock
        asyncio.BaseEventLoop.call_exception_handler = handle
        if handler is not None:
            signal.signal(signal.SIGUSR2, handler)
        ClaudeStreamInstrumentor().uninstrument()
    return found.result


def main() -> int:
    """Run the interrupts that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policy", action="store_true", help="with a retry policy that resumes")
    parser.add_argument("--error", choices=["stop", "time"], default="stop", help="a BaseException or an Exception")
    options = parser.parse_args()
    started = time.monotonic()

    def progress(result: Result) -> None:
        sys.stderr.write(f"\r{result.runs} of {options.runs}, {time.monotonic() - started:.0f} s {dict(result.found)}")

    error = Stop if options.error == "stop" else TimeIsUp
    result = interrupt_streams(options.runs, options.seed, error, POLICY if options.policy else None, progress)
    sys.stderr.write("\n")
    for place in result.places[:40]:
        sys.stdout.write(f"{place}\n")
    sys.stdout.write(f"{result.struck} of {result.runs} streams interrupted, {result.unraisable} in finalizers; ")
    sys.stdout.write(f"left behind: {dict(result.found) or 'nothing'}\n")
    return 1 if result.found else 0


if __name__ == "__main__":
    sys.exit(main())
