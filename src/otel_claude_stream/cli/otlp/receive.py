"""A receiver of OTLP/HTTP on the loopback interface: traces, metrics and logs in protobuf or JSON, plain or gzip.

The application knows the token of the path from its environment. All that a connection may cost is limited: bytes,
elements, time, and their number.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib import import_module
from typing import Any, Final

from otel_claude_stream.cli import loopback
from otel_claude_stream.cli.otlp import bounds, decode
from otel_claude_stream.cli.otlp.decode import BadTelemetry, Document, Signal

PATHS: Final[Mapping[str, Signal]] = {f"/v1/{signal}": signal for signal in decode.SIGNALS}
MAX_BODY: Final = 20 * 1024 * 1024  # bytes, compressed or not, as in the Collector's receiver
MAX_LENGTH_DIGITS: Final = 12
MAX_BODIES: Final = 4  # read and decoded at a time, which limits the memory
GZIP_WINDOW: Final = 31  # zlib's largest window (15) plus 16, which stands for a gzip header
BODY_SECONDS: Final = 10.0  # for the body
STRANGER: Final = "refused a request of another program, which does not know the token of this receiver"
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


class Receiver(loopback.LoopbackServer):
    """Listens on a loopback port and passes each message to ``on_message``, in the thread of its connection.

    A context manager. ``port`` 0 is any free port. A request must have ``token`` as the first segment of its path, by
    default a new random one. An exception of ``on_message`` is reported to ``on_error`` and answered with status 500.
    """

    def __init__(
        self,
        on_message: Callable[[Message], None],
        on_error: Callable[[str], None],
        *,
        port: int = 0,
        token: str | None = None,
    ) -> None:
        self.on_message = on_message
        self.on_error = on_error
        self.bodies: threading.BoundedSemaphore = threading.BoundedSemaphore(MAX_BODIES)
        self._warned = threading.Event()
        super().__init__(port, _Handler, token)

    @property
    def url(self) -> str:
        """The base endpoint for an exporter, with the token and without the path of a signal. It is a secret."""
        return self.base_url

    def report_stranger(self) -> None:
        """Report the first request without the token; more would let others write to the terminal."""
        if not self._warned.is_set():
            self._warned.set()
            self.on_error(STRANGER)


class _Handler(loopback.LoopbackHandler):
    server: Receiver

    def do_POST(self) -> None:  # noqa: N802 - the name that the base class looks up
        """Handle one export."""
        path = self.checked_path()
        if path is None:
            self.server.report_stranger()
            self._answer(HTTPStatus.NOT_FOUND, decode.JSON, "not found")
            return
        content_type = self.headers.get_content_type()
        try:
            with self.server.bodies:
                message = self._message(path, content_type)
                self.server.on_message(message)
        except RequestRefused as refused:
            self.server.on_error(f"refused {path}: {refused}")
            self._answer(refused.status, content_type, str(refused))
        except Exception as error:  # noqa: BLE001 - the exporter must get an answer, and the error must be reported
            self.server.on_error(f"receiving {path} failed: {error!r}")
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, content_type, "the receiver failed")
        else:
            self._answer(HTTPStatus.OK, content_type)

    def _message(self, path: str, content_type: str) -> Message:
        signal = PATHS.get(path)
        if signal is None:
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"{path} does not exist; known paths: {', '.join(PATHS)}")
        raw = self._body()
        kept = {name: value for name in ("Content-Type", "Content-Encoding") if (value := self.headers.get(name))}
        if content_type not in (decode.PROTOBUF, decode.JSON) or not all(map(str.isprintable, kept.values())):
            reason = f"content type {content_type} is not OTLP/HTTP; known: {decode.PROTOBUF}, {decode.JSON}"
            raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, reason)
        body = decompressed(raw, kept.get("Content-Encoding", ""))
        try:
            decode.check_size(signal, body, content_type)
            document = decode.read(signal, body, content_type)
        except bounds.TooLarge as error:
            raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from error
        except BadTelemetry as error:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(error)) from error
        return Message(signal, path, kept, raw, document)

    def _body(self) -> bytes:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal()):
            raise RequestRefused(HTTPStatus.LENGTH_REQUIRED, "the header content-length is missing")
        if len(length) > MAX_LENGTH_DIGITS or int(length) > MAX_BODY:
            raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY} bytes")
        self.reader.allow(int(length), BODY_SECONDS)
        try:
            raw = self.rfile.read(int(length))
        except TimeoutError as error:
            reason = f"the body did not arrive within {BODY_SECONDS:.0f} s"
            raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, reason) from error
        if len(raw) < int(length):
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "the body is cut short")
        return raw

    def _answer(self, status: HTTPStatus, content_type: str, reason: str = "") -> None:
        """Answer, and close the connection, which an exporter would keep open and thereby a thread."""
        encoded = content_type if content_type in (decode.PROTOBUF, decode.JSON) else decode.JSON
        body = _status(encoded, reason) if reason else (b"{}" if encoded == decode.JSON else b"")
        self.connection.settimeout(loopback.HEAD_SECONDS)
        self.send_response(status)
        self.send_header("Content-Type", encoded)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
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

    Raises ``RequestRefused`` for an unknown encoding, a damaged body, and one of more than 20 MiB.
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
