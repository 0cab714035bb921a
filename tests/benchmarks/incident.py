"""An API that is overloaded for a while, and the users of an application who go on asking it: in simulated time.

The SDK, the instrumentation and its policy are the real ones; the API is a transport in memory. During the incident the
API serves a few requests a second, whatever it is asked: retries cannot make that more, they only make it worse.
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
REFUSED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

OWN = RetryPolicy(mode=Mode.RETRY, sdk_retries=SdkRetries.REPLACE)
NO_BUDGET = Budget(ratio=1.0, min_per_window=10_000)
"""As much as a policy may allow, and more than is asked for here."""

STEP = 10
"""Seconds of a line of the chart."""
PER_SIGN = 1.5
"""Requests a second that one sign of a bar stands for."""


@dataclass(frozen=True)
class Incident:
    """What happens. Times and durations in seconds, capacities in requests a second."""

    users: int = 200
    healthy: float = 60.0
    """Until when all is well."""
    overloaded: float = 180.0
    """Until when the API serves hardly anybody."""
    end: float = 300.0
    capacity: float = 60.0
    reduced: float = 1.0
    answer: float = 12.0
    """How long an answer takes that is served."""
    pause: float = 8.0
    """What a user waits after an answer, or after an error, before he asks again."""
    in_stream: float = 0.3
    """Share of the refusals that come as an `error` event in a 200: half of them before the first token, half after."""

    def phase(self, at: float) -> str:
        """What goes on at a time."""
        return "healthy" if at < self.healthy else "overloaded" if at < self.overloaded else "recovered"


@dataclass
class Second:
    """What was counted in one second of the incident."""

    calls: int = 0
    """Calls of the application that began."""
    requests: int = 0
    refused: int = 0
    completed: int = 0
    """Calls that ended well."""
    failed: int = 0
    """Calls that raised."""
    budget: float | None = None
    """Retries that the budget allowed at the end of the second; None where there is none."""


@dataclass
class Course:
    """How it went, second by second, and what the instrumentation counted itself."""

    incident: Incident
    seconds: list[Second] = field(default_factory=list)
    counted: Mapping[str, float] = field(default_factory=dict)

    def total(self, name: str, phase: str | None = None) -> int:
        """The sum of one figure, over a phase or over all."""
        return sum(getattr(second, name) for at, second in enumerate(self.seconds) if self._is(at, phase))

    def amplification(self, phase: str | None = None) -> float:
        """HTTP requests per call."""
        return self.total("requests", phase) / self.total("calls", phase)

    def recovered_after(self) -> int | None:
        """Seconds from the end of the incident until no call has failed for ten seconds; None: it did not."""
        start = int(self.incident.overloaded)
        for at in range(start, len(self.seconds) - 10):
            if not any(second.failed for second in self.seconds[at : at + 10]):
                return at - start
        return None

    def _is(self, at: int, phase: str | None) -> bool:
        return phase is None or self.incident.phase(at) == phase


class Answer(HTTP.AsyncByteStream):  # type: ignore[misc] # one of two libraries, found at run time
    """A body that takes its time; ``broken_after`` so many chunks it says that the API is overloaded."""

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
    """One run: the API, the users, and the counts."""

    def __init__(self, incident: Incident, loop: VirtualLoop, seed: int) -> None:
        self.course = Course(incident)
        self._incident = incident
        self._loop = loop
        self._random = random.Random(seed)
        self._served: list[float] = []
        self._metrics = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._metrics], shutdown_on_exit=False)

    async def run(self, client: anthropic.AsyncAnthropic) -> None:
        """Let the users ask until the end, and their last answers come."""
        await asyncio.gather(self._look(), *(self._user(client) for _ in range(self._incident.users)))

    def answer(self, request: Any) -> Any:
        """The API: what it makes of one request."""
        now, incident = self._loop.time(), self._incident
        second = self._second()
        second.requests += 1
        if self._serves(now):
            return HTTP.Response(200, headers=_HEADERS, stream=Answer(incident.answer), request=request)
        second.refused += 1
        chance = self._random.random()
        if chance < incident.in_stream:
            after = 2 if chance < incident.in_stream / 2 else 7
            return HTTP.Response(200, headers=_HEADERS, stream=Answer(incident.answer, after), request=request)
        return HTTP.Response(529, json=REFUSED, request=request)

    def _serves(self, now: float) -> bool:
        """Whether there is room for one more in this second."""
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

    async def _look(self) -> None:
        """Read the gauge of the budget once a second."""
        while self._loop.time() < self._incident.end:
            await asyncio.sleep(1.0)
            self.course.seconds[self._at(-1)].budget = self._read().get(schema.RETRY_BUDGET.name)

    def finish(self) -> Course:
        """The course, with what the instrumentation counted."""
        self.course.counted = self._read()
        self.meter_provider.shutdown()
        return self.course

    def _read(self) -> dict[str, float]:
        """Sums of the metrics that are numbers."""
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
    """How an incident goes under a policy. ``name`` is that of the API's host: budgets of others are not touched."""
    loop = VirtualLoop()
    simulation = Simulation(incident, loop, seed)
    before = _instrumentor.CLOCK, _instrumentor.CHANCE, random.getstate()
    chance = random.Random(seed)
    _instrumentor.CLOCK, _instrumentor.CHANCE = loop.now_ns, chance.random
    random.seed(seed)  # the jitter of the SDK's own back-off
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
            raise RuntimeError("the policy was not taken: see what was logged")
        return course
    finally:
        instrumentor.uninstrument()
        _instrumentor.CLOCK, _instrumentor.CHANCE = before[:2]
        random.setstate(before[2])
        loop.run_until_complete(client.close())
        loop.close()


def lines(course: Course) -> list[str]:
    """The curve: first requests, retries and what is left of the budget, in steps of ten seconds."""
    found = [f"{'t':>5}  {'':10}  calls/s  requests/s  x     failed  budget   first requests █, retries ░ (a second)"]
    for at in range(0, int(course.incident.end), STEP):
        part = course.seconds[at : at + STEP]
        calls, requests = _rate(part, "calls"), _rate(part, "requests")
        retries = max(0.0, requests - calls)
        bar = "█" * round(min(calls, requests) / PER_SIGN) + "░" * round(retries / PER_SIGN)
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
