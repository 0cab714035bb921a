"""The life of a stream inside a process: dropped, uninstrumented, collected; told once, and nothing kept alive."""

from __future__ import annotations

import asyncio
import gc
import weakref

import anthropic
import pytest
from opentelemetry.sdk.trace import Span
from tests.support.rig import API, REQUEST, Leaves, instrumented, read, shown
from tests.support.scenes import BUSY, MESSAGE, SCENES

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._instrumentor import _streams

CLOSES_WHEN_DROPPED = tuple(map(int, anthropic.__version__.split(".")[:2])) >= (1, 14)


@pytest.fixture
def no_collector():
    """Only reference counts: what goes away does so at once."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def endings(capture):
    return [
        (span["attributes"].get(".outcome"), span["attributes"].get(".abort.reason"))
        for span in map(shown, capture.spans())
    ]


@pytest.mark.skipif(not CLOSES_WHEN_DROPPED, reason="a dropped stream is in a cycle before SDK 1.14")
def test_a_dropped_stream_is_told_at_once(monkeypatch, no_collector):
    """By its reference count, as the SDK itself closes it."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        stream = api.client().messages.create(stream=True, **REQUEST)
        next(stream)
        del stream
        assert endings(capture) == [("closed", "abandoned")]
        assert api.bodies[0].closed


@pytest.mark.parametrize("events", [0, 1, 4])
def test_a_dropped_stream_is_told_by_the_collector_at_the_latest(monkeypatch, events):
    """Read in part, or never: by then it is told, once."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        stream = api.client().messages.create(stream=True, **REQUEST)
        for _ in range(events):
            next(stream)
        del stream
        gc.collect()
        assert endings(capture) == [("closed", "abandoned")]
        assert len(_streams) == 0


@pytest.mark.parametrize("events", [0, 2])
def test_a_dropped_asynchronous_stream_is_told(monkeypatch, events):
    api = API(MESSAGE)

    async def leave():
        stream = await api.async_client().messages.create(stream=True, **REQUEST)
        for _ in range(events):
            await anext(stream)

    with instrumented(monkeypatch, api.clock) as capture:
        asyncio.run(leave())
        gc.collect()
        assert endings(capture) == [("closed", "abandoned")]


@pytest.mark.parametrize("way", ["create", "stream", "async create", "async stream"])
def test_nothing_is_kept_after_the_end(monkeypatch, no_collector, way):
    """No cycle through the session, and none of the response: both are gone when the caller lets go."""
    api = API(MESSAGE)
    found = []
    with instrumented(monkeypatch, api.clock):
        before = set(map(id, _streams._sessions.values()))

        def look(_):
            if not found:
                (session,) = [each for each in _streams._sessions.values() if id(each) not in before]
                found.append(weakref.ref(session))

        assert read(api, way, each=look).error == []
        if way != "create" or not CLOSES_WHEN_DROPPED:  # the SDK's helpers, and event loops, are in cycles of their own
            gc.collect()
        assert not _streams._sessions
        assert [session() for session in found] == [None]


@pytest.mark.parametrize("way", ["create", "stream"])
def test_what_we_hold_of_an_open_stream_is_no_part_of_it(monkeypatch, way):
    """From the session no stream, no response and no event can be reached: it keeps nothing of the caller's alive."""
    api = API(MESSAGE)
    reachable = set()

    def look(_):
        todo = list(_streams._sessions.values())
        seen = set()
        while todo:
            thing = todo.pop()
            if id(thing) in seen or isinstance(thing, type) or type(thing).__name__ in {"module", "function"}:
                continue
            seen.add(id(thing))
            reachable.add(type(thing).__module__.partition(".")[0])
            todo += gc.get_referents(thing)

    with instrumented(monkeypatch, api.clock):
        read(api, way, each=look)
    assert reachable.isdisjoint({"anthropic", "httpx", "httpx2", "pydantic"})


@pytest.mark.parametrize("scene", ["text", "sse error", "cut after silence", "retried", "closed", "left by an error"])
def test_a_span_is_ended_once(monkeypatch, scene):
    """However many notice the end: the body, the iteration, the closing, the collection."""
    ended = []
    end = Span.end
    monkeypatch.setattr(Span, "end", lambda self, *args: (ended.append(self.name), end(self, *args))[1])
    api = API(SCENES[scene].scripts)
    with instrumented(monkeypatch, api.clock):
        stream = []

        def each(event):
            if SCENES[scene].leaves == "raise":
                raise Leaves
            if SCENES[scene].leaves == "close":
                stream[0].close()
                stream[0].close()

        read(api, before=stream.append, each=each)
        stream[0].close()
        stream.clear()
        gc.collect()
    assert ended.count("chat claude-test") == 1


def test_a_stream_that_is_open_when_it_is_uninstrumented_is_told(monkeypatch):
    """It began as ours: its span ends once, with what came; later calls are not ours."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        client = api.client()
        stream = client.messages.create(stream=True, **REQUEST)
        next(stream)
        ClaudeStreamInstrumentor().uninstrument()
        rest = list(stream)
        assert len(rest) == 8
        list(client.messages.create(stream=True, **REQUEST))
        stream.close()
        del stream
        gc.collect()
        assert [outcome for outcome, _ in endings(capture)] == ["completed"]
        ClaudeStreamInstrumentor().instrument(**capture.providers)


def test_instrumenting_twice_tells_once(monkeypatch):
    api = API((BUSY, MESSAGE))
    with instrumented(monkeypatch, api.clock) as capture:
        ClaudeStreamInstrumentor().instrument(**capture.providers)
        read(api)
        assert endings(capture)[-1:] == [("completed", None)]
        assert len(capture.spans()) == 3
