"""Samples of the random conversations and bodies. `python -m tests.fuzz` reads 100,000."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider
from tests.fuzz.bodies import Bodies
from tests.fuzz.conversations import POLICY, Conversations, ConversationsWithoutSdk

from otel_claude_stream import ClaudeStreamInstrumentor


def test_random_conversations_deliver_a_beginning_of_the_answer():
    """Through the SDK. Enough of them are continued to their end."""
    instrumentor, played = ClaudeStreamInstrumentor(), Conversations()
    instrumentor.instrument(retry_policy=POLICY)
    try:
        results = [played.play(seed) for seed in range(200)]
    finally:
        instrumentor.uninstrument()
        played.close()
    assert [result.violations for result in results if result.violations] == []
    assert sum(result.complete and bool(result.styles) for result in results) > 12


def test_random_conversations_without_the_sdk_deliver_a_beginning_of_the_answer():
    """On the core alone, which is faster."""
    played = ConversationsWithoutSdk()
    results = [played.play(seed) for seed in range(600)]
    assert [result.violations for result in results if result.violations] == []
    assert sum(result.complete and bool(result.styles) for result in results) > 60


def test_random_bodies_are_read_as_by_the_bare_sdk(monkeypatch):
    """No body causes an internal error."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    read = Bodies()
    try:
        assert list(read.differences(range(1000), tracer_provider=TracerProvider(shutdown_on_exit=False))) == []
    finally:
        read.close()
