"""One client connection of the fake API: reading requests, playing plans, noticing that the client left.

The socket never blocks. All waiting happens in ``wait_for``, which also ends when the server stops, so that a
server with open streams stops at once and leaves no thread behind.
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

from otel_claude_stream.testing.steps import CutMidChunk, End, Hang, Pause, Reset, assert_never
from otel_claude_stream.testing.wire import Plan

# poll has no limit of 1,024 descriptors, as select has; Windows has select only, without that limit.
Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)
READ_SIZE: Final = 1 << 16
MAX_HEAD: Final = 1 << 20
LINGER_SECONDS: Final = 0.5  # after FIN, for the client to close first: closing with unread bytes would send a RST
DRAIN_SECONDS: Final = 1.0  # before a RST, for sent bytes to arrive: a RST throws away what is still on its way
DRAIN_BLIND_SECONDS: Final = 0.02  # the same where the system does not tell how much is on its way
NO_LINGER: Final = struct.pack("ii", 1, 0) if sys.platform != "win32" else struct.pack("hh", 1, 0)


class ClientLeft(Exception):
    """The client closed or reset the connection."""


class Stopped(Exception):
    """The server is stopping."""


class BadRequest(Exception):
    """What came in is not an HTTP/1.1 request."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as read: header names in lower case, the body with its transfer coding removed."""

    method: str
    path: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, asked for in lower case."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def keep_alive(self) -> bool:
        """Whether the client lets another request follow."""
        connection = (self.header("connection") or "").lower()
        return "close" not in connection if self.version == "HTTP/1.1" else "keep-alive" in connection


class Wire:
    """A connected socket. ``stop`` is a socket that becomes readable when the server stops."""

    def __init__(self, sock: socket.socket, stop: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._stop = stop
        self._buffer = bytearray()

    # -- requests --------------------------------------------------------------------------------------------------

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Take the server's part in a TLS handshake."""
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
        """The next request. Raises ``ClientLeft``, ``Stopped`` or ``BadRequest``."""
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
            self._receive()
        return self._read_exactly(at + len(mark))

    def _read_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._receive()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _receive(self) -> None:
        """Wait for bytes and take them in."""
        while not self._take_in():
            self.wait(selectors.EVENT_READ)

    def _take_in(self) -> bool:
        """Take in what has arrived; false when nothing has. Raises ``ClientLeft`` at the end of it."""
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
        """Write all of ``data``, in one piece if the client keeps up."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self.wait(selectors.EVENT_WRITE)
            except OSError as error:
                raise ClientLeft from error

    def rest(self, seconds: float) -> None:
        """Send nothing for so long. Raises ``ClientLeft`` or ``Stopped`` as soon as that happens."""
        deadline = time.monotonic() + seconds
        while self.wait(selectors.EVENT_READ, deadline):
            self._take_in()

    def play(self, plan: Plan) -> None:
        """Write everything between head and ending, with its pauses."""
        for move in plan.moves:
            if isinstance(move, Pause):
                self.rest(move.seconds)
            else:
                self.send(move)
        if plan.last:
            self.send(plan.last)

    def end(self, plan: Plan) -> None:
        """Do what the plan's ending does to the connection; a clean end leaves it open."""
        match plan.ending:
            case End():
                return
            case CutMidChunk():
                self.close()
            case Reset():
                self.reset()
            case Hang():
                self.rest(plan.ending.max_seconds)
                self.close()
            case _:
                assert_never(plan.ending)

    # -- closing ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close with FIN; nothing happens on a closed connection."""
        if self._sock.fileno() < 0:
            return
        try:
            if isinstance(self._sock, ssl.SSLSocket):
                self._say_goodbye(self._sock)
            self._sock.shutdown(socket.SHUT_WR)
            self.rest(LINGER_SECONDS)
        except (OSError, ClientLeft, Stopped):
            return  # there is nobody left to be polite to
        finally:
            self._sock.close()

    def reset(self) -> None:
        """Close with RST, once the bytes sent have arrived."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while (left := _unsent(self._sock)) and time.monotonic() < deadline:
            time.sleep(0.001)
        if left is None:
            time.sleep(DRAIN_BLIND_SECONDS)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self._sock.close()

    @staticmethod
    def _say_goodbye(tls: ssl.SSLSocket) -> None:
        """Send TLS's own end (close_notify), without which every end would look like an attack to the client."""
        try:
            tls.unwrap()
        except (ssl.SSLError, OSError, ValueError):
            return  # sent, but not answered yet; or the handshake never finished

    def wait(self, event: int, deadline: float | None = None) -> bool:
        """Wait until the socket is ready; false when the time is up. Raises ``Stopped`` when the server stops."""
        return wait_for(self._sock, self._stop, event, deadline)


def wait_for(sock: socket.socket, stop: socket.socket, event: int, deadline: float | None = None) -> bool:
    """Wait for ``event`` on ``sock`` until ``deadline`` (``time.monotonic``); raises ``Stopped`` with ``stop``."""
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
    """Bytes written but not yet acknowledged; ``None`` where the system does not tell."""
    try:
        import fcntl
        import termios

        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except (ImportError, OSError):
        return None
