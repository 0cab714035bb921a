"""The extra `otlp` in an environment of its own, with the newest and the oldest versions that it allows."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from packaging.requirements import Requirement
from tests.support.activation.environments import folder_with_package, interpreter_with
from tests.support.activation.harness import app, instrument, run

from otel_claude_stream.testing import FakeAPI, Script

EXTRAS = ("instruments", "otlp")


def required() -> list[Requirement]:
    """Return the requirements of the package with the extras."""
    found = [Requirement(text) for text in importlib.metadata.requires("otel-claude-stream") or ()]
    return [
        one for one in found if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in EXTRAS)
    ]


def oldest(requirement: Requirement) -> str:
    """Return a pin to the lower bound of a requirement."""
    (bound,) = (one.version for one in requirement.specifier if one.operator == ">=")
    return f"{requirement.name}=={bound}" + ("" if "b" in bound else ".*")


def newest(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """Run a collector for OTLP by gRPC. Yield its endpoint, and the requests with spans."""
    traces: list[bytes] = []

    class AnyMethod(grpc.GenericRpcHandler):
        def service(self, details):
            def export(request: bytes, _: object) -> bytes:
                if "TraceService" in details.method:
                    traces.append(request)
                return b""

            return grpc.unary_unary_rpc_method_handler(export)

    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, [AnyMethod()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}", traces
        finally:
            server.stop(None).wait()


def with_metadata(folder: Path) -> str:
    """Return a folder for `PYTHONPATH` with this package and its entry points."""
    path = folder_with_package(folder)
    entry_points = importlib.metadata.distribution("otel-claude-stream").read_text("entry_points.txt")
    info = folder / "otel_claude_stream-0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(entry_points or "", encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otel-claude-stream\nVersion: 0\n", encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("version", [newest, pytest.param(oldest, marks=pytest.mark.long)])
def test_the_launcher_exports_with_an_endpoint_as_its_only_variable(tmp_path: Path, version) -> None:
    """Platforms set this variable alone. OpenTelemetry then uses gRPC, and fails without its exporter."""
    python = interpreter_with(tuple(version(one) for one in required()))
    with FakeAPI(Script.message("Hello there.")) as api, collector() as (endpoint, traces):
        done = run(
            instrument(app("chat.py"), interpreter=python),
            api.url,
            export=False,
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            PYTHONPATH=with_metadata(tmp_path),
        )
    assert (done.code, done.out) == (0, "Hello there.\n"), done.err
    assert not re.search("Traceback|not found", done.err), done.err
    exported = [
        scope.scope.name
        for request in traces
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans
        for scope in resource.scope_spans
    ]
    assert "otel_claude_stream" in exported
