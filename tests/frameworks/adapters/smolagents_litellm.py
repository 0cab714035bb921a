"""Smolagents, whose model for Claude is LiteLLM's."""

from __future__ import annotations

from collections.abc import Iterator

from smolagents import ChatMessage, LiteLLMModel, MessageRole


def generate_stream(url: str) -> Iterator[str]:
    model = LiteLLMModel(model_id="anthropic/claude-sonnet-4-5", api_base=url, api_key="none", num_retries=0)
    question = [ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": "Hello?"}])]
    for delta in model.generate_stream(question):
        yield str(delta.content)


WAYS = {"sync": generate_stream}
