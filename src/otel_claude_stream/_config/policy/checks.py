"""Check for contradictions between values that are valid by themselves, and for values without effect."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from otel_claude_stream._config.policy.checked import CheckedPolicy, Finding, as_path, error, warning
from otel_claude_stream._config.policy.clock_checks import (
    READ_TIMEOUT_FIRST,
    SDK_TIMEOUT,
    clocks_may_expire,
    deadline_allows_clocks,
    silence_expires_first,
    watchdogs_spare_healthy_streams,
)
from otel_claude_stream._config.policy.keys import Path
from otel_claude_stream._config.policy.model_patterns import may_match, suggestion
from otel_claude_stream._core.durations import format_duration
from otel_claude_stream._core.retry.fallback import is_known, may_differ
from otel_claude_stream._core.retry.policy import Backoff, Mode, RetryLimits, RetryPolicy, SdkRetries, Strategy
from otel_claude_stream._core.retry.resume.capabilities import known_to_refuse
from otel_claude_stream._core.retry.rules import NOT_RETRYABLE_BY_RULE
from otel_claude_stream._core.vocabulary import CALLER_REASONS, AbortReason

_UNLIMITED: Final = RetryPolicy().concurrency

Check = Callable[[CheckedPolicy], Iterator[Finding]]


# --- Limits that contradict each other -------------------------------------------------------------------------------
def resumes_within_attempts(checked: CheckedPolicy) -> Iterator[Finding]:
    """A resume is an attempt, and the first attempt is not a resume."""
    limits = checked.policy.limits
    if checked.sets("limits.max_resumes") and limits.max_resumes and limits.max_resumes >= limits.max_attempts:
        yield checked.above_limit(
            as_path("limits.max_resumes"),
            "limits.max_attempts",
            f"it must be less than limits.max_attempts ({limits.max_attempts}), which includes the first attempt",
        )


def rules_within_attempts(checked: CheckedPolicy) -> Iterator[Finding]:
    """`limits.max_attempts` applies to all reasons."""
    most = checked.policy.limits.max_attempts
    for number, rule in enumerate(checked.policy.rules):
        if rule.max_attempts is not None and rule.max_attempts > most:
            yield checked.above_limit(
                ("rules", number, "max_attempts"),
                "limits.max_attempts",
                f"it must not be more than limits.max_attempts ({most})",
            )


def base_within_cap(checked: CheckedPolicy) -> Iterator[Finding]:
    """The base is at most the cap, in the policy and in each rule."""
    backoffs: list[tuple[Path, Backoff]] = [(("backoff",), checked.policy.backoff)]
    backoffs += [
        (("rules", number, "backoff"), rule.backoff)
        for number, rule in enumerate(checked.policy.rules)
        if rule.backoff is not None and rule.backoff != checked.policy.backoff
    ]
    for path, backoff in backoffs:
        known = checked.knows(as_path("backoff.base"), as_path("backoff.cap"), (*path, "base"), (*path, "cap"))
        if known and backoff.base > backoff.cap:
            only_cap = (*path, "cap") in checked.setters and (*path, "base") not in checked.setters
            base, cap = format_duration(backoff.base), format_duration(backoff.cap)
            yield error(
                (*path, "cap" if only_cap else "base"),
                f"backoff.base ({base}) must not be more than backoff.cap ({cap})",
            )


def requests_for_attempts(checked: CheckedPolicy) -> Iterator[Finding]:
    """Each attempt needs a request."""
    limits = checked.policy.limits
    if checked.sets("limits.max_requests", "limits.max_attempts") and limits.max_requests < limits.max_attempts:
        yield warning(
            "limits.max_requests" if checked.sets("limits.max_requests") else "limits.max_attempts",
            f"max_requests ({limits.max_requests}) ends the call before max_attempts ({limits.max_attempts}) is "
            "reached",
        )


def deadline_allows(checked: CheckedPolicy) -> Iterator[Finding]:
    """The deadline limits each wait, and the read timeout of the client that for a permit."""
    deadline, concurrency = checked.policy.limits.deadline, checked.policy.concurrency
    waits = {"retry_after.max": checked.policy.retry_after.max}
    if concurrency.max is not None:
        waits["concurrency.queue"] = concurrency.queue
    for name, longest in waits.items():
        if deadline is not None and checked.sets(name) and longest > deadline:
            yield warning(name, f"limits.deadline ({format_duration(deadline)}) never allows so long a wait")
        elif name == "concurrency.queue" and longest > SDK_TIMEOUT:
            yield warning(name, READ_TIMEOUT_FIRST)


# --- Values without effect ------------------------------------------------------------------------------------------
def effects_of_the_mode(checked: CheckedPolicy) -> Iterator[Finding]:
    """Each mode leaves some values without effect, as does a missing limit. A default in a file has no warning."""
    policy, mode = checked.policy, checked.policy.mode
    resumes = policy.limits.max_resumes
    if mode is not Mode.RESUME and checked.sets("limits.max_resumes") and resumes > RetryLimits().max_resumes:
        yield warning("limits.max_resumes", f"it has no effect while mode is {mode.value}; only mode: resume resumes")
    for name in ("queue", "scope"):
        if policy.concurrency.max is None and getattr(policy.concurrency, name) != getattr(_UNLIMITED, name):
            yield warning(f"concurrency.{name}", "it has no effect, because concurrency.max sets no limit")
    if mode is not Mode.OBSERVE:
        return
    if policy.sdk_retries is SdkRetries.REPLACE and checked.sets("sdk_retries"):
        yield warning("sdk_retries", "it has no effect in mode observe, which leaves the SDK's retries alone")
    if policy.raise_on_truncation and checked.sets("raise_on_truncation"):
        yield warning("raise_on_truncation", "it has no effect in mode observe, which raises only what the SDK raises")


def retries_are_possible(checked: CheckedPolicy) -> Iterator[Finding]:
    """Some limits leave no room for a retry."""
    limits, budget, mode = checked.policy.limits, checked.policy.budget, checked.policy.mode
    if mode is not Mode.OBSERVE and limits.max_attempts == 1:
        yield warning("limits.max_attempts", f"it allows only the first attempt, so mode {mode.value} retries nothing")
    if mode is not Mode.OBSERVE and not budget.ratio and not budget.min_per_window:
        yield warning("budget.ratio", "with min_per_window 0 the budget never allows a retry")


def switched_off(checked: CheckedPolicy) -> Iterator[Finding]:
    """The kill switch disables the policy."""
    policy = checked.policy
    if policy.kill_switch and policy.mode is not Mode.OBSERVE and not checked.models:
        yield Finding(("kill_switch",), f"it disables mode {policy.mode.value}; streams are only observed")


def retry_after_is_honoured(checked: CheckedPolicy) -> Iterator[Finding]:
    """A rule that requires `retry-after` needs a policy that honours it."""
    for number, rule in enumerate(checked.policy.rules):
        if rule.require_retry_after and not checked.policy.retry_after.honour:
            yield Finding(
                ("rules", number, "require_retry_after"),
                "retry_after.honour is false, so the wait is that of the back-off and not that of the server",
            )


def rules_can_match(checked: CheckedPolicy) -> Iterator[Finding]:
    """Some reasons are never retried, and an earlier rule may name all reasons of a rule."""
    earlier: dict[AbortReason, int] = {}
    for number, rule in enumerate(checked.policy.rules):
        path: Path = ("rules", number, "reasons")
        taken = {reason: earlier[reason] for reason in rule.reasons if reason in earlier}
        earlier |= {reason: number for reason in rule.reasons if reason not in earlier}
        if not rule.reasons or any(one[:3] == path for one in checked.unknown):  # some are invalid
            continue
        if rule.reasons <= CALLER_REASONS:
            yield Finding(path, "the rule never applies: a stream that the caller ended is never retried")
        elif rule.reasons <= NOT_RETRYABLE_BY_RULE and (rule.retry or rule.resume):
            yield Finding(path, f"a rule cannot allow retries for these reasons: {'; '.join(_vetoes(rule.reasons))}")
        elif rule.reasons and len(taken) == len(rule.reasons):
            names = ", ".join(f"rules[{index}]" for index in sorted(set(taken.values())))
            yield Finding(path, f"the rule never applies: {names} named all of its reasons before")
        elif taken:
            names = ", ".join(sorted(reason.value for reason in taken))
            yield Finding(path, f"an earlier rule applies to some of these reasons: {names}")


def _vetoes(reasons: Collection[AbortReason]) -> Iterator[str]:
    if not CALLER_REASONS.isdisjoint(reasons):
        yield "the caller ended the stream"
    if AbortReason.QUEUE_TIMEOUT in reasons:
        yield "the call has waited long enough"
    if not CALLER_REASONS.union((AbortReason.QUEUE_TIMEOUT,)).issuperset(reasons):
        yield "the same request is rejected again"


# --- Patterns of models ---------------------------------------------------------------------------------------------
def pattern_matches_models(checked: CheckedPolicy) -> Iterator[Finding]:
    """A pattern must match the whole name of a model, which `haiku` and `haiku-*` do not."""
    patterns: list[tuple[Path, str]] = [((), checked.models)] if checked.models else []
    patterns += [(("fallback", pattern), pattern) for pattern, _ in checked.policy.fallback]
    for path, pattern in patterns:
        if not may_match(pattern):
            yield Finding(
                path,
                "this pattern matches no Claude model, because it must match the whole name of the model; "
                f"use {suggestion(pattern)!r} instead",
            )


def fallbacks_are_possible(checked: CheckedPolicy) -> Iterator[Finding]:
    """A request is sent only to another model whose parameters are known, and a rule needs one to fall back to."""
    for pattern, models in checked.policy.fallback:
        if unknown := [model for model in models if not is_known(model)]:
            yield Finding(
                ("fallback", pattern),
                f"no request is sent to {', '.join(unknown)}: this version does not know which parameters it takes",
            )
        if same := [model for model in models if not may_differ(pattern, model)]:
            yield Finding(
                ("fallback", pattern),
                f"no request is sent to {', '.join(same)}: it is the model that failed",
            )
    for number, rule in enumerate(checked.policy.rules):
        if rule.fallback and not checked.policy.fallback:
            yield Finding(("rules", number, "fallback"), "it has no effect, because fallback names no model")


# --- Resumes --------------------------------------------------------------------------------------------------------
def prompt_contains_anchor(checked: CheckedPolicy) -> Iterator[Finding]:
    """Without the anchor the model does not know where to continue."""
    prompt = checked.policy.resume.prompt
    if prompt is not None and "{anchor}" not in prompt:
        yield error("resume.prompt", "it must contain {anchor}, which stands for the end of the partial answer")


def anchor_fits(checked: CheckedPolicy) -> Iterator[Finding]:
    """The anchor is part of the text, and the overlap is part of the anchor."""
    resume = checked.policy.resume
    if resume.anchor_chars > resume.min_partial_chars:
        yield warning(
            "resume.anchor_chars" if checked.sets("resume.anchor_chars") else "resume.min_partial_chars",
            f"anchor_chars ({resume.anchor_chars}) is longer than the shortest text that is resumed "
            f"(min_partial_chars, {resume.min_partial_chars})",
        )
    if resume.min_overlap > resume.anchor_chars:
        yield warning(
            "resume.min_overlap" if checked.sets("resume.min_overlap") else "resume.anchor_chars",
            f"min_overlap ({resume.min_overlap}) is longer than the anchor ({resume.anchor_chars}), so only the whole "
            "anchor is accepted",
        )


def prefill_is_accepted(checked: CheckedPolicy) -> Iterator[Finding]:
    """Claude 4.6 and later answer a prefill with 400."""
    if checked.policy.resume.strategy is not Strategy.PREFILL:
        return
    path = "resume.strategy"
    if checked.models and known_to_refuse(checked.models):
        yield warning(path, f"{checked.models} refuses a prefill, which wastes a request each time; use auto")
    elif not checked.models:
        yield warning(path, "Claude 4.6 and later refuse a prefill, which wastes a request each time; use auto")


CHECKS: Final[Mapping[Check, tuple[str, ...]]] = {
    resumes_within_attempts: ("limits.max_resumes", "limits.max_attempts"),
    rules_within_attempts: ("limits.max_attempts",),
    base_within_cap: (),
    requests_for_attempts: ("limits.max_requests", "limits.max_attempts"),
    deadline_allows: ("limits.deadline",),
    watchdogs_spare_healthy_streams: (),
    silence_expires_first: (),
    clocks_may_expire: (),
    deadline_allows_clocks: ("limits.deadline",),
    effects_of_the_mode: ("mode", "concurrency.max"),
    retries_are_possible: (),
    switched_off: (),
    retry_after_is_honoured: (),
    rules_can_match: (),
    pattern_matches_models: (),
    fallbacks_are_possible: (),
    prompt_contains_anchor: (),
    anchor_fits: ("resume.anchor_chars", "resume.min_partial_chars", "resume.min_overlap"),
    prefill_is_accepted: (),
}
"""The checks, each with the values that it needs. With their defaults it would report a wrong finding."""


def check(checked: CheckedPolicy) -> Iterator[Finding]:
    """Yield every finding of every check. Without the preset most values are unknown, and nothing is checked."""
    if not checked.knows(("preset",)):
        return
    for one, names in CHECKS.items():
        if checked.knows(*map(as_path, names)):
            yield from one(checked)
