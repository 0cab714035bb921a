"""LlamaIndex's chat model for Claude."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from llama_index.core.llms import ChatMessage
from llama_index.llms.anthropic import Anthropic

QUESTION = [ChatMessage(role="user", content="Hello?")]


def model(url: str) -> Anthropic:
    return Anthropic(model="claude-sonnet-4-5", api_key="none", base_url=url, max_tokens=64, max_retries=2)


def stream_chat(url: str) -> Iterator[str]:
    for part in model(url).stream_chat(QUESTION):
        yield str(part.delta)


async def astream_chat(url: str) -> AsyncIterator[str]:
    async for part in await model(url).astream_chat(QUESTION):
        yield str(part.delta)


WAYS = {"sync": stream_chat, "async": astream_chat}
