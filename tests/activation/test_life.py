"""Telemetry across forks, threads, worker processes and the exit of a process."""

from __future__ import annotations

import http.client
import importlib.util
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.support.activation.concurrent_cases import ConcurrentCases
from tests.support.activation.harness import (
    APPS,
    TIMEOUT,
    app,
    collecting,
    environment,
    exporting,
    instrument,
    path_folder,
    python,
    run,
)
from tests.support.ports import free_port

cases = ConcurrentCases()
EXAMPLE = str(Path(__file__).parents[2] / "examples" / "flush.py")
SLOW = {"OTEL_BSP_SCHEDULE_DELAY": "60000"}
"""No batch is exported by its schedule, so that all telemetry was flushed at the end."""

posix = pytest.mark.skipif(os.name != "posix", reason="the tests need POSIX signals and forks")


def skip_without(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed, as it does not support this platform")


# --- The end of a process


@cases
def a_short_script_exports_everything(api: str, tmp: Path) -> None:
    found = run(python(app("chat.py")), api, PYTHONPATH=path_folder(), **SLOW)
    assert [span.attributes["claude.stream.outcome"] for span in found.collected.ours] == ["completed"]
    assert ("app", "otel_claude_stream", "claude.stream.duration") in found.collected.metrics


@cases
def streams_open_at_exit_are_recorded(api: str, tmp: Path) -> None:
    """This holds for both ways of activation, after `sys.exit()` and after an exception."""
    for command, more, code in (
        (instrument(app("leaves_open.py"), "exit"), {}, 3),
        (python(app("leaves_open.py"), "raise"), {"PYTHONPATH": path_folder()}, 1),
    ):
        found = run(command, api, **more, **SLOW)
        assert (found.code, "ValueError: the application's own" in found.err) == (code, code == 1)
        assert [span.reason for span in found.collected.ours] == ["interpreter_exit"]


@cases
def sigterm_as_in_the_example(api: str, tmp: Path) -> None:
    """With the handler of the example, SIGTERM is a normal exit. Without it, the open stream is lost."""
    found = run(python(app("terminated.py"), EXAMPLE, "sigterm"), api, PYTHONPATH=path_folder(), **SLOW)
    assert (found.code, found.err) == (128 + signal.SIGTERM, "")
    assert [span.reason for span in found.collected.ours] == ["interpreter_exit"]
    found = run(python(app("terminated.py"), EXAMPLE), api, PYTHONPATH=path_folder(), **SLOW)
    assert (found.code, found.err, found.collected.ours) == (-signal.SIGTERM, "", [])


@cases
def a_freeze_as_in_the_example(api: str, tmp: Path) -> None:
    found = run(python(app("terminated.py"), EXAMPLE, "handler"), api, PYTHONPATH=path_folder(), **SLOW)
    assert (found.code, found.err) == (0, "")
    assert [span.attributes["claude.stream.outcome"] for span in found.collected.ours] == ["completed"]
    assert ("app", "otel_claude_stream", "claude.stream.duration") in found.collected.metrics


# --- Forks and the like


def forking(*arguments: str) -> Callable[[str, Path], None]:
    def case(api: str, tmp: Path) -> None:
        found = run(python("-W", "ignore", app("forks.py"), *arguments), api, PYTHONPATH=path_folder(), **SLOW)
        assert (found.code, found.out, found.err) == (0, "Hello there.\n", "")
        models = Counter(span.attributes["gen_ai.request.model"] for span in found.collected.ours)
        before = {"parent-before": 1, "parent-open": 1} if "before" in arguments else {}
        assert models == {**before, "child": 1, "parent-after": 1}
        assert {span.attributes["claude.stream.outcome"] for span in found.collected.ours} == {"completed"}

    return case


for arguments in (
    ("fork", "before"),
    ("multiprocessing-fork", "before"),
    ("multiprocessing-spawn",),
    ("multiprocessing-forkserver",),
):
    cases.add("_".join(arguments), forking(*arguments))


def assert_at_once(api: str, *libraries: str, **more: str) -> str:
    """Assert that each library reads three streams at once, and return what the process wrote to standard error."""
    found = run(python(app("concurrent_reads.py"), *libraries), api, PYTHONPATH=path_folder(), **more)
    assert (found.code, found.out) == (0, "Hello there.\n")
    spans = Counter(
        (span.attributes["gen_ai.request.model"], span.attributes["claude.stream.outcome"])
        for span in found.collected.ours
    )
    assert spans == dict.fromkeys([(name, "completed") for name in ("one", "two", "three")], len(libraries))
    return found.err


@cases
def at_once_with_threads_asyncio_and_trio(api: str, tmp: Path) -> None:
    installed = [name for name in ("threads", "asyncio", "trio") if name == "threads" or importlib.util.find_spec(name)]
    assert assert_at_once(api, *installed) == ""


@cases
def at_once_with_gevent(api: str, tmp: Path) -> None:
    skip_without("gevent")
    err = assert_at_once(api, "gevent", OTEL_PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH="patch_all")
    # SDKs before 1.0 fork at the first request, to get the name of the platform. gevent then also runs threads of
    # OpenTelemetry in the child, where they fail and log.
    assert err == "" or version("anthropic").startswith("0.")


# --- Servers with workers


def assert_served(
    api: str, command: Sequence[str], port: int, *, requests: int = 4, workers: int = 2, **more: str
) -> None:
    """Start a server, send requests, stop it with SIGTERM; assert that there is one span for each request."""
    with collecting() as collected:
        env = environment(api, **{**exporting(collected.url), "PYTHONPATH": path_folder(), **more})
        with subprocess.Popen(command, env=env, cwd=APPS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
            try:
                worker_ids = {request_worker_id(port, server) for _ in range(requests)}
                if not more:  # batches are exported by their schedule
                    collected.wait(lambda seen: len(seen.ours) >= requests)
            finally:
                server.terminate()
                try:
                    output = server.communicate(timeout=TIMEOUT)[0].decode()
                except subprocess.TimeoutExpired:
                    server.kill()
                    output = server.communicate()[0].decode()
                    pytest.fail(f"the server did not stop:\n{output}")
        assert (str(server.pid) in worker_ids) == (workers == 1), output
        assert len(collected.ours) == requests, output
        assert {span.attributes["claude.stream.outcome"] for span in collected.ours} == {"completed"}
        assert len({span.span_id for span in collected.ours}) == requests
        assert "Error" not in output


def request_worker_id(port: int, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + TIMEOUT
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            text = answer.read().decode()
        except ConnectionError:
            assert server.poll() is None, server.communicate()[0].decode()
            assert time.monotonic() < deadline
            time.sleep(0.1)
            continue
        finally:
            connection.close()
        assert answer.status == 200, text
        return text


@cases.long
def gunicorn_with_workers(api: str, tmp: Path) -> None:
    skip_without("gunicorn")
    port = free_port()
    assert_served(api, python("-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", "web:wsgi"), port, **SLOW)


@cases.long
def gunicorn_with_the_application_loaded_before_the_fork(api: str, tmp: Path) -> None:
    skip_without("gunicorn")
    port = free_port()
    assert_served(api, python("-m", "gunicorn", "--preload", "-w", "2", "-b", f"127.0.0.1:{port}", "web:wsgi"), port)


@cases.long
def uvicorn_with_workers(api: str, tmp: Path) -> None:
    skip_without("uvicorn")
    port = free_port()
    assert_served(
        api, python("-m", "uvicorn", "--workers", "2", "--port", str(port), "--lifespan", "off", "web:asgi"), port
    )


@cases
def uvicorn_flushes_at_the_end_of_the_lifespan(api: str, tmp: Path) -> None:
    """A single uvicorn ends by the signal, without exit handlers, so the application flushes as in the example."""
    skip_without("uvicorn")
    port = free_port()
    command = python("-m", "uvicorn", "--port", str(port), "web:asgi_flushing")
    assert_served(api, command, port, workers=1, requests=2, **SLOW, EXAMPLE=EXAMPLE)


running, test_life = cases.test()
test_life = posix(test_life)
