"""What must not harm the application: a dead collector, a half-imported SDK, somebody else's wrappers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.activation.harness import app, instrument, one_stream, path_folder, python, run
from tests.activation.together import Together

together = Together()
TIMEOUT_SECONDS = 2
LIMITED = {"OTEL_EXPORTER_OTLP_TIMEOUT": str(TIMEOUT_SECONDS), "OTEL_METRIC_EXPORT_TIMEOUT": "2000"}
SIGNALS = 3
"""Traces, metrics and logs are flushed one after the other, each within its own limit."""

SLACK = 20.0
"""Seconds that a start may take on a machine under load, import of the SDK included."""


@contextmanager
def nobody() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@contextmanager
def hanging() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def refusing() -> Iterator[str]:
    """Answers 400 to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(400)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def wrong_protocol() -> Iterator[str]:
    """Speaks something else, and first."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"220 mail.example.org ESMTP\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def exporting_to(server: Callable[[], Iterator[str]]) -> Callable[[str, Path], None]:
    """The application answers, ends well, and in time; what is said of it is the exporter's, and nothing of ours."""

    def case(api: str, tmp: Path) -> None:
        with server() as url:
            found = run(
                python(app("chat.py")), api, PYTHONPATH=path_folder(), **LIMITED, OTEL_EXPORTER_OTLP_ENDPOINT=url
            )
        assert (found.code, found.out) == (0, "Hello there.\n")
        assert "claude" not in found.err
        assert "Traceback" not in found.out
        assert found.seconds < SIGNALS * TIMEOUT_SECONDS + SLACK

    return case


for server in (nobody, hanging, refusing, wrong_protocol):
    together.add(f"a_collector_that_is_{server.__name__}", exporting_to(server))


@together
def a_protocol_that_is_not_installed(api: str, tmp: Path) -> None:
    hello = python("-c", "print('Hello there.')")
    found = run(hello, api, PYTHONPATH=path_folder(), OTEL_EXPORTER_OTLP_PROTOCOL="carrier/pigeon")
    assert (found.code, found.out) == (0, "Hello there.\n")
    assert "carrier/pigeon" in found.err
    assert found.collected.ours == []


@together
def an_import_that_fails_half_way(api: str, tmp: Path) -> None:
    found = run(python(app("half_imported.py"), "fails"), api, PYTHONPATH=path_folder())
    one_stream(found)
    assert found.out.splitlines()[:2] == ["no anthropic._base_client this time", "no anthropic.resources this time"]


@together
def a_part_of_the_sdk_is_imported_first(api: str, tmp: Path) -> None:
    one_stream(run(python(app("half_imported.py"), "partly"), api, PYTHONPATH=path_folder()))


@together
def somebody_else_wraps_the_same_class(api: str, tmp: Path) -> None:
    one_stream(run(instrument(app("half_imported.py"), "twice"), api))


running, test_bad_input = together.test()
