"""Runs a real Jaeger v2 on loopback, with its traces in memory."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.dashboards.server_process import server_process
from tests.support.ports import HOST, free_ports

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
    query, grpc, otlp = free_ports(3)
    configuration = folder / "jaeger.yaml"
    configuration.write_text(CONFIGURATION.format(host=HOST, query=query, grpc=grpc, otlp=otlp), encoding="utf-8")
    found = Jaeger(f"http://{HOST}:{query}", f"http://{HOST}:{otlp}")
    command = (str(program), "--config", str(configuration))
    with server_process("Jaeger", command, folder, lambda: is_ready(found, otlp)):
        yield found


def is_ready(found: Jaeger, otlp: int) -> bool:
    """Whether it receives and answers. Raises `OSError` if it does not."""
    with socket.create_connection((HOST, otlp), timeout=2):
        found.get("services")
    return True


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
