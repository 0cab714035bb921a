"""What is wrong, or doubtful, between values that are right by themselves. A table of pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from otel_claude_stream._config.durations import written
from otel_claude_stream._config.policy.keys import Path
from otel_claude_stream._config.problem import Severity
from otel_claude_stream._core.retry.policy import Backoff, Mode, RetryLimits, RetryPolicy, SdkRetries, Strategy
from otel_claude_stream._core.retry.resume.capabilities import known_to_refuse
from otel_claude_stream._core.retry.rules import NOT_RETRYABLE_BY_RULE
from otel_claude_stream._core.vocabulary import CALLER_REASONS, AbortReason

PING_INTERVAL: Final = 30.0
"""Seconds; users report pings every 15 to 30 s. A shorter watchdog gives up streams that are well."""
LONGEST_SILENCE: Final = 330.0
"""Seconds; tool input that the server buffered came after 329.5 s without a byte (github/copilot-cli#4286)."""

SDK_TIMEOUT: Final = 600.0
"""Seconds that a client of the SDK waits for a byte if nobody says otherwise (`anthropic.DEFAULT_TIMEOUT`)."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is wrong: at which value, why, and how badly."""

    path: Path
    text: str
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class Checked:
    """A policy, and who said what of it."""

    policy: RetryPolicy
    said: Mapping[Path, int]
    """The values that somebody said rather than left at their defaults, and by the number of which place."""
    models: str = ""
    """The pattern of the models it is for; empty for all."""

    def any_said(self, *names: str) -> bool:
        """Whether one of these values was said. A limit that was lowered does not contradict a default above it."""
        return any(_at(name) in self.said for name in names)

    def verdict(self, path: Path, limit: str, text: str) -> Doubt:
        """Of a value above its limit: an error, unless the limit was lowered elsewhere, which is what it is for."""
        lowered = self.said.get(_at(limit), -1) > self.said.get(path, -1)
        return Doubt(path, text, Severity.WARNING if lowered else Severity.ERROR)


Check = Callable[[Checked], Iterator[Doubt]]


def _at(name: str) -> Path:
    return tuple(name.split("."))


def _error(path: Path, text: str) -> Doubt:
    return Doubt(path, text, Severity.ERROR)


# --- Limits that contradict each other -------------------------------------------------------------------------------
def resumes_within_attempts(at: Checked) -> Iterator[Doubt]:
    """A continuation is an attempt, and the first attempt is none."""
    limits = at.policy.limits
    if at.any_said("limits.max_resumes") and limits.max_resumes and limits.max_resumes >= limits.max_attempts:
        yield at.verdict(
            _at("limits.max_resumes"),
            "limits.max_attempts",
            f"it must be less than limits.max_attempts ({limits.max_attempts}), which counts the first attempt too",
        )


def rules_within_attempts(at: Checked) -> Iterator[Doubt]:
    """The limit holds for all reasons."""
    most = at.policy.limits.max_attempts
    for number, rule in enumerate(at.policy.rules):
        if rule.max_attempts is not None and rule.max_attempts > most:
            yield at.verdict(
                ("rules", number, "max_attempts"),
                "limits.max_attempts",
                f"it must not be more than limits.max_attempts ({most})",
            )


def base_within_cap(at: Checked) -> Iterator[Doubt]:
    """Of the policy's back-off, and of those of the rules."""
    backoffs: list[tuple[Path, Backoff]] = [(("backoff",), at.policy.backoff)]
    backoffs += [
        (("rules", number, "backoff"), rule.backoff)
        for number, rule in enumerate(at.policy.rules)
        if rule.backoff is not None and rule.backoff != at.policy.backoff
    ]
    for path, backoff in backoffs:
        if backoff.base > backoff.cap:
            said = "cap" if (*path, "cap") in at.said and (*path, "base") not in at.said else "base"
            yield _error(
                (*path, said),
                f"backoff.base ({written(backoff.base)}) must not be more than backoff.cap ({written(backoff.cap)})",
            )


def silence_below_no_progress(at: Checked) -> Iterator[Doubt]:
    """Progress is bytes too: the longer clock of the two would never be the one that runs out."""
    watchdog = at.policy.watchdog
    if watchdog.silence is not None and watchdog.no_progress is not None and watchdog.silence >= watchdog.no_progress:
        path = "watchdog.silence" if at.any_said("watchdog.silence") else "watchdog.no_progress"
        yield _error(
            _at(path),
            f"silence ({written(watchdog.silence)}) must be shorter than no_progress "
            f"({written(watchdog.no_progress)}): without a byte there is no progress either",
        )


def requests_for_attempts(at: Checked) -> Iterator[Doubt]:
    """Attempts that there is no request for."""
    limits = at.policy.limits
    if at.any_said("limits.max_requests", "limits.max_attempts") and limits.max_requests < limits.max_attempts:
        path = "limits.max_requests" if at.any_said("limits.max_requests") else "limits.max_attempts"
        yield Doubt(
            _at(path),
            f"max_requests ({limits.max_requests}) ends the call before max_attempts ({limits.max_attempts}) does",
        )


def wait_within_deadline(at: Checked) -> Iterator[Doubt]:
    """A wait that the deadline never allows."""
    deadline, longest = at.policy.limits.deadline, at.policy.retry_after.max
    if at.any_said("retry_after.max") and deadline is not None and longest > deadline:
        yield Doubt(_at("retry_after.max"), f"limits.deadline ({written(deadline)}) never allows so long a wait")


def deadline_after_first_event(at: Checked) -> Iterator[Doubt]:
    """A watchdog that the deadline makes useless."""
    deadline, first = at.policy.limits.deadline, at.policy.watchdog.first_event
    if deadline is not None and first is not None and deadline < first:
        yield Doubt(
            _at("watchdog.first_event"),
            f"when it has run out, limits.deadline ({written(deadline)}) allows no further attempt",
        )


# --- Watchdogs that give up streams that are well -------------------------------------------------------------------
def watchdogs_above_pings(at: Checked) -> Iterator[Doubt]:
    """Pings come every 15 to 30 s, and nothing else may for as long."""
    watchdog = at.policy.watchdog
    for name, value in (
        ("first_event", watchdog.first_event),
        ("silence", watchdog.silence),
        ("no_progress", watchdog.no_progress),
    ):
        if value is not None and value < PING_INTERVAL:
            yield Doubt(
                ("watchdog", name),
                "shorter than the interval of pings (15 to 30 s): it gives up streams that are well",
            )


def progress_above_buffering(at: Checked) -> Iterator[Doubt]:
    """The server buffers the input of tools."""
    value = at.policy.watchdog.no_progress
    if value is not None and PING_INTERVAL <= value < LONGEST_SILENCE:
        yield Doubt(
            _at("watchdog.no_progress"),
            f"with tools, answers that are well were without progress for {written(LONGEST_SILENCE)}: the server "
            "buffers the input of a tool (eager_input_streaming switches that off)",
        )


def silence_lowers_the_time_out(at: Checked) -> Iterator[Doubt]:
    """The client's own read time-out holds where it is shorter."""
    silence = at.policy.watchdog.silence
    if silence is not None and silence > SDK_TIMEOUT:
        yield Doubt(
            _at("watchdog.silence"),
            f"the client's own read time-out comes first: {written(SDK_TIMEOUT)}, unless the client says otherwise",
        )


def first_event_is_noticed(at: Checked) -> Iterator[Doubt]:
    """Nobody looks at the clock while a read blocks."""
    first, silence = at.policy.watchdog.first_event, at.policy.watchdog.silence
    if first is not None and (silence is None or silence > first):
        how = "which is not set" if silence is None else f"which is longer ({written(silence)})"
        yield Doubt(
            _at("watchdog.first_event"),
            "the transport has one read time-out for a body: first_event is noticed when something arrives, or by "
            f"silence, {how}",
        )


# --- What is said and has no effect ---------------------------------------------------------------------------------
def resumes_need_the_mode(at: Checked) -> Iterator[Doubt]:
    """Only one mode continues. A file that says all of the defaults is none that means more."""
    mode = at.policy.mode
    resumes = at.policy.limits.max_resumes
    if mode is not Mode.RESUME and at.any_said("limits.max_resumes") and resumes > RetryLimits().max_resumes:
        yield Doubt(_at("limits.max_resumes"), f"nothing is continued while mode is {mode.value}; mode: resume does")


def replaced_retries_need_the_mode(at: Checked) -> Iterator[Doubt]:
    """In `observe` the SDK does what it does."""
    if at.policy.mode is Mode.OBSERVE and at.policy.sdk_retries is SdkRetries.REPLACE and at.any_said("sdk_retries"):
        yield Doubt(_at("sdk_retries"), "in mode observe the SDK's retries are left alone")


def truncation_needs_the_mode(at: Checked) -> Iterator[Doubt]:
    """As above."""
    if at.policy.mode is Mode.OBSERVE and at.policy.raise_on_truncation and at.any_said("raise_on_truncation"):
        yield Doubt(_at("raise_on_truncation"), "in mode observe nothing is raised that the SDK does not raise")


def retries_are_possible(at: Checked) -> Iterator[Doubt]:
    """A mode that limits make useless."""
    limits, budget = at.policy.limits, at.policy.budget
    if at.policy.mode is Mode.OBSERVE:
        return
    if limits.max_attempts == 1:
        yield Doubt(
            _at("limits.max_attempts"), f"one attempt is the first: mode {at.policy.mode.value} retries nothing"
        )
    if not budget.ratio and not budget.min_per_window:
        yield Doubt(_at("budget.ratio"), "with min_per_window 0 the budget never allows a retry")


def switched_off(at: Checked) -> Iterator[Doubt]:
    """The kill switch."""
    if at.policy.kill_switch and at.policy.mode is not Mode.OBSERVE and not at.models:
        yield Doubt(("kill_switch",), f"it holds back everything that mode {at.policy.mode.value} would do")


def retry_after_is_honoured(at: Checked) -> Iterator[Doubt]:
    """A rule that asks for what is not looked at."""
    for number, rule in enumerate(at.policy.rules):
        if rule.require_retry_after and not at.policy.retry_after.honour:
            yield Doubt(
                ("rules", number, "require_retry_after"), "retry_after.honour is false: the wait is not the server's"
            )


def rules_can_match(at: Checked) -> Iterator[Doubt]:
    """Rules whose reasons are all taken by earlier ones, or are the caller's own."""
    before: dict[AbortReason, int] = {}
    for number, rule in enumerate(at.policy.rules):
        taken = {reason: before[reason] for reason in rule.reasons if reason in before}
        if rule.reasons <= CALLER_REASONS:
            yield Doubt(("rules", number, "reasons"), "it can never match: what the caller ends is never retried")
        elif rule.reasons <= NOT_RETRYABLE_BY_RULE and (rule.retry or rule.resume):
            yield Doubt(
                ("rules", number, "reasons"), "no rule makes these retryable: the same request is rejected again"
            )
        elif rule.reasons and len(taken) == len(rule.reasons):
            earlier = ", ".join(f"rules[{index}]" for index in sorted(set(taken.values())))
            yield Doubt(("rules", number, "reasons"), f"it can never match: {earlier} named all of its reasons before")
        elif taken:
            names = ", ".join(sorted(reason.value for reason in taken))
            yield Doubt(("rules", number, "reasons"), f"named by an earlier rule, which wins: {names}")
        before |= {reason: number for reason in rule.reasons if reason not in before}


# --- Continuations --------------------------------------------------------------------------------------------------
def prompt_has_the_anchor(at: Checked) -> Iterator[Doubt]:
    """Without it the model does not know where to go on."""
    prompt = at.policy.resume.prompt
    if prompt is not None and "{anchor}" not in prompt:
        yield _error(_at("resume.prompt"), "it must hold {anchor}, which stands for the end of the partial answer")


def anchor_fits(at: Checked) -> Iterator[Doubt]:
    """Lengths that do not go together."""
    resume = at.policy.resume
    if resume.anchor_chars > resume.min_partial_chars:
        path = "resume.anchor_chars" if at.any_said("resume.anchor_chars") else "resume.min_partial_chars"
        yield Doubt(
            _at(path),
            f"anchor_chars ({resume.anchor_chars}) is longer than the shortest text that is continued "
            f"(min_partial_chars, {resume.min_partial_chars})",
        )
    if resume.min_overlap > resume.anchor_chars:
        path = "resume.min_overlap" if at.any_said("resume.min_overlap") else "resume.anchor_chars"
        yield Doubt(
            _at(path),
            f"min_overlap ({resume.min_overlap}) is longer than the anchor ({resume.anchor_chars}): no part of it "
            "is enough",
        )


def prefill_is_accepted(at: Checked) -> Iterator[Doubt]:
    """Claude 4.6 and later answer a prefill with 400."""
    if at.policy.resume.strategy is not Strategy.PREFILL:
        return
    if at.models and known_to_refuse(at.models):
        yield Doubt(
            _at("resume.strategy"), f"{at.models} refuses a prefill, which costs a request each time; auto knows that"
        )
    elif not at.models:
        yield Doubt(
            _at("resume.strategy"),
            "Claude 4.6 and later refuse a prefill, which costs a request each time; auto uses it where it is accepted",
        )


CHECKS: Final[tuple[Check, ...]] = (
    resumes_within_attempts,
    rules_within_attempts,
    base_within_cap,
    silence_below_no_progress,
    requests_for_attempts,
    wait_within_deadline,
    deadline_after_first_event,
    watchdogs_above_pings,
    progress_above_buffering,
    silence_lowers_the_time_out,
    first_event_is_noticed,
    resumes_need_the_mode,
    replaced_retries_need_the_mode,
    truncation_needs_the_mode,
    retries_are_possible,
    switched_off,
    retry_after_is_honoured,
    rules_can_match,
    prompt_has_the_anchor,
    anchor_fits,
    prefill_is_accepted,
)


def check(at: Checked) -> Iterator[Doubt]:
    """Everything that is wrong between the values of a policy."""
    for one in CHECKS:
        yield from one(at)
