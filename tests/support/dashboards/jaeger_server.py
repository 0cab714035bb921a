"""Runs a real Jaeger v2 on loopback, with its traces in memory."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
START_SECONDS = 60.0
READ_SECONDS = 30.0
CONFIGURATION = """\
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
    metrics: {{receivers: [otlp], exporters: [nop]}}
    logs: {{receivers: [otlp], exporters: [nop]}}
  telemetry:
    metrics: {{level: none}}
    logs: {{level: warn}}
extensions:
  jaeger_storage:
    backends:
      memory: {{memory: {{max_traces: 10000}}}}
  jaeger_query:
    storage: {{traces: memory}}
    enable_tracing: false # otherwise it sends traces of its own
    http: {{endpoint: "{host}:{query}"}}
    grpc: {{endpoint: "{host}:{grpc}"}}
receivers:
  otlp: {{protocols: {{http: {{endpoint: "{host}:{otlp}"}}}}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
  nop:
"""


@dataclass(frozen=True)
class Jaeger:
    """A client for a running Jaeger."""

    url: str
    """The base URL of its API."""
    otlp: str
    """The endpoint for OTLP over HTTP."""

    def get(self, path: str) -> Any:
        """Call the API, whose answers about traces are OTLP in JSON."""
        with urllib.request.urlopen(f"{self.url}/api/v3/{path}", timeout=30) as answer:
            return json.load(answer)


@contextmanager
def running(program: Path, folder: Path) -> Iterator[Jaeger]:
    """Run Jaeger until the end of the `with` block."""
    with ExitStack() as sockets:
        free = [sockets.enter_context(socket.create_server((HOST, 0))).getsockname()[1] for _ in range(3)]
    query, grpc, otlp = free
    configuration = folder / "jaeger.yaml"
    configuration.write_text(CONFIGURATION.format(host=HOST, query=query, grpc=grpc, otlp=otlp), encoding="utf-8")
    log = folder / "jaeger.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(program), "--config", str(configuration)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        found = Jaeger(f"http://{HOST}:{query}", f"http://{HOST}:{otlp}")
        wait_until_ready(found, process, log)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


def wait_until_ready(found: Jaeger, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    port = int(found.otlp.rpartition(":")[2])
    while True:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=2):
            found.get("services")
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"Jaeger did not start: {log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)


def read_trace(jaeger: Jaeger, trace_id: str, spans: int) -> list[dict[str, Any]]:
    """Return the `resourceSpans` of a trace, once it has a number of spans."""
    deadline = time.monotonic() + READ_SECONDS
    while True:
        try:
            found: list[dict[str, Any]] = jaeger.get(f"traces/{trace_id}")["result"]["resourceSpans"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            found = []
        count = sum(len(scope["spans"]) for one in found for scope in one["scopeSpans"])
        if count == spans:
            return found
        assert time.monotonic() < deadline, f"trace {trace_id} has {count} of {spans} spans"
        time.sleep(0.1)
