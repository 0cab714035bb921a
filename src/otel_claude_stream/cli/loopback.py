"""An HTTP server on the loopback interface whose connections have limits: for bytes, time, and their number.

Every local user can connect to the port. A path therefore begins with a random token, which only its user knows.
"""

from __future__ import annotations

import hmac
import io
import secrets
import socket
import threading
import time
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing_extensions import Self

HOST: Final = "127.0.0.1"  # never another interface: only local processes may connect
TOKEN_BYTES: Final = 24  # random ones
MAX_HEAD: Final = 16 * 1024  # bytes of the request line and all headers
MAX_CONNECTIONS: Final = 64  # at a time; each has a thread
HEAD_SECONDS: Final = 5.0  # for the request line and headers together, so that slow clients do not occupy threads
WAIT_SECONDS: Final = 1.0  # for one of the connections to end when there are too many


class LoopbackServer(ThreadingHTTPServer):
    """Serves a loopback port, in a thread for each connection; a context manager. ``port`` 0 is any free port.

    The first segment of a path must be ``token``, by default a new random one. Handlers check that.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, handler: type[LoopbackHandler], token: str | None = None) -> None:
        self.token: str = token or secrets.token_urlsafe(TOKEN_BYTES)
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((HOST, port), handler)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="otel-loopback", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    @property
    def base_url(self) -> str:
        """The URL with the token, without a slash at its end. It is a secret."""
        return f"http://{HOST}:{self.server_port}/{self.token}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or close it if there are too many."""
        if not self._connections.acquire(timeout=WAIT_SECONDS):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle a connection in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a broken connection, since the client tries again."""


class LimitedReader(io.RawIOBase):
    """Reads a socket, up to a number of bytes and until a deadline for all of them."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._left = 0
        self._deadline = 0.0

    def allow(self, size: int, seconds: float) -> None:
        """Permit ``size`` further bytes within ``seconds`` from now."""
        self._left, self._deadline = size, time.monotonic() + seconds

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read once. Raises ``TimeoutError``, and ``HTTPException`` if nothing more is permitted."""
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        if not self._left:
            raise HTTPException(f"the headers are larger than {MAX_HEAD} bytes")
        self._connection.settimeout(seconds)
        size = self._connection.recv_into(buffer, min(len(buffer), self._left))
        self._left -= size
        return size


class LoopbackHandler(BaseHTTPRequestHandler):
    """Handles one connection, and logs nothing, since the terminal belongs to the views."""

    protocol_version = "HTTP/1.1"
    server: LoopbackServer

    def setup(self) -> None:
        """Replace the reader of the base class, whose timeout is for each read."""
        super().setup()
        self.rfile.close()
        self.reader: LimitedReader = LimitedReader(self.connection)
        self.reader.allow(MAX_HEAD, HEAD_SECONDS)
        self.rfile: io.BufferedReader = io.BufferedReader(self.reader)

    def checked_path(self) -> str | None:
        """Return the path behind the token, which begins with a slash; None if the token is another one."""
        token, slash, path = self.path.removeprefix("/").partition("/")
        known = hmac.compare_digest(token.encode("latin-1"), self.server.token.encode())
        return slash + path if known else None

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of the base class
        """Log nothing."""
