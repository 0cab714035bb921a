"""Streams of the SDK's clients for Amazon, Google and Microsoft are instrumented like any other."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
from tests.support.modes import ASK
from tests.support.observing import events_of, observed
from tests.support.platforms import AWS_KEYS, platform_client
from tests.support.ways import Seen, by_iteration, by_text_stream

from otel_claude_stream.testing import CutMidChunk, End, Error, Event, FakeAPI, Reset, Script

WHOLE = Script.message("Streams carry an answer.", deltas=4, pings=2)
# The provider is the one that the SDK's own tracing reports for the client.
PLATFORMS = {
    "AnthropicBedrock": (AWS_KEYS, "aws.bedrock", WHOLE.for_bedrock()),
    "AnthropicBedrockMantle": (AWS_KEYS, "aws.bedrock", WHOLE),
    "AnthropicAWS": ({**AWS_KEYS, "workspace_id": "w"}, "anthropic", WHOLE),
    "AnthropicVertex": ({"region": "global", "project_id": "p", "access_token": "t"}, "gcp.vertex_ai", WHOLE),
    "AnthropicGoogleCloud": (
        {"project": "p", "location": "l", "workspace_id": "w", "skip_auth": True},
        "anthropic",
        WHOLE,
    ),
    "AnthropicFoundry": ({"api_key": "k"}, "anthropic", WHOLE),
}


@pytest.mark.parametrize("way", ["create", "stream"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_stream_of_every_platform_has_a_complete_span(mode, platform, way, telemetry):
    """The clients differ in authentication, addresses and framing."""
    options, provider, script = PLATFORMS[platform]

    async def body():
        async with mode.entered(platform_client(mode, platform, api.url, options)) as client:
            seen = Seen()
            if way == "create":
                await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), seen)
                assert [event.type for event in seen.events if event.type != "ping"] == TYPES
            else:
                async with mode.entered(client.messages.stream(**ASK)) as stream:
                    await by_text_stream(mode, stream, seen)
                assert "".join(seen.texts) == "Streams carry an answer."

    with FakeAPI(script) as api:
        mode.run(body)
        assert len(api.requests) == 1
    telemetry.assert_recorded_once()
    assert telemetry.attributes("gen_ai.provider.name", "helper", "outcome") == (provider, way, "completed")
    assert telemetry.attributes("gen_ai.request.model", "content.characters", "usage.complete") == (
        "claude-test",
        24,
        True,
    )
    events = events_of(telemetry.stream())
    assert (events["content_block_delta"], events["ping"], sum(events.values())) == (4, 2, 11)


TYPES = [
    "message_start",
    "content_block_start",
    *["content_block_delta"] * 4,
    "content_block_stop",
    "message_delta",
    "message_stop",
]


BEDROCK_FAULTS = {
    "cut clean between frames": (WHOLE.cut_after(6, End()), "truncated"),
    "cut inside a frame": (WHOLE.cut_after(6, CutMidChunk()), "connection_closed"),
    "reset": (WHOLE.cut_after(6, Reset()), "connection_reset"),
    "exception frame": (WHOLE.cut_after(6, Error("throttlingException", "Slow down")), "rate_limited"),
    "529": (Script.http_error(529, headers=(("retry-after-ms", "1"),)), "overloaded"),
    "an unknown event": (
        replace(WHOLE, steps=(*WHOLE.steps[:6], Event("future", {"type": "future"}), *WHOLE.steps[6:])),
        "",
    ),
}


@pytest.mark.parametrize(("script", "reason"), BEDROCK_FAULTS.values(), ids=BEDROCK_FAULTS)
def test_a_fault_on_bedrock_reaches_the_caller_as_without_instrumentation(mode, script, reason):
    """Events and exceptions are the same, and the span has a reason."""

    async def body():
        async with mode.entered(platform_client(mode, "AnthropicBedrock", api.url_for("it"), AWS_KEYS)) as client:
            try:
                await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), seen)
            except Exception as error:  # noqa: BLE001 - any exception is the result
                seen.error = error

    results = []
    for instrumented in (False, True):
        seen = Seen()
        with FakeAPI({"it": script.for_bedrock()}) as api, observed() if instrumented else nullcontext() as telemetry:
            mode.run(body)
        results.append(([(type(event), event.type) for event in seen.events], type(seen.error), str(seen.error)))
    assert results[0] == results[1]
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == (("failed", reason) if reason else ("completed", None))
