"""An agent of Pydantic AI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from anthropic import AsyncAnthropic
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider


def agent(url: str) -> Agent:
    client = AsyncAnthropic(api_key="none", base_url=url)
    return Agent(AnthropicModel("claude-sonnet-4-5", provider=AnthropicProvider(anthropic_client=client)))


def run_stream_sync(url: str) -> Iterator[str]:
    yield from agent(url).run_stream_sync("Hello?").stream_text(delta=True, debounce_by=None)


async def run_stream(url: str) -> AsyncIterator[str]:
    async with agent(url).run_stream("Hello?") as answer:
        async for text in answer.stream_text(delta=True, debounce_by=None):
            yield text


WAYS = {"sync": run_stream_sync, "async": run_stream}
