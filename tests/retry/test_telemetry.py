"""What is told of a recovery: whole spans, and every metric, by a manual clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.expected_telemetry import deltas, span
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
WENT_WELL = {
    ".outcome": "completed",
    ".phase": "finishing",
    ".stop_reason": "end_turn",
    ".usage.complete": True,
    ".content.characters": 105,
    ".attempt.input_tokens": [25, 25],
    ".attempt.output_tokens": [0, 15],
    "gen_ai.response.finish_reasons": ["end_turn"],
    "gen_ai.usage.cache_creation.input_tokens": 0,
    "gen_ai.usage.cache_read.input_tokens": 0,
    "gen_ai.usage.output_tokens": 15,
}


def attempt(number: int, starts: float, lasts: float, reason: str = "", **said: Any) -> dict[str, Any]:
    """The span of one attempt."""
    why = {".retry.reason": reason, "error.type": reason} if reason else {}
    common = {".attempt.number": number, ".request_id": f"req_{number}", ".retry.layer": "policy"}
    return span(
        "claude.stream.attempt",
        kind="INTERNAL",
        parent="0000000000000001",
        status=("ERROR", reason) if reason else ("UNSET", None),
        starts=starts,
        lasts=lasts,
        attributes={**common, "http.response.status_code": 200, **why, **said},
        events=[],
    )


def decided(at: float, number: int, reason: str, phase: str, decision: str, **said: Any) -> Any:
    """The event of a decision."""
    common = {
        ".attempt.number": number,
        ".phase": phase,
        ".request_id": f"req_{number}",
        ".retry.blocked_by": "none",
        ".retry.budget": 5.2,
        ".retry.decision": decision,
        ".retry.dry_run": False,
        ".retry.layer": "policy",
        ".retry.reason": reason,
        "http.response.status_code": 200,
    }
    return (at, ".retry", {**common, **said})


def after(delay: float) -> dict[str, Any]:
    """The wait that was decided."""
    return {".retry.delay": delay, ".retry.delay_source": "backoff"}


def seam(at: float, found: str) -> Any:
    """The event of a continuation that met the text."""
    said = {".attempt.number": 2, ".content.characters": 84, ".resume.seam": found, ".resume.strategy": "user_continue"}
    return (at, ".resume", said)


TEXT = {".block.index": 0, ".block.type": "text"}
ENDED = {
    ".abort.elapsed": 1.045,
    ".abort.idle": 0.0,
    ".abort.limit_match": "none",
    ".abort.origin": "unknown",
    ".abort.reason": "connection_closed",
}
RESUMING = [
    (0.0, ".message_start", {}),
    (0.3, ".ping", {}),
    (0.3, ".content_block_start", {**TEXT, ".event.gap": 0.3}),
]


def closing(at: float) -> list[Any]:
    """The events of a message's end."""
    return [
        (at, ".content_block_stop", {".block.index": 0}),
        (at, ".message_delta", {".stop_reason": "end_turn"}),
        (at, ".message_stop", {}),
    ]


RESUMED_DECISION = decided(0.44, 1, "connection_closed", "streaming", "resume", **after(0.125))

SPANS: dict[str, list[dict[str, Any]]] = {
    "replayed": [
        attempt(1, 0.0, 0.3, "overloaded", **{".retry.delay": 0.5}),
        attempt(2, 0.8, 0.48),
        span(
            "chat claude-test",
            lasts=1.28,
            attributes={
                **CALL,
                **WENT_WELL,
                ".attempt.characters": [0, 105],
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
                decided(0.3, 1, "overloaded", "awaiting_first_token", "retry", **after(0.5)),
                (0.8, ".message_start", {".event.gap": 0.5}),
                (1.1, ".ping", {}),
                (1.1, ".content_block_start", {**TEXT, ".event.gap": 0.3}),
                deltas(1.1, 0, "text", 105, gap=0.02, count=10, over=0.18),
                *closing(1.28),
            ],
        ),
    ],
    "resumed": [
        attempt(1, 0.0, 0.44, "connection_closed", **{".retry.delay": 0.125}),
        attempt(2, 0.565, 0.48),
        span(
            "chat claude-test",
            lasts=1.045,
            attributes={
                **CALL,
                **WENT_WELL,
                ".attempt.characters": [84, 21],
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
                *RESUMING,
                deltas(0.3, 0, "text", 105, gap=0.605, count=9, over=0.745),
                RESUMED_DECISION,
                (0.865, ".ping", {".event.gap": 0.425}),
                seam(1.045, "anchor"),
                *closing(1.045),
            ],
        ),
    ],
    "not resumed": [
        attempt(1, 0.0, 0.44, "connection_closed", **{".retry.delay": 0.125}),
        attempt(2, 0.565, 0.48),
        span(
            "chat claude-test",
            status=("ERROR", "connection_closed"),
            lasts=1.045,
            attributes={
                **CALL,
                **ENDED,
                ".abort.advice": "Compare silence and duration o...",
                ".abort.exception": f"{HTTP_NAME}.RemoteProtocolError",
                ".abort.recent_bytes": 1615,
                ".abort.rule": "closed",
                ".attempt.characters": [84, 0],
                ".attempt.input_tokens": [25, 25],
                ".attempt.output_tokens": [0, 0],
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
                *RESUMING,
                deltas(0.3, 0, "text", 84, gap=0.02, count=8, over=0.265),
                RESUMED_DECISION,
                (0.865, ".ping", {".event.gap": 0.425}),
                seam(1.045, "mismatch"),
                decided(
                    1.045,
                    2,
                    "connection_closed",
                    "streaming",
                    "give_up",
                    **{".retry.blocked_by": "resumes"},
                ),
                (1.045, ".abort", {**ENDED, ".phase": "streaming"}),
            ],
        ),
    ],
}


@pytest.mark.parametrize("scene", SPANS)
def test_a_recovery_is_told_whole(monkeypatch, scene):
    """The back-off is the gap between the spans of two attempts; every decision is an event of the stream's."""
    assert [shown(found) for found in play(monkeypatch, SCENES[scene]).spans()] == SPANS[scene]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scene", SPANS)
def test_however_it_is_read_a_recovery_is_told_alike(monkeypatch, scene, way):
    helper = "stream" if way.endswith("stream") else "create"
    *attempts, stream = SPANS[scene]
    expected = [*attempts, {**stream, "attributes": {**stream["attributes"], ".helper": helper}}]
    assert [shown(found) for found in play(monkeypatch, SCENES[scene], way).spans()] == expected


def retries(decision: str, reason: str) -> list[Any]:
    return [({".retry.decision": decision, ".retry.layer": "policy", ".retry.reason": reason}, 1)]


def decision(what: str, reason: str, blocked_by: str = "none", *, dry_run: bool = False) -> Any:
    said = {
        ".retry.blocked_by": blocked_by,
        ".retry.decision": what,
        ".retry.dry_run": dry_run,
        ".retry.reason": reason,
    }
    return (said, 1)


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
    },
    "resumed": {
        ".recoveries": [({".recovery.action": "resume", ".recovery.outcome": "completed"}, 1)],
        ".requests": TWO_REQUESTS,
        ".retries": retries("resume", "connection_closed"),
        ".retry.budget": [({}, 5.2)],
        ".retry.decisions": [decision("resume", "connection_closed")],
        ".retry.delay": [({".retry.reason": "connection_closed"}, (1, 0.125))],
    },
    "not resumed": {
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
    },
}
OF_RECOVERY = ("retr", "recover", "requests", "wasted")


@pytest.mark.parametrize("way", ["create", "async stream"])
@pytest.mark.parametrize("scene", METRICS)
def test_the_metrics_of_a_recovery(monkeypatch, scene, way):
    """One stream: one duration, one ending, one time to the first token; and the recovery's own."""
    found = points(play(monkeypatch, SCENES[scene], way))
    about = {name: said for name, said in found.items() if any(word in name for word in OF_RECOVERY)}
    assert about == METRICS[scene]
    streams = [found[name] for name in (".duration", ".time_to_first_token", "gen_ai.client.operation.duration")]
    assert [sum(value[0] for _, value in said) for said in streams] == [1, 1, 1]
    assert (".aborts" in found) is (scene == "not resumed")


@pytest.mark.parametrize("scene", ["resumed", "replayed"])
def test_observed_what_would_have_been_done_is_told(monkeypatch, scene):
    """A dry run: the decision that mode `resume` would have taken, its delay, and no budget; nothing is sent."""
    capture = play(monkeypatch, replace(SCENES[scene], settings={}))
    (stream,) = [shown(found) for found in capture.spans()]
    at, _, said = next(event for event in SPANS[scene][-1]["events"] if event[1] == ".retry")
    dry = {name: value for name, value in said.items() if name != ".retry.budget"}
    assert [event for event in stream["events"] if event[1] == ".retry"] == [
        (at, ".retry", {**dry, ".retry.dry_run": True})
    ]
    found = points(capture)
    what, reason = said[".retry.decision"], said[".retry.reason"]
    assert found[".retry.decisions"] == [decision(what, reason, dry_run=True)]
    assert found[".requests"] == [({".retry.layer": "sdk", "http.response.status_code": 200}, 1)]
    assert not {".retries", ".retry.delay", ".recoveries", ".retry.budget"} & set(found)
