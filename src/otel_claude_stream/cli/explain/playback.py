"""Play recorded and scripted streams to the Anthropic SDK, and return the telemetry that production would record.

The SDK's client reads a response from memory. It is instrumented as in production, with providers and a clock that
belong to the playback alone. Pauses only move the clock. One attempt is played, since the SDK's retries are switched
off.

An instrumentation belongs to a process, and the process of the command line may have one already. ``play_isolated``
therefore plays in a process that has none. ``play`` is what runs there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from typing import Any, Final

from otel_claude_stream.cli.errors import CommandError, check_installed
from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.otlp.decode import SpanData
from otel_claude_stream.cli.view.explanation import SCRIPTED_REQUEST_ID
from otel_claude_stream.testing import End, Ending, Hang, ManualClock, Pause, Reset, Script
from otel_claude_stream.testing.response_plan import plan_response

NEEDED: Final = (
    ("anthropic", "instruments"),
    ("opentelemetry.sdk", "otlp"),
    ("opentelemetry.exporter.otlp.proto.common", "otlp"),
)
MODEL: Final = re.compile(rb'"model"\s*:\s*"([^"\\]{1,128})"')
SETTINGS: Final[Mapping[str, Any]] = {
    "metrics": False,
    "deltas": "all",
    "event_budget": 10_000,
    "stall_thresholds": (),
}
"""Every event is recorded, so that each wait between two deltas is visible. Stalls need no thread for that reason: it
would read a clock that jumps."""
SPAN_EVENTS: Final = 10_100  # above the budget, as the SDK of OpenTelemetry keeps the last events only
JITTER: Final = 0.5  # for the backoff of a retry policy, the same in each run
NOT_INHERITED: Final = ("OTEL_", "ANTHROPIC_")
"""Prefixes of the variables that the process of the playback does not get."""
SECONDS: Final = 120.0  # for all streams of one command; a large recording takes less than one
LINES: Final = 5  # last lines of standard error in the message about a failure
PROGRAM: Final = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {__name__} import main; main()"

NO_RESPONSE: Final = "Server disconnected without sending a response."
INCOMPLETE: Final = "peer closed connection without sending complete message body (incomplete chunked read)"
SHORT: Final = "peer closed connection without sending complete message body (received {} bytes, expected more)"


# --- In a separate process --------------------------------------------------------------------------------------------


def play_isolated(scripts: Sequence[Script], limits: str) -> list[SpanData]:
    """Play each script in a new process that has no other instrumentation, and return the spans of the streams.

    ``limits`` is the value of the setting ``known_limits``. Raises ``CommandError`` if a package is missing or the
    process fails.
    """
    if not scripts:
        return []
    check_installed(NEEDED)
    task = {"limits": limits, "scripts": [script.to_json() for script in scripts]}
    # -E keeps a `sitecustomize` on PYTHONPATH from instrumenting the process; the path itself is handed over.
    command = [sys.executable, "-E", "-c", PROGRAM, json.dumps(sys.path)]
    env = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter and the program above
            command, env=env, input=json.dumps(task).encode(), capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"playing the streams to the Anthropic SDK took longer than {SECONDS:.0f} s") from error
    if done.returncode:
        last = "\n".join(done.stderr.decode(errors="replace").strip().splitlines()[-LINES:])
        raise CommandError(
            f"the Anthropic SDK could not play the streams (exit code {done.returncode}). Its last lines:\n{last}"
        )
    return _decoded(done.stdout)


def main() -> None:
    """Play the scripts of the task in JSON on standard input. Write their spans to standard output, as OTLP."""
    task = json.load(sys.stdin)
    sys.stdout.buffer.write(_played([Script.from_json(text) for text in task["scripts"]], task["limits"]))


def _decoded(request: bytes) -> list[SpanData]:
    return list(decode.spans(decode.read("traces", request, decode.PROTOBUF)))


# --- With the SDK -----------------------------------------------------------------------------------------------------


def play(scripts: Sequence[Script], limits: str) -> list[SpanData]:
    """Play each script to the SDK in this process, which must not be instrumented, and return the streams' spans."""
    return _decoded(_played(scripts, limits))


def _played(scripts: Sequence[Script], limits: str) -> bytes:
    """Return the streams' spans as a request of OTLP."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    exporter, clock = InMemorySpanExporter(), ManualClock()
    span_limits = SpanLimits(max_events=SPAN_EVENTS)
    provider = TracerProvider(ALWAYS_ON, Resource.get_empty(), shutdown_on_exit=False, span_limits=span_limits)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    found = []
    with _instrumented(provider, clock, limits):
        for script in scripts:
            exporter.clear()
            _stream(script, clock)
            spans = exporter.get_finished_spans()
            if not spans:
                raise RuntimeError("no span was recorded: this anthropic version could not be instrumented")
            found.append(spans[-1])
    return bytes(encode_spans(found).SerializeToString())


@contextmanager
def _instrumented(tracer_provider: Any, clock: ManualClock, limits: str) -> Iterator[None]:
    from opentelemetry._logs import NoOpLoggerProvider
    from opentelemetry.metrics import NoOpMeterProvider

    from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig, _instrumentor

    before = _instrumentor.CLOCK, _instrumentor.RANDOM
    _instrumentor.CLOCK, _instrumentor.RANDOM = clock.monotonic_ns, lambda: JITTER
    instrumentor = ClaudeStreamInstrumentor()
    try:
        instrumentor.instrument(
            tracer_provider=tracer_provider,
            meter_provider=NoOpMeterProvider(),
            logger_provider=NoOpLoggerProvider(),
            config=StreamConfig(known_limits=limits, **SETTINGS),
        )
        yield
    finally:
        _instrumentor.CLOCK, _instrumentor.RANDOM = before
        instrumentor.uninstrument()


def _stream(script: Script, clock: ManualClock) -> None:
    """Read one response as an application does; how it ends is in its span."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as that a model is deprecated
        anthropic: Any = import_module("anthropic")
        http = http_library(anthropic)
        transport = http.MockTransport(ScriptedResponse(script, clock, http).answer)
        with (
            suppress(Exception),
            anthropic.DefaultHttpxClient(transport=transport) as http_client,
            anthropic.Anthropic(
                api_key="none", base_url="http://script.invalid", max_retries=0, http_client=http_client
            ) as client,
            client.messages.create(
                model=_model(script), max_tokens=1024, messages=[{"role": "user", "content": "?"}], stream=True
            ) as stream,
        ):
            for _ in stream:
                continue


def http_library(anthropic: Any) -> Any:
    """Return the HTTP library that the SDK uses: ``httpx2``, or ``httpx`` before SDK 1.0. Importing both can break."""
    client = next(kind for kind in anthropic.DefaultHttpxClient.__mro__ if kind.__name__ == "Client")
    return sys.modules[client.__module__.partition(".")[0]]


def _model(script: Script) -> str:
    found = MODEL.search(script.body())
    return found[1].decode("utf-8", "replace") if found else "unknown"


class ScriptedResponse:
    """A script as a response of the HTTP library ``http``, in the time of ``clock``."""

    def __init__(self, script: Script, clock: ManualClock, http: Any) -> None:
        self._script = script
        self._clock = clock
        self._http = http
        # The library hands on a body without its chunks. A client of the API itself decodes no other format of events.
        plain = replace(script, event_format="sse", chunking="event")
        if script.framing == "chunked":
            plain = replace(plain, framing="close")
        self._plan = plan_response(plain, SCRIPTED_REQUEST_ID)

    def answer(self, request: Any) -> Any:
        """Return the response to ``request``, or raise what the library raises without one."""
        script, http = self._script, self._http
        self._wait(script.header_delay, request)
        if script.close_before_headers == "rst":
            raise self._reset(request)
        if script.close_before_headers == "fin":
            raise http.RemoteProtocolError(NO_RESPONSE, request=request)
        lines = self._plan.head.decode("latin-1").splitlines()[1:-1]
        headers = dict(line.split(": ", 1) for line in lines)
        return http.Response(script.status, headers=headers, content=self._reads(request), request=request)

    def _reads(self, request: Any) -> Iterator[bytes]:
        """Yield the body as the library reads it, while time passes."""
        received, waiting = 0, 0.0
        for part in (*self._plan.parts, self._plan.last):
            if isinstance(part, Pause):
                waiting += part.seconds
            elif part:
                self._wait(waiting, request)
                received, waiting = received + len(part), 0.0
                yield part
        ending = self._plan.ending
        self._wait(waiting + (ending.max_seconds if isinstance(ending, Hang) else 0.0), request)
        if (error := self._broken(ending, received, request)) is not None:
            raise error

    def _wait(self, seconds: float, request: Any) -> None:
        """Let time pass as a read that blocks, at most as long as the client's read timeout."""
        timeout = request.extensions.get("timeout", {}).get("read")
        if timeout is not None and seconds >= timeout:
            self._clock.advance(timeout)
            raise self._http.ReadTimeout("timed out", request=request)
        self._clock.advance(seconds)

    def _broken(self, ending: Ending, received: int, request: Any) -> Exception | None:
        """Return the library's error for a body that does not end cleanly; None for a clean end."""
        if isinstance(ending, Reset):
            return self._reset(request)
        if isinstance(ending, End) or self._script.framing == "close":
            return None  # a body that ends with its connection looks complete
        reason = SHORT.format(received) if self._script.framing == "length" else INCOMPLETE
        error: Exception = self._http.RemoteProtocolError(reason, request=request)
        return error

    def _reset(self, request: Any) -> Exception:
        error: Exception = self._http.ReadError("[Errno 104] Connection reset by peer", request=request)
        error.__cause__ = ConnectionResetError(104, "Connection reset by peer")
        return error
