"""The settings: `StreamConfig`, which holds their values, and the table that describes each of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from otel_claude_stream._core.durations import parse_duration

PREFIX = "OTEL_CLAUDE_STREAM_"
"""The environment variable of a setting is this prefix and the name of the setting in upper case."""

SEMCONV_OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
"""OpenTelemetry's variable that selects conventions. It is a list with commas, of which one entry is read here."""

_LATEST = "gen_ai_latest_experimental"

OTHER_VARIABLES = frozenset({"STRICT", "AUTO", "CONFIG"})
"""Variables with the prefix that are valid but not in this table."""

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """All settings, with their defaults. `SETTINGS` describes each of them; durations are in seconds.

    Pass one to ``ClaudeStreamInstrumentor().instrument(config=...)``, or set its fields by keyword arguments or
    environment variables. `load` checks the values, not this class.
    """

    enabled: bool = True
    span: str = "auto"
    semconv: str = "released"
    events: str = "span"
    deltas: str = "coalesce"
    event_budget: int = 96
    metrics: bool = True
    gaps: str = "both"
    stall_thresholds: tuple[float, ...] = (10.0, 30.0, 60.0, 180.0)
    known_limits: str = ""
    max_models: int = 20
    export_failures: str = "auto"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    name: str
    type: str
    allowed: str
    doc: str
    parse: Callable[[object], object]
    """Returns the value of the setting for a text or an object. Raises `ValueError` for an invalid one."""

    @property
    def variable(self) -> str:
        """The environment variable of this setting."""
        return PREFIX + self.name.upper()


def opted_in(environment: Mapping[str, str]) -> bool:
    """Return whether `OTEL_SEMCONV_STABILITY_OPT_IN` asks for the latest GenAI conventions."""
    return _LATEST in {entry.strip() for entry in environment.get(SEMCONV_OPT_IN, "").split(",")}


def parse_boolean(value: object) -> bool:
    """Return a truth value unchanged, or that of one of the usual words."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(value)


def one_of(*words: str) -> Callable[[object], str]:
    """Return a parser of one of a closed set of words, in upper or lower case."""

    def parse(value: object) -> str:
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError(value)
        return word

    return parse


def integer(least: int, most: int) -> Callable[[object], int]:
    """Return a parser of an integer within bounds."""

    def parse(value: object) -> int:
        number = int(str(value).strip()) if not isinstance(value, bool) else -1
        if not least <= number <= most:
            raise ValueError(value)
        return number

    return parse


def parse_durations(value: object) -> tuple[float, ...]:
    """Return the seconds of increasing durations, from a sequence or a text with commas.

    The word `none` and an empty text or sequence mean no durations. Numbers in a sequence are seconds.
    """
    if isinstance(value, str) and value.strip().lower() == "none":
        return ()
    if isinstance(value, str):
        parts: list[object] = [part for part in value.split(",") if part.strip()]
    elif isinstance(value, list | tuple):
        parts = list(value)
    else:
        raise ValueError(value)
    found = tuple(_seconds(part) for part in parts)
    if not all(0 < x < math.inf for x in found) or list(found) != sorted(set(found)):
        raise ValueError(value)
    return found


def _seconds(value: object) -> float:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return float(value)
    return parse_duration(str(value))


def text(value: object) -> str:
    """Return any value as text without surrounding white space."""
    return str(value).strip()


SETTINGS: tuple[Setting, ...] = (
    Setting("enabled", "boolean", "true or false", "False leaves the SDK untouched.", parse_boolean),
    Setting(
        "span",
        "word",
        "auto, always or off",
        "`auto`: a `chat` span, or a `claude.stream` span if the SDK, another instrumentation or a framework records "
        "the `chat` span. `always`: always the `chat` span. `off`: metrics only.",
        one_of("auto", "always", "off"),
    ),
    Setting(
        "semconv",
        "word",
        "released, latest or both",
        "Which names of the GenAI conventions are recorded: those of the last release, those of the next one, or both. "
        "If unset, the entry `gen_ai_latest_experimental` of `OTEL_SEMCONV_STABILITY_OPT_IN` selects `latest`.",
        one_of("released", "latest", "both"),
    ),
    Setting(
        "events",
        "word",
        "span, log, both or none",
        "How the events of a stream are recorded: as span events, as log records, as both, or not at all.",
        one_of("span", "log", "both", "none"),
    ),
    Setting(
        "deltas",
        "word",
        "coalesce, all or none",
        "`coalesce`: one event for the deltas of a content block. `all`: one event for each delta. `none`: no events "
        "for deltas.",
        one_of("coalesce", "all", "none"),
    ),
    Setting(
        "event_budget",
        "whole number",
        "16 to 10000",
        "Maximum number of events recorded for one stream. Stay below the limit of the span "
        "(`OTEL_SPAN_EVENT_COUNT_LIMIT`, 128 by default): beyond it the OpenTelemetry SDK drops the oldest events.",
        integer(16, 10000),
    ),
    Setting("metrics", "boolean", "true or false", "False records no metrics.", parse_boolean),
    Setting(
        "gaps",
        "word",
        "both, claude_stream or gen_ai",
        "Which histogram records the wait before each chunk: `claude.stream.chunk.gap` (`claude_stream`), the "
        "conventions' `time_per_output_chunk` (`gen_ai`), or both. No other metric is recorded once for each chunk.",
        one_of("both", "claude_stream", "gen_ai"),
    ),
    Setting(
        "stall_thresholds",
        "durations",
        "rising durations with their units, such as 10s,30s,60s,180s, or none",
        "Waits for content that are recorded as a `stall`, once for each threshold, while the stream still waits. "
        "`none`: no stalls are recorded, and no thread watches for them.",
        parse_durations,
    ),
    Setting(
        "known_limits",
        "text",
        "empty, a factor such as x0.5, or a list such as idle:2s=nginx,duration:3s=gateway",
        "Scales or replaces the table of known middlebox limits, for tests and for middleboxes with other limits.",
        text,
    ),
    Setting(
        "max_models",
        "whole number",
        "1 to 1000",
        "Maximum number of different model names, and of server addresses, on metrics. Further ones are recorded as "
        "`other`.",
        integer(1, 1000),
    ),
    Setting(
        "export_failures",
        "word",
        "auto, once or all",
        "How much OpenTelemetry's OTLP exporters log when exports fail. `once`: one line in ten minutes, with the "
        "number of suppressed lines, and none for an attempt that the exporter repeats. `all`: every line. `auto`: "
        "`once` under auto-instrumentation, `all` if the application instruments in code. A logger at DEBUG is not "
        "changed.",
        one_of("auto", "once", "all"),
    ),
)
