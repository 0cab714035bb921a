"""The spans of streams of every kind, with all attributes and events, read by the real SDK with a manual clock."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from tests.support.expected_telemetry import HEALTHY, SPANS, but
from tests.support.rig import API, WAYS, instrumented, play, read, shown
from tests.support.scenes import SCENES


def play_spans(monkeypatch, scene, way="", **settings):
    return [shown(span) for span in play(monkeypatch, SCENES[scene], way, **settings).spans()]


@pytest.mark.parametrize("scene", SPANS)
def test_a_stream_has_exactly_these_spans(monkeypatch, scene):
    """Name, kind, parent, status, times, attributes and events are compared."""
    assert play_spans(monkeypatch, scene) == SPANS[scene]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scene", ["text", "thinking", "tool", "sse error", "truncated", "retried", "pings only"])
def test_spans_are_the_same_for_each_way_to_read_a_stream(monkeypatch, scene, way):
    """Only `helper` differs between `create(stream=True)` and `messages.stream()`, synchronous or asynchronous."""
    helper = "stream" if way.endswith("stream") else "create"
    expected = [
        {**span, "attributes": {**span["attributes"], ".helper": helper}} if span["kind"] == "CLIENT" else span
        for span in SPANS[scene]
    ]
    assert play_spans(monkeypatch, scene, way) == expected


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


def closed(reason):
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
    "left by break": closed("caller_closed"),
    "left by an error": closed("caller_error"),
}


@pytest.mark.parametrize("scene", ENDINGS)
def test_the_end_of_a_stream_has_this_outcome_reason_and_status(monkeypatch, scene):
    """The status is Error for failed streams only. A stream that the caller closed has not failed."""
    span = play_spans(monkeypatch, scene)[-1]
    names = (".outcome", ".phase", ".abort.reason", ".abort.origin", ".abort.limit_match", "error.type")
    assert {name: span["attributes"][name] for name in names if name in span["attributes"]} == ENDINGS[scene]
    is_error = ENDINGS[scene][".outcome"] == "failed"
    assert span["status"] == (("ERROR", ENDINGS[scene][".abort.reason"]) if is_error else ("UNSET", None))


@pytest.mark.parametrize("scene", ["sse error", "truncated", "cut after silence", "closed"])
def test_the_placeholder_of_the_output_tokens_is_never_recorded(monkeypatch, scene):
    """`message_start` reports one output token. The number is unknown if the stream broke."""
    capture = play(monkeypatch, SCENES[scene])
    attributes = capture.spans()[-1]["attributes"]
    assert attributes["claude.stream.usage.complete"] is False
    assert attributes["gen_ai.usage.input_tokens"] == 132
    assert "gen_ai.usage.output_tokens" not in attributes
    assert "gen_ai.client.token.usage" not in capture.metrics()


def test_the_sampling_parameters_of_the_request_are_recorded(monkeypatch):
    """They are recorded also if they are in `extra_body`."""
    (span,) = play_spans(monkeypatch, "sampling")
    assert span["attributes"] == but(
        HEALTHY, {"gen_ai.request.temperature": 0.5, "gen_ai.request.top_p": 0.9, "gen_ai.request.top_k": 40}
    )


def test_no_content_is_recorded(monkeypatch):
    """The telemetry contains nothing of the text, the thinking, the tool input or an error's message."""
    for scene in ("text", "thinking", "tool", "sse error"):
        capture = play(monkeypatch, SCENES[scene], events="both", deltas="all")
        everything = repr((capture.spans(), capture.metrics(), capture.logs()))
        for word in ("Hello", "wide", "Let me", "Paris", "city", "get_weather", "Overloaded"):
            assert word not in everything


def test_an_error_after_message_stop_is_recorded_on_a_complete_stream(monkeypatch):
    (span,) = play_spans(monkeypatch, "reset after stop")
    assert span["attributes"][".fault_after_stop"] is True
    assert span["attributes"][".usage.complete"] is True


def test_a_missing_message_stop_is_recorded_on_a_complete_stream(monkeypatch):
    (span,) = play_spans(monkeypatch, "truncated at the end")
    assert span["attributes"] == but(
        HEALTHY, {".read.bytes": 1406, ".event.count": 9, ".read.events": 0.9, ".missing_message_stop": True}
    )


def test_an_sse_event_named_like_a_synthetic_event_gets_a_prefix(monkeypatch):
    """An SSE event of another unknown type keeps its name."""
    (span,) = play_spans(monkeypatch, "unknown")
    assert [(at, name) for at, name, _ in span["events"]] == [
        (0.0, ".message_start"),
        (0.3, ".content_block_start"),
        (0.3, ".sse_stall"),
        (0.3, ".new_thing"),
        (0.3, ".retry"),
        (0.3, ".abort"),
    ]


def test_the_span_is_a_child_of_the_span_that_is_current_at_the_call(monkeypatch):
    api = API(SCENES["text"].scripts)
    with instrumented(monkeypatch, api.clock) as capture:
        caller = capture.tracer_provider.get_tracer("caller").start_span("work")
        with trace.use_span(caller):
            read(api)
            assert trace.get_current_span() is caller
        caller.end()
        stream, work = capture.spans()
    assert (stream["parent_id"], stream["trace_id"]) == (work["span_id"], work["trace_id"])
