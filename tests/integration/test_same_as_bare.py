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

AFTERWARDS = Script.page(200, '{"data": []}', [("content-type", "application/json")])
BY_NAME = {way.name: way for way in (*WAYS, *BETA_WAYS)}


@dataclass
class Portrait:
    """All that a caller can tell of one call, in a form that can be compared."""

    events: list[Any] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    message: Any = None
    classes: list[type] = field(default_factory=list)
    error: list[Any] = field(default_factory=list)
    attempts: list[Any] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)
    same_context: bool = True


def dumped(value: Any) -> Any:
    """A model as plain data; what it is besides."""
    if hasattr(value, "model_dump"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd shapes make pydantic complain; they are compared as they are
            return type(value).__name__, value.model_dump()
    return value


def chain(error: BaseException | None) -> list[Any]:
    """An exception with its causes and contexts: classes, words, and what is shown of them."""
    found: list[Any] = []
    while error is not None and len(found) < 20:
        said = re.sub(r"127\.0\.0\.1\D+\d+|cancel scope \w+", "HERE", str(error))
        found.append((type(error), said, len(error.args), error.__cause__ is not None, error.__suppress_context__))
        error = error.__cause__ or error.__context__
    return found


def portrait(mode, fault, way):
    """Make the call; what the caller saw, and what the server saw of him. With the exception itself."""
    seen, result = Seen(), Portrait()

    async def body(url: str) -> None:
        async with mode.entered(mode.client(url, **fault.client)) as client:
            before = otel_context.get_current()
            try:
                await way.run(mode, way.resource(client), seen)
            except Exception as error:  # noqa: BLE001 - whatever reaches the caller is the result
                seen.error = error
            result.same_context = otel_context.get_current() == before
            if fault.name != REFUSED:
                await mode.do(client.models.list())  # over the same connection, if the stream gave it back

    if fault.name == REFUSED:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
        mode.run(body, url)
    else:
        with FakeAPI({"it": [*fault.scripts, AFTERWARDS]}) as api:
            mode.run(body, api.url_for("it"))
            api.wait_until(lambda requests: all(request.done or request.client_left for request in requests))
            # From 1.14 the SDK sends the current span along, whoever made it: that header is not ours.
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
def test_the_caller_sees_what_he_saw_before(mode, fault, way):
    """Events, texts, message, exception and its causes, classes, requests, connections: all as without us; one span."""
    bare, error = portrait(mode, fault, way)
    with observed() as telemetry:
        ours, _ = portrait(mode, fault, way)
        telemetry.told_once()
        assert telemetry.ending() == fault.expected(way.read, error)
        assert telemetry.of("attempt.count") == (fault.attempts,)
    assert ours == bare
    assert ours.same_context
