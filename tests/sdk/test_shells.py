"""The shells around events, frames and bytes, with a listener that only records its calls."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from tests.support.listeners import RecordingListener
from tests.support.rig import HTTP

from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.stream.hot_path import Arrival, ReadMode
from otel_claude_stream._core.stream.message_state import DELTA
from otel_claude_stream._core.stream.timing import WAIT_NS
from otel_claude_stream._core.vocabulary import Stop
from otel_claude_stream._sdk.read.aio import AsyncEvents, AsyncFrames
from otel_claude_stream._sdk.read.body import TimedBody
from otel_claude_stream._sdk.read.frames import LEGACY_FRAME
from otel_claude_stream._sdk.read.sync import sync_events, sync_frames

SHELLS = {"events": (sync_events, AsyncEvents), "frames": (sync_frames, AsyncFrames)}
SIDES = ("sync", "async")


def through(side, shell, items, listener):
    """Read some items through a shell; an exception among them is raised."""

    def produced():
        for item in items:
            if isinstance(item, BaseException):
                raise item
            yield item

    async def aproduced():
        for item in produced():
            yield item

    async def areading():
        return [item async for item in SHELLS[shell][1](aproduced(), listener)]

    return list(SHELLS[shell][0](produced(), listener)) if side == "sync" else asyncio.run(areading())


def text(content):
    """A delta of text."""
    return SimpleNamespace(type=DELTA, index=0, delta=SimpleNamespace(type="text_delta", text=content))


def sse(name, data=""):
    """A frame."""
    return SimpleNamespace(event=name, data=data)


@pytest.mark.parametrize("side", SIDES)
def test_each_event_is_reported_before_the_caller_gets_it_and_then_the_end(side):
    listener = RecordingListener()
    events = [SimpleNamespace(type="message_start"), text("a")]
    assert through(side, "events", events, listener) == events
    assert listener.calls == [("event", events[0], None), ("event", events[1], None), ("ended", Stop.EXHAUSTED)]


@pytest.mark.parametrize("side", SIDES)
def test_a_delta_in_a_burst_is_counted_without_a_call(side):
    listener, pieces = RecordingListener(), []
    hot = listener.hot
    hot.in_burst, hot.content, hot.on_text = True, "text", pieces.append
    malformed = text(None)
    through(side, "events", [text("ab"), text("c"), malformed], listener)
    assert (hot.deltas, hot.characters, pieces) == (2, 3, ["ab", "c"])
    assert listener.calls == [("event", malformed, None), ("ended", Stop.EXHAUSTED)]


@pytest.mark.parametrize("side", SIDES)
def test_an_event_made_from_a_buffered_frame_has_its_arrival(side):
    listener = RecordingListener()
    listener.hot.arrival = Arrival(3, 2, 1)
    through(side, "events", [text("a")], listener)
    assert listener.calls[0][2] == Arrival(3, 2, 1)


@pytest.mark.parametrize("side", SIDES)
def test_an_exception_is_an_end_and_goes_on_to_the_caller(side):
    listener = RecordingListener()
    with pytest.raises(HTTP.ReadError, match="broken"):
        through(side, "events", [text("a"), HTTP.ReadError("broken")], listener)
    assert listener.calls[-1] == ("ended", Stop.RAISED)


@pytest.mark.parametrize("side", SIDES)
def test_an_exception_of_the_caller_inside_a_read_is_an_end_by_the_caller(side):
    listener = RecordingListener()
    with pytest.raises(ValueError, match="deadline"):
        through(side, "events", [text("a"), ValueError("deadline")], listener)
    assert listener.calls[-1] == ("ended", Stop.CLOSED)


@pytest.mark.parametrize("side", SIDES)
def test_a_listener_that_fails_is_hidden_from_the_caller(side, monkeypatch):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")

    class Failing(RecordingListener):
        def event(self, event, arrival):
            raise ValueError(event)

        frame = bytes_read = event

    events, frames = [text("a")], [sse("ping")]
    assert through(side, "events", events, Failing()) == events
    assert through(side, "frames", frames, Failing()) == frames


@pytest.mark.parametrize("side", SIDES)
def test_frames_that_are_no_events_of_the_message_are_reported(side):
    listener = RecordingListener()
    frames = [
        sse("message_start"),
        sse("ping", "{}"),
        sse(None, "{}"),
        sse(LEGACY_FRAME, '{"type":"content_block_delta"}'),
        sse(LEGACY_FRAME, '{"type": "ping"}'),
        sse(LEGACY_FRAME, "[]"),
    ]
    assert through(side, "frames", frames, listener) == frames
    assert listener.calls == [("frame", "ping", "{}"), ("frame", None, "{}"), ("frame", "ping", '{"type": "ping"}')]


class Body:
    """A body whose reads take the given times."""

    def __init__(self, clock, reads):
        self.clock, self.reads = clock, reads

    def __iter__(self):
        for wait, chunk in self.reads:
            self.clock.now += wait
            yield chunk

    async def __aiter__(self):
        for chunk in self:
            yield chunk


def read(side, body):
    """All bytes of a body."""

    async def areading():
        return [chunk async for chunk in body]

    return list(body) if side == "sync" else asyncio.run(areading())


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("mode", [ReadMode.EVENTS, ReadMode.NOT_READ])
def test_a_read_that_waited_is_reported_and_any_other_is_counted(side, mode):
    clock = SimpleNamespace(now=0)
    listener = RecordingListener(lambda: clock.now)
    hot = listener.hot
    hot.read_mode = mode
    chunks = [b":\n", b"", b"event: ping\ndata: {}\n\n"]
    body = TimedBody(Body(clock, list(zip((WAIT_NS + 1, 0, WAIT_NS), chunks, strict=True))), listener, Reply(200))
    assert read(side, body) == chunks
    assert (hot.reads, hot.bytes, hot.last_byte_at, hot.read_started_at) == (2, len(chunks[2]), clock.now, 0)
    decoded = mode is ReadMode.EVENTS
    assert hot.read_mode is (mode if decoded else ReadMode.BYTES)
    assert listener.calls == [
        ("bytes_read", 2, WAIT_NS + 1, WAIT_NS + 1),
        *([] if decoded else [("frame", "ping", "{}"), ("ended", Stop.EXHAUSTED)]),
    ]
