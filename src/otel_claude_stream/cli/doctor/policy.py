"""Check the retry policy, and report its problems, its values and their sources, and the worst case of a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from otel_claude_stream._config import Problem, Severity
from otel_claude_stream._config.policy import kill_switch
from otel_claude_stream._config.policy.keys import KEYS, KILL_SWITCH, dotted
from otel_claude_stream._config.policy.layer import leaves, preview
from otel_claude_stream._config.policy.loading import Loaded, is_configured, load
from otel_claude_stream._config.policy.sources import FILE_VARIABLE
from otel_claude_stream._core.durations import format_duration
from otel_claude_stream._core.retry.policy import PLACES, Mode, RetryPolicy, SdkRetries
from otel_claude_stream.cli.doctor.findings import Finding, Section, error, note, ok, warning
from otel_claude_stream.cli.view.formatting import plural

SDK_RETRIES: Final = 2
"""The default of `max_retries` of a client."""
MANY_REQUESTS: Final = 6
"""Requests of one call above which there is a note. Two layers with three attempts each make nine."""

_PLACES: Final = frozenset(("watchdog", place) for place in PLACES)
"""Sections whose keys have no default of their own, so that a list of defaults leaves them out."""

TRANSPORTS: Final = (
    "the clocks of the watchdog expire while a read blocks. In a synchronous client whose transport is not that of "
    "httpx, only watchdog.silence does; the others expire when something arrives"
)


def policy(environ: Mapping[str, str], path: str | None = None, declared: object = None) -> Section:
    """Check the policy of a process with this environment; ``path`` replaces the file that is named there.

    A policy in code (`instrument(retry_policy=...)`) wins and is not visible to the doctor.
    """
    env = {**environ, FILE_VARIABLE: path} if path is not None else environ
    found = load(env, declared=declared)
    switch = environ.get(kill_switch.VARIABLE, "")
    findings = [*(_finding(problem) for problem in found.problems), *_switch(switch)]
    if found.errors:
        return Section(
            "Retry policy", (*findings, note("the policy is not used: streams are observed, and nothing is retried"))
        )
    killed = kill_switch.parse(switch)
    killed = found.policy.kill_switch if killed is None else killed
    if not is_configured(env, declared):
        findings.append(ok("no policy is configured: streams are observed, and nothing is retried"))
    else:
        findings += _values(found)
    return Section("Retry policy", (*findings, *_effects(found, killed=killed), *_costs(found.policy)))


def worst_case(policy: RetryPolicy, sdk_retries: int = SDK_RETRIES) -> int:
    """Return the highest number of HTTP requests of one call, with a client that has this ``max_retries``."""
    per_attempt = 1 + (sdk_retries if policy.mode is Mode.OBSERVE or policy.sdk_retries is SdkRetries.KEEP else 0)
    if policy.mode is Mode.OBSERVE:
        return per_attempt
    return min(per_attempt * policy.limits.max_attempts, policy.limits.max_requests)


def _finding(problem: Problem) -> Finding:
    return warning(str(problem)) if problem.severity is Severity.WARNING else error(str(problem))


def _switch(word: str) -> Iterator[Finding]:
    if word.strip() and kill_switch.parse(word) is None:
        yield error(str(kill_switch.problem(word)), f"{kill_switch.VARIABLE}=true")


# --- The policy in force --------------------------------------------------------------------------------------------
def _values(found: Loaded) -> Iterator[Finding]:
    """Yield each configured value with its source, and the defaults together."""
    defaults = []
    for key in KEYS:
        value = preview(key.in_file(key.value_in(found.policy)))
        layer = found.origin(key.path)
        if layer.name == "default" and key.path[:-1] not in _PLACES:
            defaults.append(f"{key.name} {value}")
        elif layer.name != "default":
            yield ok(f"{key.name} = {layer.references.get(key.path, value)} ({layer.location(key.path)})")
    for number, rule in enumerate(found.policy.rules):
        path = ("rules", number)
        reasons = ", ".join(sorted(reason.value for reason in rule.reasons))
        yield ok(f"rules[{number}] applies to {reasons} ({found.origin(path).location(path)})")
    for pattern, names in found.policy.fallback:
        where = found.origin(("fallback", pattern)).location(("fallback", pattern))
        yield ok(f"fallback of {pattern}: {', '.join(names)} ({where})")
    for pattern, _ in found.policy.models:
        sources = [
            (path, layer) for layer in found.layers for path in leaves(layer.values.get("models", {}).get(pattern, {}))
        ]
        differs = ", ".join(dotted(path) for path, _ in sources) or "nothing"
        where = sources[-1][1].location(("models", pattern)) if sources else "default"
        yield ok(f"models that match {pattern} differ in {differs} ({where})")
    yield ok(f"defaults: {', '.join(defaults)}" if defaults else "no value has its default")


# --- Its effects ----------------------------------------------------------------------------------------------------
def _effects(found: Loaded, *, killed: bool) -> Iterator[Finding]:
    """Yield the effects of the policy, each with the setting that causes it."""
    policy = found.policy
    by = f"by mode {policy.mode.value} ({_source(found, 'mode')})"
    if policy.mode is Mode.OBSERVE:
        if acts_for_some_models(policy):
            yield note(f"retries and resumes: off for most models, {by}")
        else:
            yield ok(f"retries and resumes: off, {by}; decisions are recorded as a dry run")
    else:
        yield ok(f"retries before the first content: on, {by}")
        resumes = policy.mode is Mode.RESUME and policy.limits.max_resumes > 0
        why = (
            by
            if policy.mode is Mode.RETRY or resumes
            else f"by limits.max_resumes 0 ({_source(found, 'limits.max_resumes')})"
        )
        yield ok(f"resumes of a broken text: {'on' if resumes else 'off'}, {why}")
        layer = "the SDK" if policy.sdk_retries is SdkRetries.KEEP else "the policy"
        yield ok(
            f"retries before the response headers: by {layer}, by sdk_retries {policy.sdk_retries.value} "
            f"({_source(found, 'sdk_retries')}); retry-after at most {format_duration(policy.retry_after.max)}"
        )
    observes = ", but only recorded in mode observe" if policy.mode is Mode.OBSERVE else ""
    if (most := policy.concurrency.max) is not None:
        yield ok(f"limit on open requests: {most}, by concurrency.max ({_source(found, 'concurrency.max')}){observes}")
    clocks = [key for key in KEYS if key.path[0] == "watchdog" and key.value_in(policy) is not None]
    for key in clocks:
        yield ok(f"{key.name}: on, by {key.in_file(key.value_in(policy))} ({_source(found, key.name)}){observes}")
    if not clocks:
        yield ok("watchdog: off, no limit is set")
    elif policy.mode is not Mode.OBSERVE:
        yield ok(TRANSPORTS)
    if policy.raise_on_truncation and policy.mode is not Mode.OBSERVE:
        yield ok(
            f"an exception for a truncated body: on, by raise_on_truncation ({_source(found, 'raise_on_truncation')})"
        )
    if killed:
        yield warning("the kill switch is on, so all of the above is off", f"{KILL_SWITCH.variable}=false")
    if policy.kill_switch_file is not None:
        yield from _switch_file(policy.kill_switch_file, _source(found, "kill_switch_file"))


def _switch_file(path: str, source: str) -> Iterator[Finding]:
    try:
        exists = kill_switch.file_exists(path)
    except (OSError, ValueError) as failure:
        yield error(str(kill_switch.file_problem(path, failure)))
        return
    if exists:
        yield warning(f"the kill switch is on, because its file exists ({source})", "remove the file")
    else:
        yield ok(f"the kill switch is off; creating its file switches retries and resumes off ({source})")


def acts_for_some_models(policy: RetryPolicy) -> bool:
    """Whether the policy does more than observe for some models."""
    return any(other.mode is not Mode.OBSERVE for _, other in policy.models)


def _source(found: Loaded, name: str) -> str:
    path = tuple(name.split("."))
    return found.origin(path).location(path)


# --- Its worst case -------------------------------------------------------------------------------------------------
def _costs(policy: RetryPolicy) -> Iterator[Finding]:
    """Yield the worst case of one call, and that of models that differ in it."""
    yield _cost(policy, "")
    for pattern, other in policy.models:
        if worst_case(other) != worst_case(policy):
            yield _cost(other, f" of a model that matches {pattern}")


def _cost(policy: RetryPolicy, models: str) -> Finding:
    most = worst_case(policy)
    text = f"one call{models} makes at most {plural(most, 'HTTP request')}"
    if policy.mode is Mode.OBSERVE:
        return ok(f"{text} with the SDK's default max_retries {SDK_RETRIES}")
    attempts = plural(policy.limits.max_attempts, "attempt")
    if policy.sdk_retries is SdkRetries.KEEP:
        product = (SDK_RETRIES + 1) * policy.limits.max_attempts
        why = f"{attempts} of {SDK_RETRIES + 1} requests each"
        default = f" The SDK's default max_retries is {SDK_RETRIES}."
    else:
        product = policy.limits.max_attempts
        why = f"{attempts}, since the SDK's retries are off"
        default = ""
    if most < product:
        why += f", cut from {product} by limits.max_requests"
    finding = note if most > MANY_REQUESTS else ok
    return finding(f"{text}: {why}.{default} Each attempt with a response is billed.")
