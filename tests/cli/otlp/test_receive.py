from __future__ import annotations

import gzip
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from tests.support import cli_samples as samples

from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.otlp.forward import Forwarder, base_url, headers_from
from otel_claude_stream.cli.otlp.receive import Message, Receiver
from otel_claude_stream.cli.view.telemetry import Telemetry

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json; charset=utf-8"}


def post(url: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read()
    finally:
        connection.close()


@contextmanager
def receiving(
    on_message: Callable[[Message], None] | None = None,
) -> Iterator[tuple[Receiver, list[Message], list[str]]]:
    messages: list[Message] = []
    errors: list[str] = []
    with Receiver(on_message or messages.append, errors.append) as receiver:
        yield receiver, messages, errors


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


class TestForwarding:
    def test_requests_are_forwarded_byte_for_byte(self) -> None:
        body = gzip.compress(samples.traces_protobuf(samples.healthy()))
        headers = {**PROTOBUF, "Content-Encoding": "gzip"}
        warnings: list[str] = []
        with receiving() as (far, messages, _):
            with Forwarder(far.url, warnings.append, {"x-key": "1"}) as forwarder, receiving(forwarder.send) as near:
                assert post(near[0].url, "/v1/traces", body, headers)[0] == 200
                assert post(near[0].url, "/v1/metrics", samples.active(1), PROTOBUF)[0] == 200
            assert forwarder.sent == 2
        assert [message.path for message in messages] == ["/v1/traces", "/v1/metrics"]
        assert (messages[0].raw, dict(messages[0].headers)) == (body, headers)
        assert warnings == []

    def test_a_missing_collector_causes_one_warning(self) -> None:
        warnings: list[str] = []
        with receiving() as (gone, *_):
            url = gone.url
        with Forwarder(url, warnings.append) as forwarder, receiving(forwarder.send) as (near, *_):
            for _ in range(3):
                assert post(near.url, "/v1/traces", b"", PROTOBUF)[0] == 200
        (warning,) = warnings
        assert url in warning
        assert "refused" in warning
        assert not [thread for thread in threading.enumerate() if thread.name == "otlp-forwarder"]

    def test_a_collector_that_refuses_causes_one_warning(self) -> None:
        warnings: list[str] = []

        def fail(message: Message) -> None:
            raise RuntimeError("no")

        with (
            receiving(fail) as (far, *_),
            Forwarder(far.url, warnings.append) as forwarder,
            receiving(forwarder.send) as (near, *_),
        ):
            for _ in range(2):
                assert post(near.url, "/v1/traces", b"", PROTOBUF)[0] == 200
        (warning,) = warnings
        assert warning == (
            f"cannot forward to {far.url}: it answered 500 Internal Server Error. "
            "Some telemetry will be missing there, nothing else."
        )

    @pytest.mark.parametrize(
        ("text", "base"),
        [
            ("http://localhost:4318", "http://localhost:4318"),
            ("http://localhost:4318/", "http://localhost:4318"),
            ("https://otlp.example.com/otlp/v1/traces", "https://otlp.example.com/otlp"),
        ],
    )
    def test_base_urls_of_endpoints(self, text: str, base: str) -> None:
        assert base_url(text) == base

    @pytest.mark.parametrize(
        "text", ["", "localhost:4318", "ftp://x", "http://", "http://x:port", "file:///etc/passwd"]
    )
    def test_texts_that_are_not_endpoints(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            base_url(text)

    def test_headers_of_the_environment(self) -> None:
        assert headers_from({"OTEL_EXPORTER_OTLP_HEADERS": "a=b, c=d%20e,bad"}) == {"a": "b", "c": "d e"}
        assert headers_from({}) == {}
