"""Retries and resumes over real sockets, for each way to call and read a stream, and for other platforms."""

from __future__ import annotations

import contextlib
import inspect
from dataclasses import replace

import anthropic
import pytest
from tests.support.interrupted_text import COMPLETE, RECOVERIES, RESUME_AT_ONCE, assert_complete
from tests.support.modes import ASK
from tests.support.native_tracing import SDK_SCOPE, needs_native_tracing, tracing_options
from tests.support.observing import observed
from tests.support.platforms import AWS_KEYS, platform_client
from tests.support.ways import ALL_WAYS, Seen, Way, by_iteration, doubling

from otel_claude_stream.testing import CutMidChunk, Error, FakeAPI, Reset

READ_AS_EVENTS = [way for way in ALL_WAYS if way.read == "events"]


def requests_of(recovery: str) -> int:
    return len(RECOVERIES[recovery])


async def make_call(mode, way, url, seen, **options):
    async with mode.entered(mode.client(url, **options)) as client:
        await way.run(mode, way.resource(client), seen)


@pytest.mark.parametrize("recovery", RECOVERIES)
@pytest.mark.parametrize("way", READ_AS_EVENTS, ids=lambda way: way.name)
def test_each_way_to_read_a_stream_gets_the_whole_answer(mode, way, recovery):
    """Event classes and results are those of a healthy stream, and there is one span."""
    seen, healthy = Seen(), Seen()
    with (
        FakeAPI({"broken": RECOVERIES[recovery], "healthy": COMPLETE}) as api,
        observed(retry_policy=RESUME_AT_ONCE) as telemetry,
    ):
        mode.run(make_call, mode, way, api.url_for("healthy"), healthy)
        telemetry.capture.clear()
        mode.run(make_call, mode, way, api.url_for("broken"), seen)
        assert len(api.requests_for("broken")) == requests_of(recovery)
    assert_complete(seen)
    assert seen.classes == healthy.classes
    assert len(seen.texts) >= len(healthy.texts)
    telemetry.assert_recorded_once()
    assert telemetry.attributes("outcome", "attempt.count", "helper") == (
        "completed",
        requests_of(recovery),
        way.helper,
    )
    assert telemetry.attributes("resumed") == (("resumed" in recovery) or None,)


@pytest.mark.parametrize("recovery", RECOVERIES)
@pytest.mark.parametrize("retries", [0, 2, 5])
def test_the_clients_max_retries_adds_no_requests(mode, recovery, retries):
    """The client is a copy, made by `with_options`."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            await by_iteration(
                mode,
                await mode.do(client.with_options(max_retries=retries).messages.create(**ASK, stream=True)),
                seen,
            )

    seen = Seen()
    with FakeAPI(list(RECOVERIES[recovery])) as api, observed(retry_policy=RESUME_AT_ONCE) as telemetry:
        mode.run(body)
        assert len(api.requests) == requests_of(recovery)
    assert_complete(seen)
    telemetry.assert_recorded_once()


def tool_runner(**options):
    """Return the way to read with the tool runner. The answer calls no tool."""

    async def run(mode, messages, seen):
        if not hasattr(messages, "tool_runner"):
            pytest.skip("this release of the SDK has no tool runner")
        if "thread" in options and "thread" not in inspect.signature(messages.tool_runner).parameters:
            pytest.skip("this release of the SDK has no threads")
        async for stream in mode.each(messages.tool_runner(**ASK, tools=[doubling(mode)], stream=True, **options)):
            await by_iteration(mode, stream, seen)

    return Way("tool runner", "tool_runner", run, "beta.messages")


HAS_THREADS = "thread" in inspect.signature(anthropic.Anthropic(api_key="none").beta.messages.create).parameters


@pytest.mark.parametrize("recovery", RECOVERIES)
def test_the_tool_runner_gets_the_whole_answer(mode, recovery):
    """Without a thread, which the tool runner uses by default where the SDK has threads."""
    seen, way = Seen(), tool_runner(**({"thread": False} if HAS_THREADS else {}))
    with FakeAPI(list(RECOVERIES[recovery])) as api, observed(retry_policy=RESUME_AT_ONCE) as telemetry:
        mode.run(make_call, mode, way, api.url, seen)
        assert len(api.requests) == requests_of(recovery)
    assert_complete(seen)
    telemetry.assert_recorded_once()
    assert telemetry.attributes("outcome", "helper") == ("completed", "tool_runner")


@pytest.mark.skipif(not HAS_THREADS, reason="this release of the SDK has no threads")
@pytest.mark.parametrize(("how", "sent"), [(Error(), 2), (CutMidChunk(), 1)])
@pytest.mark.parametrize("at", [2, 13])
def test_a_thread_is_retried_only_after_an_error_event_without_content(mode, at, how, sent):
    """The server keeps the conversation, so a retry is safe only if the server rejected the request."""
    seen = Seen()
    with FakeAPI([COMPLETE.cut_after(at, how), COMPLETE]) as api, observed(retry_policy=RESUME_AT_ONCE):
        with contextlib.suppress(Exception):
            mode.run(make_call, mode, tool_runner(), api.url, seen)
        assert len(api.requests) == (sent if at == 2 else 1)


PLATFORMS = {
    "AnthropicBedrock": AWS_KEYS,
    "AnthropicVertex": {"region": "global", "project_id": "p", "access_token": "t"},
}


@pytest.mark.parametrize("recovery", ["resumed", "retried after a reset"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_other_platforms_get_the_whole_answer(mode, platform, recovery):
    """Bedrock has a binary framing. URL and signature are computed again for each request."""
    scripts = (COMPLETE.cut_after(2, Reset()), COMPLETE) if recovery not in RECOVERIES else RECOVERIES[recovery]
    if platform == "AnthropicBedrock":
        scripts = tuple(script.for_bedrock() for script in scripts)
    seen = Seen()

    async def body():
        async with mode.entered(platform_client(mode, platform, api.url, PLATFORMS[platform])) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), seen)

    with FakeAPI(list(scripts)) as api, observed(retry_policy=RESUME_AT_ONCE) as telemetry:
        mode.run(body)
        assert len({request.path for request in api.requests}) == 1
        assert len(api.requests) == 2
    assert_complete(replace(seen, events=[event for event in seen.events if event.type != "ping"]))
    telemetry.assert_recorded_once()
    assert telemetry.attributes("outcome", "resumed", "attempt.count") == (
        "completed",
        recovery == "resumed" or None,
        2,
    )


@needs_native_tracing
@pytest.mark.parametrize("recovery", RECOVERIES)
@pytest.mark.parametrize("way", [way for way in READ_AS_EVENTS if way.name in ("create, iterated", "stream, iterated")],
                         ids=lambda way: way.name)  # fmt: skip
def test_the_sdks_own_tracing_has_one_span_for_each_request(mode, way, recovery):
    """Its spans are children of the stream span, and end before it."""
    seen = Seen()
    with FakeAPI(list(RECOVERIES[recovery])) as api, observed(retry_policy=RESUME_AT_ONCE) as telemetry:
        mode.run(make_call, mode, way, api.url, seen, **tracing_options(telemetry.capture))
    assert_complete(seen)
    telemetry.assert_recorded_once()
    ours = telemetry.stream()
    native = [span for span in telemetry.capture.spans() if span["scope"] == SDK_SCOPE]
    assert len(native) == requests_of(recovery)
    assert {span["parent_id"] for span in native} == {ours["span_id"]}
    assert all(ours["start_ns"] <= span["start_ns"] <= span["end_ns"] <= ours["end_ns"] for span in native)
    assert (ours["name"], ours["kind"], telemetry.attributes("span_owner")) == (
        "claude.stream claude-test",
        "INTERNAL",
        ("sdk",),
    )
