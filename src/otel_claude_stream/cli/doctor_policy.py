"""The doctor's look at the retry policy: everything wrong with it, what holds and who said so, and what it may cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_claude_stream._config import Problem, Severity
from otel_claude_stream._config.durations import written
from otel_claude_stream._config.policy import kill_switch
from otel_claude_stream._config.policy.keys import KEYS, KILL_SWITCH, Key, dotted
from otel_claude_stream._config.policy.loading import Loaded, asked_for, load
from otel_claude_stream._config.policy.variables import FILE
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy, SdkRetries
from otel_claude_stream.cli.doctor_findings import Finding, Section, error, note, ok, warning
from otel_claude_stream.cli.words import plural

SDK_RETRIES: Final = 2
"""`max_retries` of a client that says nothing."""
MANY_REQUESTS: Final = 6
"""More than these for one call are worth a word: two layers that each try three times make nine."""


def policy(environ: Mapping[str, str], path: str | None = None, declared: object = None) -> Section:
    """The policy of a process with this environment; ``path`` stands for the file that is named there.

    Code may still say otherwise (`instrument(retry_policy=...)`), which nobody can see from here.
    """
    given = {**environ, FILE: path} if path is not None else environ
    found = load(given, declared=declared)
    switch = environ.get(kill_switch.VARIABLE, "")
    findings = [*(_told(problem) for problem in found.problems), *_switch(switch)]
    if found.errors:
        return Section("Retry policy", (*findings, note("so it is not used: streams are observed, nothing is retried")))
    killed = kill_switch.said(switch)
    killed = found.policy.kill_switch if killed is None else killed
    if not asked_for(given, declared):
        findings.append(ok("nothing is said of it: streams are observed, nothing is retried"))
    else:
        findings += _values(found)
    return Section("Retry policy", (*findings, *_switched_on(found, killed=killed), *_costs(found.policy)))


def worst_case(policy: RetryPolicy, sdk_retries: int = SDK_RETRIES) -> int:
    """How many HTTP requests one call can cost, with a client that has this ``max_retries``."""
    of_the_sdk = 1 + (sdk_retries if policy.mode is Mode.OBSERVE or policy.sdk_retries is SdkRetries.KEEP else 0)
    if policy.mode is Mode.OBSERVE:
        return of_the_sdk
    return min(of_the_sdk * policy.limits.max_attempts, policy.limits.max_requests)


def _told(problem: Problem) -> Finding:
    return warning(str(problem)) if problem.severity is Severity.WARNING else error(str(problem))


def _switch(word: str) -> Iterator[Finding]:
    if word.strip() and kill_switch.said(word) is None:
        yield error(str(kill_switch.problem(word)), f"{kill_switch.VARIABLE}=true")


# --- The policy in force --------------------------------------------------------------------------------------------
def _values(found: Loaded) -> Iterator[Finding]:
    """Every value that somebody said, and who; the defaults together."""
    defaults = []
    for key in KEYS:
        value = _shown(found.policy, key)
        layer = found.origin(key.path)
        if layer.name == "default":
            defaults.append(f"{key.name} {value}")
        else:
            yield ok(f"{key.name} = {value} ({layer.where(key.path)})")
    for number, rule in enumerate(found.policy.rules):
        path = ("rules", number)
        reasons = ", ".join(sorted(reason.value for reason in rule.reasons))
        yield ok(f"rules[{number}] is for {reasons} ({found.origin(path).where(path)})")
    for pattern, _ in found.policy.models:
        said = [
            (path, layer) for layer in found.layers for path in _said_of(layer.said.get("models", {}).get(pattern, {}))
        ]
        differs = ", ".join(dotted(path) for path, _ in said) or "nothing"
        where = said[-1][1].where(("models", pattern)) if said else "default"
        yield ok(f"models like {pattern} differ in {differs} ({where})")
    yield ok(f"defaults: {', '.join(defaults)}" if defaults else "no value is left at its default")


def _said_of(part: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from ((name, *path) for path in _said_of(value))
        else:
            yield (name,)


def _shown(policy: RetryPolicy, key: Key) -> str:
    value: Any = policy
    for name in key.path:
        value = getattr(value, name)
    value = getattr(value, "value", value)
    if isinstance(value, float) and not isinstance(key.default_written, float):
        return written(value)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else f"{value}"


# --- What it does ---------------------------------------------------------------------------------------------------
def _switched_on(found: Loaded, *, killed: bool) -> Iterator[Finding]:
    """What is on, and by what."""
    policy = found.policy
    by = f"by mode {policy.mode.value} ({_who(found, 'mode')})"
    if policy.mode is Mode.OBSERVE:
        if asked_for_more(policy):
            yield note(f"retries and resumes: off for most models, {by}")
        else:
            yield ok(f"retries and resumes: off, {by}; what would be done is recorded as a dry run")
    else:
        yield ok(f"retries before the first content: on, {by}")
        resumes = policy.mode is Mode.RESUME and policy.limits.max_resumes > 0
        why = (
            by
            if policy.mode is Mode.RETRY or resumes
            else f"by limits.max_resumes 0 ({_who(found, 'limits.max_resumes')})"
        )
        yield ok(f"resumes of a text that broke: {'on' if resumes else 'off'}, {why}")
        who = "the SDK" if policy.sdk_retries is SdkRetries.KEEP else "the policy"
        yield ok(
            f"retries before the response headers: by {who}, by sdk_retries {policy.sdk_retries.value} "
            f"({_who(found, 'sdk_retries')}); retry-after at most {written(policy.retry_after.max)}"
        )
    reports = ", and only reports in mode observe" if policy.mode is Mode.OBSERVE else ""
    clocks = [name for name in ("first_event", "silence", "no_progress") if getattr(policy.watchdog, name) is not None]
    for name in clocks:
        at = f"watchdog.{name}"
        yield ok(f"{at}: on, by {written(getattr(policy.watchdog, name))} ({_who(found, at)}){reports}")
    if not clocks:
        yield ok("watchdog: off, no clock is set")
    if policy.raise_on_truncation and policy.mode is not Mode.OBSERVE:
        yield ok(
            f"an error for a body that ends early: on, by raise_on_truncation ({_who(found, 'raise_on_truncation')})"
        )
    if killed:
        yield warning("the kill switch is on: everything above is off", f"{KILL_SWITCH.variable}=false")


def asked_for_more(policy: RetryPolicy) -> bool:
    """Whether it does more than observe for some models."""
    return any(other.mode is not Mode.OBSERVE for _, other in policy.models)


def _who(found: Loaded, name: str) -> str:
    path = tuple(name.split("."))
    return found.origin(path).where(path)


# --- What it may cost -----------------------------------------------------------------------------------------------
def _costs(policy: RetryPolicy) -> Iterator[Finding]:
    """The worst case of one call, for all models and for those that differ in it."""
    yield _cost(policy, "")
    for pattern, other in policy.models:
        if worst_case(other) != worst_case(policy):
            yield _cost(other, f" of models like {pattern}")


def _cost(policy: RetryPolicy, of: str) -> Finding:
    most = worst_case(policy)
    text = f"one call{of} can cost {plural(most, 'HTTP request')} at worst"
    if policy.mode is Mode.OBSERVE:
        return ok(f"{text}: the SDK's own, with its default max_retries {SDK_RETRIES}")
    attempts = plural(policy.limits.max_attempts, "attempt")
    if policy.sdk_retries is SdkRetries.KEEP:
        product = (SDK_RETRIES + 1) * policy.limits.max_attempts
        how = f"{attempts} of {SDK_RETRIES + 1} requests each, as the SDK's max_retries is {SDK_RETRIES} by default"
    else:
        product = policy.limits.max_attempts
        how = f"{attempts}, as the SDK's own retries are off"
    if most < product:
        how += f", would be {product}: limits.max_requests holds"
    finding = note if most > MANY_REQUESTS else ok
    return finding(f"{text}: {how}; each attempt that was answered is billed")
