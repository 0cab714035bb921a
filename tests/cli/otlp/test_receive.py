from __future__ import annotations

import gzip
import json

import pytest
from tests.support import cli_samples as samples
from tests.support.otlp_receiver import JSON, PROTOBUF, post, receiving

from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.otlp.receive import Message
from otel_claude_stream.cli.view.telemetry import Telemetry


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
    ],
    ids=[
        "no protobuf", "no JSON", "no gzip", "gzip cut short", "too large when decompressed", "unknown encoding",
        "unknown content type", "unknown path", "invalid length", "too large",
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
