"""An agent of Strands, which retries and traces by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from strands import Agent
from strands.models.anthropic import AnthropicModel

from adapters.callbacks import texts_of


def agent(url: str, callback: Any = None) -> Agent:
    client = {"api_key": "none", "base_url": url}
    model = AnthropicModel(client_args=client, model_id="claude-sonnet-4-5", max_tokens=64)
    return Agent(model=model, callback_handler=callback)


def call(url: str) -> Iterator[str]:
    def run(emit: Any) -> None:
        agent(url, lambda **event: emit(event["data"]) if "data" in event else None)("Hello?")

    return texts_of(run)


async def stream_async(url: str) -> AsyncIterator[str]:
    async for event in agent(url).stream_async("Hello?"):
        if "data" in event:
            yield event["data"]


WAYS = {"sync": call, "async": stream_async}
