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


CANONICAL = samples.traces(samples.healthy(parent="00f067aa0ba902b8"))
VARIANTS = (
    ("traceId", "0AF7651916CD43DD8448EB211C80319C"),
    ("startTimeUnixNano", samples.START),
    ("parentSpanId", ""),
    ("events", []),
    ("attributes", [{"key": "a", "value": {"doubleValue": "NaN"}}, {"key": "b", "value": {"intValue": -7}}]),
)


def test_spans_of_json_are_those_of_protobuf() -> None:
    for key, found in VARIANTS:
        document = json.loads(json.dumps(CANONICAL))
        document["resourceSpans"][0]["scopeSpans"][0]["spans"][0][key] = found
        expected = list(decode.spans(decode.read("traces", json.dumps(document).encode(), decode.JSON)))
        assert repr(decode.read_spans(document)) == repr(expected)  # NaN is not equal to itself


def test_usual_json_is_decoded_without_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "read", None)
    (found,) = decode.read_spans(CANONICAL)
    assert (found.service, found.scope_version, len(found.events)) == ("chat-worker", "1.2.3", 33)


def test_other_names_of_json_pass_through_protobuf() -> None:
    """Protobuf accepts the names of its own fields too."""
    span = {"trace_id": "Cvdl", "span_id": "APBn", "name": "chat"}
    (found,) = decode.read_spans({"resource_spans": [], "resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    assert found.name == "chat"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("traceId", "xyz"),
        ("name", 7),
        ("name", ["a"]),
        ("startTimeUnixNano", "soon"),
        ("startTimeUnixNano", str(1 << 64)),
        ("endTimeUnixNano", -1),
        ("attributes", {"a": "b"}),
        ("attributes", [7]),
        ("attributes", [{"key": "a", "value": {"intValue": "9" * 30}}]),
        ("attributes", [{"key": 7, "value": {}}]),
        ("events", [{"name": {}}]),
        ("events", [{"name": "a", "timeUnixNano": 1e400}]),
    ],
)
def test_spans_of_json_that_are_not_otlp(key: str, found: object) -> None:
    document = json.loads(json.dumps(CANONICAL))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0][key] = found
    with pytest.raises(BadTelemetry):
        decode.read_spans(document)
