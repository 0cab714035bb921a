"""The end of streams that are dropped, garbage-collected or uninstrumented, and the references to open streams."""

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
    """Switch the garbage collector off, so that only reference counts free objects."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def endings(capture):
    """Return the outcome and the abort reason of each span."""
    return [
        (span["attributes"].get(".outcome"), span["attributes"].get(".abort.reason"))
        for span in map(shown, capture.spans())
    ]


@pytest.mark.skipif(not CLOSES_WHEN_DROPPED, reason="a dropped stream is in a cycle before SDK 1.14")
def test_a_dropped_stream_is_recorded_at_once(monkeypatch, no_collector):
    """The SDK closes it as soon as its reference count is zero."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        stream = api.client().messages.create(stream=True, **REQUEST)
        next(stream)
        del stream
        assert endings(capture) == [("closed", "abandoned")]
        assert api.bodies[0].closed


@pytest.mark.parametrize("events", [0, 1, 4])
def test_a_dropped_stream_is_recorded_at_the_next_garbage_collection(monkeypatch, events):
    """It is recorded once, whether it was read in part or never."""
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
def test_a_dropped_asynchronous_stream_is_recorded(monkeypatch, events):
    """It is recorded once, as an abandoned stream."""
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
def test_the_session_is_freed_after_the_end(monkeypatch, no_collector, way):
    """No reference cycle keeps it alive after the caller has dropped the stream."""
    api = API(MESSAGE)
    found = []
    with instrumented(monkeypatch, api.clock):
        before = set(map(id, _streams._sessions.values()))

        def keep_reference(_):
            if not found:
                (session,) = [each for each in _streams._sessions.values() if id(each) not in before]
                found.append(weakref.ref(session))

        assert read(api, way, each=keep_reference).error == []
        if way != "create" or not CLOSES_WHEN_DROPPED:  # the SDK's helpers and event loops have reference cycles
            gc.collect()
        assert not _streams._sessions
        assert [session() for session in found] == [None]


@pytest.mark.parametrize("way", ["create", "stream"])
def test_the_session_keeps_no_stream_response_or_event_alive(monkeypatch, way):
    """No object of the SDK can be reached from it by references."""
    api = API(MESSAGE)
    reachable = set()

    def collect_reachable(_):
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
        read(api, way, each=collect_reachable)
    assert reachable.isdisjoint({"anthropic", "httpx", "httpx2", "pydantic"})


@pytest.mark.parametrize("scene", ["text", "sse error", "cut after silence", "retried", "closed", "left by an error"])
def test_a_span_is_ended_once(monkeypatch, scene):
    """The body, the iteration, `close` and the garbage collection may each notice the end."""
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


def test_a_stream_that_is_open_at_uninstrument_is_recorded_to_its_end(monkeypatch):
    """Its span ends once, and later calls are not recorded."""
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


def test_a_second_instrument_call_has_no_effect(monkeypatch):
    """Each span is recorded once."""
    api = API((BUSY, MESSAGE))
    with instrumented(monkeypatch, api.clock) as capture:
        ClaudeStreamInstrumentor().instrument(**capture.providers)
        read(api)
        assert endings(capture)[-1:] == [("completed", None)]
        assert len(capture.spans()) == 3
