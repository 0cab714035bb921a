"""A replay and a continuation over real sockets, however the stream is called, read, and on whatever platform."""

from __future__ import annotations

import contextlib
import inspect
from dataclasses import replace
from typing import Any

import anthropic
import pytest
from tests.sdk.test_span_owner import has_tracing, traced
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.platforms import AWS_KEYS, platform_client
from tests.support.received import assert_one_message, raw
from tests.support.received import text as text_of
from tests.support.scenes import STORY
from tests.support.ways import ALL_WAYS, Seen, Way, by_iteration, doubling

from otel_claude_stream._core.retry.policy import Backoff, Budget, Jitter, Mode, RetryPolicy, Rule
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream.testing import CutMidChunk, End, Error, FakeAPI, Reset, Script

AT = 83
QUICK = Backoff(type=Jitter.NONE, base=0.001, cap=0.001)
POLICY = RetryPolicy(
    mode=Mode.RESUME, rules=(Rule(frozenset(AbortReason), backoff=QUICK),), budget=Budget(min_per_window=100)
)


def told(text: str) -> Script:
    """A message of ten deltas."""
    return Script.message(text, deltas=10, pings=1)


WHOLE = told(STORY)
COURSES = {
    "replayed": (WHOLE.cut_after(2, Error()), WHOLE),
    "resumed": (told(STORY[:AT]).cut_after(13, CutMidChunk()), told(STORY[AT - 48 :])),
    "replayed and resumed": (
        WHOLE.cut_after(1, Reset()),
        told(STORY[:AT]).cut_after(13, End()),
        told(STORY[AT - 48 :]),
    ),
}
READ_AS_EVENTS = [way for way in ALL_WAYS if way.read == "events"]


def shown(event: Any) -> tuple[str, Any]:
    return type(event).__name__, event.model_dump(warnings=False)


def assert_whole(seen: Seen) -> None:
    """The caller got the whole answer, once, whatever it was that he asked for."""
    if seen.events:
        events = raw([shown(event) for event in seen.events])
        assert_one_message(events)
        assert events[-1]["type"] == "message_stop"
        assert text_of(events) == STORY
    if seen.texts:
        assert "".join(seen.texts) == STORY
    if seen.message is not None:
        assert [block.text for block in seen.message.content] == [STORY]
        assert seen.message.stop_reason == "end_turn"
    assert seen.events or seen.texts or seen.message


def sends(course: str) -> int:
    return len(COURSES[course])


async def called(mode, way, url, seen, **options):
    async with mode.entered(mode.client(url, **options)) as client:
        await way.run(mode, way.resource(client), seen)


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("way", READ_AS_EVENTS, ids=lambda way: way.name)
def test_every_way_to_read_a_stream_gets_the_whole_answer(mode, way, course):
    """Classes and results are those of a stream that never broke; one span, every connection given back or closed."""
    seen, healthy = Seen(), Seen()
    with FakeAPI({"it": COURSES[course], "healthy": WHOLE}) as api, observed(retry_policy=POLICY) as telemetry:
        mode.run(called, mode, way, api.url_for("healthy"), healthy)
        telemetry.capture.clear()
        mode.run(called, mode, way, api.url_for("it"), seen)
        assert len(api.requests_for("it")) == sends(course)
    assert_whole(seen)
    assert seen.classes == healthy.classes
    assert len(seen.texts) >= len(healthy.texts)
    telemetry.assert_recorded_once()
    assert telemetry.attributes("outcome", "attempt.count", "helper") == ("completed", sends(course), way.helper)
    assert telemetry.attributes("resumed") == (("resumed" in course) or None,)


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("retries", [0, 2, 5])
def test_whatever_the_client_may_retry(mode, course, retries):
    """Also of a copy of a client: nothing is added to the requests, and nothing multiplied."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            await by_iteration(
                mode,
                await mode.do(client.with_options(max_retries=retries).messages.create(**ASK, stream=True)),
                seen,
            )

    seen = Seen()
    with FakeAPI(list(COURSES[course])) as api, observed(retry_policy=POLICY) as telemetry:
        mode.run(body)
        assert len(api.requests) == sends(course)
    assert_whole(seen)
    telemetry.assert_recorded_once()


def tool_runner(**more):
    """The tool runner, whose answer needs no tool."""

    async def run(mode, messages, seen):
        if not hasattr(messages, "tool_runner"):
            pytest.skip("this release of the SDK has no tool runner")
        if "thread" in more and "thread" not in inspect.signature(messages.tool_runner).parameters:
            pytest.skip("this release of the SDK has no threads")
        async for stream in mode.each(messages.tool_runner(**ASK, tools=[doubling(mode)], stream=True, **more)):
            await by_iteration(mode, stream, seen)

    return Way("tool runner", "tool_runner", run, "beta.messages")


HAS_THREADS = "thread" in inspect.signature(anthropic.Anthropic(api_key="none").beta.messages.create).parameters


@pytest.mark.parametrize("course", COURSES)
def test_the_tool_runner_gets_the_whole_answer(mode, course):
    """By default it talks in a thread, if there are any; those are another matter."""
    seen, way = Seen(), tool_runner(**({"thread": False} if HAS_THREADS else {}))
    with FakeAPI(list(COURSES[course])) as api, observed(retry_policy=POLICY) as telemetry:
        mode.run(called, mode, way, api.url, seen)
        assert len(api.requests) == sends(course)
    assert_whole(seen)
    telemetry.assert_recorded_once()
    assert telemetry.attributes("outcome", "helper") == ("completed", "tool_runner")


@pytest.mark.skipif(not HAS_THREADS, reason="this release of the SDK has no threads")
@pytest.mark.parametrize(("how", "sent"), [(Error(), 2), (CutMidChunk(), 1)])
@pytest.mark.parametrize("at", [2, 13])
def test_a_thread_is_not_gone_on_with(mode, at, how, sent):
    """The server holds the conversation: it is asked again only where it said no to all, and nothing was told."""
    seen = Seen()
    with FakeAPI([WHOLE.cut_after(at, how), WHOLE]) as api, observed(retry_policy=POLICY):
        with contextlib.suppress(Exception):
            mode.run(called, mode, tool_runner(), api.url, seen)
        assert len(api.requests) == (sent if at == 2 else 1)


PLATFORMS = {
    "AnthropicBedrock": AWS_KEYS,
    "AnthropicVertex": {"region": "global", "project_id": "p", "access_token": "t"},
}


@pytest.mark.parametrize("course", ["resumed", "replayed by a reset"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_other_platforms_get_the_whole_answer(mode, platform, course):
    """The frames of AWS, in the old decoder's form too; addresses and signatures are made anew for each request."""
    scripts = (WHOLE.cut_after(2, Reset()), WHOLE) if course not in COURSES else COURSES[course]
    if platform == "AnthropicBedrock":
        scripts = tuple(script.for_bedrock() for script in scripts)
    seen = Seen()

    async def body():
        async with mode.entered(platform_client(mode, platform, api.url, PLATFORMS[platform])) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), seen)

    with FakeAPI(list(scripts)) as api, observed(retry_policy=POLICY) as telemetry:
        mode.run(body)
        assert len({request.path for request in api.requests}) == 1
        assert len(api.requests) == 2
    assert_whole(replace(seen, events=[event for event in seen.events if event.type != "ping"]))
    telemetry.assert_recorded_once()
    assert telemetry.attributes("outcome", "resumed", "attempt.count") == ("completed", course == "resumed" or None, 2)


@has_tracing
@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("way", [way for way in READ_AS_EVENTS if way.name in ("create, iterated", "stream, iterated")],
                         ids=lambda way: way.name)  # fmt: skip
def test_beside_the_sdks_own_tracing(mode, way, course):
    """One native span a request, each inside ours and each ended; none says that anything of ours failed."""
    seen = Seen()
    with FakeAPI(list(COURSES[course])) as api, observed(retry_policy=POLICY) as telemetry:
        mode.run(called, mode, way, api.url, seen, **traced(telemetry.capture))
    assert_whole(seen)
    telemetry.assert_recorded_once()
    ours = telemetry.stream()
    theirs = [span for span in telemetry.capture.spans() if span["scope"] == "com.anthropic.sdk.python"]
    assert len(theirs) == sends(course)
    assert {span["parent_id"] for span in theirs} == {ours["span_id"]}
    assert all(ours["start_ns"] <= span["start_ns"] <= span["end_ns"] <= ours["end_ns"] for span in theirs)
    assert (ours["name"], ours["kind"], telemetry.attributes("span_owner")) == (
        "claude.stream claude-test",
        "INTERNAL",
        ("sdk",),
    )
