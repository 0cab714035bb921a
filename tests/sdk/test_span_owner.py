"""The span of a stream beside the spans of the SDK's own tracing and of other instrumentations."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from tests.support.faults import WHOLE
from tests.support.modes import ASK, Mode
from tests.support.native_tracing import SDK_SCOPE, needs_native_tracing, tracing_options
from tests.support.observing import observed
from tests.support.paths import ROOT
from tests.support.ways import ALL_WAYS, Seen, by_iteration

from otel_claude_stream import AbortReason
from otel_claude_stream._core.retry.policy import Backoff, Budget, RetryPolicy, Rule
from otel_claude_stream._core.retry.policy import Mode as PolicyMode
from otel_claude_stream._sdk.attach import sdk_hooks, span_owner
from otel_claude_stream.testing import Capture, CutMidChunk, End, Error, FakeAPI, Script

VARYING = {"server.port", "url.full", "gen_ai.response.time_to_first_chunk"}
MARK = {"claude.stream.source": "instrumentation"}
"""The attribute that this package adds to the SDK's own span, so that a stream is counted once."""


async def read_one(mode, url, **options):
    """Read one stream to its end."""
    async with mode.entered(mode.client(url, **options)) as client:
        await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), Seen())


def native_span(capture):
    """Return the parent of the SDK's span, and the fields of it that are the same in each run."""
    (span,) = [span for span in capture.spans() if span["scope"] == SDK_SCOPE]
    attributes = {name: value for name, value in span["attributes"].items() if name not in VARYING}
    return span["parent_id"], (span["name"], span["kind"], span["status"], span["events"], attributes)


@needs_native_tracing
def test_the_sdks_own_span_is_a_child_of_the_stream_span(mode, telemetry):
    """The stream span is INTERNAL then, without the attributes of the SDK's span. All metrics are recorded."""
    with FakeAPI(WHOLE) as api:
        mode.run(read_one, mode, api.url, **tracing_options(telemetry.capture))
    telemetry.assert_recorded_once()
    ours = telemetry.stream()
    assert native_span(telemetry.capture)[0] == ours["span_id"]
    assert (ours["name"], ours["kind"], ours["parent_id"]) == ("claude.stream claude-test", "INTERNAL", None)
    assert [name for name in ours["attributes"] if name.startswith("gen_ai.")] == ["gen_ai.request.model"]
    assert telemetry.attributes("span_owner", "outcome") == ("sdk", "completed")
    metrics = telemetry.capture.metrics()
    assert {name: len(found["points"]) for name, found in metrics.items() if name.startswith("gen_ai.")} == {
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


@needs_native_tracing
@pytest.mark.parametrize(("way", "script"), CASES)
def test_the_sdks_own_span_only_gains_the_mark(mode, way, script):
    """Its other attributes, content and status stay the same for each way to read and each end of a stream."""

    async def body(url, capture):
        async with mode.entered(mode.client(url, **tracing_options(capture, content_mode="content"))) as client:
            with contextlib.suppress(*(() if script is WHOLE else (Exception,))):
                await way.run(mode, way.resource(client), Seen())

    with Capture() as bare, FakeAPI({"stream": script}) as api:
        mode.run(body, api.url_for("stream"), bare)
        expected = native_span(bare)[1]
    with observed() as telemetry, FakeAPI({"stream": script}) as api:
        mode.run(body, api.url_for("stream"), telemetry.capture)
        telemetry.assert_recorded_once()
        parent, found = native_span(telemetry.capture)
        assert parent == telemetry.stream()["span_id"]
    *fields, attributes = expected
    assert found == (*fields, {**attributes, **MARK})
    assert "gen_ai.input.messages" in attributes


RETRY_AT_ONCE = RetryPolicy(
    mode=PolicyMode.RETRY,
    rules=(Rule(reasons=frozenset(AbortReason), backoff=Backoff(base=0.0)),),
    budget=Budget(min_per_window=1000),
)


@needs_native_tracing
def test_a_retried_stream_has_one_span_of_the_sdk_for_each_request(mode):
    """The span of the last request has the usage, the stop reason and the content."""

    async def body(url, capture):
        async with mode.entered(mode.client(url, **tracing_options(capture, content_mode="content"))) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), Seen())

    with Capture() as bare, FakeAPI(WHOLE) as api:
        mode.run(body, api.url, bare)
        _, (*_, expected) = native_span(bare)
    with observed(retry_policy=RETRY_AT_ONCE) as telemetry, FakeAPI([WHOLE.cut_after(2, CutMidChunk()), WHOLE]) as api:
        mode.run(body, api.url, telemetry.capture)
        ours = telemetry.stream()
        failed, completed = [span for span in telemetry.capture.spans() if span["scope"] == SDK_SCOPE]
    assert ours["attributes"]["claude.stream.recovery.action"] == "retry"
    assert (failed["parent_id"], completed["parent_id"]) == (ours["span_id"], ours["span_id"])
    assert "gen_ai.usage.output_tokens" not in failed["attributes"]
    found = {name: value for name, value in completed["attributes"].items() if name not in VARYING}
    assert found.pop("anthropic.request.id") != expected.pop("anthropic.request.id")
    assert found == {**expected, **MARK}
    assert failed["attributes"].items() >= MARK.items()


async def call_once(mode, url, capture, **request):
    """Make one call with the SDK's own tracing."""
    async with mode.entered(mode.client(url, **tracing_options(capture))) as client:
        with contextlib.suppress(Exception):
            answer = await mode.do(client.messages.create(**ASK, **request))
            if request:
                await by_iteration(mode, answer, Seen())


@needs_native_tracing
def test_the_sdks_own_span_is_marked_without_a_response_too(mode, telemetry):
    mode.run(call_once, mode, "http://127.0.0.1:9", telemetry.capture, stream=True)
    assert telemetry.attributes("abort.reason") == ("connect_failed",)
    assert native_span(telemetry.capture)[1][-1].items() >= MARK.items()


@needs_native_tracing
@pytest.mark.parametrize("span", ["auto", "always"])
@pytest.mark.parametrize("owned", [True, False], ids=["owned by another", "owned by the SDK"])
def test_the_sdks_own_span_is_marked_whichever_span_this_package_records(mode, span, owned):
    """Two spans may stand for the call already. The stream is measured once all the same."""
    key = "suppress_language_model_instrumentation" if owned else "another"
    with observed(span=span) as telemetry, FakeAPI(WHOLE) as api:
        token = otel_context.attach(otel_context.set_value(key, True))
        mode.run(call_once, mode, api.url, telemetry.capture, stream=True)
        otel_context.detach(token)
        assert native_span(telemetry.capture)[1][-1].items() >= MARK.items()


@needs_native_tracing
@pytest.mark.parametrize("place", [(sdk_hooks, "mark_sdk_span"), (span_owner, "_marked")], ids=["before", "in the SDK"])
def test_a_failure_to_mark_the_sdks_own_span_does_not_reach_the_caller(mode, monkeypatch, telemetry, place):
    """The SDK hides a failure while it starts its span."""

    def fail(*_):
        raise ValueError

    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(*place, fail)
    with FakeAPI(WHOLE) as api:
        mode.run(read_one, mode, api.url, **tracing_options(telemetry.capture))
    scopes = {span["scope"] for span in telemetry.capture.spans()}
    assert scopes == ({SDK_SCOPE, "otel_claude_stream"} if place[0] is sdk_hooks else {"otel_claude_stream"})


@needs_native_tracing
@pytest.mark.parametrize("suppressed", [True, False], ids=["suppressed", "no stream"])
def test_the_sdks_own_span_of_a_call_that_is_not_measured_is_not_marked(mode, telemetry, suppressed):
    with FakeAPI(WHOLE) as api, suppress_instrumentation() if suppressed else contextlib.nullcontext():
        mode.run(call_once, mode, api.url, telemetry.capture, **({"stream": True} if suppressed else {}))
    (span,) = telemetry.capture.spans()
    assert (span["scope"], span["attributes"].get("claude.stream.source")) == (SDK_SCOPE, None)


@needs_native_tracing
@pytest.mark.parametrize("options", [{"open_telemetry": False}, {}], ids=["off", "no provider"])
def test_without_the_sdks_own_tracing_the_stream_span_is_complete(mode, options, telemetry):
    """It is a CLIENT span with all attributes if the SDK's tracing is off or has no provider."""
    with FakeAPI(WHOLE) as api:
        mode.run(read_one, mode, api.url, **options)
    assert [(span["name"], span["kind"]) for span in telemetry.capture.spans()] == [("chat claude-test", "CLIENT")]
    assert telemetry.attributes("span_owner", "gen_ai.operation.name", "gen_ai.usage.output_tokens") == (
        "self",
        "chat",
        15,
    )


@needs_native_tracing
def test_the_setting_span_always_records_both_spans_in_full(mode):
    """The SDK's span is a child of the complete stream span."""
    with observed(span="always") as telemetry, FakeAPI(WHOLE) as api:
        mode.run(read_one, mode, api.url, **tracing_options(telemetry.capture))
    assert telemetry.attributes("span_owner", "gen_ai.operation.name", "gen_ai.usage.output_tokens") == (
        "self",
        "chat",
        15,
    )
    assert native_span(telemetry.capture)[0] == telemetry.stream()["span_id"]


GLOBAL_PROVIDER = """
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


@needs_native_tracing
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_global_provider_makes_the_sdk_the_span_owner(when):
    """The SDK uses it whether it is set before or after the client and the instrumentation were created."""
    with FakeAPI(WHOLE) as api:
        run = subprocess.run(
            [sys.executable, "-c", GLOBAL_PROVIDER, api.url, when], capture_output=True, text=True, check=True
        )
    assert json.loads(run.stdout) == [
        [SDK_SCOPE, "CLIENT", "anthropic.messages.create", "0000000000000001"],
        ["otel_claude_stream", "INTERNAL", "claude.stream claude-test", None],
    ]


@pytest.mark.parametrize(
    "key", ["opentelemetry.genai.client.inference.context", "suppress_language_model_instrumentation"]
)
def test_nothing_is_recorded_twice_beside_another_instrumentation(mode, key, telemetry):
    """The stream span is an INTERNAL child of the other span, without usage and without the `gen_ai` metrics."""
    tracer = telemetry.capture.tracer_provider.get_tracer("theirs")

    async def body(url):
        with tracer.start_as_current_span("chat claude-test"):
            token = otel_context.attach(otel_context.set_value(key, True))
            try:
                await read_one(mode, url)
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


async def read_in_span(mode, url, telemetry, scope="theirs", **attributes):
    """Read one stream in a current span."""
    tracer = telemetry.capture.tracer_provider.get_tracer(scope)
    with tracer.start_as_current_span("theirs", attributes=attributes) as span:
        await read_one(mode, url)
    return span


@pytest.mark.parametrize("operation", ["chat", "generate_content", "text_completion"])
def test_a_current_span_that_stands_for_the_call_owns_it(mode, operation, telemetry):
    """Frameworks make such spans. The stream span has no usage then, and there are no `gen_ai` metrics."""
    with FakeAPI(WHOLE) as api:
        mode.run(read_in_span, mode, api.url, telemetry, **{"gen_ai.operation.name": operation})
    telemetry.assert_recorded_once()
    assert (telemetry.stream()["name"], telemetry.stream()["kind"]) == ("claude.stream claude-test", "INTERNAL")
    assert telemetry.attributes("span_owner", "gen_ai.usage.output_tokens", "outcome") == ("other", None, "completed")
    assert [name for name in telemetry.capture.metrics() if name.startswith("gen_ai.")] == []


@pytest.mark.parametrize(
    ("scope", "operation"),
    [
        ("theirs", "invoke_agent"),
        ("theirs", "execute_tool"),
        ("theirs", None),
        # A middleware sends the request of another call within a span of this package or of the SDK.
        ("otel_claude_stream", "chat"),
        (SDK_SCOPE, "chat"),
    ],
)
def test_a_current_span_of_something_else_does_not_own_the_call(mode, scope, operation, telemetry):
    attributes = {"gen_ai.operation.name": operation} if operation else {"http.route": "/"}
    with FakeAPI(WHOLE) as api:
        mode.run(read_in_span, mode, api.url, telemetry, scope=scope, **attributes)
    owners = [span["attributes"].get("claude.stream.span_owner") for span in telemetry.capture.spans()]
    assert [owner for owner in owners if owner] == ["self"]


def test_a_span_that_has_ended_does_not_own_a_later_call(mode, telemetry):
    """It stays current in a context that is not left."""
    tracer = telemetry.capture.tracer_provider.get_tracer("theirs")

    async def body(url):
        span = tracer.start_span("chat", attributes={"gen_ai.operation.name": "chat"})
        with trace.use_span(span):
            span.end()
            await read_one(mode, url)

    with FakeAPI(WHOLE) as api:
        mode.run(body, api.url)
    ours = [span for span in telemetry.capture.spans() if span["scope"] == "otel_claude_stream"]
    assert [span["attributes"]["claude.stream.span_owner"] for span in ours] == ["self"]


@pytest.mark.parametrize("module", ["opentelemetry.instrumentation.anthropic.utils", "agento11y_anthropic"])
def test_an_instrumentation_on_the_stack_owns_the_call(module, monkeypatch, telemetry):
    """It has neither a context key nor a current span."""
    namespace = {"__name__": module}
    exec("def call(function, *args): return function(*args)", namespace)
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.anthropic", object())
    monkeypatch.setitem(sys.modules, "agento11y_anthropic", object())
    mode = Mode("sync")
    with FakeAPI(WHOLE) as api:
        namespace["call"](mode.run, read_one, mode, api.url)
        assert telemetry.attributes("span_owner") == ("other",)


def test_nothing_is_recorded_in_a_block_that_suppresses_instrumentation(mode, telemetry):
    """`suppress_instrumentation` is a context manager of OpenTelemetry."""

    async def body(url):
        with suppress_instrumentation():
            await read_one(mode, url)

    with FakeAPI(WHOLE) as api:
        mode.run(body, api.url)
    assert telemetry.capture.spans() == []
    assert all(telemetry.value(name) in (None, 0) for name in telemetry.capture.metrics())


def test_the_page_on_the_owner_lists_each_sign_of_another_one():
    signs = (*span_owner._OTHER_OWNER_KEYS, *span_owner._GENERATING, *span_owner._SILENT_OWNERS)
    page = (ROOT / "docs" / "concepts" / "span-owner.md").read_text(encoding="utf-8")
    assert [sign for sign in signs if f"`{sign}`" not in page] == []


def test_a_policy_acts_in_a_block_that_suppresses_instrumentation(mode):
    """The stream is retried, and nothing of it is recorded, not even while it is open."""

    async def body(url):
        with suppress_instrumentation():
            async with mode.entered(mode.client(url)) as client:
                stream = await mode.do(client.messages.create(**ASK, stream=True))
                events = [event.type async for event in mode.each(stream) if recorded_nothing()]
        assert events[-1] == "message_stop"

    def recorded_nothing():
        metrics = telemetry.capture.metrics()
        assert {name for name in metrics if telemetry.value(name)} == set()
        return True

    with (
        observed(retry_policy=RETRY_AT_ONCE, events="both") as telemetry,
        FakeAPI([WHOLE.cut_after(2, CutMidChunk()), WHOLE]) as api,
    ):
        mode.run(body, api.url)
        assert len(api.requests) == 2
        assert recorded_nothing()
        assert (telemetry.capture.spans(), telemetry.capture.logs()) == ([], [])


def test_the_stream_span_is_not_current_while_the_caller_reads(mode, telemetry):
    """Spans that the caller starts in its loop remain children of its current span."""
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


def test_each_request_of_the_sdk_has_an_attempt_span(mode, telemetry):
    """Two rejected requests and a success give three attempt spans, with status and abort reason."""
    busy = Script.http_error(529, headers=(("retry-after-ms", "1"),))
    with FakeAPI([busy, busy, WHOLE]) as api:
        mode.run(read_one, mode, api.url, max_retries=2)
    telemetry.assert_recorded_once()
    ours = telemetry.stream()
    attempts = [span for span in telemetry.capture.spans() if span is not ours and span["name"] != ours["name"]]
    assert [(span["name"], span["parent_id"]) for span in attempts] == [("claude.stream.attempt", ours["span_id"])] * 3
    assert [
        tuple(span["attributes"].get(name) for name in ("http.response.status_code", "claude.stream.abort.reason"))
        for span in attempts
    ] == [(529, "overloaded"), (529, "overloaded"), (200, None)]
    assert telemetry.attributes("attempt.count", "http.request.resend_count", "outcome") == (3, 2, "completed")
    assert (telemetry.value("claude.stream.retries"), telemetry.value("claude.stream.requests")) == (2, 3)
