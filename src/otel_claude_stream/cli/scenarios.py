"""The scenarios of the demo, as data: what the fake API does, how the application reads it, what should be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from otel_claude_stream._core.retry.context import Action, Blocker
from otel_claude_stream._core.vocabulary import AbortReason as R
from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream.testing import CutMidChunk, End, Error, Hang, Reset, Script

SONNET: Final = "claude-sonnet-5"
OPUS: Final = "claude-opus-5"
HAIKU: Final = "claude-haiku-4-5"
PACE: Final = {OPUS: 0.06, SONNET: 0.045, HAIKU: 0.025}
"""Seconds between two deltas: the models differ."""

INSTRUMENTATION: Final = {
    "OTEL_CLAUDE_STREAM_DELTAS": "all",
    "OTEL_CLAUDE_STREAM_EVENT_BUDGET": "1000",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "1024",
    "OTEL_CLAUDE_STREAM_STALL_THRESHOLDS": "1s,3s",
    "OTEL_CLAUDE_STREAM_KNOWN_LIMITS": "idle:2s=nginx",
}
"""What the demo sets: each delta an event, so that the picture can show it; and seconds where the world has minutes."""

STORY: Final = (
    "The lighthouse keeper counted the seconds between the flashes, as she had done every night for thirty years, and "
    "wrote them down in a book that nobody read. That night the count was wrong. She counted again, more slowly, and "
    "the sea, which had been loud all evening, went quiet as if it wanted to hear the number too."
)
THOUGHTS: Final = (
    "The user asks for the number of seconds. Twelve flashes a minute means one every five seconds, but the first one "
    "starts at zero, so eleven intervals lie between them."
)
WEATHER: Final = ("get_weather", {"city": "Reykjavík", "unit": "celsius", "days": 3, "details": ["wind", "waves"]})


@dataclass(frozen=True, slots=True)
class Expected:
    """What a correct instrumentation finds; ``reasons`` are alternatives, none for a stream that completes.

    ``recovered`` is what a retry policy did in the end, ``blocked`` what kept it from doing more.
    """

    outcome: Outcome = Outcome.COMPLETED
    reasons: tuple[R, ...] = ()
    requests: int = 1
    recovered: Action | None = None
    blocked: Blocker | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One stream of the demo: ``scripts`` are the answers to its HTTP requests, in order, the last one repeating."""

    name: str
    title: str
    note: str
    model: str
    scripts: tuple[Script, ...]
    style: str = "chat"
    job: Mapping[str, Any] = field(default_factory=dict)
    expected: Expected = field(default_factory=Expected)


def answer(model: str, text: str = STORY, **values: Any) -> Script:
    """A complete answer at the pace of the model."""
    values = {"gap": PACE[model], "first_token_delay": 0.35, "input_tokens": 412, "output_tokens": 96, **values}
    return Script.message(text, model=model, **values)


def failed(reason: R, requests: int = 1) -> Expected:
    """Ended by anything but the caller."""
    return Expected(Outcome.FAILED, (reason,), requests)


def closed(*reasons: R) -> Expected:
    """Ended by the caller."""
    return Expected(Outcome.CLOSED, reasons)


def _headed(script: Script, *headers: tuple[str, str]) -> Script:
    return replace(script, headers=(*script.headers, *headers))


_PAGE: Final = "<!doctype html><title>Guest network</title><h1>Welcome</h1><p>Please accept the terms of use.</p>"
_OVERLOADED: Final = Script.http_error(529)
_LIMITED: Final = Script.http_error(429, headers=(("retry-after", "2"),))

SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario("text", "Plain answer", "text, read as it comes", SONNET, (answer(SONNET),)),
    Scenario(
        "fast", "Fast model", "asynchronous client", HAIKU,
        (answer(HAIKU, first_token_delay=0.15),), "async_chat",
    ),
    Scenario(
        "thinking", "Thinking, then text", "thinking has its own colour", OPUS,
        (answer(OPUS, STORY[:150], thinking=THOUGHTS, output_tokens=143),),
        "events", {"thinking": True},
    ),
    Scenario(
        "tool", "Tool call", "text, then the input of a tool", SONNET,
        (answer(SONNET, STORY[:110], tool=WEATHER),),
        "final_message", {"tools": True},
    ),
    Scenario(
        "slow_start", "Slow first token", "3.2 s until the first word", OPUS,
        (answer(OPUS, STORY[:170], first_token_delay=3.2),),
    ),
    Scenario(
        "stall_silent", "Stall without a byte", "silent for 3 s, then it goes on", SONNET,
        (answer(SONNET, STORY[:220]).insert_pause(20, 3.0),), "async_chat",
    ),
    Scenario(
        "stall_pings", "Stall with pings", "alive for 3.5 s, and no progress", OPUS,
        (answer(OPUS, STORY[:200]).insert_pause(16, 3.5, 0.5),),
    ),
    Scenario(
        "overloaded_early", "Overloaded before the answer", "an error event inside a 200", OPUS,
        (answer(OPUS).cut_after(1, Error()).insert_pause(1, 0.9),),
        "events", expected=failed(R.OVERLOADED),
    ),
    Scenario(
        "overloaded_late", "Overloaded in mid-answer", "an error event; the SDK does not retry", SONNET,
        (answer(SONNET).cut_after(34, Error()),), expected=failed(R.OVERLOADED),
    ),
    Scenario(
        "retried", "529 twice, then an answer", "the SDK retries, the user waits", SONNET,
        (_OVERLOADED, _OVERLOADED, answer(SONNET, STORY[:150])), "async_chat",
        expected=Expected(requests=3),
    ),
    Scenario(
        "exhausted", "529 until the SDK gives up", "three requests, no answer", OPUS,
        (_OVERLOADED,), "chat", {"max_retries": 2}, failed(R.OVERLOADED, 3),
    ),
    Scenario(
        "rate_limited", "429 with retry-after", "the SDK waits 2 s, as it was asked to", HAIKU,
        (_LIMITED, answer(HAIKU, STORY[:200])), "events", expected=Expected(requests=2),
    ),
    Scenario(
        "gateway", "504 page from nginx", "a page, so not Anthropic's words", SONNET,
        (replace(Script.nginx_error(504), header_delay=1.2),), "chat", {"max_retries": 1}, failed(R.GATEWAY_ERROR, 2),
    ),
    Scenario(
        "cut_idle", "Cut after 2 s of silence", "as by the idle limit of a proxy", OPUS,
        (_headed(answer(OPUS).cut_after(30, CutMidChunk()).insert_pause(30, 2.03), ("via", "1.1 edge")),),
        expected=failed(R.CONNECTION_CLOSED),
    ),
    Scenario(
        "reset", "Connection reset", "RST in mid-answer", SONNET,
        (answer(SONNET).cut_after(40, Reset()),), "async_chat", expected=failed(R.CONNECTION_RESET),
    ),
    Scenario(
        "truncated", "Clean end, half an answer", "no exception: taken for the whole", SONNET,
        (answer(SONNET).cut_after(28, End()),), expected=failed(R.TRUNCATED),
    ),
    Scenario(
        "missing_stop", "Only message_stop is missing", "nothing is lost: completed", HAIKU,
        (answer(HAIKU, STORY[:120], deltas=18).cut_after(23, End()),), "events",
    ),
    Scenario(
        "read_timeout", "The client's read time-out", "set to 1.5 s without a byte", SONNET,
        (answer(SONNET).cut_after(24, Hang(30.0)),), "chat", {"read_timeout": 1.5}, failed(R.SILENT),
    ),
    Scenario(
        "html", "A page instead of a stream", "captive portal: 200, no exception", HAIKU,
        (Script.plain_response(200, _PAGE, (("server", "portal"),)),), "events", expected=failed(R.BAD_RESPONSE),
    ),
    Scenario(
        "break", "The caller stops reading", "it has seen enough", SONNET,
        (answer(SONNET),), "first_sentence", expected=closed(R.CALLER_CLOSED),
    ),
    Scenario(
        "bug", "A bug in the caller's loop", "KeyError in its own code", HAIKU,
        (answer(HAIKU),), "buggy", expected=closed(R.CALLER_ERROR),
    ),
    Scenario(
        "cancelled", "The user goes away", "the task is cancelled", OPUS,
        (answer(OPUS),), "cancelled", expected=closed(R.CANCELLED),
    ),
    Scenario(
        # Before anthropic 1.14 it ends when the garbage collector comes by, often not before the interpreter's end.
        "abandoned", "Forgotten stream", "dropped half-read, never closed", SONNET,
        (answer(SONNET),), "careless", expected=closed(R.ABANDONED, R.INTERPRETER_EXIT),
    ),
)  # fmt: skip

STAGGER: Final = 0.22
"""Seconds from the start of one job to that of the next: so many at the same moment would only wait for each other."""


def jobs(urls: Mapping[str, str], scenarios: Sequence[Scenario] = SCENARIOS) -> list[dict[str, Any]]:
    """What the application is given: one job a scenario, ``urls`` telling its base URL by name."""
    return [
        {
            "name": scenario.name,
            "base_url": urls[scenario.name],
            "model": scenario.model,
            "prompt": "Tell me a story about a lighthouse.",
            "style": scenario.style,
            "after": round(position * STAGGER, 2),
            **scenario.job,
        }
        for position, scenario in enumerate(scenarios)
    ]
