"""The span of a stream, whole, for streams of every kind: by a manual clock, through the real SDK."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from tests.support.expected_telemetry import HEALTHY, SPANS, but
from tests.support.rig import API, WAYS, instrumented, play, read, shown
from tests.support.scenes import SCENES


def spans(monkeypatch, scene, way="", **settings):
    return [shown(span) for span in play(monkeypatch, SCENES[scene], way, **settings).spans()]


@pytest.mark.parametrize("scene", SPANS)
def test_a_stream_is_told_whole(monkeypatch, scene):
    """Name, kind, parent, status, times, every attribute, every event with its time: nothing more, nothing less."""
    assert spans(monkeypatch, scene) == SPANS[scene]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scene", ["text", "thinking", "tool", "sse error", "truncated", "retried", "pings only"])
def test_however_it_is_read_a_stream_is_told_alike(monkeypatch, scene, way):
    """Sync or async, `create(stream=True)` or `messages.stream()`: only `helper` tells which."""
    helper = "stream" if way.endswith("stream") else "create"
    expected = [
        {**span, "attributes": {**span["attributes"], ".helper": helper}} if span["kind"] == "CLIENT" else span
        for span in SPANS[scene]
    ]
    assert spans(monkeypatch, scene, way) == expected


COMPLETED = {".outcome": "completed", ".phase": "finishing"}


def failed(reason, origin, phase, error_type="", limit="none"):
    return {
        ".outcome": "failed",
        ".abort.reason": reason,
        ".abort.origin": origin,
        ".phase": phase,
        "error.type": error_type or reason,
        ".abort.limit_match": limit,
    }


def left(reason):
    return {".outcome": "closed", ".abort.reason": reason, ".abort.origin": "caller", ".phase": "streaming"}


ENDINGS = {
    "sampling": COMPLETED,
    "helper": COMPLETED,
    "retried after a refusal": COMPLETED,
    "truncated at the end": COMPLETED,
    "reset after stop": COMPLETED,
    "silent stall": COMPLETED,
    "sse error at once": failed("api_error", "anthropic", "awaiting_first_token"),
    "refused": failed("connection_closed", "unknown", "awaiting_response"),
    "rejected": failed("request_rejected", "anthropic", "awaiting_response", "invalid_request_error"),
    "gateway": failed("gateway_error", "intermediary", "awaiting_response"),
    "page": failed("bad_response", "intermediary", "awaiting_first_event"),
    "reset": failed("connection_reset", "unknown", "streaming"),
    "timed out": failed("silent", "client", "streaming", limit="idle:600s"),
    "garbage": failed("decode_error", "unknown", "streaming"),
    "unknown": failed("truncated", "unknown", "awaiting_first_token"),
    "left by break": left("caller_closed"),
    "left by an error": left("caller_error"),
}


@pytest.mark.parametrize("scene", ENDINGS)
def test_an_ending_is_told(monkeypatch, scene):
    """Error only for provider, transport, intermediary and truncation; a caller that leaves is nobody's fault."""
    span = spans(monkeypatch, scene)[-1]
    told = (".outcome", ".phase", ".abort.reason", ".abort.origin", ".abort.limit_match", "error.type")
    assert {name: span["attributes"][name] for name in told if name in span["attributes"]} == ENDINGS[scene]
    is_error = ENDINGS[scene][".outcome"] == "failed"
    assert span["status"] == (("ERROR", ENDINGS[scene][".abort.reason"]) if is_error else ("UNSET", None))


@pytest.mark.parametrize("scene", ["sse error", "truncated", "cut after silence", "closed"])
def test_the_placeholder_of_the_output_tokens_is_never_told(monkeypatch, scene):
    """`message_start` says one output token: of a stream that broke no output tokens are known."""
    capture = play(monkeypatch, SCENES[scene])
    said = capture.spans()[-1]["attributes"]
    assert said["claude.stream.usage.complete"] is False
    assert said["gen_ai.usage.input_tokens"] == 132
    assert "gen_ai.usage.output_tokens" not in said
    assert "gen_ai.client.token.usage" not in capture.metrics()


def test_what_the_caller_chose_is_told(monkeypatch):
    """The numbers of the request, also where they are given as `extra_body`; never its content."""
    (span,) = spans(monkeypatch, "sampling")
    assert span["attributes"] == but(
        HEALTHY, {"gen_ai.request.temperature": 0.5, "gen_ai.request.top_p": 0.9, "gen_ai.request.top_k": 40}
    )


def test_no_content_is_told(monkeypatch):
    """Not a word of the answer, the thinking, the tool input or an error's message is anywhere in the telemetry."""
    for scene in ("text", "thinking", "tool", "sse error"):
        capture = play(monkeypatch, SCENES[scene], events="both", deltas="all")
        everything = repr((capture.spans(), capture.metrics(), capture.logs()))
        for word in ("Hello", "wide", "Let me", "Paris", "city", "get_weather", "Overloaded"):
            assert word not in everything


def test_the_fault_after_the_stop_is_told_and_harms_nothing(monkeypatch):
    (span,) = spans(monkeypatch, "reset after stop")
    assert span["attributes"][".fault_after_stop"] is True
    assert span["attributes"][".usage.complete"] is True


def test_a_missing_stop_is_told_and_harms_nothing(monkeypatch):
    (span,) = spans(monkeypatch, "truncated at the end")
    assert span["attributes"] == but(
        HEALTHY, {".read.bytes": 1406, ".event.count": 9, ".read.events": 0.9, ".missing_message_stop": True}
    )


def test_an_event_with_the_name_of_one_of_ours_is_told_apart(monkeypatch):
    """An SSE event `stall` is `sse_stall`; an unknown one has its own name."""
    (span,) = spans(monkeypatch, "unknown")
    assert [(at, name) for at, name, _ in span["events"]] == [
        (0.0, ".message_start"),
        (0.3, ".content_block_start"),
        (0.3, ".sse_stall"),
        (0.3, ".new_thing"),
        (0.3, ".retry"),
        (0.3, ".abort"),
    ]


def test_the_span_is_a_child_of_the_callers(monkeypatch):
    """What is current when the call is made is its parent."""
    api = API(SCENES["text"].scripts)
    with instrumented(monkeypatch, api.clock) as capture:
        caller = capture.tracer_provider.get_tracer("caller").start_span("work")
        with trace.use_span(caller):
            read(api)
            assert trace.get_current_span() is caller
        caller.end()
        stream, work = capture.spans()
    assert (stream["parent_id"], stream["trace_id"]) == (work["span_id"], work["trace_id"])
