"""CrewAI's model, which emits each chunk on an event bus and returns the whole text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from crewai import LLM


def model(url: str) -> LLM:
    return LLM(model="anthropic/claude-sonnet-4-5", api_key="none", base_url=url, max_tokens=64, stream=True)


def call(url: str) -> Iterator[str]:
    yield str(model(url).call("Hello?"))


async def acall(url: str) -> AsyncIterator[str]:
    yield str(await model(url).acall("Hello?"))


WAYS = {"sync": call, "async": acall}
