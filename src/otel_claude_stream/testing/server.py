"""``FakeAPI``: an HTTP server on the loopback interface that plays scripts over real sockets."""

from __future__ import annotations

import hashlib
import json
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from otel_claude_stream.testing.connection import BadRequest, ClientLeft, RawRequest, Stopped, Wire, wait_for
from otel_claude_stream.testing.script import Script
from otel_claude_stream.testing.steps import Json, assert_never
from otel_claude_stream.testing.wire import Plan, plan

if TYPE_CHECKING:
    from typing_extensions import Self

Scripts = Script | Sequence[Script]

HOST: Final = "127.0.0.1"  # never another: the server answers everybody who can reach it
DEFAULT_ROUTE: Final = "default"
ROUTE_HEADER: Final = "x-script"
BACKLOG: Final = 1024  # many streams may open at once
JOIN_SECONDS: Final = 5.0
WAIT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server saw it, and how far its answer has come.

    ``at`` is ``time.monotonic()`` in seconds; ``attempt`` counts from 1 in each route; ``connection`` numbers the
    client's connections from 1 (two requests with one number: the connection was reused). ``done`` once the
    answer has been played to its end; ``client_left`` if the client closed the connection before that.
    """

    at: float
    route: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    attempt: int
    script_name: str
    request_id: str
    connection: int
    done: bool = False
    client_left: bool = False

    @property
    def json(self) -> Json:
        """The body as JSON; raises ``ValueError`` when it is not."""
        value: Json = json.loads(self.body)
        return value


@dataclass(slots=True)
class Route:
    """The scripts of one route, taken attempt by attempt; the last one repeats."""

    scripts: tuple[Script, ...]
    attempts: int = field(default=0)

    def next_script(self) -> Script:
        """The script for the attempt that begins now."""
        self.attempts += 1
        return self.scripts[min(self.attempts, len(self.scripts)) - 1]


class FakeAPI:
    """Plays scripts to whoever connects; a context manager.

    ``routes`` maps names to a script or a list of scripts (one an attempt, the last one repeats); a bare script or
    list answers every request. A request belongs to the route in its path (``/s/<name>/...``, see ``url_for``),
    else in its ``x-script`` header, else to the route ``default`` if there is one, else it gets a 404.
    """

    def __init__(
        self, routes: Mapping[str, Scripts] | Scripts, *, port: int = 0, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        named = routes if isinstance(routes, Mapping) else {DEFAULT_ROUTE: routes}
        self._routes = {name: _route(name, scripts) for name, scripts in named.items()}
        self._port = port
        self._ssl_context = ssl_context
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._threads: set[threading.Thread] = set()
        self._connections = 0
        self._running = False

    # -- life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen. Raises ``OSError`` when the port is taken, ``RuntimeError`` when started already."""
        if self._running:
            raise RuntimeError("this FakeAPI is running already")
        self._listener = socket.create_server((HOST, self._port), backlog=BACKLOG)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        self._stop_seen, self._stop = socket.socketpair()
        self._running = True
        self._spawn(self._accept, "fake-api-accept")

    def stop(self) -> None:
        """Close everything, open streams too, and wait for it; nothing happens on a stopped server."""
        if not self._running:
            return
        self._running = False
        self._stop.send(b"x")  # never read: stays visible to every waiting thread
        deadline = time.monotonic() + JOIN_SECONDS
        while threads := self._alive():
            threads[0].join(max(0.0, deadline - time.monotonic()))
            if threads[0].is_alive():
                raise RuntimeError(f"FakeAPI: thread {threads[0].name} did not stop within {JOIN_SECONDS} s")
        for sock in (self._listener, self._stop, self._stop_seen):
            sock.close()

    # -- what clients need -----------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port listened on; 0 before ``start`` if none was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """Base URL, without a route."""
        return f"{'http' if self._ssl_context is None else 'https'}://{HOST}:{self._port}"

    def url_for(self, name: str) -> str:
        """Base URL of a route: the ``base_url`` for a client. Raises ``KeyError`` for an unknown name."""
        with self._changed:
            if name not in self._routes:
                raise KeyError(f"no route {name!r}; known: {', '.join(sorted(self._routes))}")
        return f"{self.url}/s/{quote(name, safe='')}"

    def play(self, name: str, scripts: Scripts) -> str:
        """Add or replace a route while running, attempts counted anew; returns its base URL."""
        with self._changed:
            self._routes[name] = _route(name, scripts)
        return self.url_for(name)

    # -- what tests ask --------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        """Everything received so far, in order of arrival."""
        with self._changed:
            return list(self._requests)

    def requests_for(self, name: str) -> list[Request]:
        """The requests of one route."""
        return [request for request in self.requests if request.route == name]

    def wait_for_requests(self, n: int, timeout: float = WAIT_SECONDS) -> list[Request]:
        """Wait until ``n`` requests have come. Raises ``TimeoutError`` after ``timeout`` seconds."""
        self.wait_until(lambda requests: len(requests) >= n, timeout)
        return self.requests

    def wait_until(self, holds: Callable[[list[Request]], bool], timeout: float = WAIT_SECONDS) -> None:
        """Wait until ``holds(requests)``, asked at every change. Raises ``TimeoutError`` after ``timeout`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: holds(list(self._requests)), timeout):
                raise TimeoutError(f"not so within {timeout} s; requests: {self._requests}")

    # -- threads ---------------------------------------------------------------------------------------------------

    def _spawn(self, target: Callable[..., None], name: str, *args: object) -> None:
        thread = threading.Thread(target=self._run, args=(target, *args), name=name, daemon=True)
        with self._changed:
            self._threads.add(thread)
            thread.start()  # under the lock: ``stop`` must not join a thread that has not started

    def _run(self, target: Callable[..., None], *args: object) -> None:
        try:
            target(*args)
        except Stopped:
            return
        finally:
            with self._changed:
                self._threads.discard(threading.current_thread())

    def _alive(self) -> list[threading.Thread]:
        with self._changed:
            return list(self._threads)

    def _accept(self) -> None:
        while True:
            wait_for(self._listener, self._stop_seen, selectors.EVENT_READ)
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                continue  # the client has gone again
            self._connections += 1
            self._spawn(self._serve, f"fake-api-{self._connections}", sock, self._connections)

    def _serve(self, sock: socket.socket, connection: int) -> None:
        wire = Wire(sock, self._stop_seen)
        try:
            if self._ssl_context is not None:
                wire.start_tls(self._ssl_context)
            while self._answer(wire, connection):
                continue
        except ClientLeft:
            return
        finally:
            wire.close()

    # -- one request -----------------------------------------------------------------------------------------------

    def _answer(self, wire: Wire, connection: int) -> bool:
        """Serve one request; whether another may follow."""
        try:
            raw = wire.read_request()
        except BadRequest as error:
            self._play(wire, Script.http_error(400, message=f"not an HTTP/1.1 request: {error}"), "req_0")
            return False
        at, script, request = self._note(raw, connection)
        try:
            reusable = self._play(wire, script, request.request_id)
        except ClientLeft:
            self._update(at, client_left=True)
            raise
        self._update(at, done=True)
        return reusable and raw.keep_alive

    def _play(self, wire: Wire, script: Script, request_id: str) -> bool:
        wire.rest(script.before_headers)
        match script.refuse:
            case "fin":
                wire.close()
                return False
            case "rst":
                wire.reset()
                return False
            case "no":
                return self._play_out(wire, plan(script, request_id))
            case _:
                assert_never(script.refuse)

    @staticmethod
    def _play_out(wire: Wire, ready: Plan) -> bool:
        wire.send(ready.head)
        wire.play(ready)
        wire.end(ready)
        return ready.keep_alive

    def _note(self, raw: RawRequest, connection: int) -> tuple[int, Script, Request]:
        """Choose the script, record the request; with its position in the record."""
        with self._changed:
            name = _route_name(raw)
            route = self._routes.get(name)
            script = self._unknown(name) if route is None else route.next_script()
            attempt = 0 if route is None else route.attempts
            request = Request(
                at=time.monotonic(),
                route="" if route is None else name,
                method=raw.method,
                path=raw.path,
                headers=dict(raw.headers),
                body=raw.body,
                attempt=attempt,
                script_name=script.name,
                request_id=script.request_id_or(_request_id(name, attempt)) or "",
                connection=connection,
            )
            self._requests.append(request)
            self._changed.notify_all()
            return len(self._requests) - 1, script, request

    def _update(self, at: int, *, done: bool = False, client_left: bool = False) -> None:
        with self._changed:
            self._requests[at] = replace(self._requests[at], done=done, client_left=client_left)
            self._changed.notify_all()

    def _unknown(self, name: str) -> Script:
        known = ", ".join(sorted(self._routes))
        return Script.http_error(404, message=f"the fake API has no route {name!r}; known: {known}")


def _route(name: str, scripts: Scripts) -> Route:
    listed = (scripts,) if isinstance(scripts, Script) else tuple(scripts)
    if not listed or not all(isinstance(script, Script) for script in listed):
        raise TypeError(f"route {name!r}: a Script or a list of at least one Script is needed, not {scripts!r}")
    return Route(tuple(script if script.name else replace(script, name=name) for script in listed))


def _route_name(raw: RawRequest) -> str:
    match raw.path.partition("?")[0].split("/"):
        case ["", "s", name, *_]:
            return unquote(name)
        case _:
            return raw.header(ROUTE_HEADER) or DEFAULT_ROUTE


def _request_id(route: str, attempt: int) -> str:
    """Made up, yet the same in every run, so that tests can compare whole spans."""
    return "req_011C" + hashlib.sha256(f"{route}/{attempt}".encode()).hexdigest()[:20]
