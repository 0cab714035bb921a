"""An agent of LangChain on LangGraph, which streams the tokens of its model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain.agents import create_agent

from adapters.langchain_anthropic_model import model

QUESTION: Any = {"messages": [{"role": "user", "content": "Hello?"}]}


def stream(url: str) -> Iterator[str]:
    for token, _ in create_agent(model(url)).stream(QUESTION, stream_mode="messages"):
        yield token.text


async def astream(url: str) -> AsyncIterator[str]:
    async for token, _ in create_agent(model(url)).astream(QUESTION, stream_mode="messages"):
        yield token.text


WAYS = {"sync": stream, "async": astream}
