"""Check for contradictions between values that are valid by themselves, and for values without effect."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from otel_claude_stream._config.policy.keys import Path
from otel_claude_stream._config.policy.patterns import may_match, suggestion
from otel_claude_stream._config.problem import Severity
from otel_claude_stream._core.durations import format_duration
from otel_claude_stream._core.retry.policy import Backoff, Mode, RetryLimits, RetryPolicy, SdkRetries, Strategy
from otel_claude_stream._core.retry.resume.capabilities import known_to_refuse
from otel_claude_stream._core.retry.rules import NOT_RETRYABLE_BY_RULE
from otel_claude_stream._core.vocabulary import CALLER_REASONS, AbortReason

PING_INTERVAL: Final = 30.0
"""Seconds. Users report pings every 15 to 30 s, so a shorter watchdog aborts healthy streams."""
LONGEST_SILENCE: Final = 330.0
"""Seconds. Tool input that the server buffered came after 329.5 s without a byte (github/copilot-cli#4286)."""
SDK_TIMEOUT: Final = 600.0
"""Seconds that a client of the SDK waits for a byte by default (`anthropic.DEFAULT_TIMEOUT`)."""


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


def _error(path: Path, text: str) -> Finding:
    return Finding(path, text, Severity.ERROR)


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


def silence_below_no_progress(checked: CheckedPolicy) -> Iterator[Finding]:
    """Without bytes there is no progress, so a longer `silence` never expires."""
    silence, no_progress = checked.policy.watchdog.silence, checked.policy.watchdog.no_progress
    if silence is not None and no_progress is not None and silence >= no_progress:
        path = "watchdog.silence" if checked.sets("watchdog.silence") else "watchdog.no_progress"
        yield _error(
            _path(path),
            f"silence ({format_duration(silence)}) must be shorter than no_progress ({format_duration(no_progress)}), "
            "which otherwise always expires first",
        )


def requests_for_attempts(checked: CheckedPolicy) -> Iterator[Finding]:
    """Each attempt needs a request."""
    limits = checked.policy.limits
    if checked.sets("limits.max_requests", "limits.max_attempts") and limits.max_requests < limits.max_attempts:
        path = "limits.max_requests" if checked.sets("limits.max_requests") else "limits.max_attempts"
        yield Finding(
            _path(path),
            f"max_requests ({limits.max_requests}) ends the call before max_attempts ({limits.max_attempts}) is "
            "reached",
        )


def wait_within_deadline(checked: CheckedPolicy) -> Iterator[Finding]:
    """The deadline limits each wait."""
    deadline, longest = checked.policy.limits.deadline, checked.policy.retry_after.max
    if checked.sets("retry_after.max") and deadline is not None and longest > deadline:
        yield Finding(
            _path("retry_after.max"), f"limits.deadline ({format_duration(deadline)}) never allows so long a wait"
        )


def deadline_after_first_event(checked: CheckedPolicy) -> Iterator[Finding]:
    """A stream that the watchdog aborts after the deadline is not retried."""
    deadline, first = checked.policy.limits.deadline, checked.policy.watchdog.first_event
    if deadline is not None and first is not None and deadline < first:
        yield Finding(
            _path("watchdog.first_event"),
            f"when it expires, limits.deadline ({format_duration(deadline)}) allows no further attempt",
        )


# --- Watchdogs that abort healthy streams ---------------------------------------------------------------------------
def watchdogs_above_pings(checked: CheckedPolicy) -> Iterator[Finding]:
    """Pings come every 15 to 30 s, and healthy streams may be silent between them."""
    watchdog = checked.policy.watchdog
    for name, value in (
        ("first_event", watchdog.first_event),
        ("silence", watchdog.silence),
        ("no_progress", watchdog.no_progress),
    ):
        if value is not None and value < PING_INTERVAL:
            yield Finding(
                ("watchdog", name), "shorter than the interval of pings (15 to 30 s), so it aborts healthy streams"
            )


def progress_above_buffering(checked: CheckedPolicy) -> Iterator[Finding]:
    """The server buffers the input of tools."""
    value = checked.policy.watchdog.no_progress
    if value is not None and PING_INTERVAL <= value < LONGEST_SILENCE:
        yield Finding(
            _path("watchdog.no_progress"),
            f"it may abort healthy streams with tools, which made no progress for {format_duration(LONGEST_SILENCE)} "
            "while the server buffered the input of a tool (eager_input_streaming avoids that)",
        )


def silence_within_timeout(checked: CheckedPolicy) -> Iterator[Finding]:
    """The read timeout of the client applies if it is shorter."""
    silence = checked.policy.watchdog.silence
    if silence is not None and silence > SDK_TIMEOUT:
        yield Finding(
            _path("watchdog.silence"),
            f"the read timeout of the client expires first ({format_duration(SDK_TIMEOUT)} by default)",
        )


def first_event_is_checked(checked: CheckedPolicy) -> Iterator[Finding]:
    """No clock is checked while a read blocks."""
    first, silence = checked.policy.watchdog.first_event, checked.policy.watchdog.silence
    if first is not None and (silence is None or silence > first):
        state = "which is not set" if silence is None else f"which is longer ({format_duration(silence)})"
        yield Finding(
            _path("watchdog.first_event"),
            f"it is checked only when something arrives or when silence expires, {state}; set silence to at most this",
        )


# --- Values without effect ------------------------------------------------------------------------------------------
def resumes_need_the_mode(checked: CheckedPolicy) -> Iterator[Finding]:
    """Only `resume` resumes. A file that sets the default has no warning."""
    mode = checked.policy.mode
    resumes = checked.policy.limits.max_resumes
    if mode is not Mode.RESUME and checked.sets("limits.max_resumes") and resumes > RetryLimits().max_resumes:
        yield Finding(
            _path("limits.max_resumes"), f"it has no effect while mode is {mode.value}; only mode: resume resumes"
        )


def replaced_retries_need_the_mode(checked: CheckedPolicy) -> Iterator[Finding]:
    """In `observe` the SDK's retries stay as they are."""
    policy = checked.policy
    if policy.mode is Mode.OBSERVE and policy.sdk_retries is SdkRetries.REPLACE and checked.sets("sdk_retries"):
        yield Finding(_path("sdk_retries"), "it has no effect in mode observe, which leaves the SDK's retries alone")


def truncation_needs_the_mode(checked: CheckedPolicy) -> Iterator[Finding]:
    """In `observe` nothing is raised that the SDK does not raise."""
    policy = checked.policy
    if policy.mode is Mode.OBSERVE and policy.raise_on_truncation and checked.sets("raise_on_truncation"):
        yield Finding(
            _path("raise_on_truncation"), "it has no effect in mode observe, which raises only what the SDK raises"
        )


def retries_are_possible(checked: CheckedPolicy) -> Iterator[Finding]:
    """Some limits leave no room for a retry."""
    limits, budget, mode = checked.policy.limits, checked.policy.budget, checked.policy.mode
    if mode is Mode.OBSERVE:
        return
    if limits.max_attempts == 1:
        yield Finding(
            _path("limits.max_attempts"), f"it allows only the first attempt, so mode {mode.value} retries nothing"
        )
    if not budget.ratio and not budget.min_per_window:
        yield Finding(_path("budget.ratio"), "with min_per_window 0 the budget never allows a retry")


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
    if checked.models and not may_match(checked.models):
        yield Finding(
            (),
            "this pattern matches no Claude model, because it must match the whole name of the model; "
            f"use {suggestion(checked.models)!r} instead",
        )


# --- Resumes --------------------------------------------------------------------------------------------------------
def prompt_contains_anchor(checked: CheckedPolicy) -> Iterator[Finding]:
    """Without the anchor the model does not know where to continue."""
    prompt = checked.policy.resume.prompt
    if prompt is not None and "{anchor}" not in prompt:
        yield _error(_path("resume.prompt"), "it must contain {anchor}, which stands for the end of the partial answer")


def anchor_fits(checked: CheckedPolicy) -> Iterator[Finding]:
    """The anchor is part of the text, and the overlap is part of the anchor."""
    resume = checked.policy.resume
    if resume.anchor_chars > resume.min_partial_chars:
        path = "resume.anchor_chars" if checked.sets("resume.anchor_chars") else "resume.min_partial_chars"
        yield Finding(
            _path(path),
            f"anchor_chars ({resume.anchor_chars}) is longer than the shortest text that is resumed "
            f"(min_partial_chars, {resume.min_partial_chars})",
        )
    if resume.min_overlap > resume.anchor_chars:
        path = "resume.min_overlap" if checked.sets("resume.min_overlap") else "resume.anchor_chars"
        yield Finding(
            _path(path),
            f"min_overlap ({resume.min_overlap}) is longer than the anchor ({resume.anchor_chars}), so only the whole "
            "anchor is accepted",
        )


def prefill_is_accepted(checked: CheckedPolicy) -> Iterator[Finding]:
    """Claude 4.6 and later answer a prefill with 400."""
    if checked.policy.resume.strategy is not Strategy.PREFILL:
        return
    path = _path("resume.strategy")
    if checked.models and known_to_refuse(checked.models):
        yield Finding(path, f"{checked.models} refuses a prefill, which wastes a request each time; use auto")
    elif not checked.models:
        yield Finding(path, "Claude 4.6 and later refuse a prefill, which wastes a request each time; use auto")


CHECKS: Final[Mapping[Check, tuple[str, ...]]] = MappingProxyType(
    {
        resumes_within_attempts: ("limits.max_resumes", "limits.max_attempts"),
        rules_within_attempts: ("limits.max_attempts",),
        base_within_cap: (),
        silence_below_no_progress: (),
        requests_for_attempts: ("limits.max_requests", "limits.max_attempts"),
        wait_within_deadline: ("limits.deadline",),
        deadline_after_first_event: ("limits.deadline",),
        watchdogs_above_pings: (),
        progress_above_buffering: (),
        silence_within_timeout: (),
        first_event_is_checked: ("watchdog.silence",),
        resumes_need_the_mode: ("mode",),
        replaced_retries_need_the_mode: ("mode",),
        truncation_needs_the_mode: ("mode",),
        retries_are_possible: (),
        switched_off: (),
        retry_after_is_honoured: (),
        rules_can_match: (),
        pattern_matches_models: (),
        prompt_contains_anchor: (),
        anchor_fits: ("resume.anchor_chars", "resume.min_partial_chars", "resume.min_overlap"),
        prefill_is_accepted: (),
    }
)
"""The checks, each with the values that it needs. With their defaults it would report a wrong finding."""


def check(checked: CheckedPolicy) -> Iterator[Finding]:
    """Yield every finding of every check. Without the preset most values are unknown, and nothing is checked."""
    if not checked.knows(("preset",)):
        return
    for one, names in CHECKS.items():
        if checked.knows(*map(_path, names)):
            yield from one(checked)
