"""What must not harm the application: a dead collector, a half-imported SDK, somebody else's wrappers."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.activation.test_declarative import THEIRS, written
from tests.support.activation.environments import interpreter, package_alone, prepared
from tests.support.activation.harness import app, instrument, one_stream, path_folder, python, run
from tests.support.activation.together import Together

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
def answering(code: int) -> Iterator[str]:
    """Answers the same to everything, with a page of several lines."""
    page = b"<html>\r\n<body>\r\nno\r\n</body>\r\n</html>\r\n"

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(code)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def refusing() -> AbstractContextManager[str]:
    return answering(400)


def at_another_path() -> AbstractContextManager[str]:
    return answering(404)


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


NOTE = "[told once in 10 min; each with OTEL_CLAUDE_STREAM_EXPORT_FAILURES=all]"
FAULTS = {
    nobody: "Connection refused",
    hanging: "time",
    refusing: "code: 400",
    at_another_path: "code: 404",
    wrong_protocol: "220 mail.example.org ESMTP",
}
"""Collectors that are none, and a word that the one log line has for each."""

Server = Callable[[], AbstractContextManager[str]]
Start = Callable[[Path, str], tuple[list[str], dict[str, str]]]
"""A command and its variables, of a folder of its own and the address of the collector."""


def by_the_path(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    return python(app("chat.py")), {"PYTHONPATH": path_folder()}


def by_opentelemetry_instrument(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    return instrument(app("chat.py")), {}


def by_autoload(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    interpreter, _ = prepared(tmp / "venv")
    subprocess.run([interpreter, "-m", "otel_claude_stream", "autoload", "install"], check=True, capture_output=True)
    return [interpreter, app("chat.py")], {"OTEL_CLAUDE_STREAM_AUTO": "true"}


def by_a_configuration_file(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    if importlib.util.find_spec("opentelemetry.configuration") is None:
        pytest.skip("this version of OpenTelemetry reads no declarative configuration")
    return instrument(app("chat.py")), {"OTEL_CONFIG_FILE": written(tmp, url, "    claude_stream: {max_models: 5}")}


def without_anything_to_instrument(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    """The folder is inherited by every Python; where OpenTelemetry runs because of us, it is as quiet."""
    more = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "claude_stream", "OTEL_TRACES_EXPORTER": "otlp"}
    code = "from opentelemetry import trace; trace.get_tracer('x').start_span('x').end(); print('Hello there.')"
    return python("-c", code), {"PYTHONPATH": path_folder(), **more}


def in_code(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    order = ("instrument", "sdk", "providers", "read")
    return python(app("in_code.py"), *order), {"WHERE": url, "OTEL_EXPORTER_OTLP_ENDPOINT": ""}


def told(server: Server, start: Start, **more: str) -> Callable[[str, Path], None]:
    """One log line, which says what failed."""

    def case(api: str, tmp: Path) -> None:
        (line,) = said(api, tmp, server, start, **more)
        assert re.match("(Failed to export|Exception while exporting) ", line)
        assert FAULTS[server] in line
        assert line.endswith(NOTE)

    return case


def said(api: str, tmp: Path, server: Server, start: Start, **more: str) -> list[str]:
    """What is said on standard error by an application that answers, ends well, and in time."""
    with server() as url:
        command, variables = start(tmp, url)
        found = run(command, api, **{"OTEL_EXPORTER_OTLP_ENDPOINT": url, **LIMITED, **variables, **more})
    assert (found.code, found.out) == (0, "Hello there.\n"), found.err
    assert found.seconds < SIGNALS * TIMEOUT_SECONDS + SLACK
    return [line for line in found.err.splitlines() if not line.startswith(THEIRS)]


for server in FAULTS:
    for start in (by_the_path, by_opentelemetry_instrument):
        together.add(f"a_collector_that_is_{server.__name__}_{start.__name__}", told(server, start))
for start in (by_autoload, by_a_configuration_file, without_anything_to_instrument):
    together.add(f"a_collector_that_is_nobody_{start.__name__}", told(nobody, start))
together.add(
    "a_collector_that_is_nobody_in_code_that_asks",
    told(nobody, in_code, OTEL_CLAUDE_STREAM_EXPORT_FAILURES="once"),
)


@together
def otherwise_the_log_is_opentelemetrys(api: str, tmp: Path) -> None:
    """In code, and where all is asked for: as many lines as it writes, and nothing of ours in them."""
    for lines in (
        said(api, tmp, nobody, in_code),
        said(api, tmp, nobody, by_the_path, OTEL_CLAUDE_STREAM_EXPORT_FAILURES="all"),
    ):
        assert len(lines) > 1
        assert not any("OTEL_CLAUDE_STREAM" in line for line in lines)


@together
def under_run_the_log_is_as_quiet(api: str, tmp: Path) -> None:
    """Its receiver is there, so that nothing fails; what would be told is told once."""
    code = "from otel_claude_stream._telemetry import export_log; print(export_log.is_told_once() and 'Hello there.')"
    command = python("-m", "otel_claude_stream", "run", "--quiet", "--", *python("-c", code))
    found = run(command, api, export=False)
    assert (found.code, found.out) == (0, "Hello there.\n"), found.err


GRPC = (
    "anthropic==2.11.0",
    "opentelemetry-distro==0.66b1",
    "opentelemetry-exporter-otlp-proto-grpc==1.45.1",
)
"""In an environment of its own: where it is installed, it is OpenTelemetry's default for everything."""


def by_grpc(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    path = os.pathsep.join([path_folder(), package_alone(tmp)])
    variables = {"PYTHONPATH": path, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    return [interpreter(GRPC), app("chat.py")], variables


def told_by_grpc(server: Server, words: str) -> Callable[[str, Path], None]:
    def case(api: str, tmp: Path) -> None:
        (line,) = said(api, tmp, server, by_grpc)
        assert re.match(r"Failed to export \w+ to 127.0.0.1:\d+, error code: ", line)
        assert words in line
        assert line.endswith(NOTE)

    return case


for server, words in ((nobody, "UNAVAILABLE"), (hanging, "DEADLINE_EXCEEDED"), (refusing, "UNAVAILABLE")):
    together.add(f"a_collector_that_is_{server.__name__}_by_grpc", told_by_grpc(server, words))


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
