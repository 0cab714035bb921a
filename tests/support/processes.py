"""Programs in separate processes, for tests of forks and of the interpreter's exit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

TIMEOUT = 60
"""Seconds after which a process counts as hanging."""

PROLOGUE = """
import gc, json, os, sys, threading, weakref
import anthropic
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import FakeAPI, Hang, Script

REQUEST = {"model": "claude-test", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello?"}]}
OPEN = Script.message(deltas=8).cut_after(5, Hang(60.0))


class Printer(SpanExporter):
    # Write one JSON line for each span, in the process that exports it.
    def export(self, spans):
        for span in spans:
            line = {
                "pid": os.getpid(), "name": span.name, "span": span.context.span_id, "trace": span.context.trace_id,
                **{name.rpartition(".")[2]: value for name, value in span.attributes.items()
                   if name in ("claude.stream.outcome", "claude.stream.abort.reason", "claude.stream.delta.count")},
            }
            os.write(1, (json.dumps(line) + "\\n").encode())
        return SpanExportResult.SUCCESS


def client(api, **options):
    return anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0, **options)


def instrument(**settings):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Printer()))
    ClaudeStreamInstrumentor().instrument(tracer_provider=provider, **settings)
    return provider


def read_one(api):
    # Close the client: a garbage collection that finds an open socket warns about it.
    with client(api) as closing:
        list(closing.messages.create(stream=True, **REQUEST))


def begin(api, events=5):
    stream = client(api).messages.create(stream=True, **REQUEST)
    for _ in range(events - 1):  # the SDK does not deliver the ping
        next(stream)
    return stream


def emit(**fields):
    os.write(1, (json.dumps(fields) + "\\n").encode())
"""


def run(program: str, *, code: int = 0, before: str = "") -> list[dict]:
    """Run `before`, `PROLOGUE` and a program, and return its JSON lines. It must exit by itself with `code`."""
    text = before + PROLOGUE + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", text],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    )
    assert (done.returncode, done.stderr) == (code, ""), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def outcomes(lines: list[dict]) -> list[tuple]:
    """Return the outcome, the reason and the number of deltas of each stream span, sorted."""
    return sorted((line["outcome"], line.get("reason"), line["count"]) for line in lines if "outcome" in line)
