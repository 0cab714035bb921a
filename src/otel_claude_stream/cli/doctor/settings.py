"""Check the settings in force: their values, their sources, and all problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Final

from otel_claude_stream._config import SETTINGS, StreamConfig, load
from otel_claude_stream._config.settings import SEMCONV_OPT_IN, opted_in
from otel_claude_stream.cli.doctor.findings import Finding, Section, error, note, ok, warning

DEFAULT_EVENT_LIMIT: Final = 128  # OpenTelemetry's default limit for the events of a span
EVENT_LIMIT: Final = "OTEL_SPAN_EVENT_COUNT_LIMIT"
FILE: Final = "OTEL_CONFIG_FILE"
POLICY: Final = "retry_policy"
"""A part of the same section that is checked separately."""
CONTENT: Final = "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE"


def settings(environ: Mapping[str, str], declared: Mapping[str, object] | None = None) -> Section:
    """Check the settings; ``declared`` is the section of a declarative configuration file, which wins.

    Settings in code (`instrument(events="log")`) win over both and are not visible to the doctor.
    """
    section = {name: value for name, value in (declared or {}).items() if name != POLICY}
    config, problems = load(environ, section, source=FILE)
    invalid = {problem.setting for problem in problems}
    found = [error(str(problem), "correct it; until then its default applies") for problem in problems]
    origins = {
        setting.name: setting.variable
        for setting in SETTINGS
        if environ.get(setting.variable, "").strip() and setting.variable not in invalid
    }
    names = {setting.name for setting in SETTINGS}
    origins |= {name: FILE for name, value in section.items() if value is not None and name in names - invalid}
    if opted_in(environ):
        origins.setdefault("semconv", SEMCONV_OPT_IN)
    found += [ok(f"{name} = {shown(getattr(config, name))} ({origin})") for name, origin in origins.items()]
    defaults = [
        f"{field.name} {shown(getattr(config, field.name))}" for field in fields(config) if field.name not in origins
    ]
    found += [ok(f"defaults: {', '.join(defaults)}"), *_suspicious(config, environ)]
    return Section("Settings", tuple(found))


def shown(value: object) -> str:
    """Format a value for a setting."""
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return ",".join(f"{item:g}s" if isinstance(item, float) else str(item) for item in value) or "none"
        case _:
            return str(value) or "-"


def _suspicious(config: StreamConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings about settings that are valid, but perhaps not intended."""
    if not config.enabled:
        yield warning(
            "OTEL_CLAUDE_STREAM_ENABLED is false, so the SDK is not instrumented", "unset it, or set it to true"
        )
    limit = environ.get(EVENT_LIMIT, "").strip()
    most = int(limit) if limit.isdecimal() else DEFAULT_EVENT_LIMIT
    if config.events in ("span", "both") and config.event_budget >= most:
        yield warning(
            f"event_budget {config.event_budget} is not below {EVENT_LIMIT} {most}, so the first events are dropped",
            f"{EVENT_LIMIT}={config.event_budget + 24}",
        )
    if environ.get("OTEL_CLAUDE_STREAM_STRICT", "").strip().lower() in ("true", "1"):
        yield warning(
            "OTEL_CLAUDE_STREAM_STRICT is set: internal errors would be raised in the application",
            "unset it; it is for tests",
        )
    if environ.get(CONTENT, "").strip().lower() == "content":
        yield note(f"{CONTENT}=content: the SDK's tracing records prompts and answers; this instrumentation never does")
