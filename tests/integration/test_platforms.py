from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
from tests.support.modes import ASK
from tests.support.observing import events_of, observed
from tests.support.ways import Seen, by_iteration, by_text_stream

from otel_claude_stream.testing import CutMidChunk, End, Error, Event, FakeAPI, Reset, Script

WHOLE = Script.message("Streams carry an answer.", deltas=4, pings=2)
AWS_KEYS = {"aws_access_key": "a", "aws_secret_key": "s", "aws_region": "eu-west-1"}

# The provider is what the SDK itself says of the client, in its own tracing.
PLATFORMS = {
    "AnthropicBedrock": (AWS_KEYS, "aws.bedrock", WHOLE.on_aws()),
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


def client_of(mode, name, url, options):
    """A client of a platform; skips where this release of the SDK has none, or its libraries are missing."""
    kind = mode.kind(name)
    if kind is None:
        pytest.skip(f"this release of the SDK has no {name}")
    if name in {"AnthropicBedrock", "AnthropicBedrockMantle", "AnthropicAWS"}:
        pytest.importorskip("boto3", reason="clients for AWS sign their requests with botocore")
    if name == "AnthropicVertex":
        pytest.importorskip("google.auth", reason="the client for Vertex needs google-auth")
    return kind(base_url=url, max_retries=0, **options)


@pytest.mark.parametrize("way", ["create", "stream"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_is_seen(mode, platform, way, seen_by_us):
    """Each client of the SDK, with its own authentication, addresses and framing: one complete span, its provider."""
    options, provider, script = PLATFORMS[platform]

    async def body():
        async with mode.entered(client_of(mode, platform, api.url, options)) as client:
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
    seen_by_us.told_once()
    assert seen_by_us.of("gen_ai.provider.name", "helper", "outcome") == (provider, way, "completed")
    assert seen_by_us.of("gen_ai.request.model", "content.characters", "usage.complete") == ("claude-test", 24, True)
    told = events_of(seen_by_us.stream())
    assert (told["content_block_delta"], told["ping"], sum(told.values())) == (4, 2, 11)


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
    "exception frame": (WHOLE.cut_after(6, Error("throttlingException", "Slow down")), None),
    "529": (Script.http_error(529, headers=(("retry-after-ms", "1"),)), "overloaded"),
    "an unknown event": (
        replace(WHOLE, steps=(*WHOLE.steps[:6], Event("future", {"type": "future"}), *WHOLE.steps[6:])),
        "",
    ),
}


@pytest.mark.parametrize(("script", "reason"), BEDROCK_FAULTS.values(), ids=BEDROCK_FAULTS)
def test_what_goes_wrong_on_bedrock_reaches_the_caller_as_before(mode, script, reason):
    """The frames of AWS, their ends and their exceptions: the same events and errors as without us, and a reason."""

    async def body():
        async with mode.entered(client_of(mode, "AnthropicBedrock", api.url_for("it"), AWS_KEYS)) as client:
            try:
                await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), seen)
            except Exception as error:  # noqa: BLE001 - whatever reaches the caller is the result
                seen.error = error

    got = []
    for instrumented in (False, True):
        seen = Seen()
        with FakeAPI({"it": script.on_aws()}) as api, observed() if instrumented else nullcontext() as telemetry:
            mode.run(body)
        got.append(([(type(event), event.type) for event in seen.events], type(seen.error), str(seen.error)))
    assert got[0] == got[1]
    telemetry.told_once()
    if reason is None:  # releases before 1.7 raise a ValueError that does not say the type
        reason = "rate_limited" if hasattr(seen.error, "status_code") else "decode_error"
    assert telemetry.ending() == (("failed", reason) if reason else ("completed", None))
