from __future__ import annotations

import base64
import gzip
import socket
import threading
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
from tests.support import cli_samples as samples
from tests.support.otlp_receiver import PROTOBUF, post, receiving
from tests.support.process_table import wait_until

from otel_claude_stream.cli.otlp import forward
from otel_claude_stream.cli.otlp.endpoint import base_url, signal_url
from otel_claude_stream.cli.otlp.forward import Forwarder, headers_from
from otel_claude_stream.cli.otlp.receive import Message, RequestRefused


def test_requests_are_forwarded_byte_for_byte() -> None:
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


def test_a_missing_collector_causes_one_warning() -> None:
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


def test_a_collector_that_refuses_causes_one_warning() -> None:
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
        f"cannot forward traces to {far.url}: it answered 500 Internal Server Error. "
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
def test_base_urls_of_endpoints(text: str, base: str) -> None:
    assert base_url(text) == base


@pytest.mark.parametrize("text", ["", "localhost:4318", "ftp://x", "http://", "http://x:port", "file:///etc/passwd"])
def test_texts_that_are_not_endpoints(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        base_url(text)


def test_headers_of_the_environment() -> None:
    assert headers_from({"OTEL_EXPORTER_OTLP_HEADERS": "a=b, c=d%20e,bad"}) == {"a": "b", "c": "d e"}
    assert headers_from({}) == {}


SECRETS = "CANARY"


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("http://user:CANARY@127.0.0.1:9/?token=CANARY", "http://user:***@127.0.0.1:9/?token=***"),
        ("http://CANARY@127.0.0.1:9", "http://***@127.0.0.1:9"),
        ("http://user:CANARY@[::1]:9/x", "http://user:***@[::1]:9/x"),
    ],
)
def test_secrets_of_an_endpoint_are_not_in_warnings(endpoint: str, shown: str) -> None:
    warnings: list[str] = []
    with Forwarder(endpoint, warnings.append) as forwarder:
        forwarder.send(Message("traces", "/v1/traces", {}, b"", {}))
    (warning,) = warnings
    assert warning.startswith(f"cannot forward traces to {shown}: ")
    assert SECRETS not in warning


@pytest.mark.parametrize("header", ["bad\nCANARY", "Gr\u0142\u0142CANARY"])
def test_secrets_of_headers_are_not_in_warnings(header: str) -> None:
    warnings: list[str] = []
    with receiving() as (far, *_), Forwarder(far.url, warnings.append, {"authorization": header}) as forwarder:
        forwarder.send(Message("traces", "/v1/traces", {}, b"", {}))
    (warning,) = warnings
    assert "OTEL_EXPORTER_OTLP_HEADERS" in warning
    assert SECRETS not in warning


def test_a_user_and_a_query_are_sent_to_the_collector() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://user:p%40ss@127.0.0.1:{server.getsockname()[1]}/base/?key=1"
        with Forwarder(endpoint, lambda _: None) as forwarder:
            forwarder.send(Message("metrics", "/v1/metrics", {}, b"body", {}))
            connection, _ = server.accept()
            with connection:
                request = connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert request.startswith(b"POST /base/v1/metrics?key=1 HTTP/1.1\r\n")
    assert b"Authorization: Basic " + base64.b64encode(b"user:p@ss") + b"\r\n" in request
    assert signal_url("https://otlp.example.com/otlp/", "logs") == "https://otlp.example.com/otlp/v1/logs"


def test_a_redirect_is_not_followed() -> None:
    warnings: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server, receiving() as (other, messages, errors):
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        with Forwarder(endpoint, warnings.append, {"authorization": SECRETS}) as forwarder:
            forwarder.send(Message("traces", "/v1/traces", {}, b"", {}))
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                where = f"Location: {other.url}/v1/traces\r\n".encode()
                connection.sendall(b"HTTP/1.1 307 Elsewhere\r\n" + where + b"Content-Length: 0\r\n\r\n")
    assert "it answered 307 Elsewhere" in warnings[0]
    assert (messages, errors) == ([], [])


def test_warnings_name_the_signal_that_was_refused() -> None:
    warnings: list[str] = []

    def no_metrics(message: Message) -> None:
        if message.signal == "metrics":
            raise RequestRefused(HTTPStatus.NOT_FOUND, "no metrics here")

    with (
        receiving(no_metrics) as (far, *_),
        Forwarder(far.url, warnings.append) as forwarder,
        receiving(forwarder.send) as (near, *_),
    ):
        for _ in range(2):
            assert post(near.url, "/v1/traces", b"", PROTOBUF)[0] == 200
            assert post(near.url, "/v1/metrics", b"", PROTOBUF)[0] == 200
    (warning,) = warnings
    assert warning.startswith(f"cannot forward metrics to {far.url}: it answered 404 Not Found")


def test_the_query_and_the_headers_of_a_stranger_are_not_forwarded() -> None:
    warnings: list[str] = []
    with (
        receiving() as (far, messages, _),
        Forwarder(far.url, warnings.append, {"authorization": "secret"}) as forwarder,
        receiving(forwarder.send) as (near, *_),
    ):
        base = f"http://{urlsplit(near.url).netloc}"
        assert post(base, "/v1/traces?tenant=other", b"", PROTOBUF)[0] == 404
        assert post(near.url, "/v1/traces?tenant=other", b"", PROTOBUF)[0] == 404
        assert post(near.url, "/v1/traces", b"", {**PROTOBUF, "X-Tenant": "other"})[0] == 200
        wait_until(lambda: messages != [])
    assert [(message.path, dict(message.headers)) for message in messages] == [("/v1/traces", PROTOBUF)]
    assert warnings == []


def test_the_queue_is_limited_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "QUEUE_BYTES", 100)
    monkeypatch.setattr(forward, "REQUEST_SECONDS", 3.0)
    warnings: list[str] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Forwarder(f"http://127.0.0.1:{silent.getsockname()[1]}", warnings.append) as forwarder,
    ):
        forwarder.send(Message("traces", "/v1/traces", {}, b"x" * 90, {}))
        wait_until(lambda: forwarder._queued_bytes == 0)
        forwarder.send(Message("traces", "/v1/traces", {}, b"x" * 90, {}))
        forwarder.send(Message("metrics", "/v1/metrics", {}, b"x" * 90, {}))
        assert ["metrics" in warning and "too slowly" in warning for warning in warnings] == [True]
