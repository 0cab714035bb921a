"""A text that breaks off, the policy that retries or resumes it at once, and the check of what the caller received."""

from __future__ import annotations

from typing import Any

from tests.support.received import assert_one_message, message_events, text_of
from tests.support.scenes import STORY
from tests.support.ways import Seen

from otel_claude_stream._core.retry.policy import Backoff, Budget, Jitter, Mode, RetryPolicy, Rule
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream.testing import CutMidChunk, End, Error, Reset, Script

BREAK_AT = 83
"""Characters of the story that arrive before the break."""
ANCHOR = 48
"""Characters before the break that a continuation repeats."""
NO_BACKOFF = Backoff(type=Jitter.NONE, base=0.001, cap=0.001)
RESUME_AT_ONCE = RetryPolicy(
    mode=Mode.RESUME, rules=(Rule(frozenset(AbortReason), backoff=NO_BACKOFF),), budget=Budget(min_per_window=100)
)


def text_script(text: str) -> Script:
    """Return the script of a message with this text in ten deltas, sent without delays."""
    return Script.message(text, deltas=10, pings=1)


COMPLETE = text_script(STORY)
BEFORE_BREAK = text_script(STORY[:BREAK_AT])
CONTINUATION = text_script(STORY[BREAK_AT - ANCHOR :])
RECOVERIES = {
    "retried": (COMPLETE.cut_after(2, Error()), COMPLETE),
    "resumed": (BEFORE_BREAK.cut_after(13, CutMidChunk()), CONTINUATION),
    "retried and resumed": (COMPLETE.cut_after(1, Reset()), BEFORE_BREAK.cut_after(13, End()), CONTINUATION),
}
"""For each way in which the policy saves a stream, the scripts of the requests that this takes."""


def _plain(event: Any) -> tuple[str, Any]:
    return type(event).__name__, event.model_dump(warnings=False)


def assert_complete(seen: Seen) -> None:
    """Assert that the caller received the whole text once, in each form in which it asked for it."""
    if seen.events:
        events = message_events([_plain(event) for event in seen.events])
        assert_one_message(events)
        assert events[-1]["type"] == "message_stop"
        assert text_of(events) == STORY
    if seen.texts:
        assert "".join(seen.texts) == STORY
    if seen.message is not None:
        assert [block.text for block in seen.message.content] == [STORY]
        assert seen.message.stop_reason == "end_turn"
    assert seen.events or seen.texts or seen.message
