"""The real SDK with an API, clocks and telemetry in memory.

A `Script` is played without a socket. Its pauses advance a manual clock, so that all figures are exact. `read` reads a
stream in one of the ways that the SDK offers, and returns what the caller saw.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import anthropic
import anyio
from anthropic import _base_client

from otel_claude_stream import ClaudeStreamInstrumentor, _instrumentor
from otel_claude_stream._sdk.attach import assembly as _assembly
from otel_claude_stream._sdk.attach.sdk_hooks import SdkHooks
from otel_claude_stream._sdk.retry import driver_async as async_driver
from otel_claude_stream._sdk.retry import driver_sync as sync_driver
from otel_claude_stream._session import policy_resolver as policies
from otel_claude_stream._session.stall_ticker import StallTicker
from otel_claude_stream._telemetry.attributes import HELPER
from otel_claude_stream.testing import Capture, CutMidChunk, Hang, ManualClock, Pause, Reset, Script
from otel_claude_stream.testing.clock import START_NS

HTTP: Any = sys.modules.get("httpx2") or sys.modules["httpx"]
"""The HTTP library of this SDK generation."""

HOST = "api.example.com"
REQUEST: dict[str, Any] = {
    "model": "claude-test",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Hello?"}],
}

WAYS = ("create", "stream", "async create", "async stream")


def _nothing(_: Any) -> None:
    pass


class Body(HTTP.SyncByteStream, HTTP.AsyncByteStream):  # type: ignore[misc] # one of two libraries, found at run time
    """The body of a script's response. Each step is a chunk, and each pause advances the clock."""

    def __init__(self, script: Script, clock: ManualClock, chunks: Callable[[list[bytes]], list[bytes]]) -> None:
        self._script = script
        self._clock = clock
        self._chunks = chunks
        self.closed = 0

    def _play(self) -> Iterator[bytes]:
        script = self._script
        for step in script.steps:
            match step:
                case Pause():
                    self._clock.advance(step.seconds)
                case CutMidChunk():
                    if step.partial:
                        yield step.partial.encode()
                    raise HTTP.RemoteProtocolError(
                        "peer closed connection without sending complete message body (incomplete chunked read)"
                    )
                case Reset():
                    raise HTTP.ReadError("[Errno 104] Connection reset by peer") from ConnectionResetError(
                        104, "Connection reset by peer"
                    )
                case Hang():
                    self._clock.advance(step.max_seconds)
                    raise HTTP.ReadTimeout("The read operation timed out")
                case _:
                    yield from self._chunks([script.render(step, "req_rig")])

    def __iter__(self) -> Iterator[bytes]:
        yield from self._play()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._play():
            yield chunk

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


class API:
    """An API that answers each request with the next script. The last one repeats."""

    def __init__(self, scripts: Script | Sequence[Script], clock: ManualClock | None = None) -> None:
        self._scripts = [scripts] if isinstance(scripts, Script) else list(scripts)
        self.clock = clock or ManualClock()
        self.requests = 0
        self.bodies: list[Body] = []
        self.chunks: Callable[[list[bytes]], list[bytes]] = list

    def _answer(self, request: Any) -> Any:
        script = self._scripts[min(self.requests, len(self._scripts) - 1)]
        self.requests += 1
        self.clock.advance(script.header_delay)
        if script.close_before_headers != "no":
            raise HTTP.RemoteProtocolError("Server disconnected without sending a response.")
        headers = {"content-type": "text/event-stream; charset=utf-8", **dict(script.headers)}
        request_id = script.resolve_request_id(f"req_{self.requests}")
        if request_id is not None:
            headers.setdefault("request-id", request_id)
        body = Body(script, self.clock, self.chunks)
        self.bodies.append(body)
        return HTTP.Response(script.status, headers=headers, stream=body, request=request)

    def client(self, **options: Any) -> anthropic.Anthropic:
        """Return a client for this API."""
        http = HTTP.Client(transport=HTTP.MockTransport(self._answer))
        return anthropic.Anthropic(**{"api_key": "none", "base_url": f"https://{HOST}", **options}, http_client=http)

    def async_client(self, **options: Any) -> anthropic.AsyncAnthropic:
        """Return an asynchronous client for this API."""
        http = HTTP.AsyncClient(transport=HTTP.MockTransport(self._answer))
        return anthropic.AsyncAnthropic(
            **{"api_key": "none", "base_url": f"https://{HOST}", **options}, http_client=http
        )


@dataclass
class Seen:
    """The events, result and exception of one stream as plain data, equal if the caller saw the same."""

    events: list[Any] = field(default_factory=list)
    result: Any = None
    error: list[tuple[str, str]] = field(default_factory=list)
    """The exception and its causes: class and message of each."""


def chain(error: BaseException | None) -> list[tuple[str, str]]:
    """Return the class and message of an exception and of its causes."""
    found = []
    while error is not None and len(found) < 10:
        found.append((f"{type(error).__module__}.{type(error).__qualname__}", str(error)))
        error = error.__cause__
    return found


def plain(event: Any) -> Any:
    """Return an event as data, including the snapshots in the deltas of `messages.stream()`."""
    dump = getattr(event, "model_dump", None)
    return (type(event).__name__, dump(warnings=False) if dump is not None else repr(event))


def read(
    api: API,
    way: str = "create",
    *,
    before: Callable[[Any], None] = _nothing,
    each: Callable[[Any], None] = _nothing,
    options: dict[str, Any] | None = None,
    client: Any = None,
    **request: Any,
) -> Seen:
    """Read one stream and return what the caller saw.

    `way` is `create` or `stream`, or `async create` or `async stream`. `before` is called with the stream, and `each`
    with every event. An exception that they raise is one of the caller.
    """
    seen = Seen()
    arguments = {**REQUEST, **request}

    async def aread() -> None:
        # Caught inside of the task, because frames of asyncio form a cycle with the exception of a task.
        try:
            await _aread(client or api.async_client(**(options or {})), way, seen, arguments, before=before, each=each)
        except Exception as error:  # noqa: BLE001 - any exception that the caller sees
            seen.error = chain(error)
        # asyncio closes a generator that was dropped in a task. At the end of the loop it would cancel that task, and
        # their frames form a cycle too.
        for _ in range(3):
            await asyncio.sleep(0)

    try:
        if way.startswith("async"):
            asyncio.run(aread())
        else:
            _read(client or api.client(**(options or {})), way, seen, arguments, before=before, each=each)
    except Exception as error:  # noqa: BLE001 - as above
        seen.error = chain(error)
    return seen


def _read(client: Any, way: str, seen: Seen, request: dict[str, Any], *, before: Any, each: Any) -> None:
    if way == "create":
        with client.messages.create(stream=True, **request) as stream:
            before(stream)
            for event in stream:
                seen.events.append(plain(event))
                each(event)
        return
    with client.messages.stream(**request) as stream:
        before(stream)
        for event in stream:
            seen.events.append(plain(event))
            each(event)
        seen.result = plain(stream.get_final_message())


async def _aread(client: Any, way: str, seen: Seen, request: dict[str, Any], *, before: Any, each: Any) -> None:
    if way == "async create":
        async with await client.messages.create(stream=True, **request) as stream:
            before(stream)
            async for event in stream:
                seen.events.append(plain(event))
                each(event)
        return
    async with client.messages.stream(**request) as stream:
        before(stream)
        async for event in stream:
            seen.events.append(plain(event))
            each(event)
        seen.result = plain(await stream.get_final_message())


@contextmanager
def by(clock: ManualClock, monkeypatch: Any) -> Iterator[None]:
    """Take all times from this clock, including the SDK's back-off."""

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    def wait(_: Any, seconds: float) -> None:
        clock.advance(seconds)

    async def await_(_: Any, seconds: float) -> None:
        clock.advance(seconds)

    policies._limiters.reset()
    policies._budgets.reset()  # all tests of the process share them
    with monkeypatch.context() as patch:
        patch.setattr(_instrumentor, "CLOCK", clock.monotonic_ns)
        # The clock stands still while the SDK builds its models, so no test depends on which stream is the first.
        patch.setattr(_instrumentor._streams, "warmed_up", set(HELPER.values))
        patch.setattr(_assembly, "SdkHooks", functools.partial(SdkHooks, wall=clock.time_ns))
        # Only in the SDK's module, because threads of other libraries sleep too.
        patch.setattr(_base_client, "time", SimpleNamespace(**{**vars(time), "sleep": clock.advance}))
        patch.setattr(_base_client, "random", lambda: 0.0)  # a back-off without jitter
        patch.setattr(anyio, "sleep", sleep)
        patch.setattr(_instrumentor, "RANDOM", lambda: 0.5)
        patch.setattr(sync_driver, "sleep", wait)
        patch.setattr(async_driver, "sleep", await_)
        # A permit that is not free becomes free no more.
        patch.setattr(sync_driver, "wait", wait)
        patch.setattr(async_driver, "wait", await_)
        # The thread runs in real time, so its checks would be at random times of the clock.
        patch.setattr(StallTicker, "wake", lambda _: None)
        yield


@contextmanager
def instrumented(monkeypatch: Any, clock: ManualClock, **settings: Any) -> Iterator[Capture]:
    """Instrument the SDK with a manual clock and return the `Capture`."""
    with by(clock, monkeypatch), Capture() as capture:
        instrumentor = ClaudeStreamInstrumentor()
        instrumentor.instrument(**capture.providers, **settings)
        try:
            yield capture
        finally:
            instrumentor.uninstrument()


class Leaves(Exception):
    """An error that the caller raises in its loop."""


def play(monkeypatch: Any, scene: Any, way: str = "", **changes: Any) -> Capture:
    """Play a scene and return what was captured. `way` and `changes` override its way and settings."""
    api = API(scene.scripts)
    with instrumented(monkeypatch, api.clock, **{**scene.settings, **changes}) as capture:
        stream: list[Any] = []
        deltas = 0

        def each(event: Any) -> None:
            nonlocal deltas
            deltas += getattr(event, "type", "") == "content_block_delta"
            if deltas != 2:
                return
            if scene.leaves == "raise":
                raise Leaves("enough")
            if scene.leaves == "close":
                stream[0].close()

        if scene.leaves == "break":
            with api.client().messages.create(stream=True, **{**REQUEST, **scene.request}) as found:
                next(event for event in found if event.type == "content_block_delta")
        else:
            read(api, way or scene.way, before=stream.append, each=each, **scene.request)
        capture.metrics()
    return capture


def shown(span: dict[str, Any]) -> dict[str, Any]:
    """Return a span with its times in seconds, `starts` since the clock's start and all others since its own start.

    `claude.stream.` is left out of the names of events and attributes, but for the dot at its end.
    """
    start = span["start_ns"]
    return {
        "name": span["name"],
        "kind": span["kind"],
        "parent": span["parent_id"],
        "status": (span["status"]["code"], span["status"]["description"]),
        "starts": seconds(start - START_NS),
        "lasts": seconds(span["end_ns"] - start),
        "attributes": short(span["attributes"]),
        "events": [
            (seconds(event["time_ns"] - start), event["name"].replace("claude.stream", ""), short(event["attributes"]))
            for event in span["events"]
        ],
    }


def short(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes with short names, rounded floats and truncated sentences."""
    return {name.replace("claude.stream", ""): _brief(value) for name, value in attributes.items()}


def _brief(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 9)
    return f"{value[:30]}..." if isinstance(value, str) and len(value) > 50 else value


def seconds(ns: int) -> float:
    """Convert nanoseconds to seconds."""
    return round(ns / 1e9, 9)


def points(capture: Capture) -> dict[str, list[tuple[dict[str, Any], float]]]:
    """Return the points of every metric that are not zero, as attributes and value (for a histogram count and sum).

    Left out are the two attributes that all have alike: the model, and the server's address.
    """
    found: dict[str, list[tuple[dict[str, Any], float]]] = {}
    for name, metric in capture.metrics().items():
        for point in metric["points"]:
            labels = short(point["attributes"])
            if name != "claude.stream.internal.errors":
                assert labels.pop("gen_ai.request.model"), name
                assert labels.pop("server.address"), name
            value = point["value"] if "value" in point else (point["count"], round(point["sum"], 9))
            if value:
                found.setdefault(name.replace("claude.stream", ""), []).append((labels, value))
    return found
