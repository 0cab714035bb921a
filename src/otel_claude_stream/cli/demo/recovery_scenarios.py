"""The scenarios of the demo in modes `retry` and `resume`: streams that break, and responses to further requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_claude_stream._core.retry.policy import Mode, Resume
from otel_claude_stream._core.retry.resume.seam import anchor_of, partial_of
from otel_claude_stream.cli.demo.scenarios import (
    CUT_IDLE,
    HAIKU,
    INSTRUMENTATION,
    OPUS,
    SCENARIOS,
    SONNET,
    STORY,
    THOUGHTS,
    WEATHER,
    Scenario,
    answer,
)
from otel_claude_stream.testing import CutMidChunk, End, Error, Event, Hang, Reset, Script

POLICY: Final[Mapping[str, str]] = {
    "OTEL_CLAUDE_STREAM_SDK_RETRIES": "replace",
    "OTEL_CLAUDE_STREAM_BUDGET__MIN_PER_WINDOW": "50",
}
"""Settings beside the mode. The policy also retries before the response. The budget is larger than the default, under
which most streams would be given up, since nearly all of them break."""

LONG_STORY: Final = (
    f"{STORY} In the morning the supply boat brought letters, tobacco and a new wick. The crew had not noticed "
    "anything at all. She asked them for the time, one after the other, and wrote down each answer without a word. "
    "Then she climbed the hundred and ninety-nine steps, opened the case of the clockwork, and found a moth in it. "
    "It had lain between two wheels since the evening and had cost the sea one second in every sixty. She carried "
    "it to the window on the blade of her knife, corrected the book, and for once signed the page with her name."
)
OTHER: Final = (
    "Here is a recipe for bread. Take a pound of flour, a spoon of salt, a little yeast and three cups of warm water. "
    "Mix them well, and leave the dough alone until it has doubled. Fold it twice, shape it, and let it rise once more "
    "under a cloth. Bake it in a hot oven until it sounds hollow. Then wait, which is the hardest part of all. A loaf "
    "that is cut while it is hot never becomes as good as it might have been, and the second slice proves it."
)
"""A text without any part of `STORY`, longer than the window in which a seam is searched."""


def environment(mode: Mode) -> dict[str, str]:
    """Return the settings of the instrumentation and the policy in a mode, as environment variables."""
    if mode is Mode.OBSERVE:
        return dict(INSTRUMENTATION)
    return {**INSTRUMENTATION, **POLICY, "OTEL_CLAUDE_STREAM_MODE": mode.value}


def scenarios_for(mode: Mode) -> tuple[Scenario, ...]:
    """Return the scenarios of a mode."""
    return SCENARIOS if mode is Mode.OBSERVE else RECOVERIES


def continued(model: str, broken: Script, text: str = STORY, *, lead: str = "", **values: Any) -> Script:
    """Return the response of a model that resumes ``broken`` as asked: it repeats the end, then sends the rest."""
    stem = partial_of(text_of(broken)).stem
    return answer(model, lead + anchor_of(stem, Resume().anchor_chars) + text[len(stem) :], **values)


def prefilled(model: str, broken: Script, text: str = STORY) -> Script:
    """Return the response of a model that resumes ``broken`` by prefill, without repeating anything."""
    return answer(model, text[len(partial_of(text_of(broken)).stem) :])


def text_of(script: Script) -> str:
    """Return the text in the deltas of a script."""
    found = []
    for step in script.steps:
        match step:
            case Event(data={"delta": {"type": "text_delta", "text": str(text)}}):
                found.append(text)
            case _:
                pass
    return "".join(found)


_OVERLOADED: Final = Script.http_error(529)
_EARLY: Final = answer(OPUS).cut_after(1, Error()).insert_pause(1, 0.9)
_LATE: Final = answer(SONNET).cut_after(38, Error())
_RESET: Final = answer(SONNET).cut_after(40, Reset())
_HALF: Final = answer(SONNET).cut_after(28, End())
_SILENT: Final = answer(SONNET).cut_after(24, Hang(30.0))
_HAIKU: Final = answer(HAIKU).cut_after(44, CutMidChunk())
_TWICE: Final = answer(SONNET, LONG_STORY).cut_after(26, Error())
_TWICE_MORE: Final = continued(SONNET, _TWICE, LONG_STORY).cut_after(36, Error())
_LONG: Final = answer(SONNET, LONG_STORY).cut_after(38, Error())
_REMARK: Final = continued(SONNET, _LONG, LONG_STORY, lead="Of course, here is the rest:\n\n", gap=0.015)
_NO_PREFILL: Final = Script.http_error(400, message="Prefilling assistant messages is not supported for this model.")

RECOVERIES: Final[tuple[Scenario, ...]] = (
    Scenario("text", "Plain answer", "no action is needed", SONNET, (answer(SONNET),)),
    # --- Retried: no content has been delivered.
    Scenario(
        "overloaded_early", "Overloaded before the answer", "an error inside a 200: retried", OPUS,
        (_EARLY, answer(OPUS)), "events",
    ),
    Scenario(
        "refused", "529 twice, then an answer", "retried by the policy, not by the SDK", SONNET,
        (_OVERLOADED, _OVERLOADED, answer(SONNET, STORY[:150])), "async_chat",
    ),
    Scenario(
        "mixed", "529, overloaded, an answer", "before the response, and inside it", OPUS,
        (_OVERLOADED, _EARLY, answer(OPUS, STORY[:200])),
    ),
    Scenario(
        "rate_limited", "429 with retry-after", "the policy waits 2 s as requested", HAIKU,
        (Script.http_error(429, headers=(("retry-after", "2"),)), answer(HAIKU, STORY[:200])), "events",
    ),
    # --- Continued: a further request resumes the text.
    Scenario(
        "overloaded_late", "Overloaded in mid-answer", "a further request continues the text", SONNET,
        (_LATE, continued(SONNET, _LATE)),
    ),
    Scenario(
        "cut_idle", "Cut after 2 s of silence", "as an idle limit of a proxy does", OPUS,
        (CUT_IDLE, continued(OPUS, CUT_IDLE)),
    ),
    Scenario(
        "reset", "Connection reset", "RST in mid-answer", SONNET,
        (_RESET, continued(SONNET, _RESET)), "async_chat",
    ),
    Scenario(
        "truncated", "Clean end, half an answer", "continued although no exception was raised", SONNET,
        (_HALF, continued(SONNET, _HALF)),
    ),
    Scenario(
        "read_timeout", "The client's read timeout", "1.5 s without a byte, then the rest", SONNET,
        (_SILENT, continued(SONNET, _SILENT)), "chat", {"read_timeout": 1.5},
    ),
    Scenario(
        "prefill", "A model that supports prefill", "it repeats nothing", HAIKU,
        (_HAIKU, prefilled(HAIKU, _HAIKU)), "events",
    ),
    Scenario(
        "no_prefill", "A model that refuses prefill", "400, then resumed in a user's turn", HAIKU,
        (_HAIKU, _NO_PREFILL, continued(HAIKU, _HAIKU)),
    ),
    Scenario(
        "preamble", "A remark before the rest", "the remark is dropped", SONNET,
        (_LONG, _REMARK),
    ),
    Scenario(
        "repeated", "It repeats the whole text", "nothing is delivered twice", SONNET,
        (_LONG, answer(SONNET, LONG_STORY, gap=0.015)), "async_chat",
    ),
    # --- Given up: the application receives the first error.
    Scenario(
        "mismatch", "It continues with another text", "no seam: the first error is raised", SONNET,
        (_LATE, answer(SONNET, OTHER)),
    ),
    Scenario(
        "restart", "It begins another version", "no seam: the first error is raised", SONNET,
        (_LATE, answer(SONNET, STORY[:100] + OTHER)),
    ),
    Scenario(
        "second_failure", "Breaks once more", "only one resume is allowed", SONNET,
        (_TWICE, _TWICE_MORE),
    ),
    Scenario(
        "busy_again", "529 for the resume request", "a refused resume counts, too", SONNET,
        (_LATE, _OVERLOADED), "async_chat",
    ),
    Scenario(
        "exhausted", "529 every time", "three attempts, no answer", OPUS,
        (_OVERLOADED,),
    ),
    Scenario(
        "tool", "Breaks in a tool call", "half an input is not usable", SONNET,
        (answer(SONNET, STORY[:110], tool=WEATHER).cut_after(30, Error()),), "final_message", {"tools": True},
    ),
    Scenario(
        "thinking", "Breaks while thinking", "the thinking has been delivered", OPUS,
        (answer(OPUS, STORY[:150], thinking=THOUGHTS).cut_after(20, Error()),), "events", {"thinking": True},
    ),
    Scenario(
        "too_short", "Breaks after a few words", "too short to find a seam", SONNET,
        (answer(SONNET).cut_after(9, Reset()),),
    ),
    Scenario(
        "spend_limit", "429 without retry-after", "a spend limit: no retry can succeed", HAIKU,
        (Script.http_error(429),), "events",
    ),
    Scenario(
        "later", "429, retry-after of five minutes", "longer than the policy waits", HAIKU,
        (Script.http_error(429, headers=(("retry-after", "300"),)),), "async_chat",
    ),
    Scenario(
        "html", "A page instead of a stream", "captive portal: a retry cannot help", HAIKU,
        (next(scenario.scripts[0] for scenario in SCENARIOS if scenario.name == "html"),), "events",
    ),
    Scenario(
        "cancelled", "The user goes away", "during the backoff: no further request", OPUS,
        (Script.http_error(529, headers=(("retry-after", "20"),)),), "cancelled",
    ),
)  # fmt: skip
