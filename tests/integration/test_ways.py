"""Every way to open and to read a stream has one complete span."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import anthropic
import pytest
from anthropic.types import Message
from tests.support.modes import ASK
from tests.support.observing import events_of, observed
from tests.support.ways import ALL_WAYS, STRUCTURED, TOOL_RUNNER, Seen, by_iteration, has_output_format

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import FakeAPI, Script

TEXT = "Streams carry an answer piece by piece."
WHOLE = Script.message(TEXT, deltas=6, pings=2, cache_read_input_tokens=100, cache_creation_input_tokens=10)
EVENTS = Counter(
    message_start=1,
    content_block_start=1,
    ping=2,
    content_block_delta=6,
    content_block_stop=1,
    message_delta=1,
    message_stop=1,
)


@pytest.mark.parametrize("way", ALL_WAYS, ids=lambda way: way.name)
def test_every_way_to_read_a_stream_has_one_complete_span(mode, way, telemetry):
    """The span has the way of calling and reading, the outcome, and every event."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            await way.run(mode, way.resource(client), Seen())

    with FakeAPI(WHOLE) as api:
        mode.run(body)
    telemetry.assert_recorded_once()
    assert telemetry.attributes("api", "helper", "read.mode", "outcome", "stop_reason", "abort.reason") == (
        way.api,
        way.helper,
        way.read,
        "completed",
        "end_turn",
        None,
    )
    assert telemetry.attributes(
        "event.count", "delta.count", "ping.count", "block.count", "content.characters", "block.type"
    ) == (
        13,
        6,
        2,
        1,
        len(TEXT),
        "text",
    )
    assert telemetry.attributes("read.bytes", "http.response.status_code", "attempt.count") == (
        len(WHOLE.body()),
        200,
        1,
    )
    assert telemetry.attributes("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "usage.complete") == (
        135,
        15,
        True,
    )
    span = telemetry.stream()
    assert events_of(span) == EVENTS
    assert (span["name"], span["kind"]) == ("chat claude-test", "CLIENT")
    assert span["attributes"]["claude.stream.time_to_first_token"] > 0
    assert telemetry.value("claude.stream.time_to_first_token") == 1
    assert telemetry.value("gen_ai.client.operation.duration") == 1


def test_a_stream_with_structured_output_has_one_span(mode, telemetry):
    """The SDK parses the output as without instrumentation."""
    if not has_output_format():
        pytest.skip("this release of the SDK has no structured output in stream()")
    seen = Seen()

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            await STRUCTURED.run(mode, client.messages, seen)

    with FakeAPI(Script.message('{"n": 7}', deltas=3)) as api:
        mode.run(body)
    telemetry.assert_recorded_once()
    assert telemetry.attributes("helper", "outcome", "content.characters") == ("stream", "completed", 8)
    assert seen.message.parsed_output.n == 7


def test_each_turn_of_the_tool_runner_has_a_span(mode, telemetry):
    """The tool is called between the two requests."""
    if not hasattr(anthropic, "beta_tool"):
        pytest.skip("this release of the SDK has no tool runner")

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            await TOOL_RUNNER.run(mode, client.beta.messages, Seen())

    tool = "double" if mode.is_async else "double_now"
    with FakeAPI([Script.message("Let me see.", tool=(tool, {"n": 21})), Script.message("42")]) as api:
        mode.run(body)
        assert api.requests[1].json["messages"][-1]["content"][0]["content"] == "42"
    telemetry.assert_recorded_once(streams=2)
    assert [
        tuple(span["attributes"][f"claude.stream.{name}"] for name in ("api", "helper", "outcome", "stop_reason"))
        for span in telemetry.streams()
    ] == [
        ("beta.messages", "tool_runner", "completed", "tool_use"),
        ("beta.messages", "tool_runner", "completed", "end_turn"),
    ]


def test_clients_created_before_instrument_are_instrumented(mode):
    """This includes copies of clients, bound methods and raw accessors."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            raw, copy = client.messages.with_raw_response, client.with_options(max_retries=1)
            bound = client.beta.messages.create
            with observed() as telemetry:
                await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), Seen())
                await by_iteration(mode, await mode.do(copy.messages.create(**ASK, stream=True)), Seen())
                await by_iteration(mode, await mode.do(bound(**ASK, stream=True)), Seen())
                response = await mode.do(raw.create(**ASK, stream=True))
                await by_iteration(mode, await mode.do(response.parse()), Seen())
                telemetry.assert_recorded_once(streams=4)
                assert {span["attributes"]["claude.stream.outcome"] for span in telemetry.streams()} == {"completed"}

    with FakeAPI(WHOLE) as api:
        mode.run(body)


def test_uninstrument_stops_the_recording_of_new_streams(mode):
    """This includes methods and accessors that were fetched from the client while it was instrumented."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            with observed() as telemetry:
                raw, bound = client.messages.with_raw_response, client.messages.create
                opened = await mode.do(bound(**ASK, stream=True))
                first = await anext(opened) if mode.is_async else next(opened)
                assert first.type == "message_start"
                ClaudeStreamInstrumentor().uninstrument()
                await by_iteration(mode, opened, seen := Seen())
                assert len(seen.events) == 10
                response = await mode.do(raw.create(**ASK, stream=True))
                await by_iteration(mode, await mode.do(response.parse()), Seen())
                await by_iteration(mode, await mode.do(bound(**ASK, stream=True)), Seen())
                telemetry.assert_recorded_once()  # the stream that was open

    with FakeAPI(WHOLE) as api:
        mode.run(body)


def test_concurrent_streams_have_separate_spans(mode, telemetry):
    """Twenty streams are read at once, in threads or in tasks."""
    lengths = range(1, 21)

    async def stream(client, n):
        url = api.url_for(str(n))
        copy = client.with_options(base_url=url)
        await by_iteration(mode, await mode.do(copy.messages.create(**ASK, stream=True)), Seen())

    async def tasks():
        async with mode.client(api.url) as client:
            await asyncio.gather(*(stream(client, n) for n in lengths))

    with FakeAPI({str(n): Script.message("x" * n, deltas=n) for n in lengths}) as api:
        if mode.is_async:
            mode.run(tasks)
        else:
            with mode.client(api.url) as client, ThreadPoolExecutor(max_workers=20) as pool:
                list(pool.map(lambda n: mode.run(stream, client, n), lengths))
    telemetry.assert_recorded_once(streams=20)
    spans = [span["attributes"] for span in telemetry.streams()]
    assert sorted(attributes["claude.stream.delta.count"] for attributes in spans) == list(lengths)
    assert {attributes["claude.stream.outcome"] for attributes in spans} == {"completed"}
    assert len({span["trace_id"] for span in telemetry.streams()}) == 20


def test_a_stream_from_client_post_has_a_span(mode, telemetry):
    """The caller passes the stream class to `client.post(..., stream=True)`."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            kind = anthropic.AsyncStream if mode.is_async else anthropic.Stream
            kind = kind[anthropic.types.RawMessageStreamEvent]
            made = client.post(
                "/v1/messages", cast_to=Message, body={**ASK, "stream": True}, stream=True, stream_cls=kind
            )
            await by_iteration(mode, await mode.do(made), Seen())

    with FakeAPI(WHOLE) as api:
        mode.run(body)
    telemetry.assert_recorded_once()
    assert telemetry.attributes("helper", "api", "outcome", "event.count") == ("create", "messages", "completed", 13)


def test_a_stream_constructed_from_a_plain_response_has_no_span(mode, telemetry):
    """The response of `Stream(cast_to=, response=, client=)` was not requested by the SDK."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            kind = anthropic.AsyncStream if mode.is_async else anthropic.Stream
            request = client._client.build_request("POST", f"{api.url}/v1/messages", json=ASK)
            response = await mode.do(client._client.send(request, stream=True))
            stream = kind(cast_to=anthropic.types.RawMessageStreamEvent, response=response, client=client)
            await by_iteration(mode, stream, seen := Seen())
            assert len(seen.events) == 11

    with FakeAPI(WHOLE) as api:
        mode.run(body)
    telemetry.assert_recorded_once(streams=0)


@pytest.mark.parametrize("call", ["a whole message", "a count of tokens", "a list of models"])
def test_calls_that_do_not_stream_have_no_telemetry(mode, call, telemetry):
    """These calls are the concern of other instrumentations."""
    page = Script.plain_response(200, "{}", [("content-type", "application/json")])

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            if call == "a whole message":
                await mode.do(client.messages.create(**ASK))
            elif call == "a count of tokens":
                await mode.do(client.messages.count_tokens(model="m", messages=ASK["messages"]))
            else:
                await mode.do(client.models.list())

    with FakeAPI(page) as api:
        mode.run(body)
        assert len(api.requests) == 1
    assert telemetry.capture.spans() == []
    assert telemetry.value("claude.stream.requests") in (None, 0)


def test_the_results_of_a_batch_have_no_span(mode, telemetry):
    """They are streamed as JSON lines, but are no message."""

    async def body():
        async with mode.entered(mode.client(api.url)) as client:
            lines = await mode.do(client.messages.batches.results("b"))
            assert [line.custom_id async for line in mode.each(lines)] == ["a"]

    lines = Script.plain_response(
        200, '{"custom_id": "a", "result": {"type": "canceled"}}\n', [("content-type", "application/jsonl")]
    )
    with FakeAPI(lines) as api:
        batch = {"id": "b", "type": "message_batch", "processing_status": "ended", "results_url": f"{api.url}/results"}
        api.set_route(
            "default", [Script.plain_response(200, json.dumps(batch), [("content-type", "application/json")]), lines]
        )
        mode.run(body)
    telemetry.assert_recorded_once(streams=0)
