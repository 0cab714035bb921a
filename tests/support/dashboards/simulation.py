"""Simulates an instrumented application over hours in seconds, with the real SDK and package on a manual clock.

Calls may overlap in simulated time, but they run one after the other in the order in which their streams end. That is
enough because most metrics are recorded at the end of a stream. Metrics are collected once for each step, like a scrape
or an export.
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


class SettableClock(ManualClock):
    """A manual clock that can also be set back, as calls that overlap run one after the other."""

    def set(self, seconds: float) -> None:
        """Set the time to `seconds` after the start."""
        with self._lock:
            self._elapsed_ns = round(seconds * 1e9)


@dataclass(frozen=True)
class Call:
    """A call of the application at a given time, with a script for each HTTP request."""

    at: float
    scripts: tuple[Script, ...]
    model: str = MODEL
    server: str = SERVER
    closed_early: bool = False
    """The caller closes the stream after its second chunk."""
    left_open: bool = False
    """The caller stops reading after the second chunk and leaves the stream open."""
    internal_error: bool = False
    """An internal error of the package is reported with this call."""

    @property
    def ends(self) -> float:
        """Approximate end in seconds, without back-off."""
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
class SimulatedProcess:
    """One process of the application, with a client for each server and its metrics."""

    clock: SettableClock
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    readers: tuple[Any, ...] = ()
    """Additional metric readers."""
    resource: Resource | None = None
    _apis: dict[str, tuple[API, Any]] = field(default_factory=dict)
    _left_open: list[Any] = field(default_factory=list)
    observed: list[tuple[Call, int, bool]] = field(default_factory=list)
    """Each call, the number of HTTP requests that the fake API saw, and whether the answer was complete."""

    def __post_init__(self) -> None:
        self.memory = InMemoryMetricReader()
        self.meters = MeterProvider([self.memory, *self.readers], self.resource, shutdown_on_exit=False)

    def play(self, call: Call) -> None:
        """Make one call at its time."""
        api, client = self._apis.get(call.server) or self._connect(call.server)
        api._scripts, api.requests = list(call.scripts), 0
        api.bodies.clear()
        self.clock.set(call.at)
        request = {**REQUEST, "model": call.model}
        if call.internal_error:
            with contextlib.suppress(RuntimeError):  # a strict guard raises it again
                _guard.report("scenario", RuntimeError("simulated"))
        complete, deltas = False, 0
        with contextlib.suppress(Exception):  # other tests check the errors that the caller gets
            found = client.messages.create(stream=True, **request)
            for event in found:
                complete = complete or event.type == "message_stop"
                deltas += event.type == "content_block_delta"
                if call.closed_early and deltas == 2:
                    found.close()
                    break
                if call.left_open and deltas == 2:
                    self._left_open.append(found)
                    break
        self.observed.append((call, api.requests, complete))

    def _connect(self, server: str) -> tuple[API, Any]:
        api = API((), self.clock)
        made = self._apis[server] = api, api.client(base_url=f"https://{server}", **self.options)
        return made

    def close(self) -> None:
        """Close the streams that were left open."""
        for found in self._left_open:
            found.close()


@contextlib.contextmanager
def simulated_process(
    clock: SettableClock,
    monkeypatch: Any,
    *,
    readers: tuple[Any, ...] = (),
    resource: Resource | None = None,
    **settings: Any,
) -> Iterator[SimulatedProcess]:
    """Start an instrumented process."""
    options = settings.pop("options", {})
    with by(clock, monkeypatch):
        made = SimulatedProcess(clock, settings, options, readers, resource)
        instrumentor = ClaudeStreamInstrumentor()
        instrumentor.instrument(meter_provider=made.meters, tracer_provider=TracerProvider(), **settings)
        try:
            yield made
        finally:
            instrumentor.uninstrument()
            made.close()
            made.meters.shutdown()


def run_calls(
    made: SimulatedProcess,
    calls: Sequence[Call],
    *,
    begin: float,
    until: float,
    step: float,
    on_collect: Callable[[float, Any], None],
) -> None:
    """Make all calls, and pass the time and the collected metrics to `on_collect` every `step` seconds."""
    waiting = sorted(calls, key=lambda call: call.ends)
    place, now = 0, begin
    while now <= until:
        while place < len(waiting) and waiting[place].ends <= now:
            made.play(waiting[place])
            place += 1
        made.clock.set(now)
        on_collect(now, made.memory.get_metrics_data())
        now += step
