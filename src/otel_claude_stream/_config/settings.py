"""The table of settings: name, type, what is allowed, and what each means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from otel_claude_stream._config import durations as _durations

PREFIX = "OTEL_CLAUDE_STREAM_"
"""Every setting is also an environment variable: this, and its name in upper case."""

SEMCONV_OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
"""OpenTelemetry's own choice of conventions: a list with commas, of which one entry concerns this package."""

_LATEST = "gen_ai_latest_experimental"

OTHER_VARIABLES = frozenset({"STRICT", "AUTO", "CONFIG"})
"""Variables with the prefix that are no settings of this table, and so no mistakes."""

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `parse` turns what was said into its value, and raises `ValueError` if it cannot."""

    name: str
    type: str
    allowed: str
    doc: str
    parse: Callable[[object], object]

    @property
    def variable(self) -> str:
        """The environment variable of this setting."""
        return PREFIX + self.name.upper()


def opted_in(environment: Mapping[str, str]) -> bool:
    """Return whether `OTEL_SEMCONV_STABILITY_OPT_IN` asks for the latest GenAI conventions."""
    return _LATEST in {entry.strip() for entry in environment.get(SEMCONV_OPT_IN, "").split(",")}


def boolean(value: object) -> bool:
    """A truth value: itself, or one of the usual words."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(value)


def one_of(*words: str) -> Callable[[object], str]:
    """One of a closed set of words, in any case."""

    def parse(value: object) -> str:
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError(value)
        return word

    return parse


def whole(least: int, most: int) -> Callable[[object], int]:
    """A whole number within bounds."""

    def parse(value: object) -> int:
        number = int(str(value).strip()) if not isinstance(value, bool) else -1
        if not least <= number <= most:
            raise ValueError(value)
        return number

    return parse


def duration(value: object) -> float:
    """A duration with its unit, such as ``500ms``, ``30s``, ``5m``, in seconds."""
    return _durations.seconds(str(value))


def durations(value: object) -> tuple[float, ...]:
    """A list of rising durations, as a sequence or as text with commas; empty, or the word `none`, for none."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return ()
    if isinstance(value, str):
        parts: list[object] = [part for part in value.split(",") if part.strip()]
    elif isinstance(value, list | tuple):
        parts = list(value)
    else:
        raise ValueError(value)
    found = tuple(float(x) if isinstance(x, float | int) and not isinstance(x, bool) else duration(x) for x in parts)
    if not all(0 < x < math.inf for x in found) or list(found) != sorted(set(found)):
        raise ValueError(value)
    return found


def text(value: object) -> str:
    """Any text."""
    return str(value).strip()


SETTINGS: tuple[Setting, ...] = (
    Setting("enabled", "boolean", "true or false", "False leaves the SDK untouched.", boolean),
    Setting(
        "span",
        "word",
        "auto, always or off",
        "`auto`: a `chat` span where nobody else has one, else a `claude.stream` span around it. `always`: always the "
        "`chat` span. `off`: metrics only.",
        one_of("auto", "always", "off"),
    ),
    Setting(
        "semconv",
        "word",
        "released, latest or both",
        "Which names of the GenAI conventions: those of the last release, those of the next one, or both. Where it is "
        "not set, `OTEL_SEMCONV_STABILITY_OPT_IN` with the entry `gen_ai_latest_experimental` makes it `latest`.",
        one_of("released", "latest", "both"),
    ),
    Setting(
        "events",
        "word",
        "span, log, both or none",
        "Where the events of a stream go: span events, log records, both, or nowhere.",
        one_of("span", "log", "both", "none"),
    ),
    Setting(
        "deltas",
        "word",
        "coalesce, all or none",
        "One event for the deltas of a block, one for each delta, or none for them.",
        one_of("coalesce", "all", "none"),
    ),
    Setting(
        "event_budget",
        "whole number",
        "16 to 10000",
        "Events kept for one stream. Stay below the span's own limit (`OTEL_SPAN_EVENT_COUNT_LIMIT`, 128): the SDK of "
        "OpenTelemetry drops the oldest beyond it.",
        whole(16, 10000),
    ),
    Setting("metrics", "boolean", "true or false", "False records no metrics.", boolean),
    Setting(
        "gaps",
        "word",
        "both, claude_stream or gen_ai",
        "Where the wait before each chunk is recorded: in `claude.stream.chunk.gap` (`claude_stream`), in the "
        "conventions' `time_per_output_chunk` (`gen_ai`), or in both. Of all that is recorded only this is recorded "
        "for each chunk.",
        one_of("both", "claude_stream", "gen_ai"),
    ),
    Setting(
        "stall_thresholds",
        "durations",
        "rising durations with their units, such as 10s,30s,60s,180s, or none",
        "Waits for content that are told as a `stall` each time one is passed, while they last. `none`: no stalls, "
        "and no thread that looks for them.",
        durations,
    ),
    Setting(
        "known_limits",
        "text",
        "empty, a factor such as x0.5, or a list such as idle:2s=nginx,duration:3s=gateway",
        "Scales or replaces the table of known middlebox limits, for tests and odd installations.",
        text,
    ),
    Setting(
        "max_models",
        "whole number",
        "1 to 1000",
        "Different model names (and server addresses) on metrics before `other`.",
        whole(1, 1000),
    ),
    Setting(
        "export_failures",
        "word",
        "auto, once or all",
        "What OpenTelemetry's OTLP exporters log of exports that fail. `once`: one line in ten minutes, with the "
        "number of those left out, and nothing of an attempt that may be followed by one that succeeds. `all`: as "
        "OpenTelemetry has it. `auto`: `once` under auto-instrumentation, `all` where the application's own code "
        "instruments. A logger at DEBUG is left alone.",
        one_of("auto", "once", "all"),
    ),
)
