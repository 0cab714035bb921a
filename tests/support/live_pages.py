"""The page of a running command for tests: its server, and states of streams."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.support.report_pages import snapshot

from otel_claude_stream.cli.run.web import PageServer
from otel_claude_stream.cli.view.feed import Feed
from otel_claude_stream.cli.view.open_streams import OpenStream
from otel_claude_stream.cli.view.telemetry import Snapshot

if TYPE_CHECKING:
    from typing_extensions import Self

TITLE = "Claude streams of app"


def open_stream(n: int = 0, doing: str = "receiving, in text", **more: Any) -> OpenStream:
    values = {
        "key": f"k{n}", "title": "", "model": f"claude-{n}", "port": 443, "started": 1_790_000_000.0 + n, "age": 50.0,
        "doing": doing, "hangs": 0.0, "request_id": f"req_{n:04d}", **more,
    }  # fmt: skip
    return OpenStream(**values)


def state(*views: Any, streams: tuple[OpenStream, ...] = (), **more: Any) -> Snapshot:
    """Return the state with these streams, which have ended, and those that are open."""
    return snapshot(views, **{"open": len(streams), "open_streams": streams, **more})


@contextmanager
def serving(port: int = 0) -> Iterator[tuple[PageServer, Feed]]:
    feed = Feed()
    with PageServer(feed, TITLE, port) as server:
        yield server, feed


def connect(server: PageServer, path: str = "/events", **headers: str) -> socket.socket:
    """Send a request with the token and return its connection."""
    target = urlsplit(server.url)
    connection = socket.create_connection((target.hostname or "", target.port or 0), 10)
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in {"Host": target.netloc, **headers}.items()]
    request = f"GET {target.path.rstrip('/')}{path} HTTP/1.1\r\n{''.join(lines)}\r\n"
    connection.sendall(request.encode("latin-1"))
    return connection


class Reader:
    """Reads the events of a page. A context manager."""

    def __init__(self, server: PageServer) -> None:
        self._connection = connect(server)
        self._file = self._connection.makefile("rb")
        self.head = list(iter(self._file.readline, b"\r\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._connection.close()

    def event(self) -> tuple[str, Any]:
        """Return the next event with its data; an empty name at the end."""
        name = ""
        for line in iter(self._file.readline, b""):
            if line.startswith(b"event: "):
                name = line[7:].decode().strip()
            elif line.startswith(b"data: "):
                return name, json.loads(line[6:])
        return "", None

    def until_state(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the streams before the next state, and the state."""
        rows = []
        while True:
            name, data = self.event()
            assert name, "the events ended"
            if name == "state":
                return rows, data
            rows.append(data)
