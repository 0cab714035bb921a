"""Grafana's agento11y, whose function records what a function of the application reads from the SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
from agento11y import Client, ClientConfig, GenerationExportConfig
from agento11y_anthropic import AnthropicStreamSummary, messages

from adapters.callbacks import Emit, texts_of, texts_of_async
from adapters.sdk import CALL

recorder = Client(ClientConfig(generation_export=GenerationExportConfig(protocol="none")))


def ask(url: str) -> Iterator[str]:
    def run(emit: Emit) -> None:
        def call(request: Any) -> AnthropicStreamSummary:
            with (
                anthropic.Anthropic(api_key="none", base_url=url) as client,
                client.messages.stream(**request) as stream,
            ):
                for text in stream.text_stream:
                    emit(text)
                return AnthropicStreamSummary(final_response=stream.get_final_message())

        messages.stream(recorder, CALL, call)

    return texts_of(run)


def ask_async(url: str) -> AsyncIterator[str]:
    async def run(emit: Emit) -> None:
        async def call(request: Any) -> AnthropicStreamSummary:
            async with (
                anthropic.AsyncAnthropic(api_key="none", base_url=url) as client,
                client.messages.stream(**request) as stream,
            ):
                async for text in stream.text_stream:
                    emit(text)
                return AnthropicStreamSummary(final_response=await stream.get_final_message())

        await messages.stream_async(recorder, CALL, call)

    return texts_of_async(run)


WAYS = {"sync": ask, "async": ask_async}
