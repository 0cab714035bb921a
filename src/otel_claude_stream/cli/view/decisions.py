"""Decisions of a retry policy about a stream, and the seams of a resumed text, as text."""

from __future__ import annotations

from typing import Final

from otel_claude_stream._core.retry.context import Action, Blocker, DelaySource
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.timeline import GIVE_UP, Decision, Seam

BLOCKED: Final = {
    Blocker.KILL_SWITCH.value: "the kill switch is on",
    Blocker.CALLER.value: "the caller has left",
    Blocker.NEVER.value: "never retried",
    Blocker.SDK.value: "left to the SDK",
    Blocker.MODEL.value: "no fallback model takes the request",
    Blocker.OUTPUT.value: "output was delivered",
    Blocker.TOOL.value: "a tool call had begun",
    Blocker.REQUEST.value: "kind of request",
    Blocker.TOO_SHORT.value: "the text is too short",
    Blocker.RULE.value: "forbidden by a rule",
    Blocker.ATTEMPTS.value: "no attempts left",
    Blocker.RESUMES.value: "no resumes left",
    Blocker.REQUESTS.value: "no requests left",
    Blocker.DEADLINE.value: "past the deadline",
    Blocker.RETRY_AFTER.value: "retry-after is too long",
    Blocker.BUDGET.value: "the budget is empty",
    Blocker.CONCURRENCY.value: "no permit in time",
}
"""Why a policy did not do more."""

SEAMS: Final = {
    "anchor": "it repeated the end of the text",
    "overlap": "it repeated a part of the end",
    "exact": "it continued without repeating anything",
    "preamble": "a remark before it was dropped",
    "restart": "it began another version",
    "mismatch": "it repeated nothing of the text",
    "empty": "it was empty",
}
"""How a resumed text met the text before it."""

NO_SEAM: Final = "no seam"
SOURCES: Final = {DelaySource.BACKOFF.value: "backoff", DelaySource.RETRY_AFTER.value: "retry-after"}


def policy_summary(view: StreamView) -> str:
    """Return ``retried``, ``continued``, or ``given up`` with the reason; empty without any action of the policy."""
    if view.policy_result != "given up":
        return view.policy_result
    last = view.decisions[-1].blocked_by if view.decisions else ""
    reason = NO_SEAM if view.seams and not view.seams[-1].fits else formatting.readable(last)
    return f"{view.policy_result}: {reason}"


def recovered_cuts(view: StreamView) -> str:
    """Return the cuts at known limits that another attempt followed, ``resumed after a cut at idle:60s (nginx)``."""
    resumed = {one.attempt for one in view.decisions if one.decision == Action.RESUME.value}
    found = [
        f"{'resumed' if attempt.number in resumed else 'retried'} after a cut at {attempt.limit}"
        for attempt in view.attempts[:-1]
        if attempt.limit
    ]
    return "; ".join(dict.fromkeys(found))


def decision_text(decision: Decision) -> str:
    """Describe one decision with its grounds, such as ``...; the retry policy: retry after 420 ms (backoff)``."""
    cause = f"{formatting.readable(decision.reason)} ({formatting.readable(decision.phase)})"
    subject = "a retry policy would" if decision.dry_run else "the retry policy:"
    budget = "" if decision.budget_left is None else f"; budget left: {decision.budget_left:.1f}"
    if decision.decision == GIVE_UP:
        blocker = BLOCKED.get(decision.blocked_by, formatting.readable(decision.blocked_by))
        action = f"give up ({blocker})"
    else:
        verb = "continue the text" if decision.decision == Action.RESUME.value else "retry"
        verb += f" with {decision.model}" if decision.model else ""
        source = SOURCES.get(decision.delay_source)
        action = f"{verb} after {formatting.seconds(decision.delay)}" + (f" ({source})" if source else "")
    return f"request {decision.attempt}: {cause}; {subject} {action}{budget}"


def seam_text(seam: Seam) -> str:
    """Describe one seam."""
    result = "the text continues" if seam.fits else "no seam"
    details = SEAMS.get(seam.result, formatting.readable(seam.result))
    turn = "the assistant's turn" if seam.strategy == "prefill" else "a user's turn"
    characters = formatting.count(seam.characters)
    return f"request {seam.attempt}: {result} after {characters} characters; {details} (resumed in {turn})"
