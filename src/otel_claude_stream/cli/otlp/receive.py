"""A loopback OTLP/HTTP receiver: protobuf or JSON, plain or gzip, for traces, metrics and logs."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from otel_claude_stream.cli.otlp import decode as otlp
from otel_claude_stream.cli.otlp.decode import BadTelemetry, Document, Signal

if TYPE_CHECKING:
    from typing_extensions import Self

HOST: Final = "127.0.0.1"  # never another: nobody else's telemetry is wanted
PATHS: Final[Mapping[str, Signal]] = {f"/v1/{signal}": signal for signal in otlp.SIGNALS}
MAX_BODY: Final = 64 * 1024 * 1024  # bytes, packed and unpacked; an SDK's batch of 512 spans stays far below
GZIP_WINDOW: Final = 31  # zlib's largest window (15) plus 16, its sign for a gzip header
SOCKET_SECONDS: Final = 10.0  # for the bytes of one request, so that a client that hangs does not hold its thread
INVALID_ARGUMENT: Final = 3  # google.rpc.Code


@dataclass(frozen=True, slots=True)
class Message:
    """One request as it came: ``raw`` still compressed, ``headers`` as needed to send it on byte for byte."""

    signal: Signal
    path: str
    headers: Mapping[str, str]
    raw: bytes
    document: Document


class Refused(Exception):
    """The request gets an error status; ``str()`` says why, in words for whoever sent it."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Receiver:
    """Listens on a free loopback port and hands each message to ``on_message``, in the thread of its connection.

    A context manager. What ``on_message`` raises becomes a status 500 and is told to ``on_error``: never lost.
    """

    def __init__(self, on_message: Callable[[Message], None], on_error: Callable[[str], None]) -> None:
        self._server = _Server((HOST, 0), _Handler)
        self._server.on_message = on_message
        self._server.on_error = on_error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="otlp-receiver", daemon=True
        )

    @property
    def url(self) -> str:
        """The endpoint for an exporter, without the path of a signal."""
        return f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    on_message: Callable[[Message], None]
    on_error: Callable[[str], None]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection broke: the exporter's affair, which tries again."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_SECONDS
    server: _Server

    def do_POST(self) -> None:
        """One export."""
        content_type = self.headers.get_content_type()
        try:
            message = self._message(content_type)
            self.server.on_message(message)
        except Refused as refused:
            self.server.on_error(f"refused {self.path}: {refused}")
            self._answer(refused.status, content_type, str(refused))
        except Exception as error:  # noqa: BLE001 - whatever it is, the exporter gets an answer and the owner a word
            self.server.on_error(f"receiving {self.path} failed: {error!r}")
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, content_type, "the receiver failed")
        else:
            self._answer(HTTPStatus.OK, content_type)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of the base class
        """Say nothing: the terminal belongs to the views."""

    def _message(self, content_type: str) -> Message:
        signal = PATHS.get(self.path.partition("?")[0])
        if signal is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no {self.path} here; known: {', '.join(PATHS)}")
        if content_type not in (otlp.PROTOBUF, otlp.JSON):
            why = f"content type {content_type} is not OTLP/HTTP; known: {otlp.PROTOBUF}, {otlp.JSON}"
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, why)
        raw = self._body()
        try:
            document = otlp.read(signal, unpacked(raw, self.headers.get("content-encoding", "")), content_type)
        except BadTelemetry as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        kept = {name: value for name in ("Content-Type", "Content-Encoding") if (value := self.headers.get(name))}
        return Message(signal, self.path, kept, raw, document)

    def _body(self) -> bytes:
        length = self.headers.get("content-length", "")
        if not length.isdecimal():
            self.close_connection = True  # the body, however long, is not read
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "a content-length is needed")
        if int(length) > MAX_BODY:
            self.close_connection = True
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {MAX_BODY} bytes")
        return self.rfile.read(int(length))

    def _answer(self, status: HTTPStatus, content_type: str, why: str = "") -> None:
        encoded = content_type if content_type in (otlp.PROTOBUF, otlp.JSON) else otlp.JSON
        body = _status(encoded, why) if why else (b"{}" if encoded == otlp.JSON else b"")
        self.send_response(status)
        self.send_header("Content-Type", encoded)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def to_all(takers: Sequence[Callable[[Message], None]]) -> Callable[[Message], None]:
    """What hands each message to all of ``takers``, in their order."""

    def on_message(message: Message) -> None:
        for take in takers:
            take(message)

    return on_message


def unpacked(raw: bytes, encoding: str) -> bytes:
    """The body without its content encoding. Raises ``Refused`` for unknown ones, damage, and more than 64 MiB."""
    match encoding.strip().lower():
        case "" | "identity":
            return raw
        case "gzip":
            gzip = zlib.decompressobj(wbits=GZIP_WINDOW)
            try:
                body = gzip.decompress(raw, MAX_BODY + 1)
            except zlib.error as error:
                raise Refused(HTTPStatus.BAD_REQUEST, f"the body is not gzip: {error}") from error
            if len(body) > MAX_BODY:
                raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an unpacked body has at most {MAX_BODY} bytes")
            if not gzip.eof:
                raise Refused(HTTPStatus.BAD_REQUEST, "the gzip body is cut short")
            return body
        case other:
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"content encoding {other!r} is not known; gzip is")


def _status(content_type: str, why: str) -> bytes:
    """OTLP's error body, a ``google.rpc.Status`` in the encoding of the request."""
    if content_type == otlp.JSON:
        return json.dumps({"code": INVALID_ARGUMENT, "message": why}).encode()
    status: Any = import_module("google.rpc.status_pb2").Status(code=INVALID_ARGUMENT, message=why)
    return bytes(status.SerializeToString())
