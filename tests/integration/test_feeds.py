"""The caller sees the same of a session feed as without instrumentation, and each connection has a span."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.feeds import HAS_SESSIONS, HAS_THREADS, MESSAGE, RUNNING, TERMINATED, error, thread_ended
from tests.support.modes import Mode
from tests.support.observing import observed
from tests.support.rig import chain

from otel_claude_stream.testing import CutMidChunk, Error, FakeAPI, Hang, Pause, Ping, Reset, Script

pytestmark = pytest.mark.skipif(not HAS_SESSIONS, reason="this release of the SDK has no agent sessions")

EVENTS = (RUNNING, Ping(), MESSAGE, error())
OPEN = Script(steps=(*EVENTS, Pause(30)))
"""A feed that only the caller ends."""


class ApplicationError(Exception):
    """Raised by the code of the caller."""


def script(*further: Any, **fields: Any) -> Script:
    return Script(steps=(*EVENTS, *further), **fields)


# --- Ways to read and to leave ---------------------------------------------------------------------------------------
def session_events(client: Any) -> Any:
    return client.beta.sessions.events


async def keep(mode: Mode, stream: Any, seen: list[Any]) -> None:
    async for event in mode.each(stream):
        seen.append(dumped(event))  # noqa: PERF401 - an exception may follow


async def iterate(mode: Mode, client: Any, seen: list[Any]) -> None:
    async with mode.entered(await mode.do(session_events(client).stream("sesn_1"))) as stream:
        seen.append(type(stream))
        await keep(mode, stream, seen)


async def iterate_thread(mode: Mode, client: Any, seen: list[Any]) -> None:
    events = client.beta.sessions.threads.events
    async with mode.entered(await mode.do(events.stream("sthr_1", session_id="sesn_1"))) as stream:
        await keep(mode, stream, seen)


async def read_bytes(mode: Mode, client: Any, seen: list[Any]) -> None:
    async with mode.entered(session_events(client).with_streaming_response.stream("sesn_1")) as response:
        seen.append(type(response))
        seen.append(b"".join(await mode.all(response.iter_bytes())))


async def parse_raw(mode: Mode, client: Any, seen: list[Any]) -> None:
    response = await mode.do(session_events(client).with_raw_response.stream("sesn_1"))
    stream = await mode.do(response.parse())
    seen += [type(response), type(stream), *map(dumped, await mode.all(stream))]


async def opened(mode: Mode, client: Any, seen: list[Any]) -> Any:
    """Connect and read one event."""
    stream = await mode.do(session_events(client).stream("sesn_1"))
    seen.append(dumped(await anext(stream) if mode.is_async else next(stream)))
    return stream


async def close(mode: Mode, client: Any, seen: list[Any]) -> None:
    await mode.close(await opened(mode, client, seen))


async def break_in_with(mode: Mode, client: Any, seen: list[Any]) -> None:
    async with mode.entered(await opened(mode, client, seen)):
        pass


async def raise_in_with(mode: Mode, client: Any, seen: list[Any]) -> None:
    async with mode.entered(await opened(mode, client, seen)):
        raise ApplicationError


async def drop(mode: Mode, client: Any, seen: list[Any]) -> None:
    stream = await opened(mode, client, seen)
    del stream
    gc.collect()


async def be_cancelled(mode: Mode, client: Any, seen: list[Any]) -> None:
    """Wait for the event that never comes, until the task is cancelled."""
    stream = await opened(mode, client, seen)
    if not mode.is_async:
        pytest.skip("threads cannot be cancelled")
    seen += [dumped(await anext(stream)) for _ in range(2)]
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await waiting


def dumped(event: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic warns of unexpected shapes
        return type(event).__name__, event.model_dump()


Run = Callable[[Mode, Any, list[Any]], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """A way to read a feed, the response, and the outcome and reason of the span."""

    script: Script
    outcome: str
    reason: str | None = None
    run: Run = iterate
    options: dict[str, Any] = field(default_factory=dict)
    further: tuple[Script, ...] = ()


CASES = {
    "terminated": Case(script(TERMINATED), "completed"),
    "terminated, bytes": Case(script(TERMINATED), "completed", run=read_bytes),
    "terminated, compressed bytes": Case(script(TERMINATED, encoding="gzip"), "completed", run=read_bytes),
    "terminated, raw response": Case(script(TERMINATED), "completed", run=parse_raw),
    "terminated, then cut": Case(script(TERMINATED, CutMidChunk()), "completed"),
    "thread": Case(script(thread_ended()), "completed", run=iterate_thread),
    "thread cut": Case(script(thread_ended("sthr_2"), Reset()), "failed", "connection_reset", iterate_thread),
    "clean end": Case(script(), "failed", "truncated"),
    "clean end, bytes": Case(script(), "failed", "truncated", read_bytes),
    "closed by the server": Case(script(framing="close"), "failed", "truncated"),
    "cut": Case(script(CutMidChunk()), "failed", "connection_closed"),
    "cut, bytes": Case(script(CutMidChunk()), "failed", "connection_closed", read_bytes),
    "reset": Case(script(Reset()), "failed", "connection_reset"),
    "error event": Case(script(Error()), "failed", "overloaded"),
    "read time-out": Case(script(Hang()), "failed", "silent", options={"timeout": 0.2}),
    "rejected": Case(Script.http_error(404), "failed", "request_rejected"),
    "gateway": Case(Script.nginx_error(504), "failed", "gateway_error"),
    "no response": Case(Script.no_response(), "failed", "connection_closed"),
    "retried by the SDK": Case(
        Script.http_error(529, headers=[("retry-after-ms", "1")]),
        "completed",
        options={"max_retries": 1},
        further=(script(TERMINATED),),
    ),
    "closed": Case(OPEN, "closed", "caller_closed", close),
    "left with": Case(OPEN, "closed", "caller_closed", break_in_with),
    "raised in with": Case(OPEN, "closed", "caller_error", raise_in_with),
    "dropped": Case(OPEN, "closed", "abandoned", drop),
    "cancelled": Case(OPEN, "closed", "cancelled", be_cancelled),
}


def observe(mode: Mode, case: Case) -> tuple[Any, ...]:
    """Return all that the caller and the server can observe."""
    seen: list[Any] = []
    failure: list[BaseException] = []

    async def body(url: str) -> None:
        async with mode.entered(mode.client(url, **case.options)) as client:
            try:
                await case.run(mode, client, seen)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - any exception is the result
                failure.append(error)

    with FakeAPI({"it": [case.script, *case.further]}) as api:
        mode.run(body, api.url_for("it"))
        api.wait_until(lambda requests: all(one.completed or one.client_disconnected for one in requests))
        # From 1.14 on the SDK itself adds the header `traceparent`.
        requests = [
            (one.method, one.path, sorted({*one.headers} - {"traceparent"}), one.connection) for one in api.requests
        ]
    return seen, chain(failure[0]) if failure else [], requests


@pytest.mark.parametrize("name", CASES)
def test_a_feed_is_the_same_with_and_without_instrumentation(mode, name):
    """Events, bytes, exceptions, requests and connections are equal, and the span has the expected end."""
    case = CASES[name]
    if case.run is iterate_thread and not HAS_THREADS:
        pytest.skip("this release of the SDK has no feeds of threads")
    bare = observe(mode, case)
    with observed(feeds=True) as telemetry:
        ours = observe(mode, case)
        gc.collect()
        (span,) = telemetry.capture.spans()
        counted = telemetry.value("claude.stream.feed.connections")
        internal = telemetry.value("claude.stream.internal.errors")
    assert ours == bare
    assert span["name"] == "claude.stream.feed"
    assert (span["attributes"]["claude.stream.outcome"], span["attributes"].get("claude.stream.abort.reason")) == (
        case.outcome,
        case.reason,
    )
    assert (counted, internal) == (1, None)
    assert span["attributes"]["claude.stream.feed.kind"] == ("thread" if case.run is iterate_thread else "session")


def test_the_events_are_the_same_in_both_ways_to_read(mode):
    """Those of the bytes are read here, those of the events by the SDK."""
    found = []
    for run in (iterate, read_bytes):
        with observed(feeds=True) as telemetry:
            observe(mode, Case(script(TERMINATED), "completed", run=run))
            (span,) = telemetry.capture.spans()
            names = ("event.count", "ping.count", "read.bytes", "outcome")
            found.append(
                (
                    [event["name"] for event in span["events"]],
                    [span["attributes"][f"claude.stream.{name}"] for name in names],
                    telemetry.value("claude.stream.feed.errors"),
                )
            )
    assert found[0] == found[1]
    assert found[0][1][:2] == [5, 1]
    assert found[0][2] == 1


def test_a_feed_within_the_context_of_the_caller_is_a_child_span(mode):
    """The request of the feed carries the trace of the span, as that of a message does."""
    with observed(feeds=True) as telemetry:
        tracer = telemetry.capture.providers["tracer_provider"].get_tracer("application")
        with tracer.start_as_current_span("agent"):
            observe(mode, CASES["terminated"])
        spans = {span["name"]: span for span in telemetry.capture.spans()}
    assert spans["claude.stream.feed"]["parent_id"] == spans["agent"]["span_id"]


def test_two_reconnects_are_counted(mode):
    with observed(feeds=True) as telemetry, FakeAPI([script(), script(CutMidChunk()), script(TERMINATED)]) as api:

        async def body() -> None:
            async with mode.entered(mode.client(api.url)) as client:
                for _ in range(3):
                    with contextlib.suppress(Exception):
                        await iterate(mode, client, [])

        mode.run(body)
        names = ("connection.number", "reconnect.reason")
        spans = [
            tuple(span["attributes"].get(f"claude.stream.feed.{name}") for name in names)
            for span in telemetry.capture.spans()
        ]
        assert telemetry.value("claude.stream.feed.reconnects") == 2
    assert spans == [(1, None), (2, "truncated"), (3, "connection_closed")]
