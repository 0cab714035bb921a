"""A table of faults of a stream, each with its script and the expected outcome and reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from otel_claude_stream.testing import CutMidChunk, End, Error, Event, Hang, Pause, Ping, Reset, Script, Send

QUICK = (("retry-after-ms", "1"),)
BUSY = Script.http_error(529, headers=QUICK)
WHOLE = Script.message("Streams carry an answer.", deltas=6, thinking="Hm, well.", cache_read_input_tokens=7)
AT = 8
"""The number of events before most faults. The message has begun and is not finished."""
REFUSED = "refused"
"""The name of the fault without a server, which needs no script."""

Ending = tuple[str, "str | None"]
COMPLETED: Ending = ("completed", None)


def failed(reason: str) -> Ending:
    """Return the ending of a stream that failed for a reason."""
    return "failed", reason


def completed_or_decode_error(error: BaseException | None) -> Ending:
    """Return the ending of a stream with invalid content, which not every release of the SDK accepts."""
    return COMPLETED if error is None else failed("decode_error")


@dataclass(frozen=True)
class Fault:
    """One fault of a stream."""

    name: str
    scripts: tuple[Script, ...]
    ending: Ending | Callable[[BaseException | None], Ending]
    """The ending if the stream is read as events.

    Where releases of the SDK differ, a function of the exception that the SDK raises without instrumentation.
    """
    ending_as_bytes: Ending | None = None
    """The ending if the stream is read as bytes, where it differs."""
    client: dict[str, Any] = field(default_factory=dict)
    """Options of the client."""
    attempts: int = 1
    ways: tuple[str, ...] = ("create, iterated", "stream, iterated", "streaming response, iter_lines()")
    """The names of the ways to read with which the fault is tested."""

    def expected(self, read: str, error: BaseException | None) -> Ending:
        """Return the expected outcome and reason for a way to read."""
        ending = self.ending_as_bytes if read == "bytes" and self.ending_as_bytes is not None else self.ending
        if not callable(ending):
            return ending
        return COMPLETED if read == "bytes" else ending(error)


def broken(name: str, how: Any, reason: str, *, at: int = AT, base: Script = WHOLE, **more: Any) -> Fault:
    """Return the fault of a message that breaks off after `at` events."""
    return Fault(name, (base.cut_after(at, how),), failed(reason), **more)


def with_steps(name: str, *steps: Any, at: int = AT, ending: Any = completed_or_decode_error, **more: Any) -> Fault:
    """Return the fault of a message with additional steps after `at` events."""
    return Fault(name, (replace(WHOLE, steps=(*WHOLE.steps[:at], *steps, *WHOLE.steps[at:])),), ending, **more)


def changed(name: str, change: Callable[[Any], Any], *, ending: Any = completed_or_decode_error, **more: Any) -> Fault:
    """Return the fault of a message whose events have changed data."""
    steps = tuple(
        replace(step, data=change(step.data)) if isinstance(step, Event) and isinstance(step.data, dict) else step
        for step in WHOLE.steps
    )
    return Fault(name, (replace(WHOLE, steps=steps),), ending, **more)


def without(*names: str) -> Callable[[Any], Any]:
    """Return a change that removes fields, at any depth."""

    def change(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: change(item) for key, item in value.items() if key not in names}
        return value

    return change


def nulled(*names: str) -> Callable[[Any], Any]:
    """Return a change that sets fields to null, at any depth."""

    def change(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: None if key in names else change(item) for key, item in value.items()}
        return value

    return change


def event(kind: str, **data: Any) -> Event:
    """Create an event of the API."""
    return Event(kind, {"type": kind, **data})


def delta(kind: str, index: int = 1, **content: Any) -> Event:
    """Create a `content_block_delta` event."""
    return event("content_block_delta", index=index, delta={"type": kind, **content})


def many_blocks(count: int) -> Script:
    """Create a message of many small blocks."""
    steps = [WHOLE.steps[0]]
    for index in range(count):
        block = {"type": "text", "text": ""}
        steps += [
            event("content_block_start", index=index, content_block=block),
            delta("text_delta", index, text="x"),
            event("content_block_stop", index=index),
        ]
    body = replace(WHOLE, steps=(*steps, *WHOLE.steps[-2:])).body()
    return replace(WHOLE, steps=(Send.from_bytes(body),))


CREATE, LINES = "create, iterated", "streaming response, iter_lines()"
EVERY = (
    *(CREATE, LINES, "stream, iterated", "stream, get_final_message()", "stream, text_stream", "raw response, parse()"),
    *("streaming response, read()", "beta stream, iterated"),
)
SHORT = {"timeout": 0.2}
LAST = len(WHOLE.steps)

FAULTS = (
    Fault("nothing at all", (WHOLE,), COMPLETED, ways=EVERY),
    # Ends of the body.
    broken("cut clean", End(), "truncated", ways=EVERY),
    broken("cut clean before the first event", End(), "truncated", at=0),
    broken("cut clean before the first token", End(), "truncated", at=2),
    broken("cut clean inside an event", End(), "truncated",
           base=replace(WHOLE, steps=(*WHOLE.steps[:AT], Send("event: con")))),
    Fault("without message_stop", (WHOLE.cut_after(LAST - 1, End()),), COMPLETED),
    broken("cut inside a chunk", CutMidChunk(), "connection_closed", ways=EVERY),
    broken("cut inside an event of a chunk", CutMidChunk("event: content_bl"), "connection_closed"),
    broken("cut short of its length", CutMidChunk(), "connection_closed", base=replace(WHOLE, framing="length")),
    broken("cut while close-delimited", End(), "truncated", base=replace(WHOLE, framing="close")),
    Fault("close-delimited", (replace(WHOLE, framing="close"),), COMPLETED),
    Fault("by its length", (replace(WHOLE, framing="length"),), COMPLETED),
    broken("reset", Reset(), "connection_reset", ways=EVERY),
    broken("reset before the first event", Reset(), "connection_reset", at=0),
    broken("silence", Hang(5), "silent", client=SHORT),
    broken("silence before the first event", Hang(5), "first_event_timeout", at=0, client=SHORT, ways=(CREATE, LINES)),
    Fault("cut after message_stop", (WHOLE.cut_after(LAST, CutMidChunk()),), COMPLETED),
    Fault("reset after message_stop", (WHOLE.cut_after(LAST, Reset()),), COMPLETED),
    Fault("silence after message_stop", (WHOLE.cut_after(LAST, Hang(5)),), COMPLETED, client=SHORT),
    # Error events in the stream.
    broken("error event", Error(), "overloaded", ways=EVERY),
    broken("error event first", Error("api_error"), "api_error", at=0),
    broken("error event of an unknown type", Error("unknown_error"), "stream_error"),
    broken("error event that is not JSON", Event("error", "oh no"), "stream_error"),
    Fault("error event after message_stop", (WHOLE.cut_after(LAST, Error()),), COMPLETED),
    with_steps("error event, and the stream stays open", Error(), Pause(5), ending=failed("overloaded"),
               ways=(CREATE, "stream, iterated")),
    # Responses that are no stream.
    Fault("an empty answer", (Script(),), failed("truncated"), ways=EVERY),
    Fault("a login page", (Script.plain_response(200, "<html>Log in</html>"),), failed("bad_response")),
    Fault("JSON", (Script.plain_response(200, "{}", [("content-type", "application/json")]),), failed("bad_response")),
    Fault("529, then success", (BUSY, BUSY, WHOLE), COMPLETED, client={"max_retries": 2}, attempts=3),
    Fault("529 again and again", (BUSY, BUSY, BUSY), failed("overloaded"), client={"max_retries": 2}, attempts=3,
          ways=EVERY),
    Fault("429 with retry-after", (Script.http_error(429, headers=(("retry-after", "0.01"),)), WHOLE), COMPLETED,
          client={"max_retries": 1}, attempts=2),
    Fault("429 and no retry", (Script.http_error(429, headers=(("retry-after", "7"),)),), failed("rate_limited")),
    Fault("400", (Script.http_error(400),), failed("request_rejected"), client={"max_retries": 2}),
    Fault("nginx's 504", (Script.nginx_error(504),), failed("gateway_error")),
    Fault("closed before the headers", (Script.no_response("fin"),), failed("connection_closed")),
    Fault("reset before the headers", (Script.no_response("rst"),), failed("connection_reset")),
    Fault("reset before the headers, then success", (Script.no_response("rst"), WHOLE), COMPLETED,
          client={"max_retries": 1}, attempts=2, ways=(CREATE,)),
    Fault("silence before the headers", (replace(WHOLE, header_delay=5),), failed("response_timeout"), client=SHORT),
    Fault(REFUSED, (), failed("connect_failed")),
    # Content that the SDK does not expect.
    with_steps("data that is not JSON", Event("content_block_delta", "{not JSON"), ending=failed("decode_error"),
               ending_as_bytes=COMPLETED),
    with_steps("text that is not UTF-8", Send.from_bytes(b'event: content_block_delta\ndata: {"type": "\xff\xfe"}\n\n'),
               ending=failed("decode_error"), ending_as_bytes=COMPLETED),
    with_steps("an event of an unknown type", event("future", n=1)),
    with_steps("an unknown event with the type of another", Event("future", {"type": "message_stop"})),
    with_steps("an event whose data has another type", Event("content_block_delta", {"type": "message_stop"})),
    with_steps("an event with the name of one of ours", event("abort"), event("stall")),
    with_steps("an event of an enormous type", Event("n" * 5000, {})),
    with_steps("an empty object", Event("content_block_delta", {})),
    with_steps("null", Event("content_block_delta", "null")),
    with_steps("a list", Event("content_block_delta", "[1]")),
    with_steps("an unknown delta", delta("future_delta", future="x")),
    with_steps("a delta without content", delta("text_delta")),
    with_steps("a delta with a number for text", delta("text_delta", text=7), ways=(CREATE, LINES)),
    with_steps("a delta that is null", event("content_block_delta", index=1, delta=None)),
    with_steps("a delta without an index", event("content_block_delta", delta={"type": "text_delta", "text": "x"})),
    with_steps("a delta of a block that is not there", delta("text_delta", 99, text="x")),
    with_steps("a delta before message_start", delta("text_delta", text="x"), at=0),
    with_steps("message_start twice", WHOLE.steps[0]),
    with_steps("a block of an unknown type",
               event("content_block_start", index=2, content_block={"type": "future"}),
               delta("future_delta", 2), event("content_block_stop", index=2), at=LAST - 2),
    with_steps("a block that is null", event("content_block_start", index=2, content_block=None), at=LAST - 2),
    Fault("message_stop first", (replace(WHOLE, steps=(WHOLE.steps[-1], *WHOLE.steps[:-1])),), COMPLETED),
    changed("no usage", without("usage")),
    changed("usage that is null", nulled("usage")),
    changed("counts that are null", nulled("input_tokens", "output_tokens", "cache_read_input_tokens")),
    changed("no index", without("index")),
    changed("no ids, models, reasons", without("id", "model", "stop_reason")),
    changed("a message that is null", nulled("message")),
    with_steps("pings, comments and pauses", Ping(), Pause(0.002), Ping(), ending=COMPLETED),
    # Sizes and forms.
    with_steps("a megabyte in one event", delta("text_delta", text="x" * (1 << 20)), ending=COMPLETED),
    Fault("2,000 blocks", (many_blocks(2_000),), COMPLETED, ways=(CREATE,), client={"timeout": 60}),
    Fault("gzip", (replace(WHOLE, encoding="gzip"),), COMPLETED),
    Fault("a body without gzip", (replace(WHOLE, headers=(("content-encoding", "gzip"),)),), failed("decode_error")),
    broken("gzip that breaks off", CutMidChunk(), "connection_closed", base=replace(WHOLE, encoding="gzip")),
    Fault("one byte at a time", (replace(WHOLE, chunking="bytes"),), COMPLETED),
    Fault("CRLF", (replace(WHOLE, newline="\r\n", chunking=9),), COMPLETED),
)  # fmt: skip
