"""The model that served, the tokens of fallbacks and compactions, and silences that a request explains."""

from __future__ import annotations

import inspect

import anthropic
import pytest
from opentelemetry import baggage, context
from tests.support.rig import API, REQUEST, WAYS, instrumented, play, points, read, short
from tests.support.scenes import SCENES

from otel_claude_stream.testing import Hang

FALLBACK_MODEL = "claude-fallback-1"


def span_of(capture):
    """The attributes of the `chat` span, with short names."""
    (span,) = [span for span in capture.spans() if span["kind"] == "CLIENT"]
    return short(span["attributes"])


def pick(attributes, *names):
    return {name: attributes[name] for name in names if name in attributes}


@pytest.mark.parametrize("way", WAYS)
def test_a_fallback_sets_the_response_model_and_an_attribute(monkeypatch, way):
    """The usage of the API is that of the model that served. The model that declined has attributes of its own."""
    attributes = span_of(play(monkeypatch, SCENES["fallback"], way))
    assert {name: value for name, value in attributes.items() if ".fallback." in name} == {
        ".fallback.served": True,
        ".fallback.declined_input_tokens": 120,
        ".fallback.declined_output_tokens": 2,
    }
    assert pick(attributes, ".billed.reported_tokens", ".billed.estimated_tokens", ".billed.wasted_tokens") == {
        ".billed.reported_tokens": 132 + 15 + 120 + 2,
        ".billed.wasted_tokens": 120 + 2,
    }
    assert pick(attributes, "gen_ai.response.model", "gen_ai.request.model", "gen_ai.usage.input_tokens") == {
        "gen_ai.response.model": FALLBACK_MODEL,
        "gen_ai.request.model": "claude-test",
        "gen_ai.usage.input_tokens": 132,
    }


def beta_events(api):
    """Read a stream of the beta resource, whose models have the types of fallbacks and compactions."""
    list(api.client().beta.messages.create(stream=True, **REQUEST))


def raw_bytes(api):
    """Read a stream as bytes."""
    with api.client().messages.with_streaming_response.create(stream=True, **REQUEST) as response:
        list(response.iter_bytes())


@pytest.mark.parametrize("read_all", [beta_events, raw_bytes])
def test_beta_models_and_raw_bytes_bring_the_same_attributes(monkeypatch, read_all):
    names = (".fallback.served", ".fallback.declined_input_tokens", ".compaction.input_tokens", ".time_to_first_token",
             "gen_ai.response.model", "gen_ai.usage.output_tokens", "gen_ai.conversation.compacted")  # fmt: skip
    for scene in ("fallback", "compacted", "long thought"):
        api = API(SCENES[scene].scripts)
        with instrumented(monkeypatch, api.clock, semconv="both") as capture:
            read_all(api)
        expected = span_of(play(monkeypatch, SCENES[scene], semconv="both"))
        assert pick(span_of(capture), *names) == pick(expected, *names)


def test_a_stream_that_breaks_after_a_fallback_block_has_its_model(monkeypatch):
    capture = play(monkeypatch, SCENES["fallback that broke"])
    assert pick(span_of(capture), ".fallback.served", "gen_ai.response.model", ".usage.complete") == {
        ".fallback.served": True,
        "gen_ai.response.model": FALLBACK_MODEL,
        ".usage.complete": False,
    }
    found = points(capture)
    assert found[".fallbacks"] == [({".outcome": "failed", "gen_ai.response.model": FALLBACK_MODEL}, 1)]


def test_metrics_have_the_model_that_served(monkeypatch):
    found = points(play(monkeypatch, SCENES["fallback"]))
    assert found[".fallbacks"] == [({".outcome": "completed", "gen_ai.response.model": FALLBACK_MODEL}, 1)]
    assert {labels["gen_ai.response.model"] for labels, _ in found["gen_ai.client.token.usage"]} == {FALLBACK_MODEL}
    assert ".fallbacks" not in points(play(monkeypatch, SCENES["text"]))


def test_the_tokens_of_a_compaction_are_billed(monkeypatch):
    """The usage of the API leaves them out."""
    capture = play(monkeypatch, SCENES["compacted"], semconv="both")
    attributes = span_of(capture)
    assert {name: value for name, value in attributes.items() if "compact" in name or "usage." in name} == {
        ".compaction.input_tokens": 3100,
        ".compaction.output_tokens": 400,
        ".usage.complete": True,
        "gen_ai.conversation.compacted": True,
        "gen_ai.usage.input_tokens": 132 + 3100,
        "gen_ai.usage.output_tokens": 15 + 400,
        "gen_ai.usage.cache_read.input_tokens": 100 + 90,
        "gen_ai.usage.cache_creation.input_tokens": 7 + 10,
        "gen_ai.usage.cache_write.input_tokens": 7 + 10,
    }
    found = points(capture)
    usage = {name.partition(".usage.")[2]: found[name][0][1] for name in found if ".inference.usage." in name}
    assert usage == {
        "input_tokens": 3232, "output_tokens": 415, "cache_read.input_tokens": 190, "cache_write.input_tokens": 17,
    }  # fmt: skip


@pytest.mark.parametrize(("scene", "seconds", "silence"), [("compacted", 45.5, 45.0), ("long thought", 35.0, 35.0)])
def test_a_summary_and_empty_thinking_do_not_end_the_time_to_the_first_token(monkeypatch, scene, seconds, silence):
    """Neither is content. The silence before them is no gap between chunks."""
    capture = play(monkeypatch, SCENES[scene])
    assert pick(
        span_of(capture), ".time_to_first_token", ".block.type", ".longest_silence", ".chunk.longest_gap"
    ) == {
        ".time_to_first_token": seconds, ".block.type": "text", ".longest_silence": silence, ".chunk.longest_gap": 0.0,
    }  # fmt: skip
    found = points(capture)
    assert found[".time_to_first_token"] == [({".block.type": "text"}, (1, seconds))]
    assert ".chunk.gap" not in found


def test_a_stall_has_the_parameters_that_explain_a_long_silence(monkeypatch):
    """The open block and the parameters of the request distinguish a long thought from a dead stream."""
    capture = play(monkeypatch, SCENES["long thought"])
    (span,) = capture.spans()
    stalls = [short(event["attributes"]) for event in span["events"] if event["name"] == "claude.stream.stall"]
    explained = {".thinking.display": "omitted", ".effort": "xhigh"}
    assert stalls == [
        {".stall.threshold": threshold, ".stall.kind": "silent", ".block.type": "thinking", ".event.gap": 35.0,
         **explained}
        for threshold in ("10s", "30s")
    ]  # fmt: skip
    assert pick(span_of(capture), *explained) == explained
    assert points(capture)[".stalls"] == [
        ({".stall.threshold": threshold, ".stall.kind": "silent", **explained}, 1) for threshold in ("10s", "30s")
    ]


def test_the_stalls_of_such_requests_exist_before_the_first_one(monkeypatch):
    """A series that starts at 1 has an `increase()` of 0."""
    capture = play(monkeypatch, SCENES["parameters"])
    (found,) = [metric for name, metric in capture.metrics().items() if name == "claude.stream.stalls"]
    explained = [short(p["attributes"]) for p in found["points"] if "claude.stream.effort" in p["attributes"]]
    assert len(explained) == 4 * 2
    assert {point["value"] for point in found["points"]} == {0}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"thinking": {"type": "adaptive", "display": "invented"}}, {".thinking.display": "other"}),
        ({"output_config": {"effort": "e" * 500}}, {".effort": "other"}),
        ({"output_config": {"effort": None}, "thinking": {"type": "adaptive", "display": 7}}, {}),
        ({"output_config": "high", "thinking": ["omitted"]}, {}),
        ({}, {}),
    ],
)
def test_parameters_outside_of_their_closed_sets_are_other_or_absent(monkeypatch, body, expected):
    scene = SCENES["text"]
    capture = play(monkeypatch, type(scene)(scene.scripts, request={"extra_body": body}))
    assert pick(span_of(capture), ".thinking.display", ".effort") == expected


def test_stop_sequences_have_bounds(monkeypatch):
    scene = SCENES["text"]
    sequences = ["s" * 500, 7, *(str(number) for number in range(100))]
    capture = play(monkeypatch, type(scene)(scene.scripts, request={"extra_body": {"stop_sequences": sequences}}))
    found = span_of(capture)["gen_ai.request.stop_sequences"]
    assert (len(found), max(map(len, found))) == (15, 128)


def test_no_content_of_a_summary_or_of_a_refusal_is_recorded(monkeypatch):
    for scene in ("fallback", "compacted", "long thought"):
        capture = play(monkeypatch, SCENES[scene], events="both", deltas="all", semconv="both")
        everything = repr((capture.spans(), capture.metrics(), capture.logs()))
        for word in ("talked", "opaque", "I had", "c2lnbmVk", "bio"):
            assert word not in everything


def test_a_stream_that_dies_in_silent_thought_still_waits_for_its_first_token(monkeypatch):
    scene = SCENES["long thought"]
    script = scene.scripts.cut_after(4, Hang(600.0))
    capture = play(monkeypatch, type(scene)(script, request=scene.request))
    assert pick(span_of(capture), ".abort.reason", ".phase", ".thinking.display") == {
        ".abort.reason": "silent", ".phase": "awaiting_first_token", ".thinking.display": "omitted",
    }  # fmt: skip


def conversation(monkeypatch, client_options, entry):
    """The conversation ID of a span, for a client with these options and an entry of the baggage."""
    api = API(SCENES["text"].scripts)
    with instrumented(monkeypatch, api.clock) as capture:
        token = context.attach(baggage.set_baggage("gen_ai.conversation.id", entry) if entry else context.Context())
        read(api, client=api.client(**client_options))
        context.detach(token)
    assert not [name for name, metric in capture.metrics().items() if "conv" in repr(metric["points"])]
    return capture.spans()[0]["attributes"].get("gen_ai.conversation.id")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [("", None), ("conv_1", "conv_1"), ("c" * 10_000, "c" * 128), (7, None), (["conv_1"], None)],
    ids=["none", "entry", "long", "number", "list"],
)
def test_the_conversation_is_that_of_the_baggage(monkeypatch, entry, expected):
    """Baggage may come from another service, so it has bounds. Metrics do not have it."""
    assert conversation(monkeypatch, {}, entry) == expected


@pytest.mark.skipif(
    "open_telemetry" not in inspect.signature(anthropic.Anthropic).parameters, reason="this SDK has no such option"
)
@pytest.mark.parametrize("entry", ["", "conv_2"])
def test_the_conversation_of_the_client_wins_over_the_baggage(monkeypatch, entry):
    assert conversation(monkeypatch, {"open_telemetry": {"conversation_id": "conv_1"}}, entry) == "conv_1"
