"""A receiver of OTLP and requests to it, for tests."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from otel_claude_stream.cli.otlp.receive import Message, Receiver

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json; charset=utf-8"}


def post(url: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
    """Send a request to a path below ``url``; return the status, the content type and the body of the response."""
    base = urlsplit(url)
    connection = http.client.HTTPConnection(base.netloc, timeout=10)
    try:
        connection.request("POST", base.path + path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read()
    finally:
        connection.close()


@contextmanager
def receiving(
    on_message: Callable[[Message], None] | None = None,
) -> Iterator[tuple[Receiver, list[Message], list[str]]]:
    """Run a receiver; yield it with the messages and the errors that it reports."""
    messages: list[Message] = []
    errors: list[str] = []
    with Receiver(on_message or messages.append, errors.append) as receiver:
        yield receiver, messages, errors
