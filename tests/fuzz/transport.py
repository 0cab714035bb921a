"""Clients of the SDK over a transport in memory, and the telemetry that they leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import anthropic
from tests.support.rig import HTTP

REQUEST: dict[str, Any] = {
    "model": "claude-test",
    "max_tokens": 4096,
    "messages": [{"role": "user", "content": "Hello?"}],
}


class Body(HTTP.SyncByteStream, HTTP.AsyncByteStream):  # type: ignore[misc] # one of two libraries, found at run time
    """The chunks of a response body, and maybe an exception at its end."""

    def __init__(self, steps: Sequence[bytes | Exception]) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[bytes]:
        for step in self._steps:
            if isinstance(step, Exception):
                raise step
            yield step

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


class Clients:
    """A synchronous and an asynchronous client, whose requests the current `answer` gets."""

    def __init__(self) -> None:
        self.answer: Callable[[Any], Any] = lambda _: None
        options: dict[str, Any] = {"api_key": "none", "base_url": "https://api.example.com", "max_retries": 0}
        transport = HTTP.MockTransport(lambda request: self.answer(request))  # noqa: PLW0108 - it changes
        self.sync = anthropic.Anthropic(**options, http_client=HTTP.Client(transport=transport))
        self.aio = anthropic.AsyncAnthropic(**options, http_client=HTTP.AsyncClient(transport=transport))
        self.loop = asyncio.new_event_loop()

    def close(self) -> None:
        """Close the event loop of the asynchronous client."""
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
