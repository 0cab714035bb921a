"""Hours of streams in seconds: the real SDK, instrumented by the real package, by a clock that is set by hand.

Streams overlap as they like: each is played at its own time, and what its meters say is looked at once a step, as a
scrape or an export would. Only ends count for most metrics, so streams are played in the order in which they end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from tests.support.rig import API, REQUEST, by

from otel_claude_stream import ClaudeStreamInstrumentor, _guard
from otel_claude_stream.testing import Hang, ManualClock, Pause, Script

MINUTE = 60.0
HOUR = 3600.0
SERVER = "gw.example.com"
MODEL = "claude-sonnet-5"


class Timeline(ManualClock):
    """A manual clock that can be set: each stream has a time of its own, and they are played one by one."""

    def set(self, seconds: float) -> None:
        """Now is so many seconds after the beginning."""
        with self._lock:
            self._elapsed_ns = round(seconds * 1e9)


@dataclass(frozen=True)
class Stream:
    """A call of the application: when, what it gets (a script an attempt), and of which model and server."""

    at: float
    scripts: tuple[Script, ...]
    model: str = MODEL
    server: str = SERVER
    leaves: bool = False
    """The caller closes the stream after its second chunk."""
    holds: bool = False
    """The caller reads two events and then leaves the stream open, for good."""

    fails: bool = False
    """The package itself fails somewhere beside this stream."""

    @property
    def ends(self) -> float:
        """About when it ends, back-offs left out."""
        return self.at + sum(script.header_delay + sum(map(_seconds, script.steps)) for script in self.scripts)


def _seconds(step: object) -> float:
    match step:
        case Pause(seconds):
            return seconds
        case Hang(seconds):
            return seconds
        case _:
            return 0.0


@dataclass
class Process:
    """One run of the application: its clients, its meters."""

    clock: Timeline
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    readers: tuple[Any, ...] = ()
    """Readers beside the one in memory."""
    resource: Resource | None = None
    _apis: dict[str, tuple[API, Any]] = field(default_factory=dict)
    _held: list[Any] = field(default_factory=list)
    truth: list[tuple[Stream, int, bool]] = field(default_factory=list)
    """What really happened, as the fake API and the caller saw it: each stream, its HTTP requests, whether it was
    complete."""

    def __post_init__(self) -> None:
        self.memory = InMemoryMetricReader()
        self.meters = MeterProvider([self.memory, *self.readers], self.resource, shutdown_on_exit=False)

    def play(self, stream: Stream) -> None:
        """Play one stream, at its time."""
        api, client = self._apis.get(stream.server) or self._connect(stream.server)
        api._scripts, api.requests = list(stream.scripts), 0
        api.bodies.clear()
        self.clock.set(stream.at)
        request = {**REQUEST, "model": stream.model}
        if stream.fails:
            with contextlib.suppress(RuntimeError):  # raised again by a strict guard
                _guard.report("scenario", RuntimeError("made up"))
        complete, deltas = False, 0
        with contextlib.suppress(Exception):  # what the application gets is looked at elsewhere
            found = client.messages.create(stream=True, **request)
            for event in found:
                complete = complete or event.type == "message_stop"
                deltas += event.type == "content_block_delta"
                if stream.leaves and deltas == 2:
                    found.close()
                    break
                if stream.holds and deltas == 2:
                    self._held.append(found)
                    break
        self.truth.append((stream, api.requests, complete))

    def _connect(self, server: str) -> tuple[API, Any]:
        api = API((), self.clock)
        made = self._apis[server] = api, api.client(base_url=f"https://{server}", **self.options)
        return made

    def close(self) -> None:
        """Let go of what is open."""
        for found in self._held:
            found.close()


@contextlib.contextmanager
def process(
    clock: Timeline,
    monkeypatch: Any,
    *,
    readers: tuple[Any, ...] = (),
    resource: Resource | None = None,
    **settings: Any,
) -> Iterator[Process]:
    """An instrumented process."""
    options = settings.pop("options", {})
    with by(clock, monkeypatch):
        made = Process(clock, settings, options, readers, resource)
        instrumentor = ClaudeStreamInstrumentor()
        instrumentor.instrument(meter_provider=made.meters, tracer_provider=TracerProvider(), **settings)
        try:
            yield made
        finally:
            instrumentor.uninstrument()
            made.close()
            made.meters.shutdown()


def observe(
    made: Process,
    streams: Sequence[Stream],
    *,
    begin: float,
    until: float,
    step: float,
    see: Callable[[float, Any], None],
) -> None:
    """Play streams, and call `see` with the time and what the meters say, every `step` seconds."""
    waiting = sorted(streams, key=lambda stream: stream.ends)
    place, now = 0, begin
    while now <= until:
        while place < len(waiting) and waiting[place].ends <= now:
            made.play(waiting[place])
            place += 1
        made.clock.set(now)
        see(now, made.memory.get_metrics_data())
        now += step
