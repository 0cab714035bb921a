"""The expected spans of each scene, with all attributes, events, times and the status."""

from __future__ import annotations

from typing import Any

from tests.support.rig import HTTP

HTTP_NAME = HTTP.__name__
"""`httpx2`, or `httpx` before SDK 1.0."""


def but(base: dict[str, Any], changed: dict[str, Any], absent: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the attributes of `base` with changes. Fails for a change that has no effect."""
    assert not [name for name, value in changed.items() if base.get(name) == value]
    assert set(absent) <= set(base)
    return {name: value for name, value in {**base, **changed}.items() if name not in absent}


def span(name: str, **fields: Any) -> dict[str, Any]:
    """Return a span in the form of `rig.shown`. The defaults are those of a completed stream."""
    return {"kind": "CLIENT", "parent": None, "status": ("UNSET", None), "starts": 0.0, "name": name, **fields}


DESTINATION = {"gen_ai.request.model": "claude-test", "server.address": "api.example.com"}
"""The attributes that spans of attempts share with the span of their stream."""


def verdict(
    reason: str, origin: str, phase: str, *, elapsed: float, idle: float = 0.0, limit: str = "none"
) -> dict[str, Any]:
    """Return the attributes of an abort, or of an attempt that failed."""
    return {
        ".abort.elapsed": elapsed,
        ".abort.idle": idle,
        ".abort.limit_match": limit,
        ".abort.origin": origin,
        ".abort.reason": reason,
        ".phase": phase,
    }


def attempt(number: int, starts: float, lasts: float, reason: str, further: dict[str, Any]) -> dict[str, Any]:
    """Return the span of an attempt that the API refused."""
    common = {
        **verdict(reason, "anthropic", "awaiting_response", elapsed=lasts, idle=lasts),
        ".abort.advice": "Back off with jitter and a ret...",
        ".abort.recent_bytes": 0,
        ".abort.rule": "http_error",
        ".attempt.number": number,
        ".retry.layer": "sdk",
        "error.type": reason,
        **DESTINATION,
    }
    return span(
        "claude.stream.attempt",
        kind="INTERNAL",
        parent="0000000000000001",
        status=("ERROR", reason),
        starts=starts,
        lasts=lasts,
        attributes={**common, **further},
        events=[],
    )


def deltas(at: float, index: int, block: str, characters: int, *, gap: float, count: int = 1, over: float = 0.0) -> Any:
    """Return the event of `count` deltas. The first arrived at `at`, the last `over` seconds later."""
    coalesced = {".event.coalesced": count, ".event.duration": over} if count > 1 else {}
    attributes = {
        ".block.index": index,
        ".block.type": block,
        ".event.characters": characters,
        ".event.gap": gap,
        **coalesced,
    }
    return (at, ".content_block_delta", attributes)


def retry(at: float, number: int, reason: str, status: int, *, waited: float, after: float, delay: float) -> Any:
    """Return the event of a retry, after an attempt that the API refused `waited` seconds after its start."""
    attributes = {
        **verdict(reason, "anthropic", "awaiting_response", elapsed=waited, idle=waited),
        ".attempt.number": number,
        ".request_id": f"req_{number}",
        ".retry.retry_after": after,
        ".retry.decision": "retry",
        ".retry.delay": delay,
        ".retry.layer": "sdk",
        ".retry.reason": reason,
        "http.response.status_code": status,
    }
    return (at, ".retry", attributes)


def refusal(
    at: float,
    reason: str,
    origin: str,
    phase: str,
    blocked_by: str,
    *,
    number: int = 1,
    status: int = 200,
    **further: Any,
) -> Any:
    """Return the event of a dry run that decided to give up."""
    attributes = {
        **verdict(reason, origin, phase, elapsed=at),
        ".attempt.number": number,
        ".request_id": f"req_{number}",
        ".retry.blocked_by": blocked_by,
        ".retry.decision": "give_up",
        ".retry.dry_run": True,
        ".retry.layer": "policy",
        ".retry.reason": reason,
        "http.response.status_code": status,
        **further,
    }
    return (at, ".retry", attributes)


def stall(at: float, threshold: str, kind: str, gap: float, block: str) -> Any:
    """Return the event of a stall."""
    attributes = {".stall.threshold": threshold, ".stall.kind": kind, ".event.gap": gap, ".block.type": block}
    return (at, ".stall", attributes)


def abort(at: float, reason: str, origin: str, phase: str, *, idle: float = 0.0, limit: str = "none") -> Any:
    """Return the event of an abort."""
    return (at, ".abort", verdict(reason, origin, phase, elapsed=at, idle=idle, limit=limit))


COMMON = {
    ".api": "messages",
    ".attempt.count": 1,
    ".block.type": "text",
    ".block.count": 1,
    ".caller.time": 0.0,
    ".helper": "create",
    ".chunk.longest_gap": 0.02,
    ".longest_silence": 0.3,
    ".ping.count": 1,
    ".read.mode": "events",
    ".request_id": "req_1",
    ".span_owner": "self",
    ".time_to_first_token": 0.3,
    ".time_to_headers": 0.0,
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.max_tokens": 1024,
    "gen_ai.request.model": "claude-test",
    "gen_ai.request.stream": True,
    "gen_ai.response.id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "gen_ai.response.model": "claude-sonnet-4-5-20250929",
    "gen_ai.response.time_to_first_chunk": 0.0,
    "gen_ai.usage.input_tokens": 132,
    "http.response.status_code": 200,
    "server.address": "api.example.com",
    "server.port": 443,
}
"""The attributes that all spans of streams with a first token share."""

HEALTHY = {
    **COMMON,
    ".read.bytes": 1457,
    ".content.characters": 22,
    ".delta.count": 4,
    ".event.count": 10,
    ".read.events": 1.0,
    ".outcome": "completed",
    ".phase": "finishing",
    ".read.count": 10,
    ".stop_reason": "end_turn",
    ".usage.complete": True,
    "gen_ai.response.finish_reasons": ["end_turn"],
    "gen_ai.usage.cache_creation.input_tokens": 7,
    "gen_ai.usage.cache_read.input_tokens": 100,
    "gen_ai.usage.output_tokens": 15,
}

BROKEN = {
    **COMMON,
    ".abort.advice": "The answer is incomplete altho...",
    ".abort.also_possible": ["connection_closed"],
    ".abort.elapsed": 0.32,
    ".abort.idle": 0.0,
    ".abort.limit_match": "none",
    ".abort.origin": "unknown",
    ".abort.reason": "truncated",
    ".abort.recent_bytes": 853,
    ".abort.rule": "truncated",
    ".billed.estimated_tokens": 2,
    ".billed.reported_tokens": 132,
    ".billed.wasted_tokens": 134,
    ".read.bytes": 853,
    ".content.characters": 10,
    ".delta.count": 2,
    ".event.count": 5,
    ".read.events": 0.83,
    ".outcome": "failed",
    ".phase": "streaming",
    ".read.count": 6,
    ".usage.complete": False,
    "error.type": "truncated",
    "gen_ai.response.finish_reasons": ["error"],
}

IDLE_60 = ["nginx", "AWS ALB", "Kong", "HAProxy", "Apache httpd", "Varnish"]
"""The products with an idle limit of 60 s."""

FIRST_EVENTS = [
    (0.0, ".message_start", {}),
    (0.3, ".content_block_start", {".block.index": 0, ".block.type": "text", ".event.gap": 0.3}),
    (0.3, ".ping", {}),
]
"""The events before the first token."""

SPANS = {
    "text": [
        span(
            "chat claude-test",
            lasts=0.36,
            attributes=HEALTHY,
            events=[
                *FIRST_EVENTS,
                deltas(0.3, 0, "text", 22, count=4, gap=0.02, over=0.06),
                (0.36, ".content_block_stop", {".block.index": 0}),
                (0.36, ".message_delta", {".stop_reason": "end_turn"}),
                (0.36, ".message_stop", {}),
            ],
        ),
    ],
    "thinking": [
        span(
            "chat claude-test",
            lasts=0.04,
            attributes=but(
                HEALTHY,
                {
                    ".block.type": "thinking",
                    ".block.count": 2,
                    ".read.bytes": 1895,
                    ".content.characters": 14,
                    ".delta.count": 5,
                    ".event.count": 13,
                    ".chunk.longest_gap": 0.01,
                    ".longest_silence": 0.01,
                    ".read.count": 13,
                    ".time_to_first_token": 0.0,
                    "gen_ai.usage.cache_creation.input_tokens": 0,
                    "gen_ai.usage.cache_read.input_tokens": 0,
                    "gen_ai.usage.input_tokens": 25,
                },
            ),
            events=[
                (0.0, ".message_start", {}),
                (0.0, ".content_block_start", {".block.index": 0, ".block.type": "thinking"}),
                (0.0, ".ping", {}),
                deltas(0.0, 0, "thinking", 10, count=4, gap=0.01, over=0.03),
                (0.03, ".content_block_stop", {".block.index": 0}),
                (0.03, ".content_block_start", {".block.index": 1, ".block.type": "text"}),
                deltas(0.04, 1, "text", 4, gap=0.01),
                (0.04, ".content_block_stop", {".block.index": 1}),
                (0.04, ".message_delta", {".stop_reason": "end_turn"}),
                (0.04, ".message_stop", {}),
            ],
        ),
    ],
    "tool": [
        span(
            "chat claude-test",
            lasts=0.1,
            attributes=but(
                HEALTHY,
                {
                    ".block.type": "tool_use",
                    ".read.bytes": 1442,
                    ".content.characters": 16,
                    ".delta.count": 3,
                    ".event.count": 9,
                    ".chunk.longest_gap": 0.05,
                    ".longest_silence": 0.05,
                    ".read.count": 9,
                    ".stop_reason": "tool_use",
                    ".time_to_first_token": 0.0,
                    "gen_ai.response.finish_reasons": ["tool_use"],
                    "gen_ai.usage.cache_creation.input_tokens": 0,
                    "gen_ai.usage.cache_read.input_tokens": 0,
                    "gen_ai.usage.input_tokens": 25,
                },
            ),
            events=[
                (0.0, ".message_start", {}),
                (0.0, ".content_block_start", {".block.index": 0, ".block.type": "tool_use"}),
                (0.0, ".ping", {}),
                deltas(0.0, 0, "tool_use", 16, count=3, gap=0.05, over=0.1),
                (0.1, ".content_block_stop", {".block.index": 0}),
                (0.1, ".message_delta", {".stop_reason": "tool_use"}),
                (0.1, ".message_stop", {}),
            ],
        ),
    ],
    "sse error": [
        span(
            "chat claude-test",
            lasts=0.32,
            attributes=but(
                BROKEN,
                {
                    ".abort.advice": "Back off with jitter and a ret...",
                    ".abort.exception": "anthropic.APIStatusError",
                    ".abort.origin": "anthropic",
                    ".abort.reason": "overloaded",
                    ".abort.recent_bytes": 972,
                    ".abort.rule": "sse_error",
                    ".read.bytes": 972,
                    ".error.source": "sse",
                    ".event.count": 6,
                    ".read.events": 1.0,
                    "error.type": "overloaded_error",
                },
                absent=(".abort.also_possible",),
            ),
            events=[
                *FIRST_EVENTS,
                deltas(0.3, 0, "text", 10, count=2, gap=0.02, over=0.02),
                (0.32, ".error", {"error.type": "overloaded_error"}),
                refusal(0.32, "overloaded", "anthropic", "streaming", "too_short"),
                abort(0.32, "overloaded", "anthropic", "streaming"),
            ],
            status=("ERROR", "overloaded"),
        ),
    ],
    "retried": [
        attempt(
            1,
            0.0,
            0.0,
            "overloaded",
            {
                ".request_id": "req_1",
                ".retry.retry_after": 0.25,
                ".retry.delay": 0.25,
                "http.response.status_code": 529,
            },
        ),
        attempt(
            2,
            0.25,
            0.1,
            "overloaded",
            {
                ".request_id": "req_2",
                ".retry.retry_after": 0.25,
                ".retry.delay": 0.25,
                "http.response.status_code": 529,
            },
        ),
        span(
            "claude.stream.attempt",
            starts=0.6,
            lasts=0.36,
            attributes={
                **DESTINATION,
                ".attempt.number": 3,
                ".request_id": "req_3",
                ".retry.layer": "sdk",
                "http.response.status_code": 200,
            },
            events=[],
            kind="INTERNAL",
            parent="0000000000000001",
        ),
        span(
            "chat claude-test",
            lasts=0.96,
            attributes=but(
                HEALTHY,
                {
                    ".attempt.count": 3,
                    ".request_id": "req_3",
                    ".time_to_first_token": 0.9,
                    ".time_to_headers": 0.6,
                    "gen_ai.response.time_to_first_chunk": 0.6,
                    "http.request.resend_count": 2,
                },
            ),
            events=[
                retry(0.0, 1, "overloaded", 529, waited=0.0, after=0.25, delay=0.25),
                retry(0.35, 2, "overloaded", 529, waited=0.1, after=0.25, delay=0.25),
                (0.6, ".message_start", {}),
                (0.9, ".content_block_start", {".block.index": 0, ".block.type": "text", ".event.gap": 0.3}),
                (0.9, ".ping", {}),
                deltas(0.9, 0, "text", 22, count=4, gap=0.02, over=0.06),
                (0.96, ".content_block_stop", {".block.index": 0}),
                (0.96, ".message_delta", {".stop_reason": "end_turn"}),
                (0.96, ".message_stop", {}),
            ],
        ),
    ],
    "gave up": [
        attempt(
            1,
            0.0,
            0.0,
            "overloaded",
            {
                ".request_id": "req_1",
                ".retry.retry_after": 0.25,
                ".retry.delay": 0.25,
                "http.response.status_code": 529,
            },
        ),
        attempt(
            2,
            0.25,
            0.0,
            "overloaded",
            {
                ".request_id": "req_2",
                ".retry.retry_after": 0.25,
                ".retry.delay": 0.25,
                "http.response.status_code": 529,
            },
        ),
        attempt(
            3,
            0.5,
            0.0,
            "overloaded",
            {
                ".request_id": "req_3",
                ".retry.retry_after": 0.25,
                ".error.body": "api",
                ".error.source": "http",
                "error.type": "overloaded_error",
                "http.response.status_code": 529,
            },
        ),
        span(
            "chat claude-test",
            lasts=0.5,
            attributes=but(
                BROKEN,
                {
                    ".abort.advice": "Back off with jitter and a ret...",
                    ".abort.elapsed": 0.5,
                    ".abort.exception": "anthropic.OverloadedError",
                    ".abort.origin": "anthropic",
                    ".abort.reason": "overloaded",
                    ".abort.recent_bytes": 0,
                    ".abort.rule": "http_error",
                    ".retry.retry_after": 0.25,
                    ".attempt.count": 3,
                    ".block.count": 0,
                    ".read.bytes": 0,
                    ".content.characters": 0,
                    ".delta.count": 0,
                    ".error.body": "api",
                    ".error.source": "http",
                    ".event.count": 0,
                    ".chunk.longest_gap": 0.0,
                    ".longest_silence": 0.0,
                    ".phase": "awaiting_response",
                    ".ping.count": 0,
                    ".read.mode": "none",
                    ".read.count": 0,
                    ".request_id": "req_3",
                    "error.type": "overloaded_error",
                    "http.request.resend_count": 2,
                    "http.response.status_code": 529,
                },
                absent=(
                    ".abort.also_possible",
                    ".billed.estimated_tokens",
                    ".billed.reported_tokens",
                    ".billed.wasted_tokens",
                    ".block.type",
                    ".read.events",
                    ".time_to_first_token",
                    ".time_to_headers",
                    "gen_ai.response.finish_reasons",
                    "gen_ai.response.id",
                    "gen_ai.response.model",
                    "gen_ai.response.time_to_first_chunk",
                    "gen_ai.usage.input_tokens",
                ),
            ),
            events=[
                retry(0.0, 1, "overloaded", 529, waited=0.0, after=0.25, delay=0.25),
                retry(0.25, 2, "overloaded", 529, waited=0.0, after=0.25, delay=0.25),
                refusal(
                    0.5,
                    "overloaded",
                    "anthropic",
                    "awaiting_response",
                    "sdk",
                    number=3,
                    status=529,
                    **{".retry.retry_after": 0.25, ".abort.elapsed": 0.0},
                ),
                abort(0.5, "overloaded", "anthropic", "awaiting_response"),
            ],
            status=("ERROR", "overloaded"),
        ),
    ],
    "truncated": [
        span(
            "chat claude-test",
            lasts=0.32,
            attributes=BROKEN,
            events=[
                *FIRST_EVENTS,
                deltas(0.3, 0, "text", 10, count=2, gap=0.02, over=0.02),
                refusal(0.32, "truncated", "unknown", "streaming", "too_short"),
                abort(0.32, "truncated", "unknown", "streaming"),
            ],
            status=("ERROR", "truncated"),
        ),
    ],
    "cut after silence": [
        span(
            "chat claude-test",
            lasts=60.37,
            attributes=but(
                BROKEN,
                {
                    ".abort.advice": "Consistent with an idle limit ...",
                    ".abort.elapsed": 60.37,
                    ".abort.exception": f"{HTTP_NAME}.RemoteProtocolError",
                    ".abort.idle": 60.05,
                    ".abort.limit_match": "idle:60s",
                    ".abort.origin": "intermediary",
                    ".abort.reason": "connection_closed",
                    ".abort.recent_bytes": 0,
                    ".abort.rule": "closed",
                    ".abort.suspects": ["nginx", "AWS ALB", "Kong", "HAProxy", "Apache httpd", "Varnish"],
                    ".read.events": 1.0,
                    ".longest_silence": 60.05,
                    ".read.count": 5,
                    "error.type": "connection_closed",
                },
                absent=(".abort.also_possible",),
            ),
            events=[
                *FIRST_EVENTS,
                deltas(0.3, 0, "text", 10, count=2, gap=0.02, over=0.02),
                stall(60.37, "10s", "silent", 60.05, "text"),
                stall(60.37, "30s", "silent", 60.05, "text"),
                stall(60.37, "60s", "silent", 60.05, "text"),
                refusal(
                    60.37,
                    "connection_closed",
                    "intermediary",
                    "streaming",
                    "too_short",
                    **{".abort.idle": 60.05, ".abort.limit_match": "idle:60s", ".abort.suspects": IDLE_60},
                ),
                abort(60.37, "connection_closed", "intermediary", "streaming", idle=60.05, limit="idle:60s"),
            ],
            status=("ERROR", "connection_closed"),
        ),
    ],
    "closed": [
        span(
            "chat claude-test",
            lasts=0.32,
            attributes=but(
                BROKEN,
                {
                    ".abort.origin": "caller",
                    ".abort.reason": "caller_closed",
                    ".abort.rule": "caller_closed",
                    ".read.events": 1.0,
                    ".outcome": "closed",
                    ".read.count": 5,
                },
                absent=(
                    ".abort.advice",
                    ".abort.also_possible",
                    ".abort.limit_match",
                    ".billed.wasted_tokens",
                    "error.type",
                ),
            ),
            events=[
                *FIRST_EVENTS,
                deltas(0.3, 0, "text", 10, count=2, gap=0.02, over=0.02),
                abort(0.32, "caller_closed", "caller", "streaming"),
            ],
        ),
    ],
    "pings only": [
        span(
            "chat claude-test",
            lasts=35.36,
            attributes=but(
                HEALTHY,
                {
                    ".read.bytes": 1529,
                    ".event.count": 12,
                    ".ping.longest_gap": 15.02,
                    ".chunk.longest_gap": 35.02,
                    ".longest_silence": 15.0,
                    ".ping.count": 3,
                    ".read.count": 12,
                },
            ),
            events=[
                (0.0, ".message_start", {}),
                (0.3, ".content_block_start", {".block.index": 0, ".block.type": "text", ".event.gap": 0.3}),
                (0.3, ".ping", {".event.coalesced": 3, ".event.gap": 15.0, ".event.duration": 30.02}),
                deltas(0.3, 0, "text", 22, count=4, gap=35.02, over=35.06),
                stall(35.34, "10s", "pings_only", 35.02, "text"),
                stall(35.34, "30s", "pings_only", 35.02, "text"),
                (35.36, ".content_block_stop", {".block.index": 0}),
                (35.36, ".message_delta", {".stop_reason": "end_turn"}),
                (35.36, ".message_stop", {}),
            ],
        ),
    ],
}
"""The spans of each scene, in the order of their ends."""
