"""The incident of an overloaded API with the real SDK, the real instrumentation and its policy, in simulated time.

The API is an in-memory transport, which answers as that of `otel-claude-stream simulate`. During the incident it serves
a few requests a second. Retries do not increase that number, they only add load.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import anthropic
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from tests.benchmarks.virtual_time import VirtualLoop
from tests.support.memory_api import FIRST_DELTA, HTTP, REQUEST, chunks

from otel_claude_stream import ClaudeStreamInstrumentor, _instrumentor
from otel_claude_stream._core.retry.policy import Budget, Mode, RetryPolicy, SdkRetries
from otel_claude_stream._telemetry import schema
from otel_claude_stream.cli.simulate.course import Course, Second
from otel_claude_stream.cli.simulate.incidents import Api, Incident
from otel_claude_stream.cli.simulate.responses import Response

OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
OVERLOADED_RESPONSE = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

REPLACE_SDK_RETRIES = RetryPolicy(mode=Mode.RETRY, sdk_retries=SdkRetries.REPLACE)
NO_BUDGET = Budget(ratio=1.0, min_per_window=10_000)
"""A budget that is never exhausted here."""


class Answer(HTTP.AsyncByteStream):  # type: ignore[misc] # the library is known at run time only
    """The body of a planned response. If it does not end whole, it ends with an `overloaded_error`."""

    def __init__(self, response: Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        start, *text = self._response.stretches
        await asyncio.sleep(start.every)
        for part in _START:
            yield part
        for stretch in text:
            for _ in range(stretch.times):
                await asyncio.sleep(stretch.every)
                yield _DELTA
        for part in _END if self._response.ending is None else (OVERLOADED,):
            yield part


class Simulation:
    """One run of the API and its users."""

    def __init__(self, incident: Incident, loop: VirtualLoop, seed: int) -> None:
        self.course = Course(incident)
        self._incident = incident
        self._loop = loop
        self._random = random.Random(seed)
        self._api = Api(incident, seed)
        self._metrics = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._metrics], shutdown_on_exit=False)

    async def run(self, client: anthropic.AsyncAnthropic) -> None:
        """Run all users until the end of their last call."""
        await asyncio.gather(self._record_budget(), *(self._user(client) for _ in range(self._incident.users)))

    async def answer(self, request: Any) -> Any:
        """Answer a request, as the API."""
        self._second().requests += 1
        planned = self._api.answer(self._loop.time(), self._api.question())
        await asyncio.sleep(planned.headers)
        if planned.stretches:
            return HTTP.Response(200, headers=_HEADERS, stream=Answer(planned), request=request)
        return HTTP.Response(529, json=OVERLOADED_RESPONSE, request=request)

    async def _user(self, client: anthropic.AsyncAnthropic) -> None:
        incident = self._incident
        await asyncio.sleep(self._random.uniform(0, incident.cycle))
        while self._loop.time() < incident.until:
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
        while self._loop.time() < self._incident.until:
            await asyncio.sleep(1.0)
            self.course.second(self._loop.time() - 1.0).budget = self._read().get(schema.RETRY_BUDGET.name)

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

    def _second(self) -> Second:
        return self.course.second(self._loop.time())


_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "request-id": "req_incident"}
_START, _DELTA, _END = chunks(1)[:FIRST_DELTA], chunks(1)[FIRST_DELTA], chunks(1)[FIRST_DELTA + 1 :]


def simulate_with_the_sdk(
    name: str, incident: Incident, policy: RetryPolicy, *, max_retries: int = 2, seed: int = 1
) -> Course:
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
