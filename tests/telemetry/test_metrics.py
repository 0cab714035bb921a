"""The metrics of streams, whole: every point with its attributes, its value, its unit; and their bounds."""

from __future__ import annotations

import pytest
from tests.support.rig import API, REQUEST, instrumented, play, points, read
from tests.support.scenes import MESSAGE, SCENES, Scene

from otel_claude_stream._telemetry import schema, zeros
from otel_claude_stream.testing import Capture, Script

CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "server.port": 443}
ANSWERED = {**CALL, "gen_ai.response.model": "claude-sonnet-4-5-20250929"}


def sent(status=200):
    return {".retry.layer": "sdk", "http.response.status_code": status}


def genai(duration, *, first_chunk=0.0, chunks=(3, 0.06), error=None, usage=True):
    """The points of the conventions' metrics."""
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


def aborted(reason, origin, phase, limit="none"):
    said = {".abort.limit_match": limit, ".abort.origin": origin, ".abort.reason": reason, ".phase": phase}
    return [(said, 1)]


def refused(reason, blocked_by):
    """The point of a decision that a policy would have taken, and that is to do nothing."""
    said = {".retry.blocked_by": blocked_by, ".retry.decision": "give_up", ".retry.dry_run": True}
    return [({**said, ".retry.reason": reason}, 1)]


def stalled(kind, *thresholds):
    return [({".stall.kind": kind, ".stall.threshold": threshold}, 1) for threshold in thresholds]


HEALTHY = {
    ".chunk.gap": [({}, (3, 0.06))],
    ".caller.time": [({}, (1, 0.0))],
    ".duration": [({".outcome": "completed"}, (1, 0.36))],
    ".longest_silence": [({".outcome": "completed"}, (1, 0.3))],
    ".output_tokens.rate": [({}, (1, 250.0))],
    ".requests": [(sent(), 1)],
    ".time_to_first_token": [({".block.type": "text"}, (1, 0.3))],
    **genai(0.36),
}
BROKEN = {
    ".chunk.gap": [({}, (1, 0.02))],
    ".caller.time": [({}, (1, 0.0))],
    ".longest_silence": [({".outcome": "failed"}, (1, 0.3))],
    ".requests": [(sent(), 1)],
    ".time_to_first_token": [({".block.type": "text"}, (1, 0.3))],
}
POINTS = {
    "text": HEALTHY,
    "retried": {
        **HEALTHY,
        ".duration": [({".outcome": "completed"}, (1, 0.96))],
        ".requests": [(sent(), 1), (sent(529), 2)],
        ".retries": [({".retry.decision": "retry", ".retry.layer": "sdk", ".retry.reason": "overloaded"}, 2)],
        ".retry.delay": [({".retry.reason": "overloaded"}, (2, 0.5))],
        ".time_to_first_token": [({".block.type": "text"}, (1, 0.9))],
        **genai(0.96, first_chunk=0.6),
    },
    "sse error": {
        **BROKEN,
        ".abort.elapsed": [({".abort.origin": "anthropic"}, (1, 0.32))],
        ".abort.idle": [({".abort.origin": "anthropic"}, (1, 0.0))],
        ".aborts": aborted("overloaded", "anthropic", "streaming"),
        ".duration": [({".outcome": "failed"}, (1, 0.32))],
        ".output_tokens.wasted": [({".abort.reason": "overloaded"}, 2)],
        ".retry.decisions": refused("overloaded", "too_short"),
        **genai(0.32, chunks=(1, 0.02), error="overloaded_error", usage=False),
    },
    "cut after silence": {
        **BROKEN,
        ".abort.elapsed": [({".abort.origin": "intermediary"}, (1, 60.37))],
        ".abort.idle": [({".abort.origin": "intermediary"}, (1, 60.05))],
        ".aborts": aborted("connection_closed", "intermediary", "streaming", "idle:60s"),
        ".duration": [({".outcome": "failed"}, (1, 60.37))],
        ".longest_silence": [({".outcome": "failed"}, (1, 60.05))],
        ".output_tokens.wasted": [({".abort.reason": "connection_closed"}, 2)],
        ".retry.decisions": refused("connection_closed", "too_short"),
        ".stalls": stalled("silent", "10s", "30s", "60s"),
        **genai(60.37, chunks=(1, 0.02), error="connection_closed", usage=False),
    },
    "closed": {
        **BROKEN,
        ".aborts": aborted("caller_closed", "caller", "streaming"),
        ".duration": [({".outcome": "closed"}, (1, 0.32))],
        ".longest_silence": [({".outcome": "closed"}, (1, 0.3))],
        **genai(0.32, chunks=(1, 0.02), usage=False),
    },
    "pings only": {
        **HEALTHY,
        ".chunk.gap": [({}, (3, 35.06))],
        ".duration": [({".outcome": "completed"}, (1, 35.36))],
        ".longest_silence": [({".outcome": "completed"}, (1, 15.0))],
        ".output_tokens.rate": [({}, (1, 0.427837992))],
        ".stalls": stalled("pings_only", "10s", "30s"),
        **genai(35.36, chunks=(3, 35.06)),
    },
    "refused": {
        ".abort.elapsed": [({".abort.origin": "unknown"}, (1, 3.0))],
        ".abort.idle": [({".abort.origin": "unknown"}, (1, 0.5))],
        ".aborts": aborted("connection_closed", "unknown", "awaiting_response"),
        ".duration": [({".outcome": "failed"}, (1, 3.0))],
        ".requests": [({".retry.layer": "sdk"}, 3)],
        ".retries": [({".retry.decision": "retry", ".retry.layer": "sdk", ".retry.reason": "connection_closed"}, 2)],
        ".retry.decisions": refused("connection_closed", "sdk"),
        ".retry.delay": [({".retry.reason": "connection_closed"}, (2, 1.5))],
        "gen_ai.client.operation.duration": [({**CALL, "error.type": "connection_closed"}, (1, 3.0))],
    },
}


@pytest.mark.parametrize("scene", POINTS)
def test_a_stream_is_measured_whole(monkeypatch, scene):
    """Every point that is not zero, with all its attributes: nothing more, nothing less."""
    assert points(play(monkeypatch, SCENES[scene])) == POINTS[scene]


def test_an_exemplar_leads_from_a_figure_to_its_stream(monkeypatch):
    """Where a dashboard shows a bad figure, its exemplar has the trace of that very stream."""
    capture = play(monkeypatch, SCENES["cut after silence"])
    (span,) = capture.spans()
    exemplars = {
        name: [(exemplar["trace_id"], exemplar["span_id"]) for point in metric["points"] for exemplar in found]
        for name, metric in capture.metrics().items()
        if any(found := point.get("exemplars", ()) for point in metric["points"])
    }
    of_the_stream = [(span["trace_id"], span["span_id"])]
    assert exemplars == {
        "claude.stream.abort.elapsed": of_the_stream,
        "claude.stream.abort.idle": of_the_stream,
        "claude.stream.chunk.gap": of_the_stream,
        "claude.stream.duration": of_the_stream,
        "claude.stream.longest_silence": of_the_stream,
        "claude.stream.time_to_first_token": of_the_stream,
    }


def test_only_the_largest_gap_so_far_is_an_exemplar(monkeypatch):
    """An exemplar costs as much as the record; of many equal gaps the first is told."""
    capture = play(monkeypatch, Scene(Script.message(deltas=5, gap=0.02)))
    (point,) = capture.metrics()["claude.stream.chunk.gap"]["points"]
    assert point["count"] == 4
    assert [exemplar["value"] for exemplar in point["exemplars"]] == [0.02]


def test_buckets_are_those_of_the_schema(monkeypatch):
    capture = play(monkeypatch, SCENES["cut after silence"], semconv="both")
    by_name = {name: spec for spec in schema.METRICS for name in (spec.name, spec.latest)}
    for name, metric in capture.metrics().items():
        for point in metric["points"]:
            if metric["kind"] == "histogram":
                assert [bound for bound, _ in point["buckets"]] == [*by_name[name].buckets, "+Inf"]


def test_the_series_that_alerts_ask_for_exist_before_their_first_event(monkeypatch):
    """A series born at 1 has an `increase()` of 0: a healthy stream makes them at zero."""
    capture = play(monkeypatch, SCENES["text"])
    common = {"gen_ai.request.model": "claude-test", "server.address": "api.example.com"}
    for name, expected in (
        ("aborts", zeros.aborts()),
        ("retries", zeros.retries()),
        ("retry.decisions", zeros.decisions(active=False)),
        ("stalls", zeros.stalls((10.0, 30.0, 60.0, 180.0))),
    ):
        found = [
            point["attributes"] for point in capture.metrics()[f"claude.stream.{name}"]["points"] if not point["value"]
        ]
        assert sorted(found, key=repr) == sorted(
            [dict(sorted({**labels, **common}.items())) for labels in expected], key=repr
        )


def models(capture: Capture, name: str = "claude.stream.duration") -> dict[str, int]:
    return {point["attributes"]["gen_ai.request.model"]: point["count"] for point in capture.metrics()[name]["points"]}


def test_the_twenty_first_model_is_other(monkeypatch):
    """The cardinality of metrics is closed; spans have the name all the same."""
    api = API(Script.message("Hi"))
    with instrumented(monkeypatch, api.clock) as capture:
        client = api.client()
        for number in [*range(25), 3]:
            read(api, client=client, model=f"claude-{number}")
        assert models(capture) == {**{f"claude-{number}": 1 for number in range(20)}, "claude-3": 2, "other": 5}
        assert [span["attributes"]["gen_ai.request.model"] for span in capture.spans()][20:] == [
            "claude-20", "claude-21", "claude-22", "claude-23", "claude-24", "claude-3",
        ]  # fmt: skip


def test_how_many_models_is_a_setting(monkeypatch):
    api = API(Script.message("Hi"))
    with instrumented(monkeypatch, api.clock, max_models=1) as capture:
        for number in range(3):
            read(api, model=f"claude-{number}")
        assert models(capture) == {"claude-0": 1, "other": 2}


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


def test_a_model_that_a_server_invents_is_bounded_too(monkeypatch):
    """The response's model is a label of the conventions' metrics, and comes from the network."""
    api = API([Script.message("Hi", model=f"invented-{number}") for number in range(30)])
    with instrumented(monkeypatch, api.clock) as capture:
        client = api.client()
        for _ in range(30):
            read(api, client=client)
        answered = {
            point["attributes"]["gen_ai.response.model"]
            for point in capture.metrics()["gen_ai.client.operation.duration"]["points"]
        }
        asked = models(capture)
    assert answered == {*(f"invented-{number}" for number in range(20)), "other"}
    assert asked == {"claude-test": 30}


def active(capture: Capture) -> tuple[list[float], list[float]]:
    """The levels of the two observed instruments."""
    metrics = capture.metrics()
    return tuple(
        [point["value"] for point in metrics.get(f"claude.stream.{name}", {"points": []})["points"]]
        for name in ("active", "oldest_age")
    )


def test_open_streams_are_counted_while_they_are_open(monkeypatch):
    """Up and down with identical attributes; the age is that of the oldest."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        client = api.client()
        first = client.messages.create(stream=True, **REQUEST)
        api.clock.advance(5)
        second = client.messages.create(stream=True, **REQUEST)
        api.clock.advance(2)
        assert active(capture) == ([2], [7.0])
        first.close()
        assert active(capture) == ([1], [2.0])
        second.close()
        levels, _ = active(capture)
        assert levels == [0]


def test_a_new_instrumentation_counts_anew(monkeypatch):
    """Streams that are open when providers are changed are told by the new ones too; labels of the past are not."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock):
        read(api, model="claude-gone")
        stream = api.client().messages.create(stream=True, **REQUEST)
    api = API(MESSAGE, api.clock)
    with instrumented(monkeypatch, api.clock) as capture:
        other = api.client().messages.create(stream=True, **REQUEST)
        assert active(capture) == ([2], [0.0])
        stream.close()
        other.close()
        assert active(capture)[0] == [0]


def test_metrics_can_be_switched_off(monkeypatch):
    """The span stays."""
    capture = play(monkeypatch, SCENES["retried"], metrics=False)
    assert capture.metrics() == {}
    assert [span["name"] for span in capture.spans()] == [*["claude.stream.attempt"] * 3, "chat claude-test"]
