"""The faults that each framework meets, the scripts of the API for them, and the expected ends of the streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from otel_claude_stream.testing import CutMidChunk, End, Error, Script

TEXT = "one two three four five six seven eight"
LONG_TEXT = " ".join(f"word{n}" for n in range(60))
OUTPUT_TOKENS = 15
EVENTS_BEFORE_FAULT = 6
"""`message_start`, `content_block_start`, a ping and three deltas."""

COMPLETED = ("completed", None)


@dataclass(frozen=True)
class Fault:
    """One case. `leaves`: the caller stops reading."""

    name: str
    title: str
    leaves: bool = False


HEALTHY = Fault("healthy", "a healthy answer")
OVERLOADED = Fault("overloaded", "an `overloaded_error` in mid-stream")
CUT = Fault("cut", "a connection cut in mid-stream")
TRUNCATED = Fault("truncated", "a clean end without `message_stop`")
BUSY = Fault("busy", "a 529, then an answer")
SLOW = Fault("slow", "a slow first token with pings")
LEFT = Fault("left", "a caller that leaves", leaves=True)
RECOVERED = Fault("recovered", "an `overloaded_error` before the first content, in mode `retry`")

FAULTS = (HEALTHY, OVERLOADED, CUT, TRUNCATED, BUSY, SLOW, LEFT)
BESIDE_NEIGHBOURS = (HEALTHY, OVERLOADED, BUSY, LEFT)
"""The faults that a neighbour meets."""
RETRIED = (HEALTHY, RECOVERED)

ENDINGS: Mapping[str, tuple[str, str | None]] = {
    "healthy": COMPLETED,
    "slow": COMPLETED,
    "tool": COMPLETED,
    "overloaded": ("failed", "overloaded"),
    "cut": ("failed", "connection_closed"),
    "truncated": ("failed", "truncated"),
    "busy": ("failed", "overloaded"),
    "recovered": ("failed", "overloaded"),
    "left": ("closed", None),
}
"""Outcome and abort reason of a stream by the script of its last response. The reason of a closed stream depends on how
the framework closes it: see `Framework.left_as`."""


def scripts(fault: Fault, content: str, before: str | None = None) -> Sequence[Script]:
    """Return the scripts of the requests of one call.

    `content` is `tool` (a call of the tool `Answer`) or a text with `{text}` for the words. `before` is the name of a
    tool that the model calls in a first answer, for applications that send a second request with its result.
    """
    answer = _answer(content)
    played = {
        "healthy": [answer],
        "overloaded": [answer.cut_after(EVENTS_BEFORE_FAULT, Error())],
        "cut": [answer.cut_after(EVENTS_BEFORE_FAULT, CutMidChunk())],
        "truncated": [answer.cut_after(EVENTS_BEFORE_FAULT, End())],
        "busy": [Script.http_error(529, headers=[("retry-after-ms", "1")]), answer],
        "slow": [answer.insert_pause(1, 0.5, ping_interval=0.2)],
        "left": [_answer(content, LONG_TEXT, gap=0.05)],
        "recovered": [answer.cut_after(2, Error()), answer],
    }[fault.name]
    named = [replace(script, name="healthy" if script is answer else fault.name) for script in played]
    if before is None:
        return named
    call = Script.message("", tool=(before, {"text": "hello"}), output_tokens=OUTPUT_TOKENS)
    return [replace(call, name="tool"), *named]


def _answer(content: str, text: str = TEXT, gap: float = 0.003) -> Script:
    if content == "tool":
        return Script.message("", tool=("Answer", {"text": text}), gap=gap, output_tokens=OUTPUT_TOKENS)
    return Script.message(content.format(text=text), gap=gap, output_tokens=OUTPUT_TOKENS)
