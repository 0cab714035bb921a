"""The settings of the telemetry: names, destinations of events, events of deltas, and what is switched off."""

from __future__ import annotations

import pytest
from anthropic import _base_client, _streaming
from opentelemetry import context
from tests.support.expected_telemetry import HEALTHY, but
from tests.support.rig import API, instrumented, play, points, read, short, shown
from tests.support.scenes import BUSY, MESSAGE, SCENES, Scene

from otel_claude_stream._telemetry import schema
from otel_claude_stream.testing import Script

RENAMED = {metric.name_0_1: metric.name for metric in schema.METRICS if metric.name_0_1}
"""The metrics whose names differ in version 0.1 of the conventions."""


def genai_metrics(capture):
    return {name for name in capture.metrics() if name.startswith("gen_ai.")}


NAMES_1_41 = {
    "gen_ai.client.operation.duration",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.client.token.usage",
}
NAMES_0_1 = {
    "gen_ai.client.inference.duration",
    "gen_ai.client.inference.operation.input_tokens",
    "gen_ai.client.inference.operation.output_tokens",
    "gen_ai.client.inference.time_to_first_chunk",
    "gen_ai.client.inference.usage.cache_read.input_tokens",
    "gen_ai.client.inference.usage.cache_write.input_tokens",
    "gen_ai.client.inference.usage.input_tokens",
    "gen_ai.client.inference.usage.output_tokens",
}
CACHE_WRITES = {"gen_ai.usage.cache_write.input_tokens": 7}
PARAMETERS = {
    "gen_ai.request.stop_sequences": ["END", "STOP"],
    "gen_ai.output.type": "json",
    ".effort": "xhigh",
    ".thinking.display": "omitted",
}
LEVEL = {"gen_ai.request.reasoning.level": "xhigh"}


@pytest.mark.parametrize(
    ("semconv", "names", "attributes"),
    [
        ("1.41", NAMES_1_41, but(HEALTHY, PARAMETERS)),
        (
            "0.1",
            NAMES_0_1,
            but(
                HEALTHY,
                {**PARAMETERS, **CACHE_WRITES, **LEVEL},
                absent=("gen_ai.usage.cache_creation.input_tokens",),
            ),
        ),
        ("both", NAMES_1_41 | NAMES_0_1, but(HEALTHY, {**PARAMETERS, **CACHE_WRITES, **LEVEL})),
    ],
)
def test_semconv_selects_the_names_of_the_conventions(monkeypatch, semconv, names, attributes):
    capture = play(monkeypatch, SCENES["parameters"], semconv=semconv)
    assert genai_metrics(capture) == names
    assert short(capture.spans()[0]["attributes"]) == attributes


def test_metrics_have_the_same_values_under_their_names_of_version_0_1(monkeypatch):
    before = points(play(monkeypatch, SCENES["text"], gaps="both"))
    after = points(play(monkeypatch, SCENES["text"], gaps="both", semconv="0.1"))
    for new, old in RENAMED.items():
        assert after[new] == before[old]


def test_version_0_1_has_a_histogram_and_a_counter_of_tokens(monkeypatch):
    """Only the counters have the modality, since the percentiles of modalities do not add up."""
    found = points(play(monkeypatch, SCENES["reasoning"], semconv="0.1"))
    call = dict(found["gen_ai.client.inference.duration"][0][0])
    for kind, tokens in (("input", 132), ("output", 15)):
        assert found[f"gen_ai.client.inference.operation.{kind}_tokens"] == [(call, (1, tokens))]
    usage = {name.partition(".usage.")[2]: value for name, value in found.items() if ".usage." in name}
    labels = {**call, "gen_ai.token.modality": "unknown"}
    assert usage == {
        "input_tokens": [(labels, 132)],
        "output_tokens": [(labels, 15)],
        "cache_read.input_tokens": [(labels, 100)],
        "cache_write.input_tokens": [(labels, 7)],
        "reasoning.output_tokens": [(labels, 9)],
    }


@pytest.mark.parametrize(
    ("scene", "counted"), [("sse error", {"input": 132, "output": 0}), ("gave up", {"input": 0, "output": 0})]
)
def test_a_failed_call_counts_the_tokens_that_were_reported(monkeypatch, scene, counted):
    """The conventions require 0 without usage. The histograms have no failed calls."""
    capture = play(monkeypatch, SCENES[scene], semconv="0.1")
    metrics = capture.metrics()
    assert not [name for name in metrics if name.startswith("gen_ai.client.inference.operation")]
    for kind, tokens in counted.items():
        (point,) = metrics[f"gen_ai.client.inference.usage.{kind}_tokens"]["points"]
        assert point["value"] == tokens


CHUNK_GAP, TIME_PER_CHUNK = "claude.stream.chunk.gap", "gen_ai.client.operation.time_per_output_chunk"


@pytest.mark.parametrize(
    ("settings", "recorded"),
    [
        ({}, {CHUNK_GAP}),
        ({"gaps": "claude_stream"}, {CHUNK_GAP}),
        ({"gaps": "gen_ai"}, {TIME_PER_CHUNK}),
        ({"gaps": "none"}, set()),
    ],
)
def test_gaps_selects_the_histograms_of_waits_between_chunks(monkeypatch, settings, recorded):
    """All other metrics are the same."""
    everything = play(monkeypatch, SCENES["text"], gaps="both").metrics()
    assert {CHUNK_GAP, TIME_PER_CHUNK} < set(everything)
    found = play(monkeypatch, SCENES["text"], **settings).metrics()
    unwanted = {CHUNK_GAP, TIME_PER_CHUNK} - recorded
    assert found == {name: metric for name, metric in everything.items() if name not in unwanted}


def log_events(capture):
    """The log records in the form of a span's events."""
    (span,) = [span for span in capture.spans() if span["kind"] == "CLIENT"]
    return [
        (round((log["time_ns"] - span["start_ns"]) / 1e9, 9), log["event_name"].replace("claude.stream", ""),
         short(log["attributes"]))
        for log in capture.logs()
    ]  # fmt: skip


@pytest.mark.parametrize("scene", ["text", "truncated", "retried", "pings only"])
def test_events_selects_spans_log_records_both_or_none(monkeypatch, scene):
    """The events and their times are the same in both."""
    events = {
        setting: (shown(capture.spans()[-1])["events"], log_events(capture))
        for setting in ("span", "log", "both", "none")
        for capture in [play(monkeypatch, SCENES[scene], events=setting)]
    }
    expected = events["span"][0]
    assert expected
    assert events == {"span": (expected, []), "log": ([], expected), "both": (expected, expected), "none": ([], [])}


OPERATION, INFERENCE = "gen_ai.client.operation.exception", "gen_ai.client.inference.exception"


@pytest.mark.parametrize(
    ("semconv", "names"), [("1.41", [OPERATION]), ("0.1", [INFERENCE]), ("both", [OPERATION, INFERENCE])]
)
def test_an_exception_is_a_log_record_of_the_conventions(monkeypatch, semconv, names):
    """It has the class of the exception, and never its message. The span has no such event."""
    capture = play(monkeypatch, SCENES["sse error"], events="both", semconv=semconv)
    found = [log for log in capture.logs() if log["event_name"].startswith("gen_ai.")]
    assert [(log["event_name"], log["severity"], log["attributes"]) for log in found] == [
        (name, "WARN", {"exception.type": "anthropic.APIStatusError"}) for name in names
    ]
    assert {log["span_id"] for log in found} == {capture.spans()[0]["span_id"]}
    assert not [event for event in capture.spans()[0]["events"] if event["name"].startswith("gen_ai.")]


def test_an_exception_is_not_recorded_beside_another_chat_span(monkeypatch):
    """The instrumentation that records the `chat` span records its exceptions."""
    api = API(SCENES["sse error"].scripts)
    with instrumented(monkeypatch, api.clock, events="log") as capture:
        token = context.attach(context.set_value("suppress_language_model_instrumentation", True))
        read(api)
        context.detach(token)
    assert not [log for log in capture.logs() if log["event_name"].startswith("gen_ai.")]


def test_a_log_record_has_the_ids_of_its_span(monkeypatch):
    """Problems have the severity WARN, other events DEBUG. There is no body."""
    capture = play(monkeypatch, SCENES["sse error"], events="log")
    (span,) = capture.spans()
    assert [(log["event_name"], log["severity"]) for log in capture.logs()] == [
        ("claude.stream.message_start", "DEBUG"),
        ("claude.stream.content_block_start", "DEBUG"),
        ("claude.stream.ping", "DEBUG"),
        ("claude.stream.content_block_delta", "DEBUG"),
        ("claude.stream.error", "WARN"),
        ("claude.stream.retry", "WARN"),
        ("claude.stream.abort", "WARN"),
        ("gen_ai.client.operation.exception", "WARN"),
    ]
    for log in capture.logs():
        assert (log["trace_id"], log["span_id"], log["scope"], log["body"]) == (
            span["trace_id"], span["span_id"], "otel_claude_stream", None,
        )  # fmt: skip


DELTA = {".block.index": 0, ".block.type": "text"}


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ("coalesce", [(0.3, {**DELTA, ".event.characters": 22, ".event.coalesced": 4, ".event.gap": 0.02,
                             ".event.duration": 0.06})]),
        ("all", [(0.3, {**DELTA, ".event.characters": 6}),
                 (0.32, {**DELTA, ".event.characters": 4, ".event.gap": 0.02}),
                 (0.34, {**DELTA, ".event.characters": 5, ".event.gap": 0.02}),
                 (0.36, {**DELTA, ".event.characters": 7, ".event.gap": 0.02})]),
        ("none", []),
    ],
)  # fmt: skip
def test_deltas_selects_one_event_for_a_block_one_for_each_delta_or_none(monkeypatch, deltas, expected):
    """The attributes of the span do not depend on it."""
    (span,) = [shown(span) for span in play(monkeypatch, SCENES["text"], deltas=deltas).spans()]
    assert [(at, event) for at, name, event in span["events"] if name == ".content_block_delta"] == expected
    assert span["attributes"] == HEALTHY


def test_the_event_budget_keeps_the_first_of_each_type_the_head_and_the_tail(monkeypatch):
    """Dropped events are counted."""
    (span,) = [shown(span) for span in play(monkeypatch, SCENES["small budget"]).spans()]
    names = [name for _, name, _ in span["events"]]
    assert names == [
        ".message_start", ".content_block_start", ".ping", *[".content_block_delta"] * 9, ".content_block_stop",
        ".message_delta", ".message_stop",
    ]  # fmt: skip
    assert span["attributes"][".event.count"] == 66
    assert span["attributes"][".event.dropped"] == 66 - len(names)


def test_the_default_event_budget_is_below_the_limit_of_opentelemetrys_sdk(monkeypatch):
    """The SDK keeps the newest 128 events of a span, so it would drop `message_start` first."""
    capture = play(monkeypatch, Scene(Script.message(deltas=1000)), deltas="all")
    (span,) = capture.spans()
    # The head, the newest, and the three types that appeared after the head was full. Room for other types stays free.
    assert len(span["events"]) == 48 + 24 + 3
    assert span["events"][0]["name"] == "claude.stream.message_start"
    assert span["events"][-1]["name"] == "claude.stream.message_stop"


def test_without_spans_there_are_still_metrics(monkeypatch):
    capture = play(monkeypatch, SCENES["retried"], span="off")
    assert capture.spans() == []
    assert capture.logs() == []
    assert points(capture) == points(play(monkeypatch, SCENES["retried"]))


def test_without_spans_events_may_be_log_records(monkeypatch):
    """They belong to no trace."""
    capture = play(monkeypatch, SCENES["retried"], span="off", events="log")
    assert [log["event_name"] for log in capture.logs()][:2] == ["claude.stream.retry"] * 2
    assert {(log["trace_id"], log["span_id"]) for log in capture.logs()} == {(None, None)}


def test_when_disabled_the_sdk_is_not_wrapped(monkeypatch):
    before = {name: vars(_streaming.Stream)[name] for name in ("_iter_events", "__stream__", "close")}
    request = vars(_base_client.SyncAPIClient)["request"]
    api = API((BUSY, MESSAGE))
    with instrumented(monkeypatch, api.clock, enabled=False) as capture:
        read(api)
        assert {name: vars(_streaming.Stream)[name] for name in before} == before
        assert vars(_base_client.SyncAPIClient)["request"] is request
        assert (capture.spans(), capture.metrics(), capture.logs()) == ([], {}, [])
