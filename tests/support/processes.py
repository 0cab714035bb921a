"""Programs in separate processes, for tests of forks and of the interpreter's exit.

The import of the SDK takes most of the time of such a program. One process, which has imported it, forks for each of
them. It has not imported this package, so each program starts without any of its state.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

TIMEOUT = 180
"""Seconds after which a process counts as hanging."""

OPTIONS = ("-W", "error", "-W", "ignore::DeprecationWarning")
SERVER = """
import json, os, sys
import anthropic
from opentelemetry.sdk import metrics, trace
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.trace import export

assert "otel_claude_stream" not in sys.modules
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    os._exit(0)
for number, name in enumerate(("/dev/null", request["out"], request["err"])):
    os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
os.environ.clear()
os.environ.update(request["environ"])
program = compile(request["program"], "<string>", "exec")
del child, export, line, metrics, name, number, request, trace
exec(program)
"""
"""Runs each program in the module `__main__` of a child, which ends as any interpreter does."""

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


class ForkServer:
    """The process that forks for each program. It is started by the first one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, program: str, out: Path, err: Path) -> int:
        """Run a program with its output in files; return its exit code."""
        process = self._process = self._process or subprocess.Popen(
            [sys.executable, *OPTIONS, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        environ = {**os.environ, "PYTHONFAULTHANDLER": "1"}
        request = {"program": program, "out": str(out), "err": str(err), "environ": environ}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        alarm = threading.Timer(TIMEOUT, os.kill, (child, signal.SIGKILL))
        alarm.start()
        try:
            return int(process.stdout.readline())
        finally:
            alarm.cancel()
            alarm.join()

    def stop(self) -> None:
        if self._process is not None:
            self._process.communicate()  # it ends with its standard input
            self._process = None


SERVER_PROCESS = ForkServer()


def run(program: str, *, code: int = 0, err: str = "", before: str = "") -> list[dict]:
    """Run a program after `PROLOGUE` and return its JSON lines. It must exit by itself with `code` and print `err`.

    `before` runs before the prologue, in a process that has not imported the SDK.
    """
    text = PROLOGUE + textwrap.dedent(program)
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "err")
        alone = before or not hasattr(os, "fork")  # Windows has no fork
        found = _run_alone(before + text, out, errors) if alone else SERVER_PROCESS.run(text, out, errors)
        assert (found, errors.read_text()) == (code, err)
        return [json.loads(line) for line in out.read_text().splitlines()]


def _run_alone(program: str, out: Path, err: Path) -> int:
    with out.open("w") as stdout, err.open("w") as stderr:
        return subprocess.run(
            [sys.executable, *OPTIONS, "-c", program],
            stdout=stdout,
            stderr=stderr,
            timeout=TIMEOUT,
            check=False,
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        ).returncode


def outcomes(lines: list[dict]) -> list[tuple]:
    """Return the outcome, the reason and the number of deltas of each stream span, sorted."""
    return sorted((line["outcome"], line.get("reason"), line["count"]) for line in lines if "outcome" in line)
