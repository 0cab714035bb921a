"""The SDK without a framework, in its two ways to stream, for both kinds of callers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic

CALL: Any = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hello?"}],
}


def create(url: str) -> Iterator[str]:
    with (
        anthropic.Anthropic(api_key="none", base_url=url) as client,
        client.messages.create(**CALL, stream=True) as events,
    ):
        for event in events:
            yield event.type


async def create_async(url: str) -> AsyncIterator[str]:
    async with (
        anthropic.AsyncAnthropic(api_key="none", base_url=url) as client,
        await client.messages.create(**CALL, stream=True) as events,
    ):
        async for event in events:
            yield event.type


def stream(url: str) -> Iterator[str]:
    with anthropic.Anthropic(api_key="none", base_url=url) as client, client.messages.stream(**CALL) as answer:
        yield from answer.text_stream


async def stream_async(url: str) -> AsyncIterator[str]:
    async with (
        anthropic.AsyncAnthropic(api_key="none", base_url=url) as client,
        client.messages.stream(**CALL) as answer,
    ):
        async for text in answer.text_stream:
            yield text


WAYS = {"sync": stream, "async": stream_async, "create": create, "create_async": create_async}
