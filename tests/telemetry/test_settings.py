"""What the settings change in the telemetry: names, places of events, how deltas are told, what is switched off."""

from __future__ import annotations

import pytest
from anthropic import _base_client, _streaming
from tests.support.expected_telemetry import HEALTHY, but
from tests.support.rig import API, instrumented, play, points, read, short, shown
from tests.support.scenes import BUSY, MESSAGE, SCENES, Scene

from otel_claude_stream._telemetry import schema
from otel_claude_stream.testing import Script

LATEST = {metric.latest: metric.name for metric in schema.METRICS if metric.latest}
"""The metrics that have a new name in the next conventions."""


def of_conventions(capture):
    return {name for name in capture.metrics() if name.startswith("gen_ai.")}


RELEASED_NAMES = {
    "gen_ai.client.operation.duration",
    "gen_ai.client.operation.time_per_output_chunk",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.client.token.usage",
}
LATEST_NAMES = {
    "gen_ai.client.inference.duration",
    "gen_ai.client.inference.operation.input_tokens",
    "gen_ai.client.inference.operation.output_tokens",
    "gen_ai.client.inference.time_per_output_chunk",
    "gen_ai.client.inference.time_to_first_chunk",
}
WRITTEN = {"gen_ai.usage.cache_write.input_tokens": 7}


@pytest.mark.parametrize(
    ("semconv", "names", "attributes"),
    [
        ("released", RELEASED_NAMES, HEALTHY),
        ("latest", LATEST_NAMES, but(HEALTHY, WRITTEN, absent=("gen_ai.usage.cache_creation.input_tokens",))),
        ("both", RELEASED_NAMES | LATEST_NAMES, but(HEALTHY, WRITTEN)),
    ],
)
def test_the_names_of_the_conventions_are_chosen(monkeypatch, semconv, names, attributes):
    capture = play(monkeypatch, SCENES["text"], semconv=semconv)
    assert of_conventions(capture) == names
    assert short(capture.spans()[0]["attributes"]) == attributes


def test_the_latest_names_hold_the_same_figures(monkeypatch):
    released = points(play(monkeypatch, SCENES["text"]))
    latest = points(play(monkeypatch, SCENES["text"], semconv="latest"))
    for new, old in LATEST.items():
        assert latest[new] == released[old]
    call = dict(released["gen_ai.client.operation.duration"][0][0])
    for kind, tokens in (("input", 132), ("output", 15)):
        assert latest[f"gen_ai.client.inference.operation.{kind}_tokens"] == [
            ({**call, "gen_ai.token.modality": "unknown"}, (1, tokens))
        ]


OURS, CONVENTIONS = "claude.stream.chunk.gap", "gen_ai.client.operation.time_per_output_chunk"


@pytest.mark.parametrize(("gaps", "without"), [("both", None), ("claude_stream", CONVENTIONS), ("gen_ai", OURS)])
def test_the_waits_between_chunks_are_recorded_where_they_are_wanted(monkeypatch, gaps, without):
    """Nothing else is different."""
    everything = play(monkeypatch, SCENES["text"]).metrics()
    assert {OURS, CONVENTIONS} < set(everything)
    found = play(monkeypatch, SCENES["text"], gaps=gaps).metrics()
    assert found == {name: metric for name, metric in everything.items() if name != without}


def logged(capture):
    """The log records as the events of a span are shown."""
    (span,) = [span for span in capture.spans() if span["kind"] == "CLIENT"]
    return [
        (round((log["time_ns"] - span["start_ns"]) / 1e9, 9), log["event_name"].replace("claude.stream", ""),
         short(log["attributes"]))
        for log in capture.logs()
    ]  # fmt: skip


@pytest.mark.parametrize("scene", ["text", "sse error", "retried", "pings only"])
def test_events_go_where_they_are_wanted(monkeypatch, scene):
    """On the span, into log records with the span's ids, both, or nowhere: the same events with the same times."""
    events = {
        setting: (shown(capture.spans()[-1])["events"], logged(capture))
        for setting in ("span", "log", "both", "none")
        for capture in [play(monkeypatch, SCENES[scene], events=setting)]
    }
    told = events["span"][0]
    assert told
    assert events == {"span": (told, []), "log": ([], told), "both": (told, told), "none": ([], [])}


def test_a_log_record_leads_to_its_stream(monkeypatch):
    """It has the span's ids and our scope; trouble is WARN, the rest DEBUG; and there is no body."""
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
    ]
    for log in capture.logs():
        assert (log["trace_id"], log["span_id"], log["scope"], log["body"]) == (
            span["trace_id"], span["span_id"], "otel_claude_stream", None,
        )  # fmt: skip


DELTA = {".block.index": 0, ".block.type": "text"}


@pytest.mark.parametrize(
    ("deltas", "told"),
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
def test_deltas_are_told_as_they_are_wanted(monkeypatch, deltas, told):
    """One event for those of a block, one each, or none; the span's figures do not depend on it."""
    (span,) = [shown(span) for span in play(monkeypatch, SCENES["text"], deltas=deltas).spans()]
    assert [(at, said) for at, name, said in span["events"] if name == ".content_block_delta"] == told
    assert span["attributes"] == HEALTHY


def test_the_budget_keeps_the_first_of_each_the_head_and_the_tail(monkeypatch):
    """Sixteen events of sixty-six: what is left out is counted."""
    (span,) = [shown(span) for span in play(monkeypatch, SCENES["small budget"]).spans()]
    names = [name for _, name, _ in span["events"]]
    assert names == [
        ".message_start", ".content_block_start", ".ping", *[".content_block_delta"] * 9, ".content_block_stop",
        ".message_delta", ".message_stop",
    ]  # fmt: skip
    assert span["attributes"][".event.count"] == 66
    assert span["attributes"][".event.dropped"] == 66 - len(names)


def test_within_the_default_budget_the_sdks_limit_drops_nothing(monkeypatch):
    """OpenTelemetry keeps the newest 128 events of a span: ours stay below, so `message_start` is always there."""
    capture = play(monkeypatch, Scene(Script.message(deltas=1000)), deltas="all")
    (span,) = capture.spans()
    # The head, the newest, and the three types that came when the head was full; room for others is kept free.
    assert len(span["events"]) == 48 + 24 + 3
    assert span["events"][0]["name"] == "claude.stream.message_start"
    assert span["events"][-1]["name"] == "claude.stream.message_stop"


def test_without_spans_there_are_metrics(monkeypatch):
    capture = play(monkeypatch, SCENES["retried"], span="off")
    assert capture.spans() == []
    assert capture.logs() == []
    assert points(capture) == points(play(monkeypatch, SCENES["retried"]))


def test_without_spans_events_can_be_log_records(monkeypatch):
    """They then belong to no trace."""
    capture = play(monkeypatch, SCENES["retried"], span="off", events="log")
    assert [log["event_name"] for log in capture.logs()][:2] == ["claude.stream.retry"] * 2
    assert {(log["trace_id"], log["span_id"]) for log in capture.logs()} == {(None, None)}


def test_disabled_it_leaves_the_sdk_as_it_is(monkeypatch):
    """Not one attribute of the SDK is wrapped."""
    before = {name: vars(_streaming.Stream)[name] for name in ("_iter_events", "__stream__", "close")}
    request = vars(_base_client.SyncAPIClient)["request"]
    api = API((BUSY, MESSAGE))
    with instrumented(monkeypatch, api.clock, enabled=False) as capture:
        read(api)
        assert {name: vars(_streaming.Stream)[name] for name in before} == before
        assert vars(_base_client.SyncAPIClient)["request"] is request
        assert (capture.spans(), capture.metrics(), capture.logs()) == ([], {}, [])
