"""The doctor's look at the settings in force: each with its value and where it comes from, and everything wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Final

from otel_claude_stream._config import SETTINGS, StreamConfig, load
from otel_claude_stream._config.settings import SEMCONV_OPT_IN, opted_in
from otel_claude_stream._core.diagnosis.limits import parse_limits
from otel_claude_stream.cli.doctor_findings import Finding, Section, error, note, ok, warning

DEFAULT_EVENT_LIMIT: Final = 128  # of OpenTelemetry, for the events of a span
EVENT_LIMIT: Final = "OTEL_SPAN_EVENT_COUNT_LIMIT"
FILE: Final = "OTEL_CONFIG_FILE"
POLICY: Final = "retry_policy"
"""A part of the same section, with a look of its own."""
CONTENT: Final = "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE"


def settings(environ: Mapping[str, str], declared: Mapping[str, object] | None = None) -> Section:
    """The settings; ``declared`` is our section of a declarative configuration file, which wins over the environment.

    Code may still say otherwise (`instrument(events="log")`), which nobody can see from here.
    """
    section = {name: value for name, value in (declared or {}).items() if name != POLICY}
    config, problems = load(environ, section, check_limits=parse_limits, source=FILE)
    wrong = {problem.setting for problem in problems}
    found = [error(str(problem), "its default holds until then") for problem in problems]
    origins = {
        setting.name: setting.variable
        for setting in SETTINGS
        if environ.get(setting.variable, "").strip() and setting.variable not in wrong
    }
    names = {setting.name for setting in SETTINGS}
    origins |= {name: FILE for name, value in section.items() if value is not None and name in names - wrong}
    if opted_in(environ):
        origins.setdefault("semconv", SEMCONV_OPT_IN)
    found += [ok(f"{name} = {shown(getattr(config, name))} ({origin})") for name, origin in origins.items()]
    defaults = [
        f"{field.name} {shown(getattr(config, field.name))}" for field in fields(config) if field.name not in origins
    ]
    found += [ok(f"defaults: {', '.join(defaults)}"), *_doubts(config, environ)]
    return Section("Settings", tuple(found))


def shown(value: object) -> str:
    """A value as one would write it."""
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return ",".join(f"{item:g}s" if isinstance(item, float) else str(item) for item in value) or "none"
        case _:
            return str(value) or "-"


def _doubts(config: StreamConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Settings that are valid, and may not be meant."""
    if not config.enabled:
        yield warning("OTEL_CLAUDE_STREAM_ENABLED is false: the SDK is left untouched", "unset it, or set it to true")
    limit = environ.get(EVENT_LIMIT, "").strip()
    most = int(limit) if limit.isdecimal() else DEFAULT_EVENT_LIMIT
    if config.events in ("span", "both") and config.event_budget >= most:
        yield warning(
            f"event_budget {config.event_budget} is not below {EVENT_LIMIT} {most}: OpenTelemetry drops the first ones",
            f"{EVENT_LIMIT}={config.event_budget + 24}",
        )
    if environ.get("OTEL_CLAUDE_STREAM_STRICT", "").strip().lower() in ("true", "1"):
        yield warning("OTEL_CLAUDE_STREAM_STRICT is set: failures of ours would be raised", "it is for tests only")
    if environ.get(CONTENT, "").strip().lower() == "content":
        yield note(f"{CONTENT}=content: the SDK's own tracing records prompts and answers; ours never does")
