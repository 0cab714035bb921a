"""Who has the `chat` span of a call: nobody else, the SDK's own tracing, or another instrumentation."""

from __future__ import annotations

import inspect

import anthropic
import pytest
from opentelemetry import context
from tests.support.expected_telemetry import HEALTHY, but
from tests.support.rig import API, instrumented, points, read, shown
from tests.support.scenes import MESSAGE

TRACES_ITSELF = "open_telemetry" in inspect.signature(anthropic.Anthropic).parameters
NESTED = but(
    HEALTHY,
    {".span_owner": "sdk"},
    absent=tuple(name for name in HEALTHY if name.startswith("gen_ai.") and name != "gen_ai.request.model"),
)
"""No operation name, no usage: nothing is counted twice."""

KEYS = ("suppress_language_model_instrumentation", "opentelemetry.genai.client.inference.context")


def metrics_of_conventions(capture):
    return sorted(name for name in points(capture) if name.startswith("gen_ai."))


THEIRS = [
    "gen_ai.client.operation.duration",
    "gen_ai.client.operation.time_per_output_chunk",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.client.token.usage",
]


def test_alone_the_span_is_the_chat_span(monkeypatch):
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        read(api)
        (span,) = capture.spans()
    assert (span["name"], span["kind"]) == ("chat claude-test", "CLIENT")
    assert metrics_of_conventions(capture) == THEIRS


@pytest.mark.skipif(not TRACES_ITSELF, reason="this SDK does not trace itself: it does from 2.x")
@pytest.mark.parametrize("way", ["create", "stream", "async create", "async stream"])
def test_beside_the_sdks_own_tracing_it_is_around_its_span(monkeypatch, way):
    """The SDK's span is inside of it and has the usage alone; the conventions' metrics are ours, as it has none."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        read(api, way, options={"open_telemetry": {"tracer_provider": capture.tracer_provider}})
        spans = {span["scope"]: span for span in capture.spans()}
        ours = spans.pop("otel_claude_stream")
        (theirs,) = spans.values()
        assert metrics_of_conventions(capture) == THEIRS
    helper = {".helper": "stream"} if way.endswith("stream") else {}
    assert shown(ours)["attributes"] == {**NESTED, **helper}
    assert (ours["name"], ours["kind"], ours["parent_id"]) == ("claude.stream claude-test", "INTERNAL", None)
    assert (theirs["kind"], theirs["parent_id"], theirs["trace_id"]) == ("CLIENT", ours["span_id"], ours["trace_id"])


@pytest.mark.parametrize("key", KEYS)
def test_beside_another_instrumentation_it_is_not_the_chat_span(monkeypatch, key):
    """Nor are the conventions' metrics ours."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        token = context.attach(context.set_value(key, True))
        try:
            read(api)
        finally:
            context.detach(token)
        (span,) = capture.spans()
        assert metrics_of_conventions(capture) == []
    assert (span["name"], span["kind"]) == ("claude.stream claude-test", "INTERNAL")
    assert shown(span)["attributes"] == {**NESTED, ".span_owner": "other"}


@pytest.mark.parametrize("key", KEYS)
def test_it_can_be_made_to_own_the_span(monkeypatch, key):
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock, span="always") as capture:
        token = context.attach(context.set_value(key, True))
        try:
            read(api)
        finally:
            context.detach(token)
        (span,) = capture.spans()
        assert metrics_of_conventions(capture) == THEIRS
    assert shown(span)["attributes"] == HEALTHY


def test_who_suppresses_instrumentation_gets_none(monkeypatch):
    """OpenTelemetry's own key, as exporters set it."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        token = context.attach(context.set_value("suppress_instrumentation", True))
        try:
            seen = read(api)
        finally:
            context.detach(token)
        assert (capture.spans(), points(capture)) == ([], {})
    assert len(seen.events) == 9
