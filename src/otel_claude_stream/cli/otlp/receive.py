"""A receiver of OTLP/HTTP on the loopback interface: traces, metrics and logs in protobuf or JSON, plain or gzip."""

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

from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.otlp.decode import BadTelemetry, Document, Signal

if TYPE_CHECKING:
    from typing_extensions import Self

HOST: Final = "127.0.0.1"  # never another interface: only local processes may send telemetry
PATHS: Final[Mapping[str, Signal]] = {f"/v1/{signal}": signal for signal in decode.SIGNALS}
MAX_BODY: Final = 64 * 1024 * 1024  # bytes, compressed or not; an SDK's batch of 512 spans stays far below
GZIP_WINDOW: Final = 31  # zlib's largest window (15) plus 16, which stands for a gzip header
SOCKET_SECONDS: Final = 10.0  # for the bytes of one request, so that a client that hangs does not occupy its thread
INVALID_ARGUMENT: Final = 3  # google.rpc.Code


@dataclass(frozen=True, slots=True)
class Message:
    """One request. ``raw`` is its body, still compressed; ``headers`` are those that forwarding needs."""

    signal: Signal
    path: str
    headers: Mapping[str, str]
    raw: bytes
    document: Document


class RequestRefused(Exception):
    """A request that is answered with an error status; the message is the reason."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Receiver:
    """Listens on a loopback port and passes each message to ``on_message``, in the thread of its connection.

    A context manager. ``port`` 0 is any free port. An exception of ``on_message`` is reported to ``on_error`` and
    answered with status 500.
    """

    def __init__(
        self, on_message: Callable[[Message], None], on_error: Callable[[str], None], *, port: int = 0
    ) -> None:
        self._server = _Server(port, on_message, on_error)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="otlp-receiver", daemon=True
        )

    @property
    def url(self) -> str:
        """The base endpoint for an exporter, without the path of a signal."""
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

    def __init__(self, port: int, on_message: Callable[[Message], None], on_error: Callable[[str], None]) -> None:
        super().__init__((HOST, port), _Handler)
        self.on_message = on_message
        self.on_error = on_error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a broken connection, since the exporter tries again."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_SECONDS
    server: _Server

    def do_POST(self) -> None:
        """Handle one export."""
        content_type = self.headers.get_content_type()
        try:
            message = self._message(content_type)
            self.server.on_message(message)
        except RequestRefused as refused:
            self.server.on_error(f"refused {self.path}: {refused}")
            self._answer(refused.status, content_type, str(refused))
        except Exception as error:  # noqa: BLE001 - the exporter must get an answer, and the error must be reported
            self.server.on_error(f"receiving {self.path} failed: {error!r}")
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, content_type, "the receiver failed")
        else:
            self._answer(HTTPStatus.OK, content_type)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of the base class
        """Log nothing: the terminal belongs to the views."""

    def _message(self, content_type: str) -> Message:
        signal = PATHS.get(self.path.partition("?")[0])
        if signal is None:
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"{self.path} does not exist; known paths: {', '.join(PATHS)}")
        if content_type not in (decode.PROTOBUF, decode.JSON):
            reason = f"content type {content_type} is not OTLP/HTTP; known: {decode.PROTOBUF}, {decode.JSON}"
            raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, reason)
        raw = self._body()
        try:
            document = decode.read(signal, decompressed(raw, self.headers.get("content-encoding", "")), content_type)
        except BadTelemetry as error:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(error)) from error
        kept = {name: value for name in ("Content-Type", "Content-Encoding") if (value := self.headers.get(name))}
        return Message(signal, self.path, kept, raw, document)

    def _body(self) -> bytes:
        length = self.headers.get("content-length", "")
        if not length.isdecimal():
            self.close_connection = True  # the body is not read
            raise RequestRefused(HTTPStatus.LENGTH_REQUIRED, "the header content-length is missing")
        if int(length) > MAX_BODY:
            self.close_connection = True
            raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY} bytes")
        return self.rfile.read(int(length))

    def _answer(self, status: HTTPStatus, content_type: str, reason: str = "") -> None:
        encoded = content_type if content_type in (decode.PROTOBUF, decode.JSON) else decode.JSON
        body = _status(encoded, reason) if reason else (b"{}" if encoded == decode.JSON else b"")
        self.send_response(status)
        self.send_header("Content-Type", encoded)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def fan_out(handlers: Sequence[Callable[[Message], None]]) -> Callable[[Message], None]:
    """Return a function that passes each message to all of ``handlers``, in their order."""

    def on_message(message: Message) -> None:
        for handle in handlers:
            handle(message)

    return on_message


def decompressed(raw: bytes, encoding: str) -> bytes:
    """Return the body without its content encoding.

    Raises ``RequestRefused`` for an unknown encoding, a damaged body, and one of more than 64 MiB.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return raw
        case "gzip":
            gzip = zlib.decompressobj(wbits=GZIP_WINDOW)
            try:
                body = gzip.decompress(raw, MAX_BODY + 1)
            except zlib.error as error:
                raise RequestRefused(HTTPStatus.BAD_REQUEST, f"the body is not gzip: {error}") from error
            if len(body) > MAX_BODY:
                raise RequestRefused(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the decompressed body is larger than {MAX_BODY} bytes"
                )
            if not gzip.eof:
                raise RequestRefused(HTTPStatus.BAD_REQUEST, "the gzip body is cut short")
            return body
        case other:
            raise RequestRefused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"content encoding {other!r} is not supported; gzip is"
            )


def _status(content_type: str, reason: str) -> bytes:
    """Return OTLP's error body, a ``google.rpc.Status`` in the encoding of the request."""
    if content_type == decode.JSON:
        return json.dumps({"code": INVALID_ARGUMENT, "message": reason}).encode()
    status: Any = import_module("google.rpc.status_pb2").Status(code=INVALID_ARGUMENT, message=reason)
    return bytes(status.SerializeToString())
