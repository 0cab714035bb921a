"""A client connection of the fake API: requests, responses, and the disconnect of the client.

The socket does not block. Every wait is in ``wait_for``, which also returns when the server stops. A server with open
streams therefore stops at once and leaves no thread behind.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import sys
import time
from dataclasses import dataclass
from typing import Final

from otel_claude_stream.testing.response_plan import ResponsePlan
from otel_claude_stream.testing.steps import CutMidChunk, End, Hang, Pause, Reset, assert_never

# Unlike select, poll has no limit of 1,024 descriptors. Windows has select only, without that limit.
Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)
READ_SIZE: Final = 1 << 16
MAX_HEAD: Final = 1 << 20
LINGER_SECONDS: Final = 0.5  # after FIN, for the client to close first: a close with unread bytes would send RST
DRAIN_SECONDS: Final = 1.0  # before RST, for sent bytes to arrive: RST discards those in transit
DRAIN_BLIND_SECONDS: Final = 0.02  # the same, where the number of bytes in transit is unknown
NO_LINGER: Final = struct.pack("ii", 1, 0) if sys.platform != "win32" else struct.pack("hh", 1, 0)


class ClientLeft(Exception):
    """The client closed or reset the connection."""


class Stopped(Exception):
    """The server is stopping."""


class BadRequest(Exception):
    """The received bytes are not an HTTP/1.1 request."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request, with header names in lower case and the body without its transfer coding."""

    method: str
    path: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first value of a header, by its name in lower case."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow on the connection."""
        connection = (self.header("connection") or "").lower()
        return "close" not in connection if self.version == "HTTP/1.1" else "keep-alive" in connection


class Connection:
    """A connection to one client. ``stop`` is a socket that becomes readable when the server stops."""

    def __init__(self, sock: socket.socket, stop: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._stop = stop
        self._buffer = bytearray()

    # -- requests --------------------------------------------------------------------------------------------------

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Perform the server side of the TLS handshake."""
        tls = context.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
        self._sock = tls
        while True:
            try:
                return tls.do_handshake()
            except ssl.SSLWantReadError:
                self.wait(selectors.EVENT_READ)
            except ssl.SSLWantWriteError:
                self.wait(selectors.EVENT_WRITE)
            except OSError as error:
                raise ClientLeft from error

    def read_request(self) -> RawRequest:
        """Read the next request. Raises ``ClientLeft``, ``Stopped`` or ``BadRequest``."""
        head = self._read_until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        match first.split(" "):
            case [method, path, ("HTTP/1.1" | "HTTP/1.0") as version]:
                headers = tuple(_header(line) for line in lines if line)
            case _:
                raise BadRequest(first[:80])
        request = RawRequest(method, path, version, headers, b"")
        return RawRequest(method, path, version, headers, self._read_body(request))

    def _read_body(self, request: RawRequest) -> bytes:
        if "chunked" in (request.header("transfer-encoding") or "").lower():
            return self._read_chunks()
        length = request.header("content-length") or "0"
        if not length.isdigit():
            raise BadRequest(f"content-length: {length[:80]}")
        return self._read_exactly(int(length))

    def _read_chunks(self) -> bytes:
        body = b""
        while True:
            size_line = self._read_until(b"\r\n").partition(b";")[0].strip()
            try:
                size = int(size_line, 16)
            except ValueError:
                raise BadRequest(f"chunk size {size_line[:80]!r}") from None
            body += self._read_exactly(size)
            if size == 0:
                while self._read_until(b"\r\n") != b"\r\n":
                    continue  # trailers
                return body
            self._read_until(b"\r\n")

    def _read_until(self, mark: bytes) -> bytes:
        while (at := self._buffer.find(mark)) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequest("head too long")
            self._wait_for_bytes()
        return self._read_exactly(at + len(mark))

    def _read_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._wait_for_bytes()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _wait_for_bytes(self) -> None:
        """Wait until bytes arrive and buffer them."""
        while not self._receive_available():
            self.wait(selectors.EVENT_READ)

    def _receive_available(self) -> bool:
        """Buffer the bytes that have arrived; return whether there were any. Raises ``ClientLeft`` at the end."""
        try:
            data = self._sock.recv(READ_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError as error:
            raise ClientLeft from error
        if not data:
            raise ClientLeft
        self._buffer += data
        return True

    # -- responses -------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Write all of ``data``, in one piece unless the send buffer is full."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self.wait(selectors.EVENT_WRITE)
            except OSError as error:
                raise ClientLeft from error

    def stay_silent(self, seconds: float) -> None:
        """Send nothing for ``seconds``. Raises ``ClientLeft`` or ``Stopped`` as soon as that happens."""
        deadline = time.monotonic() + seconds
        while self.wait(selectors.EVENT_READ, deadline):
            self._receive_available()

    def send_body(self, plan: ResponsePlan) -> None:
        """Send the body of a response, with its pauses."""
        for part in plan.parts:
            if isinstance(part, Pause):
                self.stay_silent(part.seconds)
            else:
                self.send(part)
        if plan.last:
            self.send(plan.last)

    def perform_ending(self, plan: ResponsePlan) -> None:
        """Perform the ending of a response. A clean end leaves the connection open."""
        match plan.ending:
            case End():
                return
            case CutMidChunk():
                self.close()
            case Reset():
                self.reset()
            case Hang():
                self.stay_silent(plan.ending.max_seconds)
                self.close()
            case _:
                assert_never(plan.ending)

    # -- closing ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close with FIN. Closing twice has no effect."""
        if self._sock.fileno() < 0:
            return
        try:
            if isinstance(self._sock, ssl.SSLSocket):
                self._send_close_notify(self._sock)
            self._sock.shutdown(socket.SHUT_WR)
            self.stay_silent(LINGER_SECONDS)
        except (OSError, ClientLeft, Stopped):
            return  # the peer has gone
        finally:
            self._sock.close()

    def reset(self) -> None:
        """Close with RST, once the sent bytes have arrived."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while (unsent := _unsent(self._sock)) and time.monotonic() < deadline:
            time.sleep(0.001)
        if unsent is None:
            time.sleep(DRAIN_BLIND_SECONDS)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self._sock.close()

    @staticmethod
    def _send_close_notify(tls: ssl.SSLSocket) -> None:
        """Send TLS's close_notify. Without it, clients treat the end as a truncation attack."""
        try:
            tls.unwrap()
        except (ssl.SSLError, OSError, ValueError):
            return  # sent, but not answered yet; or the handshake never finished

    def wait(self, event: int, deadline: float | None = None) -> bool:
        """Wait until the socket is ready; return false at the deadline. Raises ``Stopped`` if the server stops."""
        return wait_for(self._sock, self._stop, event, deadline)


def wait_for(sock: socket.socket, stop: socket.socket, event: int, deadline: float | None = None) -> bool:
    """Wait for ``event`` on ``sock`` until ``deadline`` (of ``time.monotonic``); return whether it occurred.

    Raises ``Stopped`` as soon as ``stop`` is readable.
    """
    with Selector() as selector:
        selector.register(sock, event)
        selector.register(stop, selectors.EVENT_READ)
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = {key.fileobj for key, _ in selector.select(timeout)}
    if stop in ready:
        raise Stopped
    return bool(ready)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise BadRequest(line[:80])
    return name.strip().lower(), value.strip()


def _unsent(sock: socket.socket) -> int | None:
    """Return the number of unacknowledged bytes; ``None`` where the system does not report it."""
    try:
        import fcntl
        import termios

        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except (ImportError, OSError):
        return None
