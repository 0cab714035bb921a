"""What the instrumentation would say of a Script: session, machine, classifier and emitter in simulated time.

No network, no SDK and no waiting: pauses only move a clock. One attempt is played, with the SDK's default read
time-out; the SDK's own retries are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from opentelemetry.metrics import NoOpMeter

from otel_claude_stream._config import StreamConfig
from otel_claude_stream._core.diagnosis.limits import Limit
from otel_claude_stream._core.retry.policy import RetryPolicy
from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._sdk.read.body import TimedBody
from otel_claude_stream._sdk.read.endings import request_failed
from otel_claude_stream._sdk.read.responses import reply_of
from otel_claude_stream._sdk.read.sync import sync_events, sync_frames
from otel_claude_stream._session import CallPolicy, StreamSession
from otel_claude_stream._telemetry.stream_telemetry import Emitter
from otel_claude_stream.cli import _transport as transport
from otel_claude_stream.cli.otlp import SpanData
from otel_claude_stream.cli.recorder import Recorder
from otel_claude_stream.testing import CutMidChunk, End, Hang, Pause, Reset, Script, Send

READ_TIMEOUT: Final = 600.0  # anthropic._constants.DEFAULT_TIMEOUT, in seconds
START: Final = 1_000_000_000  # when the call starts, in nanoseconds of the simulated clock
REQUEST_ID: Final = "req_scripted"
MODEL: Final = re.compile(rb'"model"\s*:\s*"([^"\\]{1,128})"')
SETTINGS: Final = StreamConfig(metrics=False, deltas="all", event_budget=10_000)
"""Every event is kept, so that a wait between two deltas is seen; what belongs together is joined for the eye later."""
NANO: Final = 1e9
MIDDLE: Final = 0.5
"""The chance in the back-off that the policy would take: the same at each reading."""


class Clock:
    """Simulated time, in nanoseconds."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        """The time, as the session asks for it."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * NANO)


class _NoStreams:
    """Asked for by metrics only, of which there are none."""

    def counts(self) -> Iterable[tuple[float, dict[str, Any]]]:
        return ()

    def ages(self) -> Iterable[tuple[float, dict[str, Any]]]:
        return ()


def replay(script: Script, limits: Sequence[Limit]) -> SpanData:
    """The span of a stream that gets this response."""
    clock, recorder = Clock(), Recorder()
    emitter = Emitter(recorder, NoOpMeter("explain"), None, SETTINGS, _NoStreams())
    call = Call(_model(script), "anthropic", "messages", "stream", "", None, "self", read_timeout=READ_TIMEOUT)
    emission = emitter.begin(call, START)
    handling = CallPolicy(RetryPolicy(), tokens=None, random=lambda: MIDDLE)
    session = StreamSession(call, emission, SETTINGS, tuple(limits), handling, clock=clock, started=START, wall=START)
    Player(script, session, clock).play()
    return recorder.ended[-1]


def _model(script: Script) -> str:
    found = MODEL.search(script.body())
    return found[1].decode("utf-8", "replace") if found else "unknown"


class Player:
    """Plays one response to one session."""

    def __init__(self, script: Script, session: StreamSession, clock: Clock) -> None:
        self._script = script
        self._session = session
        self._clock = clock
        self._request_id = script.resolve_request_id(REQUEST_ID)
        self._ending = script.steps[-1] if script.steps and _ends(script.steps[-1]) else End()

    def play(self) -> None:
        """From the request to the one ending of the session."""
        script = self._script
        self._clock.pass_by(min(script.header_delay, READ_TIMEOUT))
        if script.header_delay >= READ_TIMEOUT:
            request_failed(self._session, transport.no_response("timeout"))
        elif script.close_before_headers != "no":
            request_failed(self._session, transport.no_response(script.close_before_headers))
        elif script.status >= transport.FIRST_ERROR:
            self._refused()
        else:
            self._stream()

    def _head(self) -> transport.Response:
        script = self._script
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        if self._request_id is not None:
            headers["request-id"] = self._request_id
        headers.update((name.lower(), value) for name, value in script.headers)
        return transport.Response(script.status, headers)

    def _refused(self) -> None:
        """An error status, whose body the SDK reads before it raises."""
        error: Exception
        try:
            error = transport.status_error(self._head(), b"".join(self._reads()))
        except transport.TransportError as broken:
            error = broken
        request_failed(self._session, error)

    def _stream(self) -> None:
        session, head = self._session, self._head()
        reply = reply_of(head)
        session.opened(reply)
        session.decoded = True
        body = TimedBody(_Body(self._reads), session, reply)
        found = sync_frames(transport.frames(iter(body)), session)
        try:
            for _ in sync_events(transport.events(found, head), session):
                continue
        except Exception:  # noqa: BLE001 - whatever the caller would get: the session was told of it
            return

    def _reads(self) -> Iterator[bytes]:
        """The body as the HTTP library hands it on, while time passes."""
        received, waiting = 0, 0.0
        for move in self._moves():
            if isinstance(move, bytes):
                self._wait(waiting)
                received, waiting = received + len(move), 0.0
                yield move
            else:
                waiting += move
        self._wait(waiting)
        broken = self._broken(received)
        if broken is not None:
            raise broken

    def _wait(self, seconds: float) -> None:
        """A read that blocks, at most as long as the client waits."""
        self._clock.pass_by(min(seconds, READ_TIMEOUT))
        if seconds >= READ_TIMEOUT:
            raise transport.ReadTimeout("timed out")

    def _moves(self) -> Iterator[bytes | float]:
        """Bytes, and seconds of nothing between them."""
        for step in self._script.steps:
            match step:
                case Pause():
                    yield float(step.seconds)
                case Hang():
                    yield float(step.max_seconds)
                case CutMidChunk() if step.partial:
                    yield Send(step.partial).raw
                case _:
                    raw = self._script.render(step, self._request_id)
                    if raw:
                        yield raw

    def _broken(self, received: int) -> transport.TransportError | None:
        """What the HTTP library raises at the end of the body; None for a clean end."""
        if isinstance(self._ending, Reset):
            return transport.reset()
        if isinstance(self._ending, End) or self._script.framing == "close":
            return None  # the close of a body that has no other end tells nothing
        if self._script.framing == "length":
            return transport.RemoteProtocolError(transport.SHORT.format(received))
        return transport.RemoteProtocolError(transport.INCOMPLETE)


class _Body:
    """The body as an object that is iterated once, as the HTTP library has it."""

    def __init__(self, reads: Callable[[], Iterator[bytes]]) -> None:
        self._reads = reads

    def __iter__(self) -> Iterator[bytes]:
        return self._reads()


def _ends(step: object) -> bool:
    return isinstance(step, (End, CutMidChunk, Reset, Hang))
