from __future__ import annotations

import json

import pytest
from tests.support import cli_samples as samples

from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.otlp.decode import BadTelemetry


def test_json_and_protobuf_decode_to_the_same() -> None:
    spans = (
        samples.healthy(),
        samples.span({"text": "x", "list": ["a", 1], "yes": True, "n": 1.5}, span_id="0" * 15 + "1"),
    )
    by_json = decode.read("traces", json.dumps(samples.traces(*spans)).encode(), decode.JSON)
    by_protobuf = decode.read("traces", samples.traces_protobuf(*spans), decode.PROTOBUF)
    assert by_json == by_protobuf
    first, second = decode.spans(by_json)
    assert (first.trace_id, first.span_id, first.scope) == (samples.TRACE, "00f067aa0ba902b7", "otel_claude_stream")
    assert (first.service, first.scope_version) == ("chat-worker", "1.2.3")
    assert first.end - first.start == 2_000_000_000
    assert second.attributes == {"text": "x", "list": ("a", 1), "yes": True, "n": 1.5}


def test_points() -> None:
    document = decode.read("metrics", samples.active(3), decode.PROTOBUF)
    (point,) = decode.points(document)
    assert (point.name, point.value) == ("claude.stream.active", 3.0)
    assert point.attributes == {"gen_ai.request.model": "claude-sonnet-5"}


def test_unknown_fields_are_ignored() -> None:
    document = {**samples.traces(samples.healthy()), "fromTheFuture": [1, {"x": None}]}
    assert list(decode.spans(decode.read("traces", json.dumps(document).encode(), decode.JSON)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"resourceSpans": 1}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}',
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b"\xff\xfe",
    ],
)
def test_garbage_in_json(body: bytes) -> None:
    with pytest.raises(BadTelemetry):
        decode.read("traces", body, decode.JSON)


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"hello, world", samples.traces_protobuf(samples.healthy())[:-1]])
def test_garbage_in_protobuf(body: bytes) -> None:
    with pytest.raises(BadTelemetry):
        decode.read("traces", body, decode.PROTOBUF)


def test_empty_requests_are_valid() -> None:
    assert list(decode.spans(decode.read("traces", b"", decode.PROTOBUF))) == []
    assert list(decode.spans(decode.read("traces", b"{}", decode.JSON))) == []
