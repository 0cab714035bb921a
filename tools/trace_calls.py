"""Count the calls in the package, and the files they are in, from a byte on the wire to the histogram.

The real SDK reads a stream with `create(stream=True)` from a transport in memory, under real OpenTelemetry providers.
The clock moves only where the stream waits. Each chunk of the body holds one event. `sys.setprofile` records
the Python functions of the package that run until the caller has the next event. A generator that goes on counts as a
call. Comprehensions do not count, since newer versions of Python inline them. No setting is made: the figures are those
of the default settings.

The cases are:

- a delta in a burst: the chunk was there already;
- a delta after a wait of one second, which is not the first gap of the stream;
- the first delta of a block: that of the second block, without a wait;
- the end of a stream: from `message_stop` to the end of the iteration.

A first stream is read without being recorded, so that imports and caches do not count. To see the figures of another
version, put its sources first: `PYTHONPATH=<tree>/src python tools/trace_calls.py`.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

BURST = "a delta in a burst"
WAIT = "a delta after a wait"
FIRST = "the first delta of a block"
END = "the end of a stream"
CASES = (BURST, WAIT, FIRST, END)

SECOND = 1_000_000_000
INLINED = {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"}
REQUEST: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Write."}],
}


@dataclass
class Clock:
    """A clock set by hand, in nanoseconds, in the place of those of `time`."""

    now: int = 1_700_000_000 * SECOND

    def install(self) -> None:
        """Replace the clocks of `time`; the package has to be imported afterwards."""
        for name in ("perf_counter_ns", "monotonic_ns", "time_ns"):
            setattr(time, name, lambda: self.now)
        for name in ("perf_counter", "monotonic", "time"):
            setattr(time, name, lambda: self.now / SECOND)


@dataclass(frozen=True)
class Chunk:
    """One event on the wire, the wait before it, and the case that it stands for."""

    data: bytes
    wait: int = 0
    case: str = ""


@dataclass
class Trace:
    """The calls of one case, in order."""

    package: Path
    calls: list[str] = field(default_factory=list)
    files: set[str] = field(default_factory=set)

    def __enter__(self) -> None:
        sys.setprofile(self._profile)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _profile(self, frame: FrameType, what: str, _: object) -> None:
        code = frame.f_code
        if what != "call" or code.co_name in INLINED:
            return
        path = Path(code.co_filename)
        if path.is_relative_to(self.package):
            file = path.relative_to(self.package).as_posix()
            self.calls.append(f"{file}  {getattr(code, 'co_qualname', code.co_name)}")
            self.files.add(file)


def chunks() -> list[Chunk]:
    """Return the chunks of a stream with two blocks of text."""
    usage = {"input_tokens": 25, "output_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    stop = {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 6}}
    return [
        Chunk(_frame("message_start", message=message)),
        Chunk(_frame("content_block_start", index=0, content_block={"type": "text", "text": ""})),
        Chunk(_delta(0), wait=SECOND),
        Chunk(_delta(0), wait=SECOND),
        Chunk(_delta(0)),
        Chunk(_delta(0), case=BURST),
        Chunk(_delta(0), wait=SECOND, case=WAIT),
        Chunk(_frame("content_block_stop", index=0)),
        Chunk(_frame("content_block_start", index=1, content_block={"type": "text", "text": ""})),
        Chunk(_delta(1), case=FIRST),
        Chunk(_frame("content_block_stop", index=1)),
        Chunk(_frame("message_delta", **stop)),
        Chunk(_frame("message_stop")),
    ]


def _delta(index: int) -> bytes:
    return _frame("content_block_delta", index=index, delta={"type": "text_delta", "text": " lorem"})


def _frame(kind: str, **data: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def client_for(body: list[Chunk], clock: Clock) -> Any:
    """Return a client of the SDK whose requests are answered with these chunks."""
    import anthropic

    http: Any = sys.modules.get("httpx2") or sys.modules["httpx"]  # that of this version of the SDK

    class Body(http.SyncByteStream):  # type: ignore[misc] # one of two libraries, found at run time
        def __iter__(self) -> Iterator[bytes]:
            for chunk in body:
                clock.now += chunk.wait
                yield chunk.data

    def answer(request: Any) -> Any:
        headers = {"content-type": "text/event-stream; charset=utf-8", "request-id": "req_1"}
        return http.Response(200, headers=headers, stream=Body(), request=request)

    return anthropic.Anthropic(
        api_key="none",
        base_url="http://127.0.0.1:9",
        http_client=http.Client(transport=http.MockTransport(answer)),
        max_retries=0,
    )


def read(client: Any, body: list[Chunk], package: Path) -> dict[str, Trace]:
    """Read one stream, and return the trace of each case.

    Raises:
        RuntimeError: The stream is longer than its events.
    """
    traces = {case: Trace(package) for case in CASES}
    others = Trace(package)
    stream = iter(client.messages.create(stream=True, **REQUEST))
    for chunk in body:
        with traces.get(chunk.case, others):
            next(stream)
    with traces[END]:
        left = next(stream, None)
    if left is not None:
        raise RuntimeError(f"an event after the last: {left}")
    return traces


def trace_cases() -> tuple[Path, dict[str, Trace]]:
    """Instrument the SDK, read two streams, and return the folder of the package with the traces of the second."""
    clock = Clock()
    clock.install()
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    import otel_claude_stream

    package = Path(otel_claude_stream.__file__).parent
    instrumentor = otel_claude_stream.ClaudeStreamInstrumentor()
    meters = MeterProvider(metric_readers=[InMemoryMetricReader()])
    instrumentor.instrument(skip_dep_check=True, tracer_provider=TracerProvider(), meter_provider=meters)
    try:
        body = chunks()
        client = client_for(body, clock)
        read(client, body, package)
        gc.disable()
        return package, read(client, body, package)
    finally:
        gc.enable()
        instrumentor.uninstrument()


def main(arguments: list[str] | None = None) -> int:
    """Print the figures of each case; 1 if a case has more calls than the limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--show", action="store_true", help="print the calls in order as well")
    parser.add_argument("--limit", type=int, help="most calls that pass for a delta after a wait")
    options = parser.parse_args(arguments)
    package, traces = trace_cases()
    print(f"package: {package}")
    for case, trace in traces.items():
        print(f"{case:28} {len(trace.calls):4} calls in {len(trace.files):2} files")
        if options.show:
            print("".join(f"    {call}\n" for call in trace.calls), end="")
    return 1 if options.limit is not None and len(traces[WAIT].calls) > options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
