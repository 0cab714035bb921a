"""The scenarios of the demo as three sources see them, through the real Collector in a real Prometheus.

The sources are this package in Python, the spans of the Python SDK alone, and those of the SDKs for TypeScript and Go.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.collector.node_sdk import APPLICATION
from tests.support.collector.running import eventually

from otel_claude_stream.cli.demo.scenarios import INSTRUMENTATION, SCENARIOS, jobs
from otel_claude_stream.testing import FakeAPI, Hang, Script

SOURCES = ("package", "python", "typescript", "go")
SILENCE = 6.0
"""Seconds after which the server of `read_timeout` hangs up. Only the Python SDK has a read time-out."""

PYTHON = """
import runpy, sys
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.cli.demo.example import chat_worker

tracers = TracerProvider()
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(tracers)
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
if sys.argv[1] == "package":
    ClaudeStreamInstrumentor().instrument()
chat_worker.main()
"""


def command_of(source: str, go: Path) -> list[str]:
    """Return the command that runs the example application of a source; ``go`` is that for Go."""
    if source == "go":
        return [str(go)]
    if source == "typescript":
        return ["node", "--input-type=module", "-e", APPLICATION.read_text(encoding="utf-8")]
    return [sys.executable, "-c", PYTHON, source]


def model_of(scenario: str) -> str:
    """Return the requested model, which distinguishes the scenarios in metrics."""
    return f"claude-{scenario}"


def scripts_of(scripts: tuple[Script, ...]) -> list[Script]:
    """Return the scripts of a scenario without an endless wait."""
    return [
        replace(script, steps=tuple(Hang(SILENCE) if isinstance(step, Hang) else step for step in script.steps))
        for script in scripts
    ]


def play(endpoint: str, packages: Path, go: Path) -> None:
    """Run the application of each source, all at once, with its telemetry sent to a Collector."""
    scripts = {scenario.name: scripts_of(scenario.scripts) for scenario in SCENARIOS}
    outside = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "ANTHROPIC_"))}
    with ExitStack() as stack:
        running = []
        for source in SOURCES:
            api = stack.enter_context(FakeAPI(scripts))
            work = jobs({name: api.url_for(name) for name in scripts})
            environment = {
                **outside,
                **INSTRUMENTATION,
                "OTEL_CLAUDE_STREAM_MAX_MODELS": "100",
                "ANTHROPIC_API_KEY": "none",
                "OTEL_SERVICE_NAME": source,
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_LOGS_EXPORTER": "none",
            }
            process = subprocess.Popen(
                command_of(source, go),
                cwd=packages.parent,
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            stack.callback(process.kill)
            running.append(process)
            assert process.stdin is not None
            process.stdin.write(json.dumps([{**job, "model": model_of(job["name"])} for job in work]))
            process.stdin.close()
            process.stdin = None
        for process in running:
            output, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors[-3000:]
            assert len(output.splitlines()) == len(SCENARIOS), output


Series = tuple[Mapping[str, str], float]


def verdict(job: str, model: str, found: Mapping[str, list[Series]]) -> str:
    """Describe a stream as the metrics of one job have it, such as `failed: overloaded, 3 requests`."""

    def mine(name: str) -> list[Series]:
        pairs = ((labels, value) for labels, value in found[name] if value)
        return [(x, value) for x, value in pairs if (x["job"], x["gen_ai_request_model"]) == (job, model)]

    streams = mine("claude_stream_duration_seconds_count")
    if not streams:
        return "not counted"
    assert [value for _, value in streams] == [1.0], (job, model, streams)  # once, from one source
    source = {labels["claude_stream_source"] for name in found for labels, _ in mine(name)}
    assert source == {"instrumentation" if job == "package" else "sdk"}, (job, model, source)
    text: str = streams[0][0]["claude_stream_outcome"]
    first_tokens = mine("claude_stream_time_to_first_token_seconds_count")
    assert first_tokens or text != "completed", (job, model)
    for labels, value in mine("claude_stream_aborts_total"):
        assert value == 1.0
        text += f": {labels['claude_stream_abort_reason']}"
        if labels["claude_stream_abort_limit_match"] != "none":
            text += f" at {labels['claude_stream_abort_limit_match']}"
    requests = sum(value for _, value in mine("claude_stream_requests_total"))
    return text if requests == 1 else f"{text}, {requests:g} requests"


METRICS = (
    "claude_stream_duration_seconds_count",
    "claude_stream_time_to_first_token_seconds_count",
    "claude_stream_aborts_total",
    "claude_stream_requests_total",
)


def read(prometheus: Any) -> dict[str, dict[str, str]]:
    """Return the verdict of each source on each scenario, as Prometheus has it now."""
    found = {
        name: [
            ({key: value for key, value in one["metric"].items() if key != "__name__"}, float(one["value"][1]))
            for one in prometheus.get("query", query=name)["result"]
        ]
        for name in METRICS
    }
    return {
        scenario.name: {source: verdict(source, model_of(scenario.name), found) for source in SOURCES}
        for scenario in SCENARIOS
    }


def settled(prometheus: Any, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return the verdicts once they are as wanted, or after the usual time."""
    eventually(lambda: read(prometheus) == wanted, every=0.5)
    return read(prometheus)
