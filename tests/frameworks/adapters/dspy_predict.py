"""DSPy, whose model for Claude is LiteLLM's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import dspy
from dspy.streaming import StreamListener, StreamResponse, streamify


async def stream(url: str) -> AsyncIterator[str]:
    model = dspy.LM("anthropic/claude-sonnet-4-5", api_base=url, api_key="none", cache=False, num_retries=0)
    with dspy.context(lm=model):
        predict = streamify(dspy.Predict("question -> answer"), stream_listeners=[StreamListener("answer")])
        async for part in predict(question="Hello?"):
            yield part.chunk if isinstance(part, StreamResponse) else type(part).__name__


WAYS = {"async": stream}
