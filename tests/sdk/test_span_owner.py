from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace

import anthropic
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from tests.support.faults import WHOLE
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.ways import ALL_WAYS, Seen, by_iteration

from otel_claude_stream import AbortReason
from otel_claude_stream._core.retry.policy import Backoff, Mode, RetryPolicy, Rule
from otel_claude_stream.testing import Capture, CutMidChunk, End, Error, FakeAPI, Script

NATIVE = "com.anthropic.sdk.python"
TIMES_AND_PLACES = {"server.port", "url.full", "gen_ai.response.time_to_first_chunk"}
has_tracing = pytest.mark.skipif(
    not hasattr(anthropic, "_tracing"), reason="this release of the SDK does not trace itself"
)


def traced(capture, **traces):
    """The options of a client that traces itself."""
    return {"open_telemetry": {"tracer_provider": capture.tracer_provider, "traces": traces}}


async def one_stream(mode, url, **options):
    """One stream, read to its end."""
    async with mode.entered(mode.client(url, **options)) as client:
        await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), Seen())


def native(capture):
    """The SDK's own span; its parent, and what of it can be compared."""
    (span,) = [span for span in capture.spans() if span["scope"] == NATIVE]
    attributes = {name: value for name, value in span["attributes"].items() if name not in TIMES_AND_PLACES}
    return span["parent_id"], (span["name"], span["kind"], span["status"], span["events"], attributes)


@has_tracing
def test_beside_the_sdks_own_tracing_ours_is_around_it(mode, telemetry):
    """An INTERNAL span without the attributes of the SDK's span, which is nested in it, and more metrics."""
    with FakeAPI(WHOLE) as api:
        mode.run(one_stream, mode, api.url, **traced(telemetry.capture))
    telemetry.assert_recorded_once()
    ours = telemetry.stream()
    assert native(telemetry.capture)[0] == ours["span_id"]
    assert (ours["name"], ours["kind"], ours["parent_id"]) == ("claude.stream claude-test", "INTERNAL", None)
    assert [name for name in ours["attributes"] if name.startswith("gen_ai.")] == ["gen_ai.request.model"]
    assert telemetry.attributes("span_owner", "outcome") == ("sdk", "completed")
    metrics = telemetry.capture.metrics()
    # A busy machine may leave more than a millisecond between two chunks, and that is recorded too.
    told = {name for name in metrics if name.startswith("gen_ai.")} - {"gen_ai.client.operation.time_per_output_chunk"}
    assert {name: len(metrics[name]["points"]) for name in told} == {
        "gen_ai.client.operation.duration": 1,
        "gen_ai.client.operation.time_to_first_chunk": 1,
        "gen_ai.client.token.usage": 2,
    }


ENDS = {
    "whole": WHOLE,
    "cut clean": WHOLE.cut_after(8, End()),
    "cut in a chunk": WHOLE.cut_after(8, CutMidChunk()),
    "error event": WHOLE.cut_after(8, Error()),
    "529": Script.http_error(529),
    "cut after message_stop": WHOLE.cut_after(len(WHOLE.steps), CutMidChunk()),
    "gzip": replace(WHOLE, encoding="gzip"),
}
CASES = [pytest.param(way, WHOLE, id=way.name) for way in ALL_WAYS] + [
    pytest.param(way, script, id=f"{way.name}, {name}")
    for way in ALL_WAYS
    if way.name in {"create, iterated", "stream, iterated"}
    for name, script in ENDS.items()
    if name != "whole"
]


@has_tracing
@pytest.mark.parametrize(("way", "script"), CASES)
def test_the_sdks_own_span_is_what_it_was(mode, way, script):
    """Its attributes, the content that was asked for, and its status, however the stream is read and ends."""

    async def body(url, capture):
        async with mode.entered(mode.client(url, **traced(capture, content_mode="content"))) as client:
            with contextlib.suppress(*(() if script is WHOLE else (Exception,))):
                await way.run(mode, way.resource(client), Seen())

    with Capture() as bare, FakeAPI({"it": script}) as api:
        mode.run(body, api.url_for("it"), bare)
        without = native(bare)[1]
    with observed() as telemetry, FakeAPI({"it": script}) as api:
        mode.run(body, api.url_for("it"), telemetry.capture)
        telemetry.assert_recorded_once()
        parent, with_us = native(telemetry.capture)
        assert parent == telemetry.stream()["span_id"]
    assert with_us == without
    assert "gen_ai.input.messages" in without[-1]


RETRY_AT_ONCE = RetryPolicy(mode=Mode.RETRY, rules=(Rule(reasons=frozenset(AbortReason), backoff=Backoff(base=0.0)),))


@has_tracing
def test_of_a_stream_that_was_retried_the_sdks_own_spans_are_those_of_its_calls(mode):
    """One for each call, both inside of ours; what served has the usage, the stop reason and the content."""

    async def body(url, capture):
        async with mode.entered(mode.client(url, **traced(capture, content_mode="content"))) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), Seen())

    with Capture() as bare, FakeAPI(WHOLE) as api:
        mode.run(body, api.url, bare)
        _, (*_, whole) = native(bare)
    with observed(retry_policy=RETRY_AT_ONCE) as telemetry, FakeAPI([WHOLE.cut_after(2, CutMidChunk()), WHOLE]) as api:
        mode.run(body, api.url, telemetry.capture)
        ours = telemetry.stream()
        broke, served = [span for span in telemetry.capture.spans() if span["scope"] == NATIVE]
    assert ours["attributes"]["claude.stream.recovery.action"] == "retry"
    assert (broke["parent_id"], served["parent_id"]) == (ours["span_id"], ours["span_id"])
    assert "gen_ai.usage.output_tokens" not in broke["attributes"]
    found = {name: value for name, value in served["attributes"].items() if name not in TIMES_AND_PLACES}
    assert found.pop("anthropic.request.id") != whole.pop("anthropic.request.id")
    assert found == whole


@has_tracing
@pytest.mark.parametrize("options", [{"open_telemetry": False}, {}], ids=["off", "nobody listens"])
def test_where_the_sdk_does_not_trace_the_span_is_ours(mode, options, telemetry):
    """Switched off, or on without a provider behind it: CLIENT, with everything."""
    with FakeAPI(WHOLE) as api:
        mode.run(one_stream, mode, api.url, **options)
    assert [(span["name"], span["kind"]) for span in telemetry.capture.spans()] == [("chat claude-test", "CLIENT")]
    assert telemetry.attributes("span_owner", "gen_ai.operation.name", "gen_ai.usage.output_tokens") == (
        "self",
        "chat",
        15,
    )


@has_tracing
def test_the_setting_span_own_makes_it_ours_all_the_same(mode):
    """Who wants both spans gets both, in full."""
    with observed(span="always") as telemetry, FakeAPI(WHOLE) as api:
        mode.run(one_stream, mode, api.url, **traced(telemetry.capture))
    assert telemetry.attributes("span_owner", "gen_ai.operation.name", "gen_ai.usage.output_tokens") == (
        "self",
        "chat",
        15,
    )
    assert native(telemetry.capture)[0] == telemetry.stream()["span_id"]


GLOBAL = """
import json, sys
import anthropic
from opentelemetry import trace
from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import Capture, FakeAPI, Script

capture = Capture()
url, when = sys.argv[1:]
if when == "before":
    trace.set_tracer_provider(capture.tracer_provider)
ClaudeStreamInstrumentor().instrument()
client = anthropic.Anthropic(api_key="none", base_url=url)
if when == "after":
    trace.set_tracer_provider(capture.tracer_provider)
ask = {"model": "claude-test", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello?"}]}
with client.messages.create(**ask, stream=True) as stream:
    assert [event.type for event in stream][-1] == "message_stop"
print(json.dumps([[span["scope"], span["kind"], span["name"], span["parent_id"]] for span in capture.spans()]))
"""


@has_tracing
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_global_provider_makes_the_sdk_the_owner(when):
    """Set before or after the client and the instrumentation were created, the SDK uses it without help."""
    with FakeAPI(WHOLE) as api:
        run = subprocess.run([sys.executable, "-c", GLOBAL, api.url, when], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [
        [NATIVE, "CLIENT", "anthropic.messages.create", "0000000000000001"],
        ["otel_claude_stream", "INTERNAL", "claude.stream claude-test", None],
    ]


@pytest.mark.parametrize(
    "key", ["opentelemetry.genai.client.inference.context", "suppress_language_model_instrumentation"]
)
def test_beside_another_instrumentation_nothing_is_recorded_twice(mode, key, telemetry):
    """An INTERNAL span within theirs, without usage, and none of the metrics that theirs has."""
    tracer = telemetry.capture.tracer_provider.get_tracer("theirs")

    async def body(url):
        with tracer.start_as_current_span("chat claude-test"):
            token = otel_context.attach(otel_context.set_value(key, True))
            try:
                await one_stream(mode, url)
            finally:
                otel_context.detach(token)

    with FakeAPI(WHOLE) as api:
        mode.run(body, api.url)
    telemetry.assert_recorded_once()
    ours, theirs = telemetry.capture.spans()
    assert (ours["name"], ours["kind"], ours["parent_id"]) == (
        "claude.stream claude-test",
        "INTERNAL",
        theirs["span_id"],
    )
    assert telemetry.attributes("span_owner", "gen_ai.usage.output_tokens", "usage.complete") == ("other", None, True)
    assert [name for name in telemetry.capture.metrics() if name.startswith("gen_ai.")] == []
    assert telemetry.value("claude.stream.time_to_first_token") == 1


def test_where_instrumentation_is_suppressed_nothing_is_recorded(mode, telemetry):
    """OpenTelemetry's own switch for a piece of code."""

    async def body(url):
        with suppress_instrumentation():
            await one_stream(mode, url)

    with FakeAPI(WHOLE) as api:
        mode.run(body, api.url)
    assert telemetry.capture.spans() == []
    assert all(telemetry.value(name) in (None, 0) for name in telemetry.capture.metrics())


def test_our_span_is_not_current_while_the_caller_reads(mode, telemetry):
    """A span that the caller starts in its loop is a child of its own span, as before. Ours is a sibling of that."""
    tracer = telemetry.capture.tracer_provider.get_tracer("app")

    async def body(url):
        with tracer.start_as_current_span("app") as app:
            async with mode.entered(mode.client(url)) as client, mode.entered(client.messages.stream(**ASK)) as stream:
                assert trace.get_current_span() is app
                async for _ in mode.each(stream):
                    assert trace.get_current_span() is app
            assert trace.get_current_span() is app

    with FakeAPI(WHOLE) as api:
        mode.run(body, api.url)
    ours, app = telemetry.capture.spans()
    assert ours["parent_id"] == app["span_id"]


def test_each_of_the_sdks_requests_is_a_child_of_ours(mode, telemetry):
    """Two refusals and a success: three attempts within the span, with their statuses and what followed."""
    busy = Script.http_error(529, headers=(("retry-after-ms", "1"),))
    with FakeAPI([busy, busy, WHOLE]) as api:
        mode.run(one_stream, mode, api.url, max_retries=2)
    telemetry.assert_recorded_once()
    ours = telemetry.stream()
    attempts = [span for span in telemetry.capture.spans() if span is not ours and span["name"] != ours["name"]]
    assert [(span["name"], span["parent_id"]) for span in attempts] == [("claude.stream.attempt", ours["span_id"])] * 3
    assert [
        tuple(span["attributes"].get(name) for name in ("http.response.status_code", "claude.stream.retry.reason"))
        for span in attempts
    ] == [(529, "overloaded"), (529, "overloaded"), (200, None)]
    assert telemetry.attributes("attempt.count", "http.request.resend_count", "outcome") == (3, 2, "completed")
    assert (telemetry.value("claude.stream.retries"), telemetry.value("claude.stream.requests")) == (2, 3)
