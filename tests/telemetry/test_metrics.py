"""The metrics of streams: all points with their attributes and values, and the limits on their number."""

from __future__ import annotations

import pytest
from tests.support.rig import API, REQUEST, instrumented, play, points, read
from tests.support.scenes import MESSAGE, SCENES, Scene

from otel_claude_stream import StreamConfig
from otel_claude_stream._telemetry import labels, schema, zero_series
from otel_claude_stream.testing import Capture, Script

CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "server.port": 443}
ANSWERED = {**CALL, "gen_ai.response.model": "claude-sonnet-4-5-20250929"}


def request_labels(status=200):
    """The attributes of `claude.stream.requests`."""
    return {".retry.layer": "sdk", "http.response.status_code": status}


def genai_points(duration, *, first_chunk=0.0, chunks=(3, 0.06), error=None, usage=True):
    """The points of the GenAI conventions' metrics."""
    found = {
        "gen_ai.client.operation.duration": [
            ({**ANSWERED, "error.type": error} if error else ANSWERED, (1, duration)),
        ],
        "gen_ai.client.operation.time_per_output_chunk": [(CALL, chunks)],
        "gen_ai.client.operation.time_to_first_chunk": [(ANSWERED, (1, first_chunk))],
    }
    if usage:
        found["gen_ai.client.token.usage"] = [
            ({**ANSWERED, "gen_ai.token.type": "input"}, (1, 132)),
            ({**ANSWERED, "gen_ai.token.type": "output"}, (1, 15)),
        ]
    return found


def abort_points(reason, origin, phase, limit="none", count=1):
    """The points of `claude.stream.aborts`, or of `claude.stream.attempt.aborts`."""
    labels = {".abort.limit_match": limit, ".abort.origin": origin, ".abort.reason": reason, ".phase": phase}
    return [(labels, count)]


def decision_points(reason, blocked_by):
    """The points of `claude.stream.retry.decisions` for a dry run that decided to give up."""
    labels = {".retry.blocked_by": blocked_by, ".retry.decision": "give_up", ".retry.dry_run": True}
    return [({**labels, ".retry.reason": reason}, 1)]


def stall_points(kind, *thresholds):
    """The points of `claude.stream.stalls`."""
    return [({".stall.kind": kind, ".stall.threshold": threshold}, 1) for threshold in thresholds]


def billed_points(use):
    """The points of the tokens of a stream that broke after its second delta. Its usage is in no other metric."""
    labels = {".billed.source": "reported", ".billed.use": use}
    reported = {"cache_read": 100, "cache_write": 7, "input": 25}
    return [
        ({**labels, ".billed.source": "estimated", ".billed.type": "output"}, 2),
        *(({**labels, ".billed.type": kind}, tokens) for kind, tokens in reported.items()),
    ]


HEALTHY = {
    ".chunk.gap": [({}, (3, 0.06))],
    ".caller.time": [({}, (1, 0.0))],
    ".duration": [({".outcome": "completed"}, (1, 0.36))],
    ".longest_silence": [({".outcome": "completed"}, (1, 0.3))],
    ".output_tokens.rate": [({}, (1, 250.0))],
    ".requests": [(request_labels(), 1)],
    ".time_to_first_token": [({".block.type": "text"}, (1, 0.3))],
    **genai_points(0.36),
}
BROKEN = {
    ".chunk.gap": [({}, (1, 0.02))],
    ".caller.time": [({}, (1, 0.0))],
    ".longest_silence": [({".outcome": "failed"}, (1, 0.3))],
    ".requests": [(request_labels(), 1)],
    ".time_to_first_token": [({".block.type": "text"}, (1, 0.3))],
}
POINTS = {
    "text": HEALTHY,
    "retried": {
        **HEALTHY,
        ".abort.elapsed": [({".abort.origin": "anthropic"}, (2, 0.1))],
        ".abort.idle": [({".abort.origin": "anthropic"}, (2, 0.1))],
        ".attempt.aborts": abort_points("overloaded", "anthropic", "awaiting_response", count=2),
        ".duration": [({".outcome": "completed"}, (1, 0.96))],
        ".requests": [(request_labels(), 1), (request_labels(529), 2)],
        ".retries": [({".retry.decision": "retry", ".retry.layer": "sdk", ".retry.reason": "overloaded"}, 2)],
        ".retry.delay": [({".retry.reason": "overloaded"}, (2, 0.5))],
        ".time_to_first_token": [({".block.type": "text"}, (1, 0.9))],
        **genai_points(0.96, first_chunk=0.6),
    },
    "sse error": {
        **BROKEN,
        ".abort.elapsed": [({".abort.origin": "anthropic"}, (1, 0.32))],
        ".abort.idle": [({".abort.origin": "anthropic"}, (1, 0.0))],
        ".aborts": abort_points("overloaded", "anthropic", "streaming"),
        ".attempt.aborts": abort_points("overloaded", "anthropic", "streaming"),
        ".duration": [({".outcome": "failed"}, (1, 0.32))],
        ".billed.extra_tokens": billed_points("wasted"),
        ".output_tokens.wasted": [({".abort.reason": "overloaded"}, 2)],
        ".retry.decisions": decision_points("overloaded", "too_short"),
        **genai_points(0.32, chunks=(1, 0.02), error="overloaded_error", usage=False),
    },
    "cut after silence": {
        **BROKEN,
        ".abort.elapsed": [({".abort.origin": "intermediary"}, (1, 60.37))],
        ".abort.idle": [({".abort.origin": "intermediary"}, (1, 60.05))],
        ".aborts": abort_points("connection_closed", "intermediary", "streaming", "idle:60s"),
        ".attempt.aborts": abort_points("connection_closed", "intermediary", "streaming", "idle:60s"),
        ".duration": [({".outcome": "failed"}, (1, 60.37))],
        ".longest_silence": [({".outcome": "failed"}, (1, 60.05))],
        ".billed.extra_tokens": billed_points("wasted"),
        ".output_tokens.wasted": [({".abort.reason": "connection_closed"}, 2)],
        ".retry.decisions": decision_points("connection_closed", "too_short"),
        ".stalls": stall_points("silent", "10s", "30s", "60s"),
        **genai_points(60.37, chunks=(1, 0.02), error="connection_closed", usage=False),
    },
    "closed": {
        **BROKEN,
        ".aborts": abort_points("caller_closed", "caller", "streaming"),
        ".billed.extra_tokens": billed_points("delivered"),
        ".duration": [({".outcome": "closed"}, (1, 0.32))],
        ".longest_silence": [({".outcome": "closed"}, (1, 0.3))],
        **genai_points(0.32, chunks=(1, 0.02), usage=False),
    },
    "pings only": {
        **HEALTHY,
        ".chunk.gap": [({}, (3, 35.06))],
        ".duration": [({".outcome": "completed"}, (1, 35.36))],
        ".longest_silence": [({".outcome": "completed"}, (1, 15.0))],
        ".output_tokens.rate": [({}, (1, 0.427837992))],
        ".stalls": stall_points("pings_only", "10s", "30s"),
        **genai_points(35.36, chunks=(3, 35.06)),
    },
    "refused": {
        ".abort.elapsed": [({".abort.origin": "unknown"}, (3, 1.5))],
        ".abort.idle": [({".abort.origin": "unknown"}, (3, 1.5))],
        ".aborts": abort_points("connection_closed", "unknown", "awaiting_response"),
        ".attempt.aborts": abort_points("connection_closed", "unknown", "awaiting_response", count=3),
        ".duration": [({".outcome": "failed"}, (1, 3.0))],
        ".requests": [({".retry.layer": "sdk"}, 3)],
        ".retries": [({".retry.decision": "retry", ".retry.layer": "sdk", ".retry.reason": "connection_closed"}, 2)],
        ".retry.decisions": decision_points("connection_closed", "sdk"),
        ".retry.delay": [({".retry.reason": "connection_closed"}, (2, 1.5))],
        "gen_ai.client.operation.duration": [({**CALL, "error.type": "connection_closed"}, (1, 3.0))],
    },
}


@pytest.mark.parametrize("scene", POINTS)
def test_a_stream_has_exactly_these_points(monkeypatch, scene):
    """Points with the value 0 are not compared."""
    assert points(play(monkeypatch, SCENES[scene], gaps="both")) == POINTS[scene]


def test_exemplars_have_the_trace_expected(monkeypatch):
    """They lead from an outlier on a dashboard to the stream that caused it."""
    capture = play(monkeypatch, SCENES["cut after silence"])
    (span,) = capture.spans()
    exemplars = {
        name: [(exemplar["trace_id"], exemplar["span_id"]) for point in metric["points"] for exemplar in found]
        for name, metric in capture.metrics().items()
        if any(found := point.get("exemplars", ()) for point in metric["points"])
    }
    expected = [(span["trace_id"], span["span_id"])]
    assert exemplars == {
        "claude.stream.abort.elapsed": expected,
        "claude.stream.abort.idle": expected,
        "claude.stream.chunk.gap": expected,
        "claude.stream.duration": expected,
        "claude.stream.longest_silence": expected,
        "claude.stream.time_to_first_token": expected,
    }


def test_only_a_gap_longer_than_all_before_has_an_exemplar(monkeypatch):
    """An exemplar costs as much as the measurement. The first of several equal gaps has it."""
    capture = play(monkeypatch, Scene(Script.message(deltas=5, gap=0.02)))
    (point,) = capture.metrics()["claude.stream.chunk.gap"]["points"]
    assert point["count"] == 4
    assert [exemplar["value"] for exemplar in point["exemplars"]] == [0.02]


def test_buckets_are_those_of_the_schema(monkeypatch):
    capture = play(monkeypatch, SCENES["cut after silence"], semconv="both", gaps="both")
    by_name = {name: spec for spec in schema.METRICS for name in (spec.name, spec.name_0_1)}
    for name, metric in capture.metrics().items():
        for point in metric["points"]:
            if metric["kind"] == "histogram":
                assert [bound for bound, _ in point["buckets"]] == [*by_name[name].buckets, "+Inf"]


def test_the_series_that_alerts_use_exist_before_their_first_event(monkeypatch):
    """A healthy stream creates them with the value 0. A series that starts at 1 has an `increase()` of 0."""
    capture = play(monkeypatch, SCENES["text"])
    common = {"gen_ai.request.model": "claude-test", "server.address": "api.example.com"}
    for name, expected in (
        ("aborts", zero_series.aborts()),
        ("attempt.aborts", zero_series.aborts()),
        ("retries", zero_series.retries()),
        ("retry.decisions", zero_series.decisions(active=False)),
        ("stalls", zero_series.stalls((10.0, 30.0, 60.0, 180.0))),
    ):
        found = [
            point["attributes"] for point in capture.metrics()[f"claude.stream.{name}"]["points"] if not point["value"]
        ]
        assert sorted(found, key=repr) == sorted(
            [dict(sorted({**labels, **common}.items())) for labels in expected], key=repr
        )


def streams_by_model(capture: Capture, name: str = "claude.stream.duration") -> dict[str, int]:
    return {point["attributes"]["gen_ai.request.model"]: point["count"] for point in capture.metrics()[name]["points"]}


def test_the_twenty_first_model_is_recorded_as_other(monkeypatch):
    """Spans keep the name."""
    api = API(Script.message("Hi"))
    with instrumented(monkeypatch, api.clock) as capture:
        client = api.client()
        for number in [*range(25), 3]:
            read(api, client=client, model=f"claude-{number}")
        assert streams_by_model(capture) == {
            **{f"claude-{number}": 1 for number in range(20)},
            "claude-3": 2,
            "other": 5,
        }
        assert [span["attributes"]["gen_ai.request.model"] for span in capture.spans()][20:] == [
            "claude-20", "claude-21", "claude-22", "claude-23", "claude-24", "claude-3",
        ]  # fmt: skip


def test_how_many_models_is_a_setting(monkeypatch):
    api = API(Script.message("Hi"))
    with instrumented(monkeypatch, api.clock, max_models=1) as capture:
        for number in range(3):
            read(api, model=f"claude-{number}")
        assert streams_by_model(capture) == {"claude-0": 1, "other": 2}


def test_the_twenty_first_server_is_other(monkeypatch):
    api = API(Script.message("Hi"))
    with instrumented(monkeypatch, api.clock) as capture:
        for number in range(22):
            read(api, options={"base_url": f"https://host-{number}.example.com"})
        servers = {
            point["attributes"]["server.address"]: point["count"]
            for point in capture.metrics()["claude.stream.duration"]["points"]
        }
    assert servers == {**{f"host-{number}.example.com": 1 for number in range(20)}, "other": 2}


def test_the_models_of_responses_are_bounded_separately(monkeypatch):
    """They come from the network, and must not use up the room for the models of requests."""
    api = API([Script.message("Hi", model=f"invented-{number}") for number in range(30)])
    with instrumented(monkeypatch, api.clock) as capture:
        client = api.client()
        for _ in range(30):
            read(api, client=client)
        answered = {
            point["attributes"]["gen_ai.response.model"]
            for point in capture.metrics()["gen_ai.client.operation.duration"]["points"]
        }
        asked = streams_by_model(capture)
    assert answered == {*(f"invented-{number}" for number in range(20)), "other"}
    assert asked == {"claude-test": 30}


def active_and_oldest_age(capture: Capture) -> tuple[list[float], list[float]]:
    """The values of the two observed instruments."""
    metrics = capture.metrics()
    return tuple(
        [point["value"] for point in metrics.get(f"claude.stream.{name}", {"points": []})["points"]]
        for name in ("active", "oldest_age")
    )


def test_open_streams_and_the_age_of_the_oldest_are_observed(monkeypatch):
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        client = api.client()
        first = client.messages.create(stream=True, **REQUEST)
        api.clock.advance(5)
        second = client.messages.create(stream=True, **REQUEST)
        api.clock.advance(2)
        assert active_and_oldest_age(capture) == ([2], [7.0])
        first.close()
        assert active_and_oldest_age(capture) == ([1], [2.0])
        second.close()
        assert active_and_oldest_age(capture) == ([0], [0.0])


def test_a_second_instrumentation_observes_open_streams_but_no_old_labels(monkeypatch):
    """Streams that are open when providers are replaced are counted by the new ones."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock):
        read(api, model="claude-gone")
        stream = api.client().messages.create(stream=True, **REQUEST)
    api = API(MESSAGE, api.clock)
    with instrumented(monkeypatch, api.clock) as capture:
        other = api.client().messages.create(stream=True, **REQUEST)
        assert active_and_oldest_age(capture) == ([2], [0.0])
        stream.close()
        other.close()
        assert active_and_oldest_age(capture) == ([0], [0.0])


def test_without_metrics_there_are_still_spans(monkeypatch):
    capture = play(monkeypatch, SCENES["retried"], metrics=False)
    assert capture.metrics() == {}
    assert [span["name"] for span in capture.spans()] == [*["claude.stream.attempt"] * 3, "chat claude-test"]


def test_streams_share_their_sets_of_labels_up_to_a_bound(monkeypatch):
    """A server may answer with any status, so the sets are not kept for ever."""
    monkeypatch.setattr(labels, "MAX_SHARED", 2)
    sets, common = labels.LabelSets(StreamConfig(), print), {"model": "claude"}
    kept = [sets.extended(common, (("status", status),)) for status in (200, 529, 503)]
    again = [sets.extended(common, (("status", status),)) for status in (200, 529, 503)]
    assert again == kept == [{"model": "claude", "status": status} for status in (200, 529, 503)]
    assert [one is other for one, other in zip(kept, again, strict=True)] == [True, True, False]
