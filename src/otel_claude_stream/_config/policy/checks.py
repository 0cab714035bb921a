"""Check for contradictions between values that are valid by themselves, and for values without effect."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from otel_claude_stream._config.policy.keys import KEYS, Path
from otel_claude_stream._config.policy.model_patterns import may_match, suggestion
from otel_claude_stream._config.problem import Severity
from otel_claude_stream._core.durations import format_duration
from otel_claude_stream._core.retry.fallback import is_known
from otel_claude_stream._core.retry.policy import Backoff, Mode, RetryLimits, RetryPolicy, SdkRetries, Strategy
from otel_claude_stream._core.retry.resume.capabilities import known_to_refuse
from otel_claude_stream._core.retry.rules import NOT_RETRYABLE_BY_RULE
from otel_claude_stream._core.vocabulary import CALLER_REASONS, AbortReason

PING_INTERVAL: Final = 30.0
"""Seconds. Users report pings every 15 to 30 s, so a shorter watchdog aborts healthy streams."""
LONGEST_SILENCE: Final = 330.0
"""Seconds. Tool input that the server buffered came after 329.5 s without a byte (github/copilot-cli#4286)."""
_UNLIMITED: Final = RetryPolicy().concurrency
SDK_TIMEOUT: Final = 600.0
"""Seconds that a client of the SDK waits for a byte by default (`anthropic.DEFAULT_TIMEOUT`)."""

_PINGED: Final = ("first_event", "silence", "no_progress")
"""Clocks that abort healthy streams if they are shorter than the interval of pings."""
_COVERED: Final = (("first_event", "first_content"), *((name, "lifetime") for name in ("first_content", *_PINGED)))
"""Clocks that have no effect if the other one is shorter."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with a value in the context of other values."""

    path: Path
    text: str
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class CheckedPolicy:
    """A policy, and the layers that set its values."""

    policy: RetryPolicy
    setters: Mapping[Path, int]
    """For each value that is not a default, the index of the layer that set it."""
    models: str = ""
    """The pattern of the models to which the policy applies; empty for all."""
    unknown: Collection[Path] = frozenset()
    """Values that an error leaves unknown; the policy has their defaults instead."""

    def knows(self, *paths: Path) -> bool:
        """Return whether all of these values are known."""
        return not any(path[: len(one)] == one for one in self.unknown if one for path in paths)

    def sets(self, *names: str) -> bool:
        """Return whether any layer sets one of these values. A lowered limit does not contradict a default above it."""
        return any(_path(name) in self.setters for name in names)

    def above_limit(self, path: Path, limit: str, text: str) -> Finding:
        """Return the finding for a value above its limit, a warning if a later layer lowered the limit."""
        lowered = self.setters.get(_path(limit), -1) > self.setters.get(path, -1)
        return Finding(path, text, Severity.WARNING if lowered else Severity.ERROR)


Check = Callable[[CheckedPolicy], Iterator[Finding]]


def _path(name: str) -> Path:
    return tuple(name.split("."))


def _error(path: str | Path, text: str) -> Finding:
    return Finding(_path(path) if isinstance(path, str) else path, text, Severity.ERROR)


def _warning(name: str, text: str) -> Finding:
    return Finding(_path(name), text)


# --- Limits that contradict each other -------------------------------------------------------------------------------
def resumes_within_attempts(checked: CheckedPolicy) -> Iterator[Finding]:
    """A resume is an attempt, and the first attempt is not a resume."""
    limits = checked.policy.limits
    if checked.sets("limits.max_resumes") and limits.max_resumes and limits.max_resumes >= limits.max_attempts:
        yield checked.above_limit(
            _path("limits.max_resumes"),
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
        known = checked.knows(_path("backoff.base"), _path("backoff.cap"), (*path, "base"), (*path, "cap"))
        if known and backoff.base > backoff.cap:
            only_cap = (*path, "cap") in checked.setters and (*path, "base") not in checked.setters
            base, cap = format_duration(backoff.base), format_duration(backoff.cap)
            yield _error(
                (*path, "cap" if only_cap else "base"),
                f"backoff.base ({base}) must not be more than backoff.cap ({cap})",
            )


def requests_for_attempts(checked: CheckedPolicy) -> Iterator[Finding]:
    """Each attempt needs a request."""
    limits = checked.policy.limits
    if checked.sets("limits.max_requests", "limits.max_attempts") and limits.max_requests < limits.max_attempts:
        yield _warning(
            "limits.max_requests" if checked.sets("limits.max_requests") else "limits.max_attempts",
            f"max_requests ({limits.max_requests}) ends the call before max_attempts ({limits.max_attempts}) is "
            "reached",
        )


def deadline_allows(checked: CheckedPolicy) -> Iterator[Finding]:
    """The deadline limits each wait, and a stream that the watchdog aborts after it is not retried."""
    deadline, longest = checked.policy.limits.deadline, checked.policy.retry_after.max
    if deadline is None:
        return
    text = f"limits.deadline ({format_duration(deadline)})"
    if checked.sets("retry_after.max") and longest > deadline:
        yield _warning("retry_after.max", f"{text} never allows so long a wait")
    for name in ("first_event", "first_content"):
        if (getattr(checked.policy.watchdog, name) or 0.0) > deadline:
            yield _warning(f"watchdog.{name}", f"when it expires, {text} allows no further attempt")


# --- Watchdogs that abort healthy streams ---------------------------------------------------------------------------
def watchdogs_spare_healthy_streams(checked: CheckedPolicy) -> Iterator[Finding]:
    """Pings come every 15 to 30 s, healthy streams may be silent between them, and the server buffers tool input."""
    for key in (key for key in KEYS if key.path[0] == "watchdog" and key.path[-1] in _PINGED):
        value = key.value_in(checked.policy)
        if isinstance(value, float) and value < PING_INTERVAL:
            yield _warning(key.name, "shorter than the interval of pings (15 to 30 s), so it aborts healthy streams")
    watchdog = checked.policy.watchdog
    if PING_INTERVAL <= (watchdog.tool_use.no_progress or watchdog.no_progress or 0.0) < LONGEST_SILENCE:
        yield _warning(
            "watchdog.no_progress",
            f"it may abort healthy streams with tools, which made no progress for {format_duration(LONGEST_SILENCE)} "
            "while the server buffered the input of a tool (eager_input_streaming avoids that)",
        )


def silence_expires_first(checked: CheckedPolicy) -> Iterator[Finding]:
    """Without bytes there is no progress, and the read timeout of the client applies if it is shorter."""
    silence, no_progress = checked.policy.watchdog.silence, checked.policy.watchdog.no_progress
    if silence is None:
        return
    if no_progress is not None and silence >= no_progress:
        yield _error(
            "watchdog.silence" if checked.sets("watchdog.silence") else "watchdog.no_progress",
            f"silence ({format_duration(silence)}) must be shorter than no_progress ({format_duration(no_progress)}), "
            "which otherwise always expires first",
        )
    if silence > SDK_TIMEOUT:
        yield _warning(
            "watchdog.silence",
            f"the read timeout of the client expires first ({format_duration(SDK_TIMEOUT)} by default)",
        )


def clocks_may_expire(checked: CheckedPolicy) -> Iterator[Finding]:
    """A clock has no effect if a shorter one covers at least the same time."""
    watchdog = checked.policy.watchdog
    for name, other in _COVERED:
        shorter = getattr(watchdog, other) or float("inf")
        if (getattr(watchdog, name) or 0.0) > shorter:
            yield _warning(f"watchdog.{name}", f"it never expires before {other} ({format_duration(shorter)})")


# --- Values without effect ------------------------------------------------------------------------------------------
def effects_of_the_mode(checked: CheckedPolicy) -> Iterator[Finding]:
    """Each mode leaves some values without effect, as does a missing limit. A default in a file has no warning."""
    policy, mode = checked.policy, checked.policy.mode
    resumes = policy.limits.max_resumes
    if mode is not Mode.RESUME and checked.sets("limits.max_resumes") and resumes > RetryLimits().max_resumes:
        yield _warning("limits.max_resumes", f"it has no effect while mode is {mode.value}; only mode: resume resumes")
    for name in ("queue", "scope"):
        if policy.concurrency.max is None and getattr(policy.concurrency, name) != getattr(_UNLIMITED, name):
            yield _warning(f"concurrency.{name}", "it has no effect, because concurrency.max sets no limit")
    if mode is not Mode.OBSERVE:
        return
    if policy.sdk_retries is SdkRetries.REPLACE and checked.sets("sdk_retries"):
        yield _warning("sdk_retries", "it has no effect in mode observe, which leaves the SDK's retries alone")
    if policy.raise_on_truncation and checked.sets("raise_on_truncation"):
        yield _warning("raise_on_truncation", "it has no effect in mode observe, which raises only what the SDK raises")


def retries_are_possible(checked: CheckedPolicy) -> Iterator[Finding]:
    """Some limits leave no room for a retry."""
    limits, budget, mode = checked.policy.limits, checked.policy.budget, checked.policy.mode
    if mode is not Mode.OBSERVE and limits.max_attempts == 1:
        yield _warning("limits.max_attempts", f"it allows only the first attempt, so mode {mode.value} retries nothing")
    if mode is not Mode.OBSERVE and not budget.ratio and not budget.min_per_window:
        yield _warning("budget.ratio", "with min_per_window 0 the budget never allows a retry")


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
            yield Finding(path, "a rule cannot allow retries for these reasons: the same request is rejected again")
        elif rule.reasons and len(taken) == len(rule.reasons):
            names = ", ".join(f"rules[{index}]" for index in sorted(set(taken.values())))
            yield Finding(path, f"the rule never applies: {names} named all of its reasons before")
        elif taken:
            names = ", ".join(sorted(reason.value for reason in taken))
            yield Finding(path, f"an earlier rule applies to some of these reasons: {names}")


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
    """A request is sent only to a model whose parameters are known, and a rule needs a model to fall back to."""
    for pattern, models in checked.policy.fallback:
        if unknown := [model for model in models if not is_known(model)]:
            yield Finding(
                ("fallback", pattern),
                f"no request is sent to {', '.join(unknown)}: this version does not know which parameters it takes",
            )
    for number, rule in enumerate(checked.policy.rules):
        if rule.fallback and not checked.policy.fallback:
            yield Finding(("rules", number, "fallback"), "it has no effect, because fallback names no model")


# --- Resumes --------------------------------------------------------------------------------------------------------
def prompt_contains_anchor(checked: CheckedPolicy) -> Iterator[Finding]:
    """Without the anchor the model does not know where to continue."""
    prompt = checked.policy.resume.prompt
    if prompt is not None and "{anchor}" not in prompt:
        yield _error("resume.prompt", "it must contain {anchor}, which stands for the end of the partial answer")


def anchor_fits(checked: CheckedPolicy) -> Iterator[Finding]:
    """The anchor is part of the text, and the overlap is part of the anchor."""
    resume = checked.policy.resume
    if resume.anchor_chars > resume.min_partial_chars:
        yield _warning(
            "resume.anchor_chars" if checked.sets("resume.anchor_chars") else "resume.min_partial_chars",
            f"anchor_chars ({resume.anchor_chars}) is longer than the shortest text that is resumed "
            f"(min_partial_chars, {resume.min_partial_chars})",
        )
    if resume.min_overlap > resume.anchor_chars:
        yield _warning(
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
        yield _warning(path, f"{checked.models} refuses a prefill, which wastes a request each time; use auto")
    elif not checked.models:
        yield _warning(path, "Claude 4.6 and later refuse a prefill, which wastes a request each time; use auto")


CHECKS: Final[Mapping[Check, tuple[str, ...]]] = {
    resumes_within_attempts: ("limits.max_resumes", "limits.max_attempts"),
    rules_within_attempts: ("limits.max_attempts",),
    base_within_cap: (),
    requests_for_attempts: ("limits.max_requests", "limits.max_attempts"),
    deadline_allows: ("limits.deadline",),
    watchdogs_spare_healthy_streams: (),
    silence_expires_first: (),
    clocks_may_expire: ("watchdog.first_event", "watchdog.first_content", "watchdog.lifetime"),
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
        if checked.knows(*map(_path, names)):
            yield from one(checked)
