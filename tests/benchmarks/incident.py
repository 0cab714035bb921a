"""Simulation of an overloaded API and of the users of an application, in simulated time.

The SDK, the instrumentation and its policy are real. The API is an in-memory transport. During the incident it serves
a few requests a second. Retries do not increase that number, they only add load.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import anthropic
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from tests.benchmarks.virtual_time import VirtualLoop
from tests.support.memory_api import HTTP, REQUEST, chunks

from otel_claude_stream import ClaudeStreamInstrumentor, _instrumentor
from otel_claude_stream._core.retry.policy import Budget, Mode, RetryPolicy, SdkRetries
from otel_claude_stream._telemetry import schema

DELTAS = 12
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
OVERLOADED_RESPONSE = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

REPLACE_SDK_RETRIES = RetryPolicy(mode=Mode.RETRY, sdk_retries=SdkRetries.REPLACE)
NO_BUDGET = Budget(ratio=1.0, min_per_window=10_000)
"""A budget that is never exhausted here."""

STEP = 10
"""Seconds in a line of the chart."""
PER_CHARACTER = 1.5
"""Requests a second for each character of a bar."""


@dataclass(frozen=True)
class Incident:
    """The parameters of the incident. Times are in seconds, capacities in requests a second."""

    users: int = 200
    healthy: float = 60.0
    """The time at which the overload begins."""
    overloaded: float = 180.0
    """The time at which the overload ends."""
    end: float = 300.0
    capacity: float = 60.0
    reduced: float = 1.0
    answer: float = 12.0
    """The duration of a served stream."""
    pause: float = 8.0
    """The pause of a user after a stream or an error."""
    in_stream: float = 0.3
    """The share of rejections that are an `error` event in a stream, half of them before the first token."""

    def phase(self, at: float) -> str:
        """Return the phase of the incident at a time."""
        return "healthy" if at < self.healthy else "overloaded" if at < self.overloaded else "recovered"


@dataclass
class Second:
    """The counts of one second."""

    calls: int = 0
    """Calls of the application that started."""
    requests: int = 0
    rejected: int = 0
    completed: int = 0
    """Calls that completed."""
    failed: int = 0
    """Calls that raised."""
    budget: float | None = None
    """Retries left in the budget at the end of the second; None without a budget."""


@dataclass
class Course:
    """The counts of each second, and the metrics of the instrumentation."""

    incident: Incident
    seconds: list[Second] = field(default_factory=list)
    counted: Mapping[str, float] = field(default_factory=dict)

    def total(self, name: str, phase: str | None = None) -> int:
        """Return the sum of a count over a phase, or over all seconds."""
        return sum(getattr(second, name) for at, second in enumerate(self.seconds) if self._is_in(at, phase))

    def amplification(self, phase: str | None = None) -> float:
        """Return the number of HTTP requests for each call."""
        return self.total("requests", phase) / self.total("calls", phase)

    def recovered_after(self) -> int | None:
        """Return the seconds from the end of the overload until calls stop failing; None if they do not.

        Calls have stopped failing if none fails within ten seconds.
        """
        start = int(self.incident.overloaded)
        for at in range(start, len(self.seconds) - 10):
            if not any(second.failed for second in self.seconds[at : at + 10]):
                return at - start
        return None

    def _is_in(self, at: int, phase: str | None) -> bool:
        return phase is None or self.incident.phase(at) == phase


class Answer(HTTP.AsyncByteStream):  # type: ignore[misc] # the library is known at run time only
    """A body that takes `seconds`. After `broken_after` chunks it ends with an `overloaded_error`."""

    def __init__(self, seconds: float, broken_after: int | None = None) -> None:
        self._parts = chunks(DELTAS)[:broken_after]
        self._broken = broken_after is not None
        self._gap = seconds / len(chunks(DELTAS))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            await asyncio.sleep(self._gap)
            yield part
        if self._broken:
            yield OVERLOADED


class Simulation:
    """One run of the API and its users."""

    def __init__(self, incident: Incident, loop: VirtualLoop, seed: int) -> None:
        self.course = Course(incident)
        self._incident = incident
        self._loop = loop
        self._random = random.Random(seed)
        self._served: list[float] = []
        self._metrics = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._metrics], shutdown_on_exit=False)

    async def run(self, client: anthropic.AsyncAnthropic) -> None:
        """Run all users until the end of their last call."""
        await asyncio.gather(self._record_budget(), *(self._user(client) for _ in range(self._incident.users)))

    def answer(self, request: Any) -> Any:
        """Answer a request, as the API."""
        now, incident = self._loop.time(), self._incident
        second = self._second()
        second.requests += 1
        if self._serves(now):
            return HTTP.Response(200, headers=_HEADERS, stream=Answer(incident.answer), request=request)
        second.rejected += 1
        share = self._random.random()
        if share < incident.in_stream:
            after = 2 if share < incident.in_stream / 2 else 7
            return HTTP.Response(200, headers=_HEADERS, stream=Answer(incident.answer, after), request=request)
        return HTTP.Response(529, json=OVERLOADED_RESPONSE, request=request)

    def _serves(self, now: float) -> bool:
        """Whether the API has capacity for another request in this second."""
        incident = self._incident
        capacity = incident.reduced if incident.phase(now) == "overloaded" else incident.capacity
        self._served = [at for at in self._served if at > now - 1.0]
        if len(self._served) >= capacity:
            return False
        self._served.append(now)
        return True

    async def _user(self, client: anthropic.AsyncAnthropic) -> None:
        incident = self._incident
        await asyncio.sleep(self._random.uniform(0, incident.answer + incident.pause))
        while self._loop.time() < incident.end:
            self._second().calls += 1
            try:
                async for _ in await client.messages.create(stream=True, **REQUEST):
                    pass
            except anthropic.APIError:
                self._second().failed += 1
            else:
                self._second().completed += 1
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * incident.pause)

    async def _record_budget(self) -> None:
        """Record the gauge of the budget once a second."""
        while self._loop.time() < self._incident.end:
            await asyncio.sleep(1.0)
            self.course.seconds[self._at(-1)].budget = self._read().get(schema.RETRY_BUDGET.name)

    def finish(self) -> Course:
        """Return the counts, with the metrics of the instrumentation."""
        self.course.counted = self._read()
        self.meter_provider.shutdown()
        return self.course

    def _read(self) -> dict[str, float]:
        """Return the sums of the counters and gauges."""
        data, found = self._metrics.get_metrics_data(), dict[str, float]()
        for resource in data.resource_metrics if data else ():
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                values = [point.value for point in metric.data.data_points if isinstance(point, NumberDataPoint)]
                if values:
                    found[metric.name] = float(sum(values))
        return found

    def _at(self, offset: int = 0) -> int:
        at = max(0, int(self._loop.time() + 1e-6) + offset)
        while len(self.course.seconds) <= at:
            self.course.seconds.append(Second())
        return at

    def _second(self) -> Second:
        return self.course.seconds[self._at()]


_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "request-id": "req_incident"}


def simulate(name: str, incident: Incident, policy: RetryPolicy, *, max_retries: int = 2, seed: int = 1) -> Course:
    """Simulate an incident under a policy. `name` is the host of the API, which has a budget of its own."""
    loop = VirtualLoop()
    simulation = Simulation(incident, loop, seed)
    before = _instrumentor.CLOCK, _instrumentor.RANDOM, random.getstate()
    jitter = random.Random(seed)
    _instrumentor.CLOCK, _instrumentor.RANDOM = loop.now_ns, jitter.random
    random.seed(seed)  # for the jitter of the SDK's back-off
    instrumentor = ClaudeStreamInstrumentor()
    instrumentor.instrument(
        skip_dep_check=True, retry_policy=policy, meter_provider=simulation.meter_provider, span="always"
    )
    http = HTTP.AsyncClient(transport=HTTP.MockTransport(simulation.answer))
    client = anthropic.AsyncAnthropic(
        api_key="none", base_url=f"http://{name}.test", http_client=http, max_retries=max_retries
    )
    try:
        loop.run_until_complete(simulation.run(client))
        course = simulation.finish()
        if policy.mode is not Mode.OBSERVE and all(second.budget is None for second in course.seconds):
            raise RuntimeError("the policy was not applied; see the log")
        return course
    finally:
        instrumentor.uninstrument()
        _instrumentor.CLOCK, _instrumentor.RANDOM = before[:2]
        random.setstate(before[2])
        loop.run_until_complete(client.close())
        loop.close()


def chart_lines(course: Course) -> list[str]:
    """Return a chart of first requests, retries and the rest of the budget, in steps of ten seconds."""
    found = [f"{'t':>5}  {'':10}  calls/s  requests/s  x     failed  budget   first requests █, retries ░ (a second)"]
    for at in range(0, int(course.incident.end), STEP):
        part = course.seconds[at : at + STEP]
        calls, requests = _rate(part, "calls"), _rate(part, "requests")
        retries = max(0.0, requests - calls)
        bar = "█" * round(min(calls, requests) / PER_CHARACTER) + "░" * round(retries / PER_CHARACTER)
        budget = f"{part[-1].budget:6.0f}" if part[-1].budget is not None else "     -"
        ended = sum(second.failed + second.completed for second in part)
        failed = sum(second.failed for second in part) / max(1, ended)
        found.append(
            f"{at:4}s  {course.incident.phase(at):10}  {calls:7.1f}  {requests:10.1f}"
            f"  {requests / max(calls, 0.1):4.2f}  {failed:5.0%}  {budget}   {bar}"
        )
    return found


def _rate(part: list[Second], name: str) -> float:
    return sum(getattr(second, name) for second in part) / max(1, len(part))
