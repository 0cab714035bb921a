"""Clients of the SDK over an in-memory transport, which answers with a list of chunks.

Without sockets, measurements have less noise.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anthropic

HTTP: Any = sys.modules.get("httpx2") or sys.modules["httpx"]
"""The HTTP library of this release of the SDK, `httpx2` from 1.0 on, `httpx` before. Only one may be imported."""

REQUEST: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "max_tokens": 8192,
    "messages": [{"role": "user", "content": "Write."}],
}

FIRST_DELTA = 3
"""The position of the first delta in `chunks`, after `message_start`, `content_block_start` and a ping."""


def _frame(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def chunks(deltas: int) -> list[bytes]:
    """Return the chunks of a stream with so many text deltas, one event in each chunk."""
    usage = {"input_tokens": 25, "output_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    delta = _frame("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": " lorem"}})
    return [
        _frame("message_start", {"message": message}),
        _frame("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        _frame("ping", {}),
        *[delta] * deltas,
        _frame("content_block_stop", {"index": 0}),
        _frame(
            "message_delta",
            {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": deltas}},
        ),
        _frame("message_stop", {}),
    ]


Before = Callable[[], Awaitable[None] | None]
"""Called before each chunk, to advance a clock or to wait. The result of an asynchronous one is awaited."""


class Body(HTTP.SyncByteStream, HTTP.AsyncByteStream):  # type: ignore[misc] # the library is known at run time only
    """A response body from a list of chunks."""

    def __init__(self, parts: list[bytes], before: Before | None = None) -> None:
        self._parts = parts
        self._before = before

    def __iter__(self) -> Iterator[bytes]:
        before = self._before
        for part in self._parts:
            if before is not None:
                before()
            yield part

    async def __aiter__(self) -> AsyncIterator[bytes]:
        before = self._before
        for part in self._parts:
            if before is not None:
                waiting = before()
                if waiting is not None:
                    await waiting
            yield part


def _transport(parts: list[bytes], before: Before | None = None) -> Any:
    headers = {"content-type": "text/event-stream; charset=utf-8", "request-id": "req_bench"}

    def answer(request: Any) -> Any:
        return HTTP.Response(200, headers=headers, stream=Body(parts, before), request=request)

    return HTTP.MockTransport(answer)


def sync_client(parts: list[bytes], before: Before | None = None, transport: Any = None) -> anthropic.Anthropic:
    """Create a client that gets these chunks, or what `transport` answers, as the response to every request."""
    http = HTTP.Client(transport=transport or _transport(parts, before))
    return anthropic.Anthropic(api_key="bench", base_url="http://127.0.0.1:9", http_client=http, max_retries=0)


def async_client(parts: list[bytes], before: Before | None = None, transport: Any = None) -> anthropic.AsyncAnthropic:
    """Create an async client; see `sync_client`."""
    http = HTTP.AsyncClient(transport=transport or _transport(parts, before))
    return anthropic.AsyncAnthropic(api_key="bench", base_url="http://127.0.0.1:9", http_client=http, max_retries=0)


def reader(way: str, parts: list[bytes], before: Before | None = None) -> Callable[[], int]:
    """Return a function that makes one call, reads the stream, and returns the number of events.

    `way` is one of `WAYS`.
    """
    if way.startswith("sync"):
        client = sync_client(parts, before)

        def read_created() -> int:
            return sum(1 for _ in client.messages.create(stream=True, **REQUEST))

        def read_streamed() -> int:
            with client.messages.stream(**REQUEST) as stream:
                return sum(1 for _ in stream)

        return read_created if way.endswith("create") else read_streamed
    aclient = async_client(parts, before)
    loop = asyncio.new_event_loop()

    async def aread_created() -> int:
        count = 0
        async for _ in await aclient.messages.create(stream=True, **REQUEST):
            count += 1
        return count

    async def aread_streamed() -> int:
        count = 0
        async with aclient.messages.stream(**REQUEST) as stream:
            async for _ in stream:
                count += 1
        return count

    read = aread_created if way.endswith("create") else aread_streamed
    return lambda: loop.run_until_complete(read())


WAYS = ("sync_create", "sync_stream", "async_create", "async_stream")
