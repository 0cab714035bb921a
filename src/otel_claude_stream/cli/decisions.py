"""What a retry policy decided about a stream, and what became of it, in words. Pure functions."""

from __future__ import annotations

from typing import Final

from otel_claude_stream._core.retry.context import Action, Blocker, DelaySource
from otel_claude_stream.cli import words
from otel_claude_stream.cli.model import StreamView
from otel_claude_stream.cli.timeline import GIVE_UP, Decided, Seam

BLOCKED: Final = {
    Blocker.KILL_SWITCH.value: "the kill switch is on",
    Blocker.CALLER.value: "the caller has left",
    Blocker.NEVER.value: "never retried",
    Blocker.SDK.value: "left to the SDK",
    Blocker.OUTPUT.value: "output was seen",
    Blocker.TOOL.value: "a tool call began",
    Blocker.REQUEST.value: "kind of request",
    Blocker.TOO_SHORT.value: "too short a text",
    Blocker.RULE.value: "the rule says no",
    Blocker.ATTEMPTS.value: "attempts used up",
    Blocker.RESUMES.value: "continuations used up",
    Blocker.REQUESTS.value: "requests used up",
    Blocker.DEADLINE.value: "past the deadline",
    Blocker.RETRY_AFTER.value: "too long a retry-after",
    Blocker.BUDGET.value: "the budget is empty",
}
"""What kept a policy from doing more."""

SEAMS: Final = {
    "anchor": "it repeated the end of the text",
    "overlap": "it repeated a part of the end",
    "exact": "it took its own turn up again",
    "preamble": "a remark before it was dropped",
    "restart": "it began another version",
    "mismatch": "it repeated nothing of the text",
    "empty": "it was empty",
}
"""How a continuation met the text."""

NO_SEAM: Final = "no seam"
SOURCES: Final = {DelaySource.BACKOFF.value: "back-off", DelaySource.RETRY_AFTER.value: "retry-after"}


def recovery(view: StreamView) -> str:
    """What the policy did: ``retried``, ``continued``, ``given up: tool``; empty if it did nothing, or only watched."""
    if view.handled != "given up":
        return view.handled
    last = view.decisions[-1].blocked_by if view.decisions else ""
    return f"{view.handled}: {NO_SEAM if view.seams and not view.seams[-1].fits else words.words(last)}"


def decided_words(decided: Decided) -> str:
    """One decision: ``the retry policy: retry after 420 ms``."""
    who = "a retry policy would" if decided.dry_run else "the retry policy:"
    if decided.decision == GIVE_UP:
        return f"{who} give up ({words.words(decided.blocked_by)})"
    what = "continue the text" if decided.decision == Action.RESUME.value else "retry"
    return f"{who} {what} after {words.seconds(decided.delay)}"


def decided_fully(decided: Decided) -> str:
    """One decision with what it was made of."""
    parts = [f"request {decided.attempt}: {words.words(decided.reason)} ({words.words(decided.phase)})"]
    parts.append(decided_words(decided))
    if decided.delay_source in SOURCES:
        parts[-1] += f" ({SOURCES[decided.delay_source]})"
    elif decided.blocked_by in BLOCKED:
        parts[-1] = parts[-1].replace(f"({words.words(decided.blocked_by)})", f"({BLOCKED[decided.blocked_by]})")
    if decided.budget_left is not None:
        parts.append(f"budget left: {decided.budget_left:.1f}")
    return "; ".join(parts)


def seam_words(seam: Seam) -> str:
    """How one continuation met the text."""
    met = "the text goes on" if seam.fits else "it does not fit"
    how = SEAMS.get(seam.result, words.words(seam.result))
    asked = "its own turn" if seam.strategy == "prefill" else "a user's turn"
    return f"request {seam.attempt}: {met} after {words.count(seam.characters)} characters; {how} ({asked})"


def story(view: StreamView) -> list[str]:
    """All decisions and seams of a stream, by time."""
    told = [(decided.at, 0, decided_fully(decided)) for decided in view.decisions]
    told += [(seam.at, 1, seam_words(seam)) for seam in view.seams]
    return [f"{words.seconds(at)}: {text}" for at, _, text in sorted(told)]
