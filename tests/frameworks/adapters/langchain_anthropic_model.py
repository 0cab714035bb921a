"""LangChain's chat model for Claude."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from langchain_anthropic import ChatAnthropic


def model(url: str) -> ChatAnthropic:
    return ChatAnthropic(model="claude-sonnet-4-5", api_key="none", base_url=url, max_tokens=64)


def stream(url: str) -> Iterator[str]:
    for chunk in model(url).stream("Hello?"):
        yield chunk.text


async def astream(url: str) -> AsyncIterator[str]:
    async for chunk in model(url).astream("Hello?"):
        yield chunk.text


WAYS = {"sync": stream, "async": astream}
