"""Run applications in processes, and collect the telemetry that they send over OTLP."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_claude_stream.cli.otlp.decode import attributes
from otel_claude_stream.cli.otlp.receive import Message, Receiver

APPS = Path(__file__).parent / "apps"
SCOPE = "otel_claude_stream"
BASE = dict(os.environ)
"""A copy, as fixtures change `os.environ` while other threads of these tests read it."""

CONFIGURING = ("OTEL_", "ANTHROPIC_", "PYTHONPATH", "COVERAGE", "COV_", "SSL_CERT_")
TIMEOUT = 180.0
"""Seconds for one application. It needs about two, and many times that on a machine under load."""


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as received over OTLP."""

    name: str
    kind: int
    scope: str
    resource: dict[str, Any]
    attributes: dict[str, Any]
    events: tuple[str, ...]
    trace_id: str
    span_id: str
    parent_id: str

    @property
    def reason(self) -> Any:
        return self.attributes.get("claude.stream.abort.reason")


@dataclass
class Collected:
    """The telemetry that a receiver got from all processes."""

    url: str
    spans: list[ReceivedSpan] = field(default_factory=list)
    metrics: list[tuple[str, str, str]] = field(default_factory=list)
    """Service, scope and name of each metric in each message."""
    rejected: list[str] = field(default_factory=list)

    @property
    def ours(self) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.scope == SCOPE]

    def take(self, message: Message) -> None:
        for resource in message.document.get("resourceSpans", ()):
            where = dict(attributes(resource.get("resource", {}).get("attributes", ())))
            for scope in resource.get("scopeSpans", ()):
                self.spans += [
                    _received_span(span, scope.get("scope", {}).get("name", ""), where) for span in scope["spans"]
                ]
        for resource in message.document.get("resourceMetrics", ()):
            where = dict(attributes(resource.get("resource", {}).get("attributes", ())))
            for scope in resource.get("scopeMetrics", ()):
                name = scope.get("scope", {}).get("name", "")
                self.metrics += [(str(where.get("service.name")), name, one["name"]) for one in scope["metrics"]]

    def wait(self, enough: Callable[[Collected], bool], seconds: float = 20.0) -> None:
        """Wait until `enough(self)` is true, but at most for `seconds`."""
        deadline = time.monotonic() + seconds
        while not enough(self) and time.monotonic() < deadline:
            time.sleep(0.02)


def _received_span(span: Mapping[str, Any], scope: str, resource: dict[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        span["name"],
        span.get("kind", 0),
        scope,
        resource,
        dict(attributes(span.get("attributes", ()))),
        tuple(event["name"] for event in span.get("events", ())),
        span["traceId"],
        span["spanId"],
        span.get("parentSpanId", ""),
    )


@contextmanager
def collecting() -> Iterator[Collected]:
    collected = Collected("")
    lock = threading.Lock()

    def take(message: Message) -> None:
        with lock:
            collected.take(message)

    with Receiver(take, collected.rejected.append) as receiver:
        collected.url = receiver.url
        yield collected


@dataclass(frozen=True)
class ProcessResult:
    """The result of one application."""

    code: int
    out: str
    err: str
    seconds: float
    """From the first line of output to the end, without the start, which takes long on a machine under load."""
    collected: Collected


def environment(api: str, **more: str | None) -> dict[str, str]:
    """Return the environment of an application, without variables that configure it except those in `more`.

    A variable that is None in `more` is not set.
    """
    clean = {name: value for name, value in BASE.items() if not name.startswith(CONFIGURING)}
    variables: dict[str, str | None] = {
        "ANTHROPIC_API_KEY": "not-a-key",
        "ANTHROPIC_BASE_URL": api,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "OTEL_CLAUDE_STREAM_STRICT": "1",
        "SSL_CERT_DIR": str(APPS),  # without certificates, which each client would load
        "PYTHONUNBUFFERED": "1",
        **more,
    }
    return {**clean, **{name: value for name, value in variables.items() if value is not None}}


def exporting(url: str) -> dict[str, str]:
    """Return the variables of an application that exports to `url`."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_SERVICE_NAME": "app",
    }


def run(
    command: Sequence[str], api: str, *, cwd: Path | None = None, export: bool = True, **more: str | None
) -> ProcessResult:
    """Run an application to its end. With `export`, its telemetry goes to a new receiver."""
    with collecting() as collected, tempfile.TemporaryFile("w+") as err:
        env = environment(api, **{**(exporting(collected.url) if export else {}), **more})
        process = subprocess.Popen(list(command), env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=err, text=True)
        alarm = threading.Timer(TIMEOUT, process.kill)
        alarm.start()
        try:
            with process:
                out = process.stdout.readline()
                answered = time.monotonic()
                out += process.stdout.read()
        finally:
            alarm.cancel()
        err.seek(0)
        return ProcessResult(process.returncode, out, err.read(), time.monotonic() - answered, collected)


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def app(name: str) -> str:
    return str(APPS / name)


def instrument(*arguments: str, interpreter: str = sys.executable) -> list[str]:
    """Return the command `opentelemetry-instrument python ...`."""
    code = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    return [interpreter, "-c", code, interpreter, *arguments]


@functools.cache
def path_folder() -> str:
    """Return the folder that `otel-claude-stream path` prints."""
    done = subprocess.run(
        python("-m", "otel_claude_stream", "path"), capture_output=True, text=True, check=True, timeout=TIMEOUT
    )
    return done.stdout.strip()


def assert_one_stream(found: ProcessResult, text: str = "Hello there.") -> ReceivedSpan:
    """Assert that an application printed the answer, succeeded, and exported one stream; return its span."""
    assert (found.code, found.out.splitlines()[-1:]) == (0, [text]), found.err
    assert found.err == ""
    (span,) = found.collected.ours
    assert span.attributes["claude.stream.outcome"] == "completed"
    assert found.collected.rejected == []
    return span
