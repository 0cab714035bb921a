"""The application is not harmed by a broken collector, a half-imported SDK or wrappers of other packages."""

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
from tests.support.activation.concurrent_cases import ConcurrentCases
from tests.support.activation.declarative import OPENTELEMETRY_WARNING, write_config
from tests.support.activation.environments import copied_environment, folder_with_package, interpreter_with
from tests.support.activation.harness import app, assert_one_stream, instrument, path_folder, python, run

from otel_claude_stream._auto.exit import EXIT_SECONDS

cases = ConcurrentCases()
TIMEOUT_SECONDS = 2
LIMITED = {"OTEL_EXPORTER_OTLP_TIMEOUT": str(TIMEOUT_SECONDS), "OTEL_METRIC_EXPORT_TIMEOUT": "2000"}
SIGNALS = 3
"""Traces, metrics and logs are flushed one after the other, each with its own time limit."""

SLACK = 20.0
"""Seconds that the end may take beyond that on a machine under load."""


@contextmanager
def unreachable() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@contextmanager
def hanging() -> Iterator[str]:
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def answering(code: int) -> Iterator[str]:
    """Answer every request with a status and a page of several lines."""
    page = b"<html>\r\n<body>\r\nno\r\n</body>\r\n</html>\r\n"

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(code)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Suppress the log."""

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
    """Send the greeting of another protocol."""
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


NOT_FINISHED = "otel-claude-stream: the exporters did not finish within 2 s of the exit; "
NOTE = "[logged at most once in 10 min; OTEL_CLAUDE_STREAM_EXPORT_FAILURES=all logs each]"
COLLECTORS = {
    unreachable: "Connection refused",
    hanging: "time",
    refusing: "code: 400",
    at_another_path: "code: 404",
    wrong_protocol: "220 mail.example.org ESMTP",
}
"""Broken collectors, each with a text in the expected log line."""

APP = app("own_telemetry.py")
"""To an exporter, its telemetry is like any other. The import of the SDK would take most of the time of a process."""

Server = Callable[[], AbstractContextManager[str]]
Start = Callable[[Path, str], tuple[list[str], dict[str, str]]]
"""A function of a temporary folder and the URL of the collector that returns a command and its variables."""


def by_the_path(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    return python(APP), {"PYTHONPATH": path_folder()}


def by_the_path_with_a_stream(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    return python(app("chat.py")), {"PYTHONPATH": path_folder()}


def by_opentelemetry_instrument(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    return instrument(APP), {}


def by_autoload(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    interpreter, _ = copied_environment(tmp / "venv")
    subprocess.run([interpreter, "-m", "otel_claude_stream", "autoload", "install"], check=True, capture_output=True)
    return [interpreter, APP], {"OTEL_CLAUDE_STREAM_AUTO": "true"}


def by_a_configuration_file(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    if importlib.util.find_spec("opentelemetry.configuration") is None:
        pytest.skip("this version of OpenTelemetry reads no declarative configuration")
    return instrument(APP), {"OTEL_CONFIG_FILE": write_config(tmp, url, "    claude_stream: {max_models: 5}")}


def without_anything_to_instrument(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    """Every Python process inherits the folder. Where this package starts OpenTelemetry, its log is limited too."""
    more = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "claude_stream", "OTEL_TRACES_EXPORTER": "otlp"}
    code = "from opentelemetry import trace; trace.get_tracer('x').start_span('x').end(); print('Hello there.')"
    return python("-c", code), {"PYTHONPATH": path_folder(), **more}


def in_code(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    order = ("instrument", "sdk", "providers", "read")
    return python(app("in_code.py"), *order), {"COLLECTOR_URL": url, "OTEL_EXPORTER_OTLP_ENDPOINT": ""}


def one_log_line(server: Server, start: Start, **more: str) -> Callable[[str, Path], None]:
    """Return a case that asserts that the failure is one log line."""

    def case(api: str, tmp: Path) -> None:
        (line,) = run_with_broken_collector(api, tmp, server, start, **more)
        assert re.match("(Failed to export|Exception while exporting) ", line)
        assert COLLECTORS[server] in line
        assert line.endswith(NOTE)

    return case


def run_with_broken_collector(api: str, tmp: Path, server: Server, start: Start, **more: str) -> list[str]:
    """Run an application, assert that it succeeds in time, and return its lines on standard error."""
    with server() as url:
        command, variables = start(tmp, url)
        found = run(command, api, **{"OTEL_EXPORTER_OTLP_ENDPOINT": url, **LIMITED, **variables, **more})
    assert (found.code, found.out) == (0, "Hello there.\n"), found.err
    assert found.seconds < SIGNALS * TIMEOUT_SECONDS + SLACK
    # On a machine under load, exporters that fail by themselves may need longer than the exit waits.
    late = server is not hanging and found.seconds > EXIT_SECONDS
    expected = (OPENTELEMETRY_WARNING, NOT_FINISHED) if late else OPENTELEMETRY_WARNING
    return [line for line in found.err.splitlines() if not line.startswith(expected)]


# The failure decides the exporter's line, the way of starting whether the filter of lines is installed: two lists.
for server in COLLECTORS:
    # Where this package configures the providers, the exit does not wait for a collector that hangs: see below.
    start = by_opentelemetry_instrument if server is hanging else by_the_path
    cases.add(f"collector_{server.__name__}_{start.__name__}", one_log_line(server, start))
for start in (
    by_the_path_with_a_stream,
    by_opentelemetry_instrument,
    by_autoload,
    by_a_configuration_file,
    without_anything_to_instrument,
):
    cases.add(f"collector_unreachable_{start.__name__}", one_log_line(unreachable, start))
cases.add(
    "collector_unreachable_in_code_with_once",
    one_log_line(unreachable, in_code, OTEL_CLAUDE_STREAM_EXPORT_FAILURES="once"),
)


@cases
def the_log_is_not_limited_in_code_or_with_all(api: str, tmp: Path) -> None:
    """OpenTelemetry logs each failure, and this package changes none of the lines."""
    for lines in (
        run_with_broken_collector(api, tmp, unreachable, in_code),
        run_with_broken_collector(api, tmp, unreachable, by_the_path, OTEL_CLAUDE_STREAM_EXPORT_FAILURES="all"),
    ):
        assert len(lines) > 1
        assert not any("OTEL_CLAUDE_STREAM" in line for line in lines)


@cases
def the_log_is_limited_under_run(api: str, tmp: Path) -> None:
    """No export fails here, as `run` has a receiver, but the filter is installed."""
    code = "from otel_claude_stream._telemetry import export_log; print(export_log.is_installed() and 'Hello there.')"
    command = python("-m", "otel_claude_stream", "run", "--quiet", "--", *python("-c", code))
    found = run(command, api, export=False)
    assert (found.code, found.out) == (0, "Hello there.\n"), found.err


GRPC = (
    "anthropic==2.11.0",
    "opentelemetry-distro==0.66b1",
    "opentelemetry-exporter-otlp-proto-grpc==1.45.1",
)
"""A separate environment, as OpenTelemetry uses grpc by default if its exporter is installed."""


def by_grpc(tmp: Path, url: str) -> tuple[list[str], dict[str, str]]:
    path = os.pathsep.join([path_folder(), folder_with_package(tmp)])
    variables = {"PYTHONPATH": path, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    return [interpreter_with(GRPC), APP], variables


def one_log_line_by_grpc(server: Server, words: str) -> Callable[[str, Path], None]:
    def case(api: str, tmp: Path) -> None:
        (line,) = run_with_broken_collector(api, tmp, server, by_grpc)
        assert re.match(r"Failed to export \w+ to 127.0.0.1:\d+, error code: ", line)
        assert words in line
        assert line.endswith(NOTE)

    return case


for server in (unreachable, refusing):
    cases.add(f"collector_{server.__name__}_by_grpc", one_log_line_by_grpc(server, "UNAVAILABLE"))


def the_exit_does_not_wait(start: Start) -> Callable[[str, Path], None]:
    """Return a case in which the exporters would wait for ten seconds."""

    def case(api: str, tmp: Path) -> None:
        patient = {"OTEL_EXPORTER_OTLP_TIMEOUT": "10", "OTEL_METRIC_EXPORT_TIMEOUT": "10000"}
        (line,) = run_with_broken_collector(api, tmp, hanging, start, **patient)
        assert line.startswith(NOT_FINISHED)

    return case


for start in (by_the_path, by_grpc):
    cases.add(f"collector_hanging_{start.__name__}", the_exit_does_not_wait(start))


@cases
def a_protocol_that_is_not_installed(api: str, tmp: Path) -> None:
    hello = python("-c", "print('Hello there.')")
    found = run(hello, api, PYTHONPATH=path_folder(), OTEL_EXPORTER_OTLP_PROTOCOL="carrier/pigeon")
    assert (found.code, found.out) == (0, "Hello there.\n")
    assert "carrier/pigeon" in found.err
    assert found.collected.ours == []


@cases
def an_import_that_fails_half_way(api: str, tmp: Path) -> None:
    found = run(python(app("half_imported.py"), "fails"), api, PYTHONPATH=path_folder())
    assert_one_stream(found)
    assert found.out.splitlines()[:2] == ["no anthropic._base_client this time", "no anthropic.resources this time"]


@cases
def an_import_of_a_part_of_the_sdk_first(api: str, tmp: Path) -> None:
    assert_one_stream(run(python(app("half_imported.py"), "partly"), api, PYTHONPATH=path_folder()))


@cases
def a_wrapper_of_another_package(api: str, tmp: Path) -> None:
    assert_one_stream(run(instrument(app("half_imported.py"), "twice"), api))


running, test_bad_input = cases.test()
