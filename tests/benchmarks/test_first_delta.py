"""No delta is held back, in any mode: the caller has each one before the next chunk is read from the wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.memory_api import FIRST_DELTA, REQUEST, chunks, sync_client

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy
from otel_claude_stream.testing import Capture


@pytest.fixture(params=[None, *Mode], ids=lambda mode: getattr(mode, "value", "bare"))
def mode(request: pytest.FixtureRequest) -> Iterator[Mode | None]:
    if request.param is None:
        yield None
        return
    with Capture() as telemetry:
        ClaudeStreamInstrumentor().instrument(
            skip_dep_check=True, retry_policy=RetryPolicy(request.param), **telemetry.providers
        )
        try:
            yield request.param
        finally:
            ClaudeStreamInstrumentor().uninstrument()


def test_deltas_reach_the_caller_as_they_come(mode: Mode | None) -> None:
    read: list[int] = []
    parts = chunks(5)
    client = sync_client(parts, lambda: read.append(len(read)))
    seen = [
        (event.type, len(read))
        for event in client.messages.create(stream=True, **REQUEST)
        if event.type == "content_block_delta"
    ]
    assert seen == [("content_block_delta", FIRST_DELTA + number) for number in range(1, 6)]


def test_only_what_comes_before_the_first_content_is_held(mode: Mode | None) -> None:
    """Where something may be done about a failure, the message begins for the caller with its first content."""
    read: list[int] = []
    client = sync_client(chunks(1), lambda: read.append(len(read)))
    seen = {event.type: len(read) for event in client.messages.create(stream=True, **REQUEST)}
    acts = mode in (Mode.RETRY, Mode.RESUME)
    held = FIRST_DELTA + 1
    assert (seen["message_start"], seen["content_block_start"]) == ((held, held) if acts else (1, 2))
