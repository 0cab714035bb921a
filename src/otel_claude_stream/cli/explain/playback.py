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
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_claude_stream.cli.errors import CommandError, check_installed
from otel_claude_stream.cli.otlp.decode import Attributes, EventData, SpanData
from otel_claude_stream.cli.view.explanation import SCRIPTED_REQUEST_ID
from otel_claude_stream.testing import CutMidChunk, End, Hang, ManualClock, Pause, Reset, Script, Send

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

NEEDED: Final = (("anthropic", "instruments"), ("opentelemetry.sdk", "otlp"))
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
    try:
        return [_span_from_json(span) for span in json.loads(done.stdout)]
    except ValueError as error:
        last = "\n".join(done.stderr.decode(errors="replace").strip().splitlines()[-LINES:])
        raise CommandError(
            f"the Anthropic SDK could not play the streams (exit code {done.returncode}). Its last lines:\n{last}"
        ) from error


def main() -> None:
    """Play the scripts of the task on standard input, and write their spans to standard output, both as JSON."""
    task = json.load(sys.stdin)
    found = play([Script.from_json(text) for text in task["scripts"]], task["limits"])
    json.dump([asdict(span) for span in found], sys.stdout)


def _span_from_json(fields: dict[str, Any]) -> SpanData:
    events = tuple(
        EventData(event["name"], event["time"], _attributes(event["attributes"])) for event in fields["events"]
    )
    return SpanData(**{**fields, "attributes": _attributes(fields["attributes"]), "events": events})


# --- With the SDK -----------------------------------------------------------------------------------------------------


def play(scripts: Sequence[Script], limits: str) -> list[SpanData]:
    """Play each script to the SDK in this process, which must not be instrumented, and return the streams' spans."""
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    exporter, clock = InMemorySpanExporter(), ManualClock()
    provider = TracerProvider(ALWAYS_ON, span_limits=SpanLimits(max_events=SPAN_EVENTS), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    found = []
    with _instrumented(provider, clock, limits):
        for script in scripts:
            exporter.clear()
            _stream(script, clock)
            spans = exporter.get_finished_spans()
            if not spans:
                raise RuntimeError("no span was recorded: this anthropic version could not be instrumented")
            found.append(_span_data(spans[-1]))
    return found


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
        self._request_id = script.resolve_request_id(SCRIPTED_REQUEST_ID)
        self._ending = script.steps[-1] if script.steps and _ends(script.steps[-1]) else End()

    def answer(self, request: Any) -> Any:
        """Return the response to ``request``, or raise what the library raises without one."""
        script, http = self._script, self._http
        self._wait(script.header_delay, request)
        if script.close_before_headers == "rst":
            raise self._reset(request)
        if script.close_before_headers == "fin":
            raise http.RemoteProtocolError(NO_RESPONSE, request=request)
        return http.Response(script.status, headers=self._headers(), content=self._reads(request), request=request)

    def _headers(self) -> dict[str, str]:
        script = self._script
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        if self._request_id is not None:
            headers["request-id"] = self._request_id
        if script.framing == "length":
            headers["content-length"] = str(len(script.body()) + isinstance(self._ending, CutMidChunk))
        return {**headers, **{name.lower(): value for name, value in script.headers}}

    def _reads(self, request: Any) -> Iterator[bytes]:
        """Yield the body as the library reads it, while time passes."""
        received, waiting = 0, 0.0
        for step in self._script.steps:
            match step:
                case Pause():
                    waiting += step.seconds
                case Hang():
                    waiting += step.max_seconds
                case _:
                    partial = Send(step.partial).raw if isinstance(step, CutMidChunk) else b""
                    raw = partial or self._script.render(step, self._request_id)
                    if raw:
                        self._wait(waiting, request)
                        received, waiting = received + len(raw), 0.0
                        yield raw
        self._wait(waiting, request)
        if (error := self._broken(received, request)) is not None:
            raise error

    def _wait(self, seconds: float, request: Any) -> None:
        """Let time pass as a read that blocks, at most as long as the client's read timeout."""
        timeout = request.extensions.get("timeout", {}).get("read")
        if timeout is not None and seconds >= timeout:
            self._clock.advance(timeout)
            raise self._http.ReadTimeout("timed out", request=request)
        self._clock.advance(seconds)

    def _broken(self, received: int, request: Any) -> Exception | None:
        """Return the library's error for a body that does not end cleanly; None for a clean end."""
        if isinstance(self._ending, Reset):
            return self._reset(request)
        if isinstance(self._ending, End) or self._script.framing == "close":
            return None  # a body that ends with its connection looks complete
        reason = SHORT.format(received) if self._script.framing == "length" else INCOMPLETE
        error: Exception = self._http.RemoteProtocolError(reason, request=request)
        return error

    def _reset(self, request: Any) -> Exception:
        error: Exception = self._http.ReadError("[Errno 104] Connection reset by peer", request=request)
        error.__cause__ = ConnectionResetError(104, "Connection reset by peer")
        return error


def _ends(step: object) -> bool:
    return isinstance(step, (End, CutMidChunk, Reset, Hang))


# --- From spans to plain data -----------------------------------------------------------------------------------------


def _span_data(span: ReadableSpan) -> SpanData:
    scope = span.instrumentation_scope
    return SpanData(
        trace_id=f"{span.context.trace_id:032x}",
        span_id=f"{span.context.span_id:016x}",
        parent_id="",
        name=span.name,
        scope=scope.name if scope else "",
        scope_version=(scope.version if scope else None) or "",
        service="",
        start=span.start_time or 0,
        end=span.end_time or 0,
        attributes=_attributes(span.attributes or {}),
        events=tuple(
            EventData(event.name, event.timestamp, _attributes(event.attributes or {})) for event in span.events
        ),
    )


def _attributes(found: Mapping[str, Any]) -> Attributes:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
