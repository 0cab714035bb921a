"""The life of a process: its forks, its threads, its end."""

from __future__ import annotations

import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
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
from tests.support.activation.together import Together

together = Together()
EXAMPLE = str(Path(__file__).parents[2] / "examples" / "flush.py")
SLOW = {"OTEL_BSP_SCHEDULE_DELAY": "60000"}
"""No batch goes by itself: whatever arrives was flushed at the end."""

posix = pytest.mark.skipif(os.name != "posix", reason="forks and signals are those of POSIX")


def needed(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: there is none for this platform")


# --- The end of a process


@together
def a_short_script_loses_nothing(api: str, tmp: Path) -> None:
    found = run(python(app("chat.py")), api, PYTHONPATH=path_folder(), **SLOW)
    assert [span.attributes["claude.stream.outcome"] for span in found.collected.ours] == ["completed"]
    assert ("app", "otel_claude_stream", "claude.stream.duration") in found.collected.metrics


@together
def streams_that_are_open_at_the_end_are_told(api: str, tmp: Path) -> None:
    """By either way, and however the application ends."""
    for command, more, code in (
        (instrument(app("leaves_open.py"), "exit"), {}, 3),
        (python(app("leaves_open.py"), "raise"), {"PYTHONPATH": path_folder()}, 1),
    ):
        found = run(command, api, **more, **SLOW)
        assert (found.code, "ValueError: the application's own" in found.err) == (code, code == 1)
        assert [span.reason for span in found.collected.ours] == ["interpreter_exit"]


@together
def sigterm_as_in_the_example(api: str, tmp: Path) -> None:
    """With the example an exit like any other; without it the open stream is lost, as documented."""
    found = run(python(app("terminated.py"), EXAMPLE, "sigterm"), api, PYTHONPATH=path_folder(), **SLOW)
    assert (found.code, found.err) == (128 + signal.SIGTERM, "")
    assert [span.reason for span in found.collected.ours] == ["interpreter_exit"]
    found = run(python(app("terminated.py"), EXAMPLE), api, PYTHONPATH=path_folder(), **SLOW)
    assert (found.code, found.err, found.collected.ours) == (-signal.SIGTERM, "", [])


@together
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
    together.add("_".join(arguments), forking(*arguments))


def at_once(how: str) -> Callable[[str, Path], None]:
    def case(api: str, tmp: Path) -> None:
        if how in {"trio", "gevent"}:
            needed(how)
        more = {"OTEL_PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH": "patch_all"} if how == "gevent" else {}
        found = run(python(app("concurrent_reads.py"), how), api, PYTHONPATH=path_folder(), **more)
        assert (found.code, found.out) == (0, "Hello there.\n")
        # The first request of SDKs before 1.0 forks, to ask for the name of the platform. gevent then runs threads of
        # OpenTelemetry that were started, and have not run yet, in the child too, where they fail, and say so.
        assert found.err == "" or (how == "gevent" and version("anthropic").startswith("0."))
        told = sorted(
            (span.attributes["gen_ai.request.model"], span.attributes["claude.stream.outcome"])
            for span in found.collected.ours
        )
        assert told == [("one", "completed"), ("three", "completed"), ("two", "completed")]

    return case


for how in ("threads", "asyncio", "trio", "gevent"):
    together.add(f"at_once_with_{how}", at_once(how))


# --- Servers with workers


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def served(api: str, command: Sequence[str], port: int, *, requests: int = 4, workers: int = 2, **more: str) -> None:
    """Start a server, ask it some times, stop it by SIGTERM: one span for each request, of whichever worker."""
    with collecting() as collected:
        env = environment(api, **{**exporting(collected.url), "PYTHONPATH": path_folder(), **more})
        with subprocess.Popen(command, env=env, cwd=APPS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
            try:
                answered = {ask(port, server) for _ in range(requests)}
                if not more:  # batches go by themselves
                    collected.wait(lambda seen: len(seen.ours) >= requests)
            finally:
                server.terminate()
                try:
                    output = server.communicate(timeout=TIMEOUT)[0].decode()
                except subprocess.TimeoutExpired:
                    server.kill()
                    output = server.communicate()[0].decode()
                    pytest.fail(f"the server did not stop:\n{output}")
        assert (str(server.pid) in answered) == (workers == 1), output
        assert len(collected.ours) == requests, output
        assert {span.attributes["claude.stream.outcome"] for span in collected.ours} == {"completed"}
        assert len({span.span_id for span in collected.ours}) == requests
        assert "Error" not in output


def ask(port: int, server: subprocess.Popen[bytes]) -> str:
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


@together
def gunicorn_with_workers(api: str, tmp: Path) -> None:
    needed("gunicorn")
    port = free_port()
    served(api, python("-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", "web:wsgi"), port, **SLOW)


@together
def gunicorn_with_the_application_loaded_before_the_fork(api: str, tmp: Path) -> None:
    needed("gunicorn")
    port = free_port()
    served(api, python("-m", "gunicorn", "--preload", "-w", "2", "-b", f"127.0.0.1:{port}", "web:wsgi"), port)


@together
def uvicorn_with_workers(api: str, tmp: Path) -> None:
    needed("uvicorn")
    port = free_port()
    served(api, python("-m", "uvicorn", "--workers", "2", "--port", str(port), "--lifespan", "off", "web:asgi"), port)


@together
def uvicorn_that_ends_by_the_signal(api: str, tmp: Path) -> None:
    """Its exit handlers never run: what has ended is sent when the lifespan ends, as in the example."""
    needed("uvicorn")
    port = free_port()
    command = python("-m", "uvicorn", "--port", str(port), "web:asgi_flushing")
    served(api, command, port, workers=1, requests=2, **SLOW, EXAMPLE=EXAMPLE)


running, test_life = together.test()
test_life = posix(test_life)
