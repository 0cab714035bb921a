"""What the demo shows in modes `retry` and `resume`: streams that break, and what a further request is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from otel_claude_stream._core.retry.context import Action, Blocker
from otel_claude_stream._core.retry.policy import Mode, Resume
from otel_claude_stream._core.retry.resume.seam import anchor_of, partial_of
from otel_claude_stream._core.vocabulary import AbortReason as R
from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream.cli.scenarios import (
    HAIKU,
    INSTRUMENTATION,
    OPUS,
    SCENARIOS,
    SONNET,
    STORY,
    THOUGHTS,
    WEATHER,
    Expected,
    Scenario,
    answer,
    closed,
)
from otel_claude_stream.testing import CutMidChunk, End, Error, Event, Hang, Reset, Script

POLICY: Final[Mapping[str, str]] = {
    "OTEL_CLAUDE_STREAM_SDK_RETRIES": "replace",
    "OTEL_CLAUDE_STREAM_BUDGET__MIN_PER_WINDOW": "50",
}
"""Beside the mode: the policy retries before the response, too. And a budget for so few streams that nearly all break;
with the default one most of them would be given up, as they should be."""

LONG_STORY: Final = (
    f"{STORY} In the morning the supply boat brought letters, tobacco and a new wick, and nobody on it had noticed "
    "anything at all. She asked them for the time, one after the other, and wrote down each answer without a word. "
    "Then she climbed the hundred and ninety-nine steps, opened the case of the clockwork, and found a moth in it, "
    "which had lain between two wheels since the evening and had cost the sea one second in every sixty. She carried "
    "it to the window on the blade of her knife, corrected the book, and for once signed the page with her name."
)
OTHER: Final = (
    "Here is a recipe for bread: take a pound of flour, a spoon of salt, a little yeast and three cups of warm water, "
    "mix them well, and leave the dough alone until it has doubled. Fold it twice, shape it, and let it rise once more "
    "under a cloth. Bake it in a hot oven until it sounds hollow; then wait, which is the hardest part of all, since a "
    "loaf that is cut while it is hot never becomes what it was meant to be, and the second slice tells."
)
"""Nothing of `STORY` in it, and longer than the window in which a seam is looked for."""


def environment(mode: Mode) -> dict[str, str]:
    """How the application is instrumented in a mode: the policy by environment alone."""
    if mode is Mode.OBSERVE:
        return dict(INSTRUMENTATION)
    return {**INSTRUMENTATION, **POLICY, "OTEL_CLAUDE_STREAM_MODE": mode.value}


def shown(mode: Mode) -> tuple[Scenario, ...]:
    """The streams that are shown in a mode."""
    return SCENARIOS if mode is Mode.OBSERVE else RECOVERIES


def continued(model: str, broken: Script, text: str = STORY, *, lead: str = "", **values: Any) -> Script:
    """What a well-behaved model says when asked to go on after ``broken``: the end of it once more, then the rest."""
    stem = partial_of(text_of(broken)).stem
    return answer(model, lead + anchor_of(stem, Resume().anchor_chars) + text[len(stem) :], **values)


def prefilled(model: str, broken: Script, text: str = STORY) -> Script:
    """What a model says that goes on in its own turn: the rest, and nothing again."""
    return answer(model, text[len(partial_of(text_of(broken)).stem) :])


def text_of(script: Script) -> str:
    """The text that the deltas of a script bring."""
    found = []
    for step in script.steps:
        match step:
            case Event(data={"delta": {"type": "text_delta", "text": str(text)}}):
                found.append(text)
            case _:
                pass
    return "".join(found)


def done(how: Action, requests: int = 2) -> Expected:
    """The application noticed nothing but a pause."""
    return Expected(requests=requests, recovered=how)


def given_up(reason: R, blocked: Blocker | None, requests: int = 1, recovered: Action | None = None) -> Expected:
    """The application got the error that it would have got without us."""
    return Expected(Outcome.FAILED, (reason,), requests, recovered, blocked)


_OVERLOADED: Final = Script.http_error(529)
_EARLY: Final = answer(OPUS).cut_after(1, Error()).insert_pause(1, 0.9)
_LATE: Final = answer(SONNET).cut_after(38, Error())
_CUT: Final = replace(answer(OPUS).cut_after(30, CutMidChunk()).insert_pause(30, 2.03), headers=(("via", "1.1 edge"),))
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
    Scenario("text", "Plain answer", "nothing to do", SONNET, (answer(SONNET),)),
    # --- Again from the start: the application holds nothing yet.
    Scenario(
        "overloaded_early", "Overloaded before the answer", "an error inside a 200: begun again", OPUS,
        (_EARLY, answer(OPUS)), "events", expected=done(Action.RETRY),
    ),
    Scenario(
        "refused", "529 twice, then an answer", "the policy waits, in place of the SDK", SONNET,
        (_OVERLOADED, _OVERLOADED, answer(SONNET, STORY[:150])), "async_chat", expected=done(Action.RETRY, 3),
    ),
    Scenario(
        "mixed", "529, overloaded, an answer", "before the response, and inside it", OPUS,
        (_OVERLOADED, _EARLY, answer(OPUS, STORY[:200])), expected=done(Action.RETRY, 3),
    ),
    Scenario(
        "rate_limited", "429 with retry-after", "waits 2 s, as it was asked to", HAIKU,
        (Script.http_error(429, headers=(("retry-after", "2"),)), answer(HAIKU, STORY[:200])), "events",
        expected=done(Action.RETRY),
    ),
    # --- The text goes on where it broke.
    Scenario(
        "overloaded_late", "Overloaded in mid-answer", "asked to go on, and it does", SONNET,
        (_LATE, continued(SONNET, _LATE)), expected=done(Action.RESUME),
    ),
    Scenario(
        "cut_idle", "Cut after 2 s of silence", "as by the idle limit of a proxy", OPUS,
        (_CUT, continued(OPUS, _CUT)), expected=done(Action.RESUME),
    ),
    Scenario(
        "reset", "Connection reset", "RST in mid-answer", SONNET,
        (_RESET, continued(SONNET, _RESET)), "async_chat", expected=done(Action.RESUME),
    ),
    Scenario(
        "truncated", "Clean end, half an answer", "no exception, and yet continued", SONNET,
        (_HALF, continued(SONNET, _HALF)), expected=done(Action.RESUME),
    ),
    Scenario(
        "read_timeout", "The client's read time-out", "1.5 s without a byte, then the rest", SONNET,
        (_SILENT, continued(SONNET, _SILENT)), "chat", {"read_timeout": 1.5}, done(Action.RESUME),
    ),
    Scenario(
        "prefill", "A model that takes its turn up", "and repeats nothing (prefill)", HAIKU,
        (_HAIKU, prefilled(HAIKU, _HAIKU)), "events", expected=done(Action.RESUME),
    ),
    Scenario(
        "no_prefill", "A model that refuses to", "400, so it is asked the other way", HAIKU,
        (_HAIKU, _NO_PREFILL, continued(HAIKU, _HAIKU)), expected=done(Action.RESUME, 3),
    ),
    Scenario(
        "preamble", "A remark before it goes on", "its first words are dropped", SONNET,
        (_LONG, _REMARK), expected=done(Action.RESUME),
    ),
    Scenario(
        "told_again", "It tells all of it again", "and then goes on: nothing is told twice", SONNET,
        (_LONG, answer(SONNET, LONG_STORY, gap=0.015)), "async_chat", expected=done(Action.RESUME),
    ),
    # --- Given up: the application gets the first error.
    Scenario(
        "mismatch", "It goes on with something else", "no seam: the first error is raised", SONNET,
        (_LATE, answer(SONNET, OTHER)), expected=given_up(R.OVERLOADED, None, 2, Action.RESUME),
    ),
    Scenario(
        "restart", "It begins another version", "no seam: the first error is raised", SONNET,
        (_LATE, answer(SONNET, STORY[:100] + OTHER)), expected=given_up(R.OVERLOADED, None, 2, Action.RESUME),
    ),
    Scenario(
        "second_failure", "Breaks once more", "one continuation is allowed", SONNET,
        (_TWICE, _TWICE_MORE), expected=given_up(R.OVERLOADED, Blocker.RESUMES, 2, Action.RESUME),
    ),
    Scenario(
        "busy_again", "529 where it should go on", "a refused continuation counts, too", SONNET,
        (_LATE, _OVERLOADED), "async_chat", expected=given_up(R.OVERLOADED, Blocker.RESUMES, 2, Action.RESUME),
    ),
    Scenario(
        "exhausted", "529 every time", "three attempts, no answer", OPUS,
        (_OVERLOADED,), expected=given_up(R.OVERLOADED, Blocker.ATTEMPTS, 3, Action.RETRY),
    ),
    Scenario(
        "tool", "Breaks in a tool call", "half an input is no call", SONNET,
        (answer(SONNET, STORY[:110], tool=WEATHER).cut_after(30, Error()),), "final_message", {"tools": True},
        given_up(R.OVERLOADED, Blocker.TOOL),
    ),
    Scenario(
        "thinking", "Breaks while it thinks", "the application has seen the thoughts", OPUS,
        (answer(OPUS, STORY[:150], thinking=THOUGHTS).cut_after(20, Error()),), "events", {"thinking": True},
        given_up(R.OVERLOADED, Blocker.OUTPUT),
    ),
    Scenario(
        "too_short", "Breaks after a few words", "too little to find a seam", SONNET,
        (answer(SONNET).cut_after(9, Reset()),), expected=given_up(R.CONNECTION_RESET, Blocker.TOO_SHORT),
    ),
    Scenario(
        "spend_limit", "429 without retry-after", "a spend limit: no retry can succeed", HAIKU,
        (Script.http_error(429),), "events", expected=given_up(R.RATE_LIMITED, Blocker.RULE),
    ),
    Scenario(
        "later", "429, retry-after of five minutes", "longer than the policy waits", HAIKU,
        (Script.http_error(429, headers=(("retry-after", "300"),)),), "async_chat",
        expected=given_up(R.RATE_LIMITED, Blocker.RETRY_AFTER),
    ),
    Scenario(
        "html", "A page instead of a stream", "captive portal: it would answer again", HAIKU,
        (next(scenario.scripts[0] for scenario in SCENARIOS if scenario.name == "html"),), "events",
        expected=given_up(R.BAD_RESPONSE, Blocker.NEVER),
    ),
    Scenario(
        "cancelled", "The user goes away", "during the back-off: nothing more is sent", OPUS,
        (Script.http_error(529, headers=(("retry-after", "20"),)),), "cancelled", expected=closed(R.CANCELLED),
    ),
)  # fmt: skip


def expected(scenario: Scenario, mode: Mode) -> Expected:
    """What is found in a mode. In `retry` a text that broke stays broken."""
    if mode is not Mode.RETRY:
        return scenario.expected
    found = _IN_RETRY.get(scenario.name)
    return scenario.expected if found is None else given_up(found, Blocker.OUTPUT)


_IN_RETRY: Final[Mapping[str, R]] = {
    "overloaded_late": R.OVERLOADED,
    "cut_idle": R.CONNECTION_CLOSED,
    "reset": R.CONNECTION_RESET,
    "truncated": R.TRUNCATED,
    "read_timeout": R.SILENT,
    "prefill": R.CONNECTION_CLOSED,
    "no_prefill": R.CONNECTION_CLOSED,
    "preamble": R.OVERLOADED,
    "told_again": R.OVERLOADED,
    "busy_again": R.OVERLOADED,
    "mismatch": R.OVERLOADED,
    "restart": R.OVERLOADED,
    "second_failure": R.OVERLOADED,
    "too_short": R.CONNECTION_RESET,
}
"""Streams whose text broke, and how: continued in `resume`, left alone in `retry`."""
