"""Conversion of a script to the bytes of a response, in the pieces in which they are written."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from otel_claude_stream.testing.script import Script
from otel_claude_stream.testing.steps import (
    ENDINGS,
    Comment,
    CutMidChunk,
    End,
    Ending,
    Error,
    Event,
    Hang,
    Pause,
    Ping,
    Reset,
    Send,
    Step,
    assert_never,
    compact,
    event_text,
)

CONTENT_TYPES: Final = {
    "sse": "text/event-stream; charset=utf-8",
    "aws": "application/vnd.amazon.eventstream",
}
REQUEST_ID_HEADERS: Final = {"sse": "request-id", "aws": "x-amzn-RequestId"}
GZIP_WINDOW: Final = 31  # zlib's largest window (15), plus 16 for a gzip header
AWS_STRING: Final = 7  # header value type "string" of the Amazon event stream encoding
MISSING_BYTES: Final = 64  # by which a body that is cut is shorter than its content-length
CUT_CHUNK: Final = 4096  # announced size of the chunk that is never completed

BodyPart = bytes | Pause


@dataclass(frozen=True, slots=True)
class ResponsePlan:
    """A response ready to be sent: the head, the writes and pauses of the body, and the ending."""

    head: bytes
    parts: tuple[BodyPart, ...]
    ending: Ending
    last: bytes  # written just before the ending: the last chunk, or the beginning of a chunk that is cut
    keep_alive: bool  # whether another request may follow on the connection


def plan_response(script: Script, request_id: str) -> ResponsePlan:
    """ResponsePlan the response for a script; ``request_id`` is the generated request id."""
    steps, ending = _split_ending(script)
    body = tuple(_cut(script, _compressed(script, _body_parts(script, steps, script.resolve_request_id(request_id)))))
    partial = Send(ending.partial).raw if isinstance(ending, CutMidChunk) else b""
    length = sum(len(part) for part in body if isinstance(part, bytes)) + len(partial)
    if not isinstance(ending, End):
        length += MISSING_BYTES
    chunked = script.framing == "chunked"
    if chunked:
        body = tuple(b"%x\r\n%b\r\n" % (len(part), part) if isinstance(part, bytes) else part for part in body)
    return ResponsePlan(
        head=_head(script, request_id, length),
        parts=body,
        ending=ending,
        last=_last_chunk(ending, partial) if chunked else partial,
        keep_alive=script.framing != "close" and isinstance(ending, End),
    )


def aws_message(headers: Iterable[tuple[str, str]], payload: bytes) -> bytes:
    """Return one message of the Amazon event stream encoding, with its two checksums."""
    head = b"".join(_aws_header(name, value) for name, value in headers)
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + head + payload
    return message + struct.pack(">I", binascii.crc32(message))


def aws_bytes(step: Step) -> bytes:
    """Return a step as Bedrock sends it: events as chunks, errors as exceptions, comments omitted."""
    match step:
        case Event():
            return _aws_chunk(event_text(step))
        case Ping():
            return _aws_chunk('{"type":"ping"}')
        case Error():
            kind = ((":message-type", "exception"), (":exception-type", step.type))
            payload = compact({"message": step.message}).encode("utf-8", "surrogateescape")
            return aws_message((*kind, (":content-type", "application/json")), payload)
        case Send():
            return step.raw
        case Comment() | Pause() | End() | CutMidChunk() | Reset() | Hang():
            return b""
        case _:
            assert_never(step)


def _split_ending(script: Script) -> tuple[tuple[Step, ...], Ending]:
    last = script.steps[-1] if script.steps else None
    return (script.steps[:-1], last) if isinstance(last, ENDINGS) else (script.steps, End())


def _body_parts(script: Script, steps: Iterable[Step], request_id: str | None) -> Iterator[BodyPart]:
    """Yield the pauses, and the bytes between two pauses in one piece or in one piece for each step."""
    pending, as_aws = b"", script.event_format == "aws" and script.is_stream
    for step in steps:
        if isinstance(step, Pause):
            if pending:
                yield pending
            pending = b""
            yield step
            continue
        raw = aws_bytes(step) if as_aws else _with_newlines(script, script.render(step, request_id))
        if script.chunking != "event":
            pending += raw
        elif raw:
            yield raw
    if pending:
        yield pending


def _with_newlines(script: Script, raw: bytes) -> bytes:
    if script.newline == "\n" or script.event_format == "aws" or not script.is_stream:
        return raw
    return raw.replace(b"\r\n", b"\n").replace(b"\n", script.newline.encode())


def _compressed(script: Script, parts: Iterable[BodyPart]) -> Iterator[BodyPart]:
    """Compress the pieces and flush after each, as a streaming proxy does."""
    if script.encoding == "identity":
        yield from parts
        return
    gzip = zlib.compressobj(wbits=GZIP_WINDOW)
    for part in parts:
        yield part if isinstance(part, Pause) else gzip.compress(part) + gzip.flush(zlib.Z_SYNC_FLUSH)
    if isinstance(_split_ending(script)[1], End):
        yield gzip.flush()


def _cut(script: Script, parts: Iterable[BodyPart]) -> Iterator[BodyPart]:
    size = 1 if script.chunking == "bytes" else script.chunking
    for part in parts:
        if isinstance(part, Pause) or isinstance(size, str):
            yield part
        else:
            yield from (part[at : at + size] for at in range(0, len(part), size))


def _last_chunk(ending: Ending, partial: bytes) -> bytes:
    match ending:
        case End():
            return b"0\r\n\r\n"
        case CutMidChunk():
            return b"%x\r\n%b" % (max(CUT_CHUNK, len(partial) + MISSING_BYTES), partial)
        case Reset() | Hang():
            return b""
        case _:
            assert_never(ending)


def _head(script: Script, request_id: str, length: int) -> bytes:
    phrases = {status.value: status.phrase for status in HTTPStatus}
    lines = [f"HTTP/1.1 {script.status} {phrases.get(script.status, '')}"]
    lines += [f"{key}: {value}" for key, value in _headers(script, request_id, length)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _headers(script: Script, request_id: str, length: int) -> Iterator[tuple[str, str]]:
    overridden = {key.lower() for key, _ in script.headers}
    defaults = [("content-type", CONTENT_TYPES[script.event_format])]
    id_header, id_value = REQUEST_ID_HEADERS[script.event_format], script.resolve_request_id(request_id)
    if id_value is not None:
        defaults.append((id_header, id_value))
    if script.encoding != "identity":
        defaults.append(("content-encoding", script.encoding))
    match script.framing:
        case "chunked":
            defaults.append(("transfer-encoding", "chunked"))
        case "length":
            defaults.append(("content-length", str(length)))
        case "close":
            defaults.append(("connection", "close"))
    yield from ((key, value) for key, value in defaults if key.lower() not in overridden)
    yield from script.headers


def _aws_chunk(data: str) -> bytes:
    encoded = base64.b64encode(data.encode("utf-8", "surrogateescape")).decode()
    headers = ((":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event"))
    return aws_message(headers, compact({"bytes": encoded}).encode())


def _aws_header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode("utf-8", "surrogateescape")
    return struct.pack(f">B{len(key)}sBH", len(key), key, AWS_STRING, len(text)) + text
