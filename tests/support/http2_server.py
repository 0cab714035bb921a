"""`Http2API`, an HTTP/2 server on the loopback interface that answers requests with scripts, as `FakeAPI` does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, StreamEnded
from h2.exceptions import ProtocolError

from otel_claude_stream.testing import CutMidChunk, End, Hang, Pause, Reset, Script
from otel_claude_stream.testing.response_plan import plan_response

if TYPE_CHECKING:
    from typing_extensions import Self

HOST = "127.0.0.1"


@dataclass
class Request:
    """A request that arrived, and whether its response was sent to the end."""

    connection: int
    completed: bool = False


class Http2API:
    """A context manager that starts and stops the server. It speaks HTTP/2 at once, as a client with prior knowledge.

    Each request takes the next script; the last one repeats. `Reset` resets the stream, `CutMidChunk` closes the
    connection.
    """

    def __init__(self, scripts: Sequence[Script]) -> None:
        self._scripts = list(scripts)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="http2-api")
        self.requests: list[Request] = []
        self.connections = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(lambda: _Connection(self), HOST, 0)
        self.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()

    def begin(self, connection: int) -> tuple[Script, Request]:
        """Record a request and return its script."""
        self.requests.append(request := Request(connection))
        return self._scripts[min(len(self.requests), len(self._scripts)) - 1], request


class _Connection(asyncio.Protocol):
    def __init__(self, api: Http2API) -> None:
        self._api = api
        self._h2 = H2Connection(H2Configuration(client_side=False))
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment] # that of a TCP server
        self._api.connections += 1
        self._number = self._api.connections
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, StreamEnded):
                self._tasks.add(task := asyncio.ensure_future(self._respond(event.stream_id)))
                task.add_done_callback(self._tasks.discard)
            elif isinstance(event, ConnectionTerminated):
                self._transport.close()
        self._flush()

    def _flush(self) -> None:
        self._transport.write(self._h2.data_to_send())

    async def _respond(self, stream: int) -> None:
        script, request = self._api.begin(self._number)
        plan = plan_response(replace(script, framing="close"), f"req_{stream}")
        await asyncio.sleep(script.header_delay)
        first, *lines = plan.head.decode("latin-1").strip().split("\r\n")
        pairs = [tuple(line.split(": ", 1)) for line in lines if not line.startswith("connection:")]
        with suppress(ProtocolError):  # the client has closed the connection
            self._h2.send_headers(stream, [(":status", first.split()[1]), *pairs])
            self._flush()
            for part in plan.parts:
                if isinstance(part, Pause):
                    await asyncio.sleep(part.seconds)
                else:
                    self._h2.send_data(stream, part)
                self._flush()
            match plan.ending:
                case End():
                    self._h2.end_stream(stream)
                case Hang():
                    await asyncio.sleep(plan.ending.max_seconds)
                case Reset():
                    self._h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
                case CutMidChunk():
                    self._transport.write_eof()  # a close would reset the connection if bytes are unread
            self._flush()
            request.completed = True
