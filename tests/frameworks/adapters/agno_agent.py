"""An agent of Agno."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from agno.agent import Agent
from agno.models.anthropic import Claude


def agent(url: str) -> Agent:
    model = Claude(id="claude-sonnet-4-5", api_key="none", client_params={"base_url": url})
    return Agent(model=model, telemetry=False)


def run(url: str) -> Iterator[str]:
    for event in agent(url).run("Hello?", stream=True):
        yield str(event.content)


async def arun(url: str) -> AsyncIterator[str]:
    async for event in agent(url).arun("Hello?", stream=True):
        yield str(event.content)


WAYS = {"sync": run, "async": arun}
