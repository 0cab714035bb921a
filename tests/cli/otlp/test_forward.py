from __future__ import annotations

import gzip
import threading

import pytest
from tests.support import cli_samples as samples
from tests.support.otlp_receiver import PROTOBUF, post, receiving

from otel_claude_stream.cli.otlp.forward import Forwarder, base_url, headers_from
from otel_claude_stream.cli.otlp.receive import Message


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
def test_base_urls_of_endpoints(text: str, base: str) -> None:
    assert base_url(text) == base


@pytest.mark.parametrize("text", ["", "localhost:4318", "ftp://x", "http://", "http://x:port", "file:///etc/passwd"])
def test_texts_that_are_not_endpoints(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        base_url(text)


def test_headers_of_the_environment() -> None:
    assert headers_from({"OTEL_EXPORTER_OTLP_HEADERS": "a=b, c=d%20e,bad"}) == {"a": "b", "c": "d e"}
    assert headers_from({}) == {}
