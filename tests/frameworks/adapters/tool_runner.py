"""The SDK's tool runner.

A first answer calls a tool, and a second one uses the result.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anthropic
from anthropic import beta_async_tool, beta_tool

from adapters.sdk import CALL


@beta_tool
def echo(text: str) -> str:
    """Return the text.

    Args:
        text: Any text.
    """
    return text


@beta_async_tool
async def echo_async(text: str) -> str:
    """Return the text.

    Args:
        text: Any text.
    """
    return text


def run(url: str) -> Iterator[str]:
    with anthropic.Anthropic(api_key="none", base_url=url) as client:
        for answer in client.beta.messages.tool_runner(**CALL, tools=[echo], stream=True):
            yield "answer"
            for event in answer:
                if event.type == "text":
                    yield event.text


async def run_async(url: str) -> AsyncIterator[str]:
    async with anthropic.AsyncAnthropic(api_key="none", base_url=url) as client:
        async for answer in client.beta.messages.tool_runner(**CALL, tools=[echo_async], stream=True):
            yield "answer"
            async for event in answer:
                if event.type == "text":
                    yield event.text


WAYS = {"sync": run, "async": run_async}
