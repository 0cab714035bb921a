"""The shells around events, frames and bytes, with a listener that only records its calls."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import anthropic
import pytest
from tests.support.listeners import RecordingListener
from tests.support.rig import HTTP

from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.stream.hot_path import Arrival, ReadMode
from otel_claude_stream._core.stream.message_state import DELTA
from otel_claude_stream._core.stream.timing import WAIT_NS
from otel_claude_stream._core.vocabulary import Stop
from otel_claude_stream._sdk.read import frames as frames_module
from otel_claude_stream._sdk.read.aio import AsyncEvents, AsyncFrames
from otel_claude_stream._sdk.read.body import TimedBody
from otel_claude_stream._sdk.read.frames import LEGACY_FRAME
from otel_claude_stream._sdk.read.sync import sync_events, sync_frames

SHELLS = {"events": (sync_events, AsyncEvents), "frames": (sync_frames, AsyncFrames)}
SIDES = ("sync", "async")


def read_through(side, shell, items, listener):
    """Read some items through a shell, and raise any exception among them."""

    def produced():
        for item in items:
            if isinstance(item, BaseException):
                raise item
            yield item

    async def produced_async():
        for item in produced():
            yield item

    async def read_async():
        return [item async for item in SHELLS[shell][1](produced_async(), listener)]

    return list(SHELLS[shell][0](produced(), listener)) if side == "sync" else asyncio.run(read_async())


def text_delta(content):
    """Create a text delta event."""
    return SimpleNamespace(type=DELTA, index=0, delta=SimpleNamespace(type="text_delta", text=content))


def frame(name, data=""):
    """Create a frame."""
    return SimpleNamespace(event=name, data=data)


@pytest.mark.parametrize("side", SIDES)
def test_each_event_is_reported_before_the_caller_gets_it_and_then_the_end(side):
    listener = RecordingListener()
    events = [SimpleNamespace(type="message_start"), text_delta("a")]
    assert read_through(side, "events", events, listener) == events
    assert listener.calls == [("event", events[0], None), ("event", events[1], None), ("ended", Stop.EXHAUSTED)]


@pytest.mark.parametrize("side", SIDES)
def test_a_delta_in_a_burst_is_counted_without_a_call(side):
    listener, pieces = RecordingListener(), []
    hot = listener.hot
    hot.in_burst, hot.content, hot.on_text = True, "text", pieces.append
    malformed = text_delta(None)
    read_through(side, "events", [text_delta("ab"), text_delta("c"), malformed], listener)
    assert (hot.deltas, hot.characters, pieces) == (2, 3, ["ab", "c"])
    assert listener.calls == [("event", malformed, None), ("ended", Stop.EXHAUSTED)]


@pytest.mark.parametrize("side", SIDES)
def test_an_event_made_from_a_buffered_frame_has_its_arrival(side):
    listener = RecordingListener()
    listener.hot.arrival = Arrival(3, 2, 1)
    read_through(side, "events", [text_delta("a")], listener)
    assert listener.calls[0][2] == Arrival(3, 2, 1)


@pytest.mark.parametrize("side", SIDES)
def test_an_exception_is_an_end_and_goes_on_to_the_caller(side):
    listener = RecordingListener()
    with pytest.raises(HTTP.ReadError, match="broken"):
        read_through(side, "events", [text_delta("a"), HTTP.ReadError("broken")], listener)
    assert listener.calls[-1] == ("ended", Stop.RAISED)


@pytest.mark.parametrize("side", SIDES)
def test_an_exception_of_the_caller_inside_a_read_is_an_end_by_the_caller(side):
    listener = RecordingListener()
    with pytest.raises(ValueError, match="deadline"):
        read_through(side, "events", [text_delta("a"), ValueError("deadline")], listener)
    assert listener.calls[-1] == ("ended", Stop.CLOSED)


@pytest.mark.parametrize("side", SIDES)
def test_a_listener_that_fails_is_hidden_from_the_caller(side, monkeypatch):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")

    class Failing(RecordingListener):
        def event(self, event, arrival):
            raise ValueError(event)

        frame = bytes_read = event

    events, frames = [text_delta("a")], [frame("ping")]
    assert read_through(side, "events", events, Failing()) == events
    assert read_through(side, "frames", frames, Failing()) == frames


@pytest.mark.parametrize("side", SIDES)
def test_frames_that_the_sdk_does_not_deliver_are_reported(side):
    listener = RecordingListener()
    frames = [
        frame("message_start"),
        frame("ping", "{}"),
        frame(None, "{}"),
        frame(LEGACY_FRAME, '{"type":"content_block_delta"}'),
        frame(LEGACY_FRAME, '{"type": "message_stop"}'),
        frame(LEGACY_FRAME, '{"type": "ping"}'),
        frame(LEGACY_FRAME, "[]"),
        frame("ERROR", '{"type": "error"}'),
    ]
    assert read_through(side, "frames", frames, listener) == frames
    assert listener.calls == [
        ("frame", "ping", "{}"),
        ("frame", None, "{}"),
        ("frame", "ping", '{"type": "ping"}'),
        ("frame", LEGACY_FRAME, "[]"),
        ("frame", "error", '{"type": "error"}'),
    ]


def parser_of_every_name():
    """Stand for the parser of releases from 2.0 on."""


def parser_of_known_names(name):
    """Stand for the parser of earlier releases."""
    return name == "completion" or name == "message_start"  # noqa: PLR1714 - as in the SDK


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("data", ['{"type":"content_block_delta"}', '{"type": "message_start"}'])
def test_a_renamed_frame_is_reported_unless_the_sdk_parses_it(side, data, monkeypatch):
    """The name is that of the frame, which shows why the caller gets no event."""
    for parser, calls in ((parser_of_every_name, []), (parser_of_known_names, [("frame", "MESSAGE", data)])):
        monkeypatch.setattr(anthropic.Stream, "__stream__", parser)
        frames_module._known_names.cache_clear()
        listener = RecordingListener()
        read_through(side, "frames", [frame("MESSAGE", data)], listener)
        assert listener.calls == calls


@pytest.fixture(autouse=True)
def _known_names_of_this_release():
    yield
    frames_module._known_names.cache_clear()


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
    """Return all chunks of a body."""

    async def read_async():
        return [chunk async for chunk in body]

    return list(body) if side == "sync" else asyncio.run(read_async())


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
