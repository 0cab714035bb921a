"""The instrumentation changes nothing that the caller or the server can observe, whatever fault occurs."""

from __future__ import annotations

import re
import socket
import warnings
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry import context as otel_context
from tests.support.faults import FAULTS, REFUSED
from tests.support.observing import observed
from tests.support.ways import BETA_WAYS, WAYS, Seen

from otel_claude_stream.testing import FakeAPI, Script

NEXT_RESPONSE = Script.plain_response(200, '{"data": []}', [("content-type", "application/json")])
BY_NAME = {way.name: way for way in (*WAYS, *BETA_WAYS)}


@dataclass
class Observation:
    """Everything that the caller and the server can observe of one call, for comparison."""

    events: list[Any] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    message: Any = None
    classes: list[type] = field(default_factory=list)
    error: list[Any] = field(default_factory=list)
    attempts: list[Any] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)
    same_context: bool = True


def dumped(value: Any) -> Any:
    """Return a model as its class name and plain data."""
    if hasattr(value, "model_dump"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydantic warns of unexpected shapes
            return type(value).__name__, value.model_dump()
    return value


def chain(error: BaseException | None) -> list[Any]:
    """Describe an exception and its causes by their classes, messages and display flags."""
    found: list[Any] = []
    while error is not None and len(found) < 20:
        message = re.sub(r"127\.0\.0\.1\D+\d+|cancel scope \w+", "HERE", str(error))
        found.append((type(error), message, len(error.args), error.__cause__ is not None, error.__suppress_context__))
        error = error.__cause__ or error.__context__
    return found


def observe_call(mode, fault, way):
    """Make the call and return its observation and the exception."""
    seen, result = Seen(), Observation()

    async def body(url: str) -> None:
        async with mode.entered(mode.client(url, **fault.client)) as client:
            before = otel_context.get_current()
            try:
                await way.run(mode, way.resource(client), seen)
            except Exception as error:  # noqa: BLE001 - any exception is the result
                seen.error = error
            result.same_context = otel_context.get_current() == before
            if fault.name != REFUSED:
                await mode.do(client.models.list())  # over the same connection, if the stream released it

    if fault.name == REFUSED:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
        mode.run(body, url)
    else:
        with FakeAPI({"it": [*fault.scripts, NEXT_RESPONSE]}) as api:
            mode.run(body, api.url_for("it"))
            api.wait_until(
                lambda requests: all(request.completed or request.client_disconnected for request in requests)
            )
            # From 1.14 on the SDK itself adds the header `traceparent`.
            result.attempts = [
                (request.path, request.body, sorted({*request.headers} - {"traceparent"})) for request in api.requests
            ]
            result.connections = [request.connection for request in api.requests]
    result.events = [dumped(event) for event in seen.events]
    result.texts, result.classes, result.message = seen.texts, seen.classes, dumped(seen.message)
    result.error = chain(seen.error)
    return result, seen.error


CASES = [
    pytest.param(fault, way, id=f"{fault.name}-{way.name}")
    for fault in FAULTS
    for way in map(BY_NAME.__getitem__, fault.ways)
]


@pytest.mark.parametrize(("fault", "way"), CASES)
def test_a_call_is_the_same_with_and_without_instrumentation(mode, fault, way):
    """Events, texts, exceptions, classes, requests and connections are equal, and the span has the expected reason."""
    bare, error = observe_call(mode, fault, way)
    with observed() as telemetry:
        ours, _ = observe_call(mode, fault, way)
        telemetry.assert_recorded_once()
        assert telemetry.outcome_and_reason() == fault.expected(way.read, error)
        assert telemetry.attributes("attempt.count") == (fault.attempts,)
    assert ours == bare
    assert ours.same_context
