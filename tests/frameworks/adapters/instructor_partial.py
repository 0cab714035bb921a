"""Instructor, which yields partial objects while the answer streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import instructor
from pydantic import BaseModel


class Answer(BaseModel):
    text: str | None = None


CALL: Any = {
    "response_model": Answer,
    "model": "claude-sonnet-4-5",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hello?"}],
}


def create_partial(url: str) -> Iterator[str]:
    client = instructor.from_anthropic(anthropic.Anthropic(api_key="none", base_url=url))
    for partial in client.create_partial(**CALL):
        yield repr(partial)


async def create_partial_async(url: str) -> AsyncIterator[str]:
    client = instructor.from_anthropic(anthropic.AsyncAnthropic(api_key="none", base_url=url))
    async for partial in client.create_partial(**CALL):
        yield repr(partial)


WAYS = {"sync": create_partial, "async": create_partial_async}
