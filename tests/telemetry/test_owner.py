"""Which instrumentation records the `chat` span: this package, the SDK's own tracing, or another one."""

from __future__ import annotations

import inspect

import anthropic
import pytest
from opentelemetry import context
from tests.support.expected_telemetry import HEALTHY, but
from tests.support.rig import API, instrumented, points, read, shown
from tests.support.scenes import MESSAGE

SDK_HAS_TRACING = "open_telemetry" in inspect.signature(anthropic.Anthropic).parameters
NESTED = but(
    HEALTHY,
    {".span_owner": "sdk"},
    absent=tuple(name for name in HEALTHY if name.startswith("gen_ai.") and name != "gen_ai.request.model"),
)
"""It has no operation name and no usage, so that nothing is counted twice."""

CONTEXT_KEYS = ("suppress_language_model_instrumentation", "opentelemetry.genai.client.inference.context")


def genai_metrics(capture):
    return sorted(name for name in points(capture) if name.startswith("gen_ai."))


GENAI_METRICS = [
    "gen_ai.client.operation.duration",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.client.token.usage",
]


def test_without_other_instrumentation_the_span_is_the_chat_span(monkeypatch):
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        read(api)
        (span,) = capture.spans()
    assert (span["name"], span["kind"]) == ("chat claude-test", "CLIENT")
    assert genai_metrics(capture) == GENAI_METRICS


@pytest.mark.skipif(not SDK_HAS_TRACING, reason="this version of the SDK has no tracing")
@pytest.mark.parametrize("way", ["create", "stream", "async create", "async stream"])
def test_with_the_sdks_own_tracing_the_span_is_the_parent_of_its_span(monkeypatch, way):
    """Only the SDK's span has the usage. This package records the conventions' metrics, because the SDK has none."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        read(api, way, options={"open_telemetry": {"tracer_provider": capture.tracer_provider}})
        spans = {span["scope"]: span for span in capture.spans()}
        stream_span = spans.pop("otel_claude_stream")
        (chat_span,) = spans.values()
        assert genai_metrics(capture) == GENAI_METRICS
    helper = {".helper": "stream"} if way.endswith("stream") else {}
    assert shown(stream_span)["attributes"] == {**NESTED, **helper}
    assert (stream_span["name"], stream_span["kind"], stream_span["parent_id"]) == (
        "claude.stream claude-test",
        "INTERNAL",
        None,
    )
    assert chat_span["kind"] == "CLIENT"
    assert (chat_span["parent_id"], chat_span["trace_id"]) == (stream_span["span_id"], stream_span["trace_id"])


@pytest.mark.parametrize("key", CONTEXT_KEYS)
def test_with_another_instrumentation_the_span_is_not_the_chat_span(monkeypatch, key):
    """The metrics of the conventions are not recorded either."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        token = context.attach(context.set_value(key, True))
        try:
            read(api)
        finally:
            context.detach(token)
        (span,) = capture.spans()
        assert genai_metrics(capture) == []
    assert (span["name"], span["kind"]) == ("claude.stream claude-test", "INTERNAL")
    assert shown(span)["attributes"] == {**NESTED, ".span_owner": "other"}


@pytest.mark.parametrize("key", CONTEXT_KEYS)
def test_the_setting_always_makes_it_the_chat_span(monkeypatch, key):
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock, span="always") as capture:
        token = context.attach(context.set_value(key, True))
        try:
            read(api)
        finally:
            context.detach(token)
        (span,) = capture.spans()
        assert genai_metrics(capture) == GENAI_METRICS
    assert shown(span)["attributes"] == HEALTHY


def test_suppressed_instrumentation_records_nothing(monkeypatch):
    """Exporters set this key of OpenTelemetry."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        token = context.attach(context.set_value("suppress_instrumentation", True))
        try:
            seen = read(api)
        finally:
            context.detach(token)
        assert (capture.spans(), points(capture)) == ([], {})
    assert len(seen.events) == 9
