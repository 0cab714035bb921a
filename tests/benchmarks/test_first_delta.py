"""In every mode, the caller has each delta before the next chunk is read from the wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.memory_api import FIRST_DELTA, REQUEST, chunks, sync_client

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy
from otel_claude_stream.testing import Capture


@pytest.fixture(params=[None, *Mode], ids=lambda mode: getattr(mode, "value", "bare"))
def mode(request: pytest.FixtureRequest) -> Iterator[Mode | None]:
    """The mode of the retry policy, or None for the bare SDK."""
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


def test_each_delta_reaches_the_caller_at_once(mode: Mode | None) -> None:
    read: list[int] = []
    parts = chunks(5)
    client = sync_client(parts, lambda: read.append(len(read)))
    seen = [
        (event.type, len(read))
        for event in client.messages.create(stream=True, **REQUEST)
        if event.type == "content_block_delta"
    ]
    assert seen == [("content_block_delta", FIRST_DELTA + number) for number in range(1, 6)]


def test_only_events_before_the_first_content_are_buffered(mode: Mode | None) -> None:
    """A policy that can retry delivers them together with the first content."""
    read: list[int] = []
    client = sync_client(chunks(1), lambda: read.append(len(read)))
    seen = {event.type: len(read) for event in client.messages.create(stream=True, **REQUEST)}
    buffers = mode in (Mode.RETRY, Mode.RESUME)
    at_first_delta = FIRST_DELTA + 1
    assert (seen["message_start"], seen["content_block_start"]) == (
        (at_first_delta, at_first_delta) if buffers else (1, 2)
    )
