"""The scenarios of the demo as data, with the responses of the fake API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from otel_claude_stream.testing import CutMidChunk, End, Error, Hang, Reset, Script

SONNET: Final = "claude-sonnet-5"
OPUS: Final = "claude-opus-5"
HAIKU: Final = "claude-haiku-4-5"
PACE: Final = {OPUS: 0.06, SONNET: 0.045, HAIKU: 0.025}
"""Seconds between two deltas, which depend on the model."""

INSTRUMENTATION: Final = {
    "OTEL_CLAUDE_STREAM_DELTAS": "all",
    "OTEL_CLAUDE_STREAM_EVENT_BUDGET": "1000",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "1024",
    "OTEL_CLAUDE_STREAM_STALL_THRESHOLDS": "1s,3s",
    "OTEL_CLAUDE_STREAM_KNOWN_LIMITS": "idle:2s=nginx",
}
"""The settings of the demo. Each delta is an event, for the chart, and limits are seconds instead of minutes."""

STORY: Final = (
    "The lighthouse keeper counted the seconds between the flashes, as she had done every night for thirty years. She "
    "wrote them down in a book that stayed unread. That night the count was wrong. She counted again, more slowly, and "
    "the sea, which had been loud all evening, went quiet as if it wanted to hear the number too."
)
THOUGHTS: Final = (
    "The user asks for the number of seconds. Twelve flashes a minute means one every five seconds, but the first one "
    "starts at zero, so eleven intervals lie between them."
)
WEATHER: Final = ("get_weather", {"city": "Reykjavík", "unit": "celsius", "days": 3, "details": ["wind", "waves"]})


@dataclass(frozen=True, slots=True)
class Scenario:
    """One stream of the demo. ``scripts`` are the responses to its HTTP requests; the last one repeats."""

    name: str
    title: str
    note: str
    model: str
    scripts: tuple[Script, ...]
    style: str = "chat"
    job: Mapping[str, Any] = field(default_factory=dict)


def answer(model: str, text: str = STORY, **values: Any) -> Script:
    """Return a complete answer at the pace of the model."""
    values = {"gap": PACE[model], "first_token_delay": 0.35, "input_tokens": 412, "output_tokens": 96, **values}
    return Script.message(text, model=model, **values)


_PAGE: Final = "<!doctype html><title>Guest network</title><h1>Welcome</h1><p>Please accept the terms of use.</p>"
_OVERLOADED: Final = Script.http_error(529)
CUT_IDLE: Final = replace(
    answer(OPUS).cut_after(30, CutMidChunk()).insert_pause(30, 2.03), headers=(("via", "1.1 edge"),)
)
_LIMITED: Final = Script.http_error(429, headers=(("retry-after", "2"),))

SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario("text", "Plain answer", "text, read as it comes", SONNET, (answer(SONNET),)),
    Scenario(
        "fast", "Fast model", "asynchronous client", HAIKU,
        (answer(HAIKU, first_token_delay=0.15),), "async_chat",
    ),
    Scenario(
        "thinking", "Thinking, then text", "thinking in another colour", OPUS,
        (answer(OPUS, STORY[:150], thinking=THOUGHTS, output_tokens=143),), "events", {"thinking": True},
    ),
    Scenario(
        "tool", "Tool call", "text, then the input of a tool", SONNET,
        (answer(SONNET, STORY[:110], tool=WEATHER),), "final_message", {"tools": True},
    ),
    Scenario(
        "slow_start", "Slow first token", "3.2 s until the first word", OPUS,
        (answer(OPUS, STORY[:170], first_token_delay=3.2),),
    ),
    Scenario(
        "stall_silent", "Stall without a byte", "silent for 3 s, then it continues", SONNET,
        (answer(SONNET, STORY[:220]).insert_pause(20, 3.0),), "async_chat",
    ),
    Scenario(
        "stall_pings", "Stall with pings", "pings for 3.5 s, but no progress", OPUS,
        (answer(OPUS, STORY[:200]).insert_pause(16, 3.5, 0.5),),
    ),
    Scenario(
        "overloaded_early", "Overloaded before the answer", "an error event inside a 200", OPUS,
        (answer(OPUS).cut_after(1, Error()).insert_pause(1, 0.9),), "events",
    ),
    Scenario(
        "overloaded_late", "Overloaded in mid-answer", "an error event, which the SDK does not retry", SONNET,
        (answer(SONNET).cut_after(34, Error()),),
    ),
    Scenario(
        "retried", "529 twice, then an answer", "the SDK retries while the user waits", SONNET,
        (_OVERLOADED, _OVERLOADED, answer(SONNET, STORY[:150])), "async_chat",
    ),
    Scenario(
        "exhausted", "529 until the SDK gives up", "three requests, no answer", OPUS,
        (_OVERLOADED,), "chat", {"max_retries": 2},
    ),
    Scenario(
        "rate_limited", "429 with retry-after", "the SDK waits 2 s as requested", HAIKU,
        (_LIMITED, answer(HAIKU, STORY[:200])), "events",
    ),
    Scenario(
        "gateway", "504 page from nginx", "an HTML page, not an API error", SONNET,
        (replace(Script.nginx_error(504), header_delay=1.2),), "chat", {"max_retries": 1},
    ),
    Scenario(
        "cut_idle", "Cut after 2 s of silence", "as an idle limit of a proxy does", OPUS,
        (CUT_IDLE,),
    ),
    Scenario(
        "reset", "Connection reset", "RST in mid-answer", SONNET,
        (answer(SONNET).cut_after(40, Reset()),), "async_chat",
    ),
    Scenario(
        "truncated", "Clean end, half an answer", "no exception is raised", SONNET,
        (answer(SONNET).cut_after(28, End()),),
    ),
    Scenario(
        "missing_stop", "Only message_stop is missing", "no content is lost: completed", HAIKU,
        (answer(HAIKU, STORY[:120], deltas=18).cut_after(23, End()),), "events",
    ),
    Scenario(
        "read_timeout", "The client's read timeout", "set to 1.5 s without a byte", SONNET,
        (answer(SONNET).cut_after(24, Hang(30.0)),), "chat", {"read_timeout": 1.5},
    ),
    Scenario(
        "html", "A page instead of a stream", "captive portal: 200, no exception", HAIKU,
        (Script.plain_response(200, _PAGE, (("server", "portal"),)),), "events",
    ),
    Scenario(
        "break", "The caller stops reading", "after the first sentence", SONNET,
        (answer(SONNET),), "first_sentence",
    ),
    Scenario(
        "bug", "A bug in the caller's loop", "KeyError in the application", HAIKU,
        (answer(HAIKU),), "buggy",
    ),
    Scenario(
        "cancelled", "The user goes away", "the task is cancelled", OPUS,
        (answer(OPUS),), "cancelled",
    ),
    Scenario(
        # Before anthropic 1.14 it ends when it is garbage-collected, often as late as the exit of the interpreter.
        "abandoned", "Forgotten stream", "half read, never closed", SONNET,
        (answer(SONNET),), "careless",
    ),
)  # fmt: skip

STAGGER: Final = 0.22
"""Seconds between the starts of two jobs, so that they do not slow each other down."""


def jobs(urls: Mapping[str, str], scenarios: Sequence[Scenario] = SCENARIOS) -> list[dict[str, Any]]:
    """Return one job of the application for each scenario, whose base URL is in ``urls``."""
    return [
        {
            "name": scenario.name,
            "base_url": urls[scenario.name],
            "model": scenario.model,
            "prompt": "Write a story about a lighthouse.",
            "style": scenario.style,
            "after": round(position * STAGGER, 2),
            **scenario.job,
        }
        for position, scenario in enumerate(scenarios)
    ]
