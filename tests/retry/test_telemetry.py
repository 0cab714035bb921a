"""The telemetry of retries and resumes, as whole spans and metrics, with a manual clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.expected_telemetry import DESTINATION, deltas, span, verdict
from tests.support.rig import HTTP, WAYS, play, points, shown
from tests.support.scenes import SCENES

HTTP_NAME = HTTP.__name__

CALL = {
    ".api": "messages",
    ".block.type": "text",
    ".block.count": 1,
    ".caller.time": 0.0,
    ".helper": "create",
    ".longest_silence": 0.3,
    ".read.mode": "events",
    ".request_id": "req_2",
    ".span_owner": "self",
    ".time_to_headers": 0.0,
    ".attempt.count": 2,
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.max_tokens": 1024,
    "gen_ai.request.model": "claude-test",
    "gen_ai.request.stream": True,
    "gen_ai.response.id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "gen_ai.response.model": "claude-sonnet-4-5-20250929",
    "gen_ai.response.time_to_first_chunk": 0.0,
    "gen_ai.usage.input_tokens": 25,
    "http.request.resend_count": 1,
    "http.response.status_code": 200,
    "server.address": "api.example.com",
    "server.port": 443,
}
COMPLETED = {
    ".outcome": "completed",
    ".phase": "finishing",
    ".stop_reason": "end_turn",
    ".usage.complete": True,
    ".content.characters": 105,
    ".attempt.input_tokens": [25, 25],
    ".attempt.output_tokens": [0, 15],
    ".billed.reported_tokens": 65,
    "gen_ai.response.finish_reasons": ["end_turn"],
    "gen_ai.usage.cache_creation.input_tokens": 0,
    "gen_ai.usage.cache_read.input_tokens": 0,
    "gen_ai.usage.output_tokens": 15,
}


def attempt(number: int, starts: float, lasts: float, failure: Any = (), **attributes: Any) -> dict[str, Any]:
    """Return the span of an attempt. `failure` are the arguments of `verdict` if it failed."""
    reason = failure[0] if failure else ""
    error = verdict(*failure, elapsed=lasts) if failure else {}
    common = {**DESTINATION, ".attempt.number": number, ".request_id": f"req_{number}", ".retry.layer": "policy"}
    return span(
        "claude.stream.attempt",
        kind="INTERNAL",
        parent="0000000000000001",
        status=("ERROR", reason) if reason else ("UNSET", None),
        starts=starts,
        lasts=lasts,
        attributes={**common, "http.response.status_code": 200, **error, **attributes},
        events=[],
    )


def decision_event(at: float, number: int, failure: Any, decision: str, **attributes: Any) -> Any:
    """Return the event of a decision. `failure` are the arguments of `verdict`."""
    common = {
        **verdict(*failure, elapsed=at),
        ".attempt.number": number,
        ".request_id": f"req_{number}",
        ".retry.blocked_by": "none",
        ".retry.budget": 5.2,
        ".retry.decision": decision,
        ".retry.dry_run": False,
        ".retry.layer": "policy",
        ".retry.reason": failure[0],
        "http.response.status_code": 200,
    }
    return (at, ".retry", {**common, **attributes})


def backoff(delay: float) -> dict[str, Any]:
    """Return the attributes of a decision to wait."""
    return {".retry.delay": delay, ".retry.delay_source": "backoff"}


def seam_event(at: float, seam: str) -> Any:
    """Return the event of a resume whose seam is known."""
    attributes = {
        ".attempt.number": 2,
        ".content.characters": 84,
        ".resume.seam": seam,
        ".resume.strategy": "user_continue",
    }
    return (at, ".resume", attributes)


TEXT = {".block.index": 0, ".block.type": "text"}
ABORT = {
    ".abort.elapsed": 1.045,
    ".abort.idle": 0.0,
    ".abort.limit_match": "none",
    ".abort.origin": "unknown",
    ".abort.reason": "connection_closed",
}
BEFORE_TEXT = [
    (0.0, ".message_start", {}),
    (0.3, ".ping", {}),
    (0.3, ".content_block_start", {**TEXT, ".event.gap": 0.3}),
]


def end_events(at: float) -> list[Any]:
    """Return the events at the end of a message."""
    return [
        (at, ".content_block_stop", {".block.index": 0}),
        (at, ".message_delta", {".stop_reason": "end_turn"}),
        (at, ".message_stop", {}),
    ]


OVERLOADED = ("overloaded", "anthropic", "awaiting_first_token")
CLOSED = ("connection_closed", "unknown", "streaming")
RESUME_DECISION = decision_event(0.44, 1, CLOSED, "resume", **backoff(0.125))
CLOSED_ATTEMPT = {
    ".abort.advice": "Compare silence and duration o...",
    ".abort.recent_bytes": 1615,
    ".abort.rule": "closed",
    ".retry.delay": 0.125,
    "error.type": "connection_closed",
}

SPANS: dict[str, list[dict[str, Any]]] = {
    "replayed": [
        attempt(
            1,
            0.0,
            0.3,
            OVERLOADED,
            **{
                ".abort.advice": "Back off with jitter and a ret...",
                ".abort.recent_bytes": 694,
                ".abort.rule": "sse_error",
                ".error.source": "sse",
                ".retry.delay": 0.5,
                "error.type": "overloaded_error",
            },
        ),
        attempt(2, 0.8, 0.48),
        span(
            "chat claude-test",
            lasts=1.28,
            attributes={
                **CALL,
                **COMPLETED,
                ".attempt.characters": [0, 105],
                ".billed.wasted_tokens": 25,
                ".read.bytes": 2226,
                ".delta.count": 10,
                ".event.count": 17,
                ".read.events": 0.89,
                ".chunk.longest_gap": 0.02,
                ".ping.count": 1,
                ".read.count": 19,
                ".recovery.action": "retry",
                ".time_to_first_token": 1.1,
            },
            events=[
                (0.3, ".error", {"error.type": "overloaded_error"}),
                decision_event(0.3, 1, OVERLOADED, "retry", **backoff(0.5)),
                (0.8, ".message_start", {".event.gap": 0.5}),
                (1.1, ".ping", {}),
                (1.1, ".content_block_start", {**TEXT, ".event.gap": 0.3}),
                deltas(1.1, 0, "text", 105, gap=0.02, count=10, over=0.18),
                *end_events(1.28),
            ],
        ),
    ],
    "resumed": [
        attempt(1, 0.0, 0.44, CLOSED, **CLOSED_ATTEMPT),
        attempt(2, 0.565, 0.48),
        span(
            "chat claude-test",
            lasts=1.045,
            attributes={
                **CALL,
                **COMPLETED,
                ".attempt.characters": [84, 21],
                ".billed.estimated_tokens": 21,
                ".read.bytes": 2191,
                ".delta.count": 9,
                ".event.count": 16,
                ".read.events": 0.59,
                ".ping.longest_gap": 0.565,
                ".chunk.longest_gap": 0.605,
                ".ping.count": 2,
                ".read.count": 27,
                ".recovery.action": "resume",
                ".resume.seam": "anchor",
                ".resumed": True,
                ".time_to_first_token": 0.3,
            },
            events=[
                *BEFORE_TEXT,
                deltas(0.3, 0, "text", 105, gap=0.605, count=9, over=0.745),
                RESUME_DECISION,
                (0.865, ".ping", {".event.gap": 0.425}),
                seam_event(1.045, "anchor"),
                *end_events(1.045),
            ],
        ),
    ],
    "not resumed": [
        attempt(1, 0.0, 0.44, CLOSED, **CLOSED_ATTEMPT),
        attempt(2, 0.565, 0.48),
        span(
            "chat claude-test",
            status=("ERROR", "connection_closed"),
            lasts=1.045,
            attributes={
                **CALL,
                **ABORT,
                ".abort.advice": "Compare silence and duration o...",
                ".abort.exception": f"{HTTP_NAME}.RemoteProtocolError",
                ".abort.recent_bytes": 1615,
                ".abort.rule": "closed",
                ".attempt.characters": [84, 0],
                ".attempt.input_tokens": [25, 25],
                ".attempt.output_tokens": [0, 0],
                ".billed.estimated_tokens": 21,
                ".billed.reported_tokens": 50,
                ".billed.wasted_tokens": 71,
                ".read.bytes": 1615,
                ".content.characters": 84,
                ".delta.count": 8,
                ".event.count": 12,
                ".read.events": 0.46,
                ".ping.longest_gap": 0.565,
                ".chunk.longest_gap": 0.02,
                ".outcome": "failed",
                ".phase": "streaming",
                ".ping.count": 2,
                ".read.count": 26,
                ".recovery.action": "resume",
                ".resume.seam": "mismatch",
                ".time_to_first_token": 0.3,
                ".usage.complete": False,
                "error.type": "connection_closed",
                "gen_ai.response.finish_reasons": ["error"],
            },
            events=[
                *BEFORE_TEXT,
                deltas(0.3, 0, "text", 84, gap=0.02, count=8, over=0.265),
                RESUME_DECISION,
                (0.865, ".ping", {".event.gap": 0.425}),
                seam_event(1.045, "mismatch"),
                decision_event(
                    1.045,
                    2,
                    CLOSED,
                    "give_up",
                    **{".retry.blocked_by": "resumes", ".abort.elapsed": 0.44},
                ),
                (1.045, ".abort", {**ABORT, ".phase": "streaming"}),
            ],
        ),
    ],
}


@pytest.mark.parametrize("scene", SPANS)
def test_the_spans_of_a_stream_with_a_second_attempt(monkeypatch, scene):
    """Each attempt has a span, with the back-off between them. The stream span has an event for each decision."""
    assert [shown(found) for found in play(monkeypatch, SCENES[scene]).spans()] == SPANS[scene]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scene", SPANS)
def test_the_spans_do_not_depend_on_the_way_to_read(monkeypatch, scene, way):
    """Only the attribute `claude.stream.helper` differs."""
    helper = "stream" if way.endswith("stream") else "create"
    *attempts, stream = SPANS[scene]
    expected = [*attempts, {**stream, "attributes": {**stream["attributes"], ".helper": helper}}]
    assert [shown(found) for found in play(monkeypatch, SCENES[scene], way).spans()] == expected


def retries(decision: str, reason: str) -> list[Any]:
    """Return the points of the retries metric for one retry or resume."""
    return [({".retry.decision": decision, ".retry.layer": "policy", ".retry.reason": reason}, 1)]


def decision(name: str, reason: str, blocked_by: str = "none", *, dry_run: bool = False) -> Any:
    """Return the point of the decisions metric for one decision."""
    attributes = {
        ".retry.blocked_by": blocked_by,
        ".retry.decision": name,
        ".retry.dry_run": dry_run,
        ".retry.reason": reason,
    }
    return (attributes, 1)


def failed_attempts(reason: str, origin: str, phase: str, *, elapsed: float) -> dict[str, list[Any]]:
    """Return the points of the metrics of attempts that failed, for one of them."""
    labels = {".abort.limit_match": "none", ".abort.origin": origin, ".abort.reason": reason, ".phase": phase}
    return {
        ".abort.elapsed": [({".abort.origin": origin}, (1, elapsed))],
        ".abort.idle": [({".abort.origin": origin}, (1, 0.0))],
        ".attempt.aborts": [(labels, 1)],
    }


def billed(use: str, *, input_tokens: int, output_tokens: int = 0) -> dict[str, list[Any]]:
    """Return the points of the tokens that are billed beside the usage. The output is an estimate."""
    found = [({".billed.source": "reported", ".billed.type": "input", ".billed.use": use}, input_tokens)]
    if output_tokens:
        found = [({".billed.source": "estimated", ".billed.type": "output", ".billed.use": use}, output_tokens), *found]
    return {".billed.extra_tokens": found}


TWO_REQUESTS = [
    ({".retry.layer": "policy", "http.response.status_code": 200}, 1),
    ({".retry.layer": "sdk", "http.response.status_code": 200}, 1),
]
METRICS = {
    "replayed": {
        ".recoveries": [({".recovery.action": "retry", ".recovery.outcome": "completed"}, 1)],
        ".requests": TWO_REQUESTS,
        ".retries": retries("retry", "overloaded"),
        ".retry.budget": [({}, 5.2)],
        ".retry.decisions": [decision("retry", "overloaded")],
        ".retry.delay": [({".retry.reason": "overloaded"}, (1, 0.5))],
        **billed("wasted", input_tokens=25),
        **failed_attempts("overloaded", "anthropic", "awaiting_first_token", elapsed=0.3),
    },
    "resumed": {
        ".recoveries": [({".recovery.action": "resume", ".recovery.outcome": "completed"}, 1)],
        ".requests": TWO_REQUESTS,
        ".retries": retries("resume", "connection_closed"),
        ".retry.budget": [({}, 5.2)],
        ".retry.decisions": [decision("resume", "connection_closed")],
        ".retry.delay": [({".retry.reason": "connection_closed"}, (1, 0.125))],
        **billed("delivered", input_tokens=25, output_tokens=21),
        **failed_attempts("connection_closed", "unknown", "streaming", elapsed=0.44),
    },
    "not resumed": {
        **billed("wasted", input_tokens=50, output_tokens=21),
        ".output_tokens.wasted": [({".abort.reason": "connection_closed"}, 21)],
        ".recoveries": [({".recovery.action": "resume", ".recovery.outcome": "failed"}, 1)],
        ".requests": TWO_REQUESTS,
        ".retries": retries("resume", "connection_closed"),
        ".retry.budget": [({}, 5.2)],
        ".retry.decisions": [
            decision("resume", "connection_closed"),
            decision("give_up", "connection_closed", "resumes"),
        ],
        ".retry.delay": [({".retry.reason": "connection_closed"}, (1, 0.125))],
        **failed_attempts("connection_closed", "unknown", "streaming", elapsed=0.44),
    },
}
METRIC_NAME_PARTS = ("retr", "recover", "requests", "wasted", "billed", "abort.", "attempt")


@pytest.mark.parametrize("way", ["create", "async stream"])
@pytest.mark.parametrize("scene", METRICS)
def test_the_metrics_of_a_stream_with_a_second_attempt(monkeypatch, scene, way):
    """The metrics of streams count it once, and the metrics of retries count each decision."""
    found = points(play(monkeypatch, SCENES[scene], way))
    of_retries = {name: value for name, value in found.items() if any(part in name for part in METRIC_NAME_PARTS)}
    assert of_retries == METRICS[scene]
    streams = [found[name] for name in (".duration", ".time_to_first_token", "gen_ai.client.operation.duration")]
    assert [sum(value[0] for _, value in metric) for metric in streams] == [1, 1, 1]
    assert (".aborts" in found) is (scene == "not resumed")


@pytest.mark.parametrize("scene", ["resumed", "replayed"])
def test_mode_observe_records_the_decision_as_a_dry_run(monkeypatch, scene):
    """The event has the decision of mode `resume` and its delay, but no budget. No further request is sent."""
    capture = play(monkeypatch, replace(SCENES[scene], settings={}))
    (stream,) = [shown(found) for found in capture.spans()]
    at, _, attributes = next(event for event in SPANS[scene][-1]["events"] if event[1] == ".retry")
    dry = {name: value for name, value in attributes.items() if name != ".retry.budget"}
    assert [event for event in stream["events"] if event[1] == ".retry"] == [
        (at, ".retry", {**dry, ".retry.dry_run": True})
    ]
    found = points(capture)
    name, reason = attributes[".retry.decision"], attributes[".retry.reason"]
    assert found[".retry.decisions"] == [decision(name, reason, dry_run=True)]
    assert found[".requests"] == [({".retry.layer": "sdk", "http.response.status_code": 200}, 1)]
    assert not {".retries", ".retry.delay", ".recoveries", ".retry.budget"} & set(found)
