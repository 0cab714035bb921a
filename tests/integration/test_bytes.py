from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from tests.support.modes import ASK
from tests.support.observing import events_of
from tests.support.ways import Seen, by_bytes, by_iteration, by_lines, by_read, streaming_response

from otel_claude_stream._core.stream import sse
from otel_claude_stream.testing import CutMidChunk, End, Error, Event, FakeAPI, Ping, Reset, Script, Send

TEXT = "Streams carry an answer."
WHOLE = Script.message(TEXT, deltas=4, thinking="Hm, let me think.", tool=("look", {"at": "it"}), cache_read=7)


def deflated(script: Script, wbits: int) -> Script:
    """The script's body compressed, with or without zlib's header."""
    packer = zlib.compressobj(wbits=wbits)
    body = packer.compress(script.body()) + packer.flush()
    return replace(script, steps=(Send.of(body),), headers=(("content-encoding", "deflate"),), chunking=50)


BODIES = {
    "identity": WHOLE,
    "one byte at a time": replace(WHOLE, chunking="bytes"),
    "one piece": replace(WHOLE, chunking="whole"),
    "CRLF": replace(WHOLE, newline="\r\n", chunking=7),
    "CR": replace(WHOLE, newline="\r", chunking=7),
    "gzip": replace(WHOLE, encoding="gzip", chunking=11),
    "gzip in one piece": replace(WHOLE, encoding="gzip", chunking="whole"),
    "deflate": deflated(WHOLE, zlib.MAX_WBITS),
    "deflate without its header": deflated(WHOLE, -zlib.MAX_WBITS),
    "by its length": replace(WHOLE, framing="length"),
    "until it closes": replace(WHOLE, framing="close"),
}
READS = {"iter_lines()": by_lines, "iter_bytes()": by_bytes, "read()": by_read}


def drive(mode, script, read):
    """Stream one answer as bytes; what was seen."""
    seen = Seen()

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            try:
                await streaming_response(read)(mode, client.messages, seen)
            except Exception as error:  # noqa: BLE001 - whatever reaches the caller is the result
                seen.error = error

    with FakeAPI(script) as api:
        mode.run(body)
    return seen


@pytest.mark.parametrize(
    ("script", "read"),
    [
        pytest.param(script, read, id=f"{form}-{name}")
        for form, script in BODIES.items()
        for name, read in READS.items()
        if read is by_bytes or form in {"identity", "gzip"}
    ],
)
def test_bytes_tell_what_events_tell(mode, script, read, seen_by_us):
    """A caller that reads bytes gets the same span as one that reads events, however the bytes come."""
    seen = drive(mode, script, read)
    assert seen.error is None
    by_bytes_span = seen_by_us.stream()

    async def decode():
        async with mode.entered(mode.client(api.url)) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), Seen())

    with FakeAPI(WHOLE) as api:
        mode.run(decode)
    seen_by_us.told_once(streams=2)
    decoded_span = seen_by_us.streams()[1]
    assert events_of(by_bytes_span) == events_of(decoded_span)
    assert by_bytes_span["attributes"]["claude.stream.read.mode"] == "bytes"
    for name in SAME:
        assert by_bytes_span["attributes"].get(name) == decoded_span["attributes"].get(name), name


SAME = (
    *(
        f"claude.stream.{name}"
        for name in ("outcome", "abort.reason", "phase", "stop_reason", "event.count", "delta.count")
    ),
    *(
        f"claude.stream.{name}"
        for name in ("ping.count", "block.count", "content.characters", "block.type", "usage.complete")
    ),
    *(f"gen_ai.usage.{name}" for name in ("input_tokens", "output_tokens", "cache_read.input_tokens")),
    *(f"gen_ai.response.{name}" for name in ("id", "model", "finish_reasons")),
)

ENDS = {
    "cut clean": (WHOLE.cut_after(6, End()), "failed", "truncated"),
    "without message_stop": (WHOLE.cut_after(len(WHOLE.steps) - 1, End()), "completed", None),
    "cut in a chunk": (WHOLE.cut_after(6, CutMidChunk()), "failed", "connection_closed"),
    "cut in the last chunk": (WHOLE.cut_after(len(WHOLE.steps), CutMidChunk()), "completed", None),
    "reset": (WHOLE.cut_after(6, Reset()), "failed", "connection_reset"),
    "error event": (WHOLE.cut_after(6, Error("overloaded_error")), "failed", "overloaded"),
    "error event first": (Script(steps=(Error("api_error"),)), "failed", "api_error"),
    "error event of no known form": (Script(steps=(Event("error", "oh no"),)), "failed", "stream_error"),
    "error event, then reset": (
        replace(WHOLE, steps=(*WHOLE.steps[:6], Error("overloaded_error"), Reset())),
        "failed",
        "overloaded",
    ),
    "nothing": (Script(), "failed", "truncated"),
    "a login page": (Script.page(200, "<html>Log in</html>"), "failed", "bad_response"),
}


@pytest.mark.parametrize(("script", "outcome", "reason"), ENDS.values(), ids=ENDS)
def test_the_end_of_a_body_read_as_bytes_has_its_reason(mode, script, outcome, reason, seen_by_us):
    """What ended the stream is told, though nothing but the bytes shows it."""
    drive(mode, script, by_bytes)
    seen_by_us.told_once()
    assert seen_by_us.ending() == (outcome, reason)


ODD = (Event("message_start", "not JSON"), Event("content_block_delta", "[1]"), Event("content_block_delta", {}))


def test_odd_events_in_bytes_are_counted_and_passed_on(mode, seen_by_us):
    """No JSON, no object, no fields, no name, an unknown one, no data: the bytes reach the caller, the span ends."""
    odd = (*ODD, Event("", {"type": "message_stop"}), Event("future", {}), Send("event: message_delta\n\n"), Ping())
    script = replace(WHOLE, steps=(*odd, *WHOLE.steps))
    seen = drive(mode, script, by_bytes)
    assert seen.raw == script.body()
    seen_by_us.told_once()
    assert seen_by_us.ending() == ("completed", None)
    assert events_of(seen_by_us.stream())["future"] == 1


def test_an_event_that_is_too_long_is_counted_not_kept(mode, monkeypatch, seen_by_us):
    """Its type is told; its size is not looked at."""
    monkeypatch.setattr(sse, "MAX_DATA", 2000)
    long = Event("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"text": "x" * 5000}})
    script = replace(WHOLE, steps=(*WHOLE.steps[:4], long, *WHOLE.steps[4:]))
    assert drive(mode, script, by_bytes).raw == script.body()
    seen_by_us.told_once()
    assert seen_by_us.ending() == ("completed", None)
    assert events_of(seen_by_us.stream())["content_block_delta"] == events_of_script(script)


def events_of_script(script: Script) -> int:
    """The deltas of a script."""
    return sum(isinstance(step, Event) and step.type == "content_block_delta" for step in script.steps)


@pytest.mark.parametrize(
    "script",
    [
        replace(WHOLE, headers=(("content-encoding", "br"),)),
        replace(WHOLE, headers=(("content-encoding", "gzip"),)),
        WHOLE.on_aws(),
    ],
    ids=["br", "no gzip after all", "frames of AWS"],
)
def test_of_bytes_that_cannot_be_read_no_outcome_is_claimed(mode, script, seen_by_us):
    """Neither a success nor a failure is made up; the span ends and nothing stays open."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            manager = client.messages.with_streaming_response.create(**ASK, stream=True)
            async with mode.entered(manager) as response:
                raw = response.http_response
                pieces = await mode.all(raw.aiter_raw() if mode.is_async else raw.iter_raw())
                assert len(b"".join(pieces)) > 100

    with FakeAPI(script) as api:
        mode.run(body)
    seen_by_us.told_once(streams=1, measured=0)
    assert seen_by_us.of("outcome", "abort.reason") == (None, None)


def test_leaving_a_body_half_read_is_the_callers_end(mode, seen_by_us):
    """`with` left before the end: closed by the caller, and the connection is released."""
    script = WHOLE.insert_pause(5, 30)

    async def first_only(_mode, response, seen):
        pieces = mode.each(response.iter_bytes())
        seen.raw = await pieces.__anext__()

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            await streaming_response(first_only)(mode, client.messages, Seen())
            api.wait_until(lambda requests: requests[0].client_left)

    with FakeAPI(script) as api:
        mode.run(body)
    seen_by_us.told_once()
    assert seen_by_us.ending() == ("closed", "caller_closed")
