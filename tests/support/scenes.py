"""Scripts of streams of every kind, by name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from otel_claude_stream._core.retry.policy import Mode, RetryPolicy
from otel_claude_stream.testing import CutMidChunk, End, Error, Event, Hang, Pause, Ping, Reset, Script

MESSAGE = Script.message(
    "Hello, big wide world!",
    gap=0.02,
    first_token_delay=0.3,
    cache_read_input_tokens=100,
    cache_creation_input_tokens=7,
)
"""The events are start, block start, ping, four deltas, block stop, message delta and stop."""


def after(script: Script, events: int, *steps: Any) -> Script:
    """Return the first events of a script, followed by other steps."""
    return replace(script, steps=(*script.cut_after(events, End()).steps[:-1], *steps))


STORY = "The quick brown fox jumps over the lazy dog, and goes home to sleep under the old oak tree until morning."


def paced_script(text: str, **options: Any) -> Script:
    """Return a message of ten deltas with this text."""
    return Script.message(text, deltas=10, gap=0.02, first_token_delay=0.3, **options)


def resuming_script(after: str, repeats: int = 48) -> Script:
    """Return a message that resumes `STORY` after the text `after`, and repeats its last characters."""
    return paced_script(after[-repeats:] + STORY[len(after) :])


BROKEN = paced_script(STORY).cut_after(11, CutMidChunk())

RETRY = RetryPolicy(mode=Mode.RETRY)
RESUME = RetryPolicy(mode=Mode.RESUME)

OMITTED = {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "xhigh"}}
PARAMETERS = {
    **OMITTED,
    "output_config": {"effort": "xhigh", "format": {"type": "json_schema", "schema": {}}},
    "stop_sequences": ["END", "STOP"],
}

BUSY = Script.http_error(529, headers=[("retry-after-ms", "250")])
LIMITED = Script.http_error(429, headers=[("retry-after", "2")])


DATE = ("date", "Sat, 28 Nov 2026 13:00:00 GMT")
RATE_LIMITS = [
    (f"anthropic-ratelimit-{kind}-{name}", value)
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
    for name, value in (("remaining", "7"), ("limit", "50"), ("reset", "2026-11-28T13:00:30Z"))
]
NO_REQUESTS_LEFT = [
    DATE,
    ("retry-after", "2"),
    ("anthropic-ratelimit-requests-remaining", "0"),
    ("anthropic-ratelimit-requests-reset", "2026-11-28T13:00:02Z"),
]


@dataclass(frozen=True)
class Scene:
    """A call: a script for each attempt, the request, and the way to read it."""

    scripts: Script | tuple[Script, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    way: str = "create"
    leaves: str = ""
    """How the caller leaves at the second text delta: `close`, `break`, `raise`, or empty if it does not."""


def event(kind: str, **data: Any) -> Event:
    """Return an event with this data."""
    return Event(kind, {"type": kind, **data})


def block(index: int, start: dict[str, Any], *deltas: Any) -> tuple[Any, ...]:
    """Return the events of a content block. Deltas may have pauses between them."""
    return (
        event("content_block_start", index=index, content_block=start),
        *(
            event("content_block_delta", index=index, delta=delta) if isinstance(delta, dict) else delta
            for delta in deltas
        ),
        event("content_block_stop", index=index),
    )


def text_block(index: int, *pieces: str) -> tuple[Any, ...]:
    """Return the events of a block of text."""
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def with_blocks(*events: Any, **usage: Any) -> Script:
    """Return a message with these events instead of its blocks, and with more fields of the final usage."""
    start, *_, stop = MESSAGE.steps
    counts = {"input_tokens": 25, "output_tokens": 15, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 7}
    end = event("message_delta", delta={"stop_reason": "end_turn"}, usage={**counts, **usage})
    return replace(MESSAGE, steps=(start, *events, end, stop))


def tokens(kind: str, *counts: int, **more: str) -> dict[str, Any]:
    """Return an entry of `usage.iterations`: input, output, cache reads and cache writes."""
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return {"type": kind, **dict(zip(names, counts, strict=True)), **more}


FALLBACK = with_blocks(
    *text_block(0, "I had"),
    *block(
        1,
        {
            "type": "fallback",
            "from": {"model": "claude-test"},
            "to": {"model": "claude-fallback-1"},
            "trigger": {"type": "refusal", "category": "bio"},
        },
    ),
    *text_block(2, " a look."),
    iterations=[
        tokens("message", 20, 2, 100, 0, model="claude-test"),
        tokens("fallback_message", 25, 15, 100, 7, model="claude-fallback-1"),
    ],
)
"""The requested model declines after its first words, and a fallback model continues."""

COMPACTED = with_blocks(
    Pause(45.0),
    *block(
        0,
        {"type": "compaction", "content": None, "encrypted_content": None},
        {"type": "compaction_delta", "content": "They met and talked.", "encrypted_content": "opaque"},
    ),
    Pause(0.5),
    *text_block(1, "Hello", " again."),
    iterations=[tokens("compaction", 3000, 400, 90, 10), tokens("message", 25, 15, 100, 7)],
)
"""The server replaces the conversation with a summary, which arrives in one delta after a long silence."""

LONG_THOUGHT = with_blocks(
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "", "estimated_tokens": 50},
        Pause(35.0),
        {"type": "thinking_delta", "thinking": "", "estimated_tokens": 50},
        {"type": "signature_delta", "signature": "c2lnbmVk"},
    ),
    *text_block(1, "Yes", ", it is."),
)
"""The model thinks in silence, since the request omits what it thinks."""


SCENES: dict[str, Scene] = {
    "text": Scene(MESSAGE),
    "sampling": Scene(MESSAGE, request={"extra_body": {"temperature": 0.5, "top_p": 0.9, "top_k": 40}}),
    "helper": Scene(MESSAGE, way="stream"),
    "thinking": Scene(Script.message("Yes.", thinking="Let me see", gap=0.01)),
    "tool": Scene(Script.message("", tool=("get_weather", {"city": "Paris"}), gap=0.05)),
    "sse error": Scene(MESSAGE.cut_after(5, Error())),
    "sse error at once": Scene(MESSAGE.cut_after(1, Error("api_error", "Internal server error"))),
    "retried": Scene((BUSY, replace(BUSY, header_delay=0.1), MESSAGE)),
    "retried after a refusal": Scene((Script.no_response(delay=0.2), LIMITED, MESSAGE)),
    "gave up": Scene((BUSY,)),
    "rate limited": Scene(
        (
            Script.http_error(429, headers=NO_REQUESTS_LEFT),
            replace(MESSAGE, headers=(DATE, ("retry-after", "9"), *RATE_LIMITS)),
        )
    ),
    "refused": Scene(Script.no_response(delay=0.5), request={"model": "claude-other"}),
    "rejected": Scene(Script.http_error(400)),
    "gateway": Scene(Script.nginx_error(504)),
    "page": Scene(Script.plain_response(200, "<html>Log in</html>", [("server", "portal")])),
    "truncated": Scene(MESSAGE.cut_after(5, End())),
    "truncated at the end": Scene(MESSAGE.cut_after(9, End())),
    "cut after silence": Scene(after(MESSAGE, 5, Pause(60.05), CutMidChunk())),
    "reset": Scene(after(MESSAGE, 5, Reset())),
    "reset after stop": Scene(after(MESSAGE, 10, Reset())),
    "timed out": Scene(after(MESSAGE, 5, Hang(600.0))),
    "garbage": Scene(after(MESSAGE, 5, Event("content_block_delta", "{no json"))),
    "silent stall": Scene(MESSAGE.insert_pause(5, 35.0)),
    "pings only": Scene(MESSAGE.insert_pause(5, 35.0, ping_interval=15.0)),
    "unknown": Scene(after(MESSAGE, 2, Event("stall", {"type": "stall"}), Event("new_thing", {"type": "new_thing"}))),
    "closed": Scene(MESSAGE, leaves="close"),
    "left by break": Scene(MESSAGE, leaves="break"),
    "left by an error": Scene(MESSAGE, leaves="raise"),
    "0.1": Scene(MESSAGE, {"semconv": "0.1"}),
    "both": Scene(MESSAGE, {"semconv": "both"}),
    "small budget": Scene(Script.message(deltas=60), {"deltas": "all", "event_budget": 16}),
    "slow all along": Scene(
        replace(MESSAGE, steps=tuple(part for step in MESSAGE.steps for part in (Pause(0.1), step)))
    ),
    "slow to fail": Scene(
        after(MESSAGE, 2, Pause(0.1), Event("new_thing", {}), Pause(0.1), Error()), {"semconv": "0.1"}
    ),
    "replayed": Scene((paced_script(STORY).cut_after(2, Error()), paced_script(STORY)), {"retry_policy": RETRY}),
    "resumed": Scene(
        (paced_script(STORY).cut_after(11, CutMidChunk()), resuming_script(STORY[:83])), {"retry_policy": RESUME}
    ),
    "not resumed": Scene(
        (paced_script(STORY).cut_after(11, CutMidChunk()), paced_script("Of course!")), {"retry_policy": RESUME}
    ),
    "resumed after a limit": Scene(
        (after(paced_script(STORY), 11, Pause(60.05), Reset()), resuming_script(STORY[:83])), {"retry_policy": RESUME}
    ),
    "sent to a fallback model": Scene(
        (MESSAGE.cut_after(2, Error()), MESSAGE),
        {"retry_policy": replace(RETRY, fallback=(("claude-test", ("claude-opus-4-8",)),))},
    ),
    "fallback": Scene(FALLBACK),
    "fallback that broke": Scene(FALLBACK.cut_after(7, CutMidChunk())),
    "compacted": Scene(COMPACTED),
    "long thought": Scene(LONG_THOUGHT, request={"extra_body": OMITTED}),
    "parameters": Scene(MESSAGE, request={"extra_body": PARAMETERS}),
    "reasoning": Scene(
        with_blocks(*MESSAGE.steps[1:-2], output_tokens_details={"thinking_tokens": 9}), {"semconv": "both"}
    ),
    "pinged": Scene(after(MESSAGE, 3, Pause(5), Ping(), Pause(7), Ping(), *MESSAGE.steps[4:])),
}
