"""``FakeAPI``: an HTTP server on the loopback interface that answers requests with scripts."""

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
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from otel_claude_stream.testing.connection import BadRequest, ClientLeft, Connection, RawRequest, Stopped, wait_for
from otel_claude_stream.testing.response_plan import plan_response
from otel_claude_stream.testing.script import Script
from otel_claude_stream.testing.steps import Json, assert_never

if TYPE_CHECKING:
    from typing_extensions import Self

Scripts = Script | Sequence[Script]

HOST: Final = "127.0.0.1"  # loopback only: the server answers every request that reaches it
DEFAULT_ROUTE: Final = "default"
ROUTE_HEADER: Final = "x-script"
BACKLOG: Final = 1024  # many streams may be opened at once
JOIN_SECONDS: Final = 5.0
WAIT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the server received, and the state of its response.

    Attributes:
        received_at: The time of arrival, in seconds of ``time.monotonic()``.
        route: The name of the route; empty if no route has that name.
        method: The HTTP method.
        path: The path with its query.
        headers: The headers, by their names in lower case.
        body: The body, without transfer coding.
        attempt: The number of the request on its route, counted from 1.
        script_name: The name of the script that answers it.
        request_id: The request id of the response; empty for none.
        connection: The number of the connection, counted from 1. Requests with the same number share a connection.
        completed: Whether the response was played to its end.
        client_disconnected: Whether the client closed the connection before that.
    """

    received_at: float
    route: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    attempt: int
    script_name: str
    request_id: str
    connection: int
    completed: bool = False
    client_disconnected: bool = False

    @property
    def json(self) -> Json:
        """The body, decoded as JSON. Raises ``ValueError`` if it is not JSON."""
        value: Json = json.loads(self.body)
        return value


@dataclass(slots=True)
class Route:
    """The scripts of one route, one for each request; the last one repeats."""

    scripts: tuple[Script, ...]
    attempts: int = field(default=0)

    def next_script(self) -> Script:
        """Count a request and return its script."""
        self.attempts += 1
        return self.scripts[min(self.attempts, len(self.scripts)) - 1]


class FakeAPI:
    """A local HTTP server that answers requests with scripts. A context manager that starts and stops it.

    Args:
        routes: A mapping from the name of a route to a script or a list of scripts. Each request to a route takes the
            next script of its list; the last one repeats. A script or list without a mapping answers every request.
        port: The port to listen on; 0 for a free one.
        ssl_context: A server-side context, to serve HTTPS.

    The route of a request is named by its path (``/s/<name>/...``, see ``url_for``), else by its ``x-script`` header,
    else it is ``default``. A request to an unknown route gets a 404. Raises ``TypeError`` for a route without scripts.
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

    # -- start and stop --------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server. Raises ``OSError`` if the port is in use, ``RuntimeError`` if it is already running."""
        if self._running:
            raise RuntimeError("this FakeAPI is already running")
        self._listener = socket.create_server((HOST, self._port), backlog=BACKLOG)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        self._stop_seen, self._stop = socket.socketpair()
        self._running = True
        self._spawn(self._accept, "fake-api-accept")

    def stop(self) -> None:
        """Close all connections, open streams included, and join all threads. Stopping twice has no effect.

        Raises ``RuntimeError`` if a thread does not end within 5 seconds.
        """
        if not self._running:
            return
        self._running = False
        self._stop.send(b"x")  # never read, so that every waiting thread sees it
        deadline = time.monotonic() + JOIN_SECONDS
        while threads := self._alive():
            threads[0].join(max(0.0, deadline - time.monotonic()))
            if threads[0].is_alive():
                raise RuntimeError(f"FakeAPI: thread {threads[0].name} did not stop within {JOIN_SECONDS} s")
        for sock in (self._listener, self._stop, self._stop_seen):
            sock.close()

    # -- addresses and routes --------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port of the server; before ``start()`` the value of the argument ``port``."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL, without a route."""
        return f"{'http' if self._ssl_context is None else 'https'}://{HOST}:{self._port}"

    def url_for(self, name: str) -> str:
        """Return the ``base_url`` for a client of a route. Raises ``KeyError`` for an unknown route."""
        with self._changed:
            if name not in self._routes:
                raise KeyError(f"no route {name!r}; known: {', '.join(sorted(self._routes))}")
        return f"{self.url}/s/{quote(name, safe='')}"

    def set_route(self, name: str, scripts: Scripts) -> str:
        """Add or replace a route of the running server and return its base URL. Attempts count from 1 again."""
        with self._changed:
            self._routes[name] = _route(name, scripts)
        return self.url_for(name)

    # -- received requests -----------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        """All requests received so far, in order of arrival."""
        with self._changed:
            return list(self._requests)

    def requests_for(self, name: str) -> list[Request]:
        """Return the requests to one route, in order of arrival."""
        return [request for request in self.requests if request.route == name]

    def wait_for_requests(self, n: int, timeout: float = WAIT_SECONDS) -> list[Request]:
        """Wait until ``n`` requests have arrived, and return all. Raises ``TimeoutError`` after ``timeout`` seconds."""
        self.wait_until(lambda requests: len(requests) >= n, timeout)
        return self.requests

    def wait_until(self, predicate: Callable[[list[Request]], bool], timeout: float = WAIT_SECONDS) -> None:
        """Wait until ``predicate(requests)`` is true. It is called after each change of a request.

        Raises ``TimeoutError`` after ``timeout`` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(list(self._requests)), timeout):
                raise TimeoutError(f"condition not met within {timeout} s; requests: {self._requests}")

    # -- threads ---------------------------------------------------------------------------------------------------

    def _spawn(self, target: Callable[..., None], name: str, *args: object) -> None:
        thread = threading.Thread(target=self._run, args=(target, *args), name=name, daemon=True)
        with self._changed:
            self._threads.add(thread)
            thread.start()  # under the lock, as ``stop`` must not join a thread that has not started

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
                continue  # the client has disconnected already
            self._connections += 1
            self._spawn(self._serve, f"fake-api-{self._connections}", sock, self._connections)

    def _serve(self, sock: socket.socket, number: int) -> None:
        connection = Connection(sock, self._stop_seen)
        try:
            if self._ssl_context is not None:
                connection.start_tls(self._ssl_context)
            while self._answer(connection, number):
                continue
        except ClientLeft:
            return
        finally:
            connection.close()

    # -- one request -----------------------------------------------------------------------------------------------

    def _answer(self, connection: Connection, number: int) -> bool:
        """Serve one request and return whether another may follow."""
        try:
            raw = connection.read_request()
        except BadRequest as error:
            self._play(connection, Script.http_error(400, message=f"not an HTTP/1.1 request: {error}"), "req_0")
            return False
        index, script, request = self._record(raw, number)
        try:
            reusable = self._play(connection, script, request.request_id)
        except ClientLeft:
            self._update(index, client_disconnected=True)
            raise
        self._update(index, completed=True)
        return reusable and raw.keep_alive

    def _play(self, connection: Connection, script: Script, request_id: str) -> bool:
        connection.stay_silent(script.header_delay)
        match script.close_before_headers:
            case "fin":
                connection.close()
                return False
            case "rst":
                connection.reset()
                return False
            case "no":
                plan = plan_response(script, request_id)
                connection.send(plan.head)
                connection.send_body(plan)
                connection.perform_ending(plan)
                return plan.keep_alive
            case _:
                assert_never(script.close_before_headers)

    def _record(self, raw: RawRequest, number: int) -> tuple[int, Script, Request]:
        """Choose the script and record the request. Return its index in ``requests``, the script and the request."""
        with self._changed:
            name = _route_name(raw)
            route = self._routes.get(name)
            if route is not None:
                script, attempt = route.next_script(), route.attempts
            else:
                known = ", ".join(sorted(self._routes))
                script = Script.http_error(404, message=f"the fake API has no route {name!r}; known: {known}")
                attempt = 0
            request = Request(
                received_at=time.monotonic(),
                route="" if route is None else name,
                method=raw.method,
                path=raw.path,
                headers=dict(raw.headers),
                body=raw.body,
                attempt=attempt,
                script_name=script.name,
                request_id=script.resolve_request_id(_request_id(name, attempt)) or "",
                connection=number,
            )
            self._requests.append(request)
            self._changed.notify_all()
            return len(self._requests) - 1, script, request

    def _update(self, index: int, *, completed: bool = False, client_disconnected: bool = False) -> None:
        with self._changed:
            self._requests[index] = replace(
                self._requests[index], completed=completed, client_disconnected=client_disconnected
            )
            self._changed.notify_all()


def _route(name: str, scripts: Scripts) -> Route:
    sequence = (scripts,) if isinstance(scripts, Script) else tuple(scripts)
    if not sequence or not all(isinstance(script, Script) for script in sequence):
        raise TypeError(f"route {name!r}: expected a Script or a non-empty list of Scripts, not {scripts!r}")
    return Route(tuple(script if script.name else replace(script, name=name) for script in sequence))


def _route_name(raw: RawRequest) -> str:
    match raw.path.partition("?")[0].split("/"):
        case ["", "s", name, *_]:
            return unquote(name)
        case _:
            return raw.header(ROUTE_HEADER) or DEFAULT_ROUTE


def _request_id(route: str, attempt: int) -> str:
    """Generate a request id that is the same in every run, so that tests can compare whole spans."""
    return "req_011C" + hashlib.sha256(f"{route}/{attempt}".encode()).hexdigest()[:20]
