from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.support import cli_samples as samples
from tests.support.otlp_receiver import JSON, PROTOBUF, post, receiving

from otel_claude_stream.cli import loopback
from otel_claude_stream.cli.otlp import bounds, decode, receive
from otel_claude_stream.cli.otlp.decode import BadTelemetry
from otel_claude_stream.cli.otlp.receive import Message
from otel_claude_stream.cli.view import summary
from otel_claude_stream.cli.view import telemetry as telemetry_module
from otel_claude_stream.cli.view.telemetry import Telemetry

GZIP = {"Content-Encoding": "gzip"}


def nested(*numbers: int, content: bytes) -> bytes:
    """Return a protobuf message with ``content`` in nested fields."""
    for number in reversed(numbers):
        length, size = len(content), b""
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        content = bytes([number << 3 | 2]) + size + bytes([length]) + content
    return content


EMPTY_EVENTS = gzip.compress(nested(1, 2, 2, content=b"\x5a\x00" * 2_000_000))
PACKED_COUNTS = nested(1, 2, 2, 10, 1, 8, 2, content=bytes(2_000_000))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_traces_are_received(encoding: str, packed: bool) -> None:
    as_json = json.dumps(samples.traces(samples.healthy())).encode()
    plain = as_json if encoding == "json" else samples.traces_protobuf(samples.healthy())
    headers = dict(JSON if encoding == "json" else PROTOBUF)
    body = gzip.compress(plain) if packed else plain
    if packed:
        headers["Content-Encoding"] = "gzip"
    with receiving() as (receiver, messages, errors):
        status, kind, answer = post(receiver.url, "/v1/traces", body, headers)
    assert (status, kind) == (200, headers["Content-Type"].partition(";")[0])
    assert answer == (b"{}" if encoding == "json" else b"")
    (message,) = messages
    assert (message.raw, message.path, dict(message.headers)) == (body, "/v1/traces", headers)
    assert [span.name for span in decode.spans(message.document)] == ["chat claude-sonnet-5"]
    assert errors == []


def test_every_signal_reaches_the_telemetry() -> None:
    telemetry = Telemetry()
    with receiving(telemetry.add_message) as (receiver, _, _):
        assert telemetry.snapshot().open is None
        assert post(receiver.url, "/v1/traces", samples.traces_protobuf(samples.healthy()), PROTOBUF)[0] == 200
        assert post(receiver.url, "/v1/metrics", samples.active(2), PROTOBUF)[0] == 200
        assert post(receiver.url, "/v1/metrics", samples.active(1), PROTOBUF)[0] == 200
        assert post(receiver.url, "/v1/metrics", samples.active(4, "claude-opus-5"), PROTOBUF)[0] == 200
        assert post(receiver.url, "/v1/logs", b"{}", JSON)[0] == 200
    snapshot = telemetry.snapshot()
    assert (len(snapshot.views), snapshot.open, snapshot.internal_errors, telemetry.ended()) == (1, 5, 0, 1)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/traces", b"garbage", PROTOBUF, 400),
        ("/v1/traces", b"garbage", JSON, 400),
        ("/v1/traces", b"garbage", {**PROTOBUF, "Content-Encoding": "gzip"}, 400),
        ("/v1/traces", gzip.compress(b"x" * 99)[:-9], {**PROTOBUF, "Content-Encoding": "gzip"}, 400),
        ("/v1/traces", gzip.compress(bytes(65 * 1024 * 1024)), {**PROTOBUF, "Content-Encoding": "gzip"}, 413),
        ("/v1/traces", b"", {**PROTOBUF, "Content-Encoding": "zstd"}, 415),
        ("/v1/traces", b"", {"Content-Type": "text/html"}, 415),
        ("/v1/secrets", b"", PROTOBUF, 404),
        ("/v1/traces", b"", {**PROTOBUF, "Content-Length": "many"}, 411),
        ("/v1/traces", b"", {**PROTOBUF, "Content-Length": "99999999999"}, 413),
        ("/v1/traces", b"", {**PROTOBUF, "Content-Length": "9" * 5000}, 413),
        ("/v1/traces?tenant=other", b"", PROTOBUF, 404),
        ("/v1/traces", EMPTY_EVENTS, {**PROTOBUF, "Content-Encoding": "gzip"}, 413),
        ("/v1/traces", gzip.compress(b'{"resourceSpans":[' + b"{}," * 400_000 + b"{}]}"), {**JSON, **GZIP}, 413),
        ("/v1/traces", gzip.compress(b'{"resourceSpans":[' + b"[]," * 600_000 + b"{}]}"), {**JSON, **GZIP}, 413),
        ("/v1/metrics", gzip.compress(PACKED_COUNTS), {**PROTOBUF, **GZIP}, 413),
    ],
    ids=[
        "no protobuf", "no JSON", "no gzip", "gzip cut short", "too large when decompressed", "unknown encoding",
        "unknown content type", "unknown path", "invalid length", "too large", "long length", "query string",
        "4 kB of empty events", "many objects", "many lists", "many packed numbers",
    ],
)  # fmt: skip
def test_requests_that_are_refused(path: str, body: bytes, headers: dict[str, str], status: int) -> None:
    with receiving() as (receiver, messages, errors):
        found, kind, answer = post(receiver.url, path, body, headers)
        assert post(receiver.url, "/v1/traces", b"", PROTOBUF)[0] == 200  # the receiver continues
    assert found == status
    assert answer
    assert kind in {"application/json", "application/x-protobuf"}
    assert len(messages) == 1
    assert len(errors) == 1


def test_an_exception_of_the_handler_is_reported() -> None:
    def fail(message: Message) -> None:
        raise RuntimeError("no")

    with receiving(fail) as (receiver, _, errors):
        assert post(receiver.url, "/v1/traces", b"", PROTOBUF)[0] == 500
    assert errors == ["receiving /v1/traces failed: RuntimeError('no')"]


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/traces?tenant=other", "//v1/traces", "/wr\xf6ng/v1/traces", "x"])
def test_requests_without_the_token_are_refused(path: str) -> None:
    with receiving() as (receiver, messages, errors):
        base = f"http://{urlsplit(receiver.url).netloc}"
        assert raw_status(base, f"POST {path} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}") == 404
        assert raw_status(base, f"POST {path} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}") == 404
    assert messages == []
    assert errors == [receive.STRANGER], "one line, however many requests"


def test_each_receiver_has_another_token() -> None:
    with receiving() as (one, *_), receiving() as (two, *_):
        tokens = {urlsplit(receiver.url).path for receiver in (one, two)}
    assert len(tokens) == 2
    assert min(map(len, tokens)) > 30


def raw_status(url: str, request: str, wait: float = 10.0) -> int:
    """Return the status of the answer to a request, 0 if the connection was closed without an answer."""
    target = urlsplit(url)
    with socket.create_connection((target.hostname or "", target.port or 0), wait) as connection:
        try:
            connection.sendall(request.encode("latin-1"))
            answer = connection.recv(4096)
        except ConnectionError:
            return 0
    return int(answer.split()[1]) if answer else 0


@pytest.mark.parametrize(
    "headers",
    [f"X: {'x' * 70_000}\r\n", "X: y\r\n" * 101, f"X: {'x' * 8000}\r\n" * 3, f"X: {'x' * 17_000}"],
    ids=["one long", "many", "long together", "without an end"],
)
def test_headers_are_limited(headers: str) -> None:
    with receiving() as (receiver, messages, _):
        path = urlsplit(receiver.url).path
        request = f"POST {path}/v1/traces HTTP/1.1\r\n{headers}Content-Length: 2\r\n\r\n{{}}"
        assert raw_status(receiver.url, request) in (0, 431)
        assert messages == []


@pytest.mark.parametrize("slow", ["head", "body"])
def test_slow_requests_end_at_a_deadline(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client does not extend the deadline by a byte now and then."""
    monkeypatch.setattr(loopback, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(receive, "BODY_SECONDS", 0.5)
    with receiving() as (receiver, messages, errors):
        target = urlsplit(receiver.url)
        with socket.create_connection((target.hostname or "", target.port or 0), 10) as connection:
            head = f"POST {target.path}/v1/traces HTTP/1.1\r\nContent-Type: application/json\r\n"
            connection.sendall(head.encode() + (b"" if slow == "head" else b"Content-Length: 9999\r\n\r\n"))
            started, answer = time.monotonic(), b""
            connection.settimeout(0.1)
            while time.monotonic() - started < 8.0:
                try:
                    connection.sendall(b"a")
                    answer = connection.recv(4096)
                    break
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
            took = time.monotonic() - started
        assert 0.4 < took < 6.0
        assert answer.split(b" ")[:2] == ([b""] if slow == "head" else [b"HTTP/1.1", b"408"])
        assert messages == []
        assert len(errors) == (slow == "body")


def test_connections_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "MAX_CONNECTIONS", 4)
    monkeypatch.setattr(loopback, "WAIT_SECONDS", 0.02)
    before = threading.active_count()
    with receiving() as (receiver, *_):
        target = urlsplit(receiver.url)
        address = target.hostname or "", target.port or 0
        held = [socket.create_connection(address, 10) for _ in range(20)]
        time.sleep(1.0)
        most = threading.active_count() - before
        for connection in held:
            connection.close()
        time.sleep(0.3)
        assert post(receiver.url, "/v1/traces", b"", PROTOBUF)[0] == 200
    assert most <= 4 + 1, "the receiver itself has a thread"


def test_a_connection_is_for_one_request() -> None:
    with receiving() as (receiver, *_):
        target = urlsplit(receiver.url)
        connection = http.client.HTTPConnection(target.netloc, timeout=10)
        connection.request("POST", target.path + "/v1/traces", b"", PROTOBUF)
        assert connection.getresponse().getheader("connection") == "close"
        connection.close()


def test_real_requests_are_far_below_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count of a span is that of its messages."""
    body = samples.traces_protobuf(samples.healthy())
    decode.check_size("traces", body, decode.PROTOBUF)
    monkeypatch.setattr(bounds, "MOST_MESSAGES", 10)
    with pytest.raises(bounds.TooLarge, match="OTEL_BSP_MAX_EXPORT_BATCH_SIZE"):
        decode.check_size("traces", body, decode.PROTOBUF)


@pytest.mark.parametrize("body", [b"\x0a\x85", b"\x0a\x05", b"\xff" * 11, b"\x0b\x0c", b"\x09\x00"])
def test_protobuf_that_is_malformed(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(bounds.Malformed):
        bounds.check_protobuf(body, ExportTraceServiceRequest.DESCRIPTOR)
    monkeypatch.setattr(bounds, "MOST_MESSAGES", 1)
    with pytest.raises(BadTelemetry, match="not an OTLP traces request in protobuf"):
        decode.check_size("traces", body, decode.PROTOBUF)


def test_a_view_keeps_a_part_of_a_huge_span() -> None:
    attributes = {f"key-{n}": "x" * 10_000 for n in range(1000)}
    (found,) = decode.spans(
        decode.read("traces", json.dumps(samples.traces(samples.span(attributes))).encode(), decode.JSON)
    )
    assert len(found.attributes) == decode.MOST_ATTRIBUTES
    assert {len(str(value)) for value in found.attributes.values()} == {decode.LONGEST_TEXT}


def test_invented_series_and_reasons_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = Telemetry()
    monkeypatch.setattr(telemetry_module, "MOST_SERIES", 5)
    monkeypatch.setattr(summary, "MOST_VALUES", 5)
    for number in range(20):
        telemetry.add("metrics", decode.read("metrics", samples.active(1, f"model-{number}"), decode.PROTOBUF))
        invented = {"claude.stream.outcome": f"o{number}", "claude.stream.abort.reason": f"r{number}"}
        telemetry.add("traces", samples.traces(samples.span(invented, span_id=f"{number:016x}")))
    found = telemetry.snapshot()
    assert found.open == 5
    assert len(found.summary.outcomes) == len(found.summary.reasons) == 6
    assert found.summary.outcomes["other"] == 18
