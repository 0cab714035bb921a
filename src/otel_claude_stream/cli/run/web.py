"""The page of ``run --web``, which is that of the report and follows the command on a loopback port.

A request needs the token, a host that is this machine, and no origin but the page's own. So neither another user nor a
site in the browser can read the page, also not one whose name resolves to 127.0.0.1.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from http import HTTPStatus
from typing import Final

from otel_claude_stream.cli import loopback
from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.view.feed import Feed
from otel_claude_stream.cli.view.report import live_page

MAX_READERS: Final = 16  # pages at a time
SEND_SECONDS: Final = 10.0  # until a reader that takes nothing is disconnected; its page connects again
LAST_SECONDS: Final = 1.0  # for the readers to get the last state
EVENTS: Final = "/events"
HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Connection", "close"),
)
CLOSED_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"


class PageServer(loopback.LoopbackServer):
    """Serves the page and its events until the end of the ``with`` block. Raises ``CommandError`` without a port."""

    def __init__(self, feed: Feed, title: str, port: int = 0) -> None:
        self.feed = feed
        self.page: str
        self.policy: str
        self.page, self.policy = live_page(title, EVENTS.removeprefix("/"))
        self.readers: threading.BoundedSemaphore = threading.BoundedSemaphore(MAX_READERS)
        try:
            super().__init__(port, _Handler)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "is in use" if taken else f"cannot be used: {os.strerror(error.errno or 0)}"
            raise CommandError(f"--port {port} {reason}; name another port, or none for a free one") from error
        self.hosts: set[str] = {f"{name}:{self.server_port}" for name in (loopback.HOST, "localhost")}

    @property
    def url(self) -> str:
        """The URL of the page. It is a secret."""
        return f"{self.base_url}/"

    def __exit__(self, *details: object) -> None:
        self.feed.close()
        deadline = time.monotonic() + LAST_SECONDS
        for _ in range(MAX_READERS):  # each reader releases its place
            self.readers.acquire(timeout=max(0.0, deadline - time.monotonic()))
        super().__exit__(*details)


class _Handler(loopback.LoopbackHandler):
    server: PageServer

    def do_GET(self) -> None:  # noqa: N802 - the name that the base class looks up
        """Answer with the page, or with the events."""
        path = self.checked_path()
        if path not in ("/", EVENTS):
            self._answer(HTTPStatus.NOT_FOUND, "not found")
        elif reason := self._refusal(path):
            self._answer(HTTPStatus.FORBIDDEN, reason)
        elif path == "/":
            self._answer(HTTPStatus.OK, self.server.page, "text/html", self.server.policy)
        else:
            self._follow()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - as in the base class
        """Answer a request that the base class refuses, with the headers of all answers."""
        self._answer(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def version_string(self) -> str:
        """Return the name of the server, without a version."""
        return "otel-claude-stream"

    def _refusal(self, path: str) -> str:
        """Return why a request is refused that has the token; empty if it is not."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            return f"the host must be one of {', '.join(sorted(self.server.hosts))}; forward the same port"
        origins = self.headers.get_all("Origin", [])
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
            return "another origin may not read this"
        site = self.headers.get("Sec-Fetch-Site", "none")
        navigates = path == "/" and self.headers.get("Sec-Fetch-Dest", "document") == "document"
        return "" if navigates or site in ("same-origin", "none") else "another site may not read this"

    def _follow(self) -> None:
        if not self.server.readers.acquire(blocking=False):
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_READERS} pages are connected already; close one")
            return
        try:
            self._head(HTTPStatus.OK, "text/event-stream", CLOSED_POLICY)
            self.end_headers()
            for block in self.server.feed.follow():
                self.wfile.write(block)
        finally:
            self.server.readers.release()

    def _answer(self, status: HTTPStatus, text: str, kind: str = "text/plain", policy: str = CLOSED_POLICY) -> None:
        body = text.encode()
        self._head(status, f"{kind}; charset=utf-8", policy)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, policy: str) -> None:
        self.connection.settimeout(SEND_SECONDS)
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", policy)
        for name, value in HEADERS:
            self.send_header(name, value)
