"""A stream that the caller reads as bytes has the same telemetry as one that it reads as events."""

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
WHOLE = Script.message(
    TEXT, deltas=4, thinking="Hm, let me think.", tool=("look", {"at": "it"}), cache_read_input_tokens=7
)


def deflated(script: Script, wbits: int) -> Script:
    """Return a script with its body compressed by deflate, with or without the header of zlib."""
    packer = zlib.compressobj(wbits=wbits)
    body = packer.compress(script.body()) + packer.flush()
    return replace(script, steps=(Send.from_bytes(body),), headers=(("content-encoding", "deflate"),), chunking=50)


def renamed(script: Script, name: str) -> Script:
    """Return a script whose events have another name, with the same data."""
    steps = (replace(step, type=name) if isinstance(step, Event) else step for step in script.steps)
    return replace(script, steps=tuple(steps))


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
    "renamed frames": renamed(WHOLE, "message"),
    "frames without a name": renamed(WHOLE, ""),
    "until it closes": replace(WHOLE, framing="close"),
}
READS = {"iter_lines()": by_lines, "iter_bytes()": by_bytes, "read()": by_read}


def read_as_bytes(mode, script, read):
    """Stream one response as bytes and return what the caller received."""
    seen = Seen()

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            try:
                await streaming_response(read)(mode, client.messages, seen)
            except Exception as error:  # noqa: BLE001 - any exception is the result
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
def test_a_stream_read_as_bytes_has_the_span_of_one_read_as_events(mode, script, read, telemetry):
    """This does not depend on compression, framing, line ends or the size of the chunks."""
    seen = read_as_bytes(mode, script, read)
    assert seen.error is None
    by_bytes_span = telemetry.stream()

    async def decode():
        async with mode.entered(mode.client(api.url)) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), Seen())

    with FakeAPI(WHOLE) as api:
        mode.run(decode)
    telemetry.assert_recorded_once(streams=2)
    decoded_span = telemetry.streams()[1]
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
    "a login page": (Script.plain_response(200, "<html>Log in</html>"), "failed", "bad_response"),
}


@pytest.mark.parametrize(("script", "outcome", "reason"), ENDS.values(), ids=ENDS)
def test_the_end_of_a_body_read_as_bytes_has_an_abort_reason(mode, script, outcome, reason, telemetry):
    """The reason is found although the SDK decodes no event."""
    read_as_bytes(mode, script, by_bytes)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == (outcome, reason)


MALFORMED = (Event("message_start", "not JSON"), Event("content_block_delta", "[1]"), Event("content_block_delta", {}))


def test_malformed_events_in_bytes_are_counted_and_passed_on(mode, telemetry):
    """Events without JSON, fields, a known name or data do not disturb the span."""
    malformed = (
        *MALFORMED,
        Event("", {"type": "message_stop"}),
        Event("future", {}),
        Send("event: message_delta\n\n"),
        Ping(),
    )
    script = replace(WHOLE, steps=(*malformed, *WHOLE.steps))
    seen = read_as_bytes(mode, script, by_bytes)
    assert seen.raw == script.body()
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("completed", None)
    assert events_of(telemetry.stream())["future"] == 1


def test_an_event_longer_than_the_limit_is_counted_but_not_decoded(mode, monkeypatch, telemetry):
    monkeypatch.setattr(sse, "MAX_DATA", 2000)
    long = Event("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"text": "x" * 5000}})
    script = replace(WHOLE, steps=(*WHOLE.steps[:4], long, *WHOLE.steps[4:]))
    assert read_as_bytes(mode, script, by_bytes).raw == script.body()
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("completed", None)
    assert events_of(telemetry.stream())["content_block_delta"] == delta_count(script)


def delta_count(script: Script) -> int:
    """Return the number of deltas in a script."""
    return sum(isinstance(step, Event) and step.type == "content_block_delta" for step in script.steps)


@pytest.mark.parametrize(
    "script",
    [
        replace(WHOLE, headers=(("content-encoding", "br"),)),
        replace(WHOLE, headers=(("content-encoding", "gzip"),)),
        WHOLE.for_bedrock(),
    ],
    ids=["br", "not gzip", "event stream of AWS"],
)
def test_bytes_that_cannot_be_decoded_have_no_outcome(mode, script, telemetry):
    """The span ends without an outcome and without a reason."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            manager = client.messages.with_streaming_response.create(**ASK, stream=True)
            async with mode.entered(manager) as response:
                raw = response.http_response
                pieces = await mode.all(raw.aiter_raw() if mode.is_async else raw.iter_raw())
                assert len(b"".join(pieces)) > 100

    with FakeAPI(script) as api:
        mode.run(body)
    telemetry.assert_recorded_once(streams=1, measured=0)
    assert telemetry.attributes("outcome", "abort.reason") == (None, None)


def test_leaving_a_body_half_read_is_a_close_by_the_caller(mode, telemetry):
    """The `with` block is left early, which releases the connection."""
    script = WHOLE.insert_pause(5, 30)

    async def first_only(_mode, response, seen):
        pieces = mode.each(response.iter_bytes())
        seen.raw = await pieces.__anext__()

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            await streaming_response(first_only)(mode, client.messages, Seen())
            api.wait_until(lambda requests: requests[0].client_disconnected)

    with FakeAPI(script) as api:
        mode.run(body)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("closed", "caller_closed")
