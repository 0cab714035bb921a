"""The settings: `StreamConfig`, which holds their values, and the table that describes each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from otel_claude_stream._config.stream_labels import KEY
from otel_claude_stream._config.value_types import ValueType, boolean, choice, integer
from otel_claude_stream._core.durations import parse_duration
from otel_claude_stream._core.stream import bounds

PREFIX = "OTEL_CLAUDE_STREAM_"
"""The environment variable of a setting is this prefix and the name of the setting in upper case."""

SEMCONV_OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
"""OpenTelemetry's variable that selects conventions. It is a list with commas, of which one entry is read here."""

_LATEST = "gen_ai_latest_experimental"

OTHER_VARIABLES = frozenset({"STRICT", "AUTO", "CONFIG"})
"""Variables with the prefix that are valid but not in this table."""


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """All settings, with their defaults. `SETTINGS` describes each of them; durations are in seconds.

    Pass one to ``ClaudeStreamInstrumentor().instrument(config=...)``, or set its fields by keyword arguments or
    environment variables. `load` checks the values, not this class.
    """

    enabled: bool = True
    span: str = "auto"
    semconv: str = "1.41"
    events: str = "span"
    deltas: str = "coalesce"
    event_budget: int = 96
    metrics: bool = True
    gaps: str = "claude_stream"
    stall_thresholds: tuple[float, ...] = (10.0, 30.0, 60.0, 180.0)
    known_limits: str = ""
    max_models: int = 20
    baggage_labels: tuple[str, ...] = ()
    max_label_values: int = 20
    export_failures: str = "auto"
    feeds: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    name: str
    type: ValueType
    doc: str

    @property
    def variable(self) -> str:
        """The environment variable of this setting."""
        return PREFIX + self.name.upper()

    @property
    def allowed(self) -> str:
        """The values that are allowed, in words."""
        return self.type.allowed

    def parse(self, value: object) -> object:
        """Return the value of the setting for a text or an object. Raises `ValueError` for an invalid one."""
        return self.type.parse(self.type.read(str(value)) if isinstance(value, str | int | float) else value)


def opted_in(environment: Mapping[str, str]) -> bool:
    """Return whether `OTEL_SEMCONV_STABILITY_OPT_IN` asks for the latest GenAI conventions."""
    return _LATEST in {entry.strip() for entry in environment.get(SEMCONV_OPT_IN, "").split(",")}


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


def parse_keys(value: object) -> tuple[str, ...]:
    """Return different keys of labels, from a sequence or a text with commas. Raises `ValueError` for too many."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError(value)
    keys = tuple(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))
    if len(keys) > bounds.LABELS or not all(map(KEY.fullmatch, keys)):
        raise ValueError(value)
    return keys


def parse_limits(value: object) -> str:
    """Return a description of known limits as a text, if it is valid. The module that reads it is imported for that."""
    text = str(value).strip()
    if text:
        from otel_claude_stream._core.diagnosis import limits

        limits.parse_limits(text)
    return text


def _seconds(value: object) -> float:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return float(value)
    return parse_duration(str(value))


SETTINGS: tuple[Setting, ...] = (
    Setting("enabled", boolean(), "False leaves the SDK untouched."),
    Setting(
        "span",
        choice("auto", "always", "off"),
        "`auto`: a `chat` span, or a `claude.stream` span if the SDK, another instrumentation or a framework records "
        "the `chat` span. `always`: always the `chat` span. `off`: metrics only.",
    ),
    Setting(
        "semconv",
        choice("1.41", "0.1", "both"),
        "Which names of the GenAI conventions are recorded: those of OpenTelemetry's semantic conventions 1.41, those "
        "of the newer GenAI conventions 0.1, or both. If unset, the entry `gen_ai_latest_experimental` of "
        "`OTEL_SEMCONV_STABILITY_OPT_IN` selects `0.1`.",
    ),
    Setting(
        "events",
        choice("span", "log", "both", "none"),
        "How the events of a stream are recorded: as span events, as log records, as both, or not at all.",
    ),
    Setting(
        "deltas",
        choice("coalesce", "all", "none"),
        "`coalesce`: one event for the deltas of a content block. `all`: one event for each delta. `none`: no events "
        "for deltas.",
    ),
    Setting(
        "event_budget",
        integer(16, 10000),
        "Maximum number of events recorded for one stream. Stay below the limit of the span "
        "(`OTEL_SPAN_EVENT_COUNT_LIMIT`, 128 by default): beyond it the OpenTelemetry SDK drops the oldest events.",
    ),
    Setting("metrics", boolean(), "False records no metrics."),
    Setting(
        "gaps",
        choice("claude_stream", "gen_ai", "both", "none"),
        "Which histogram records the wait before each chunk: `claude.stream.chunk.gap` (`claude_stream`), the "
        "conventions' `time_per_output_chunk` (`gen_ai`), both, or none. The gateway of `collector/` derives the "
        "second from the first. No other metric is recorded once for each chunk.",
    ),
    Setting(
        "stall_thresholds",
        ValueType("rising durations with their units, such as 10s,30s,60s,180s, or none", parse_durations),
        "Waits for content that are recorded as a `stall`, once for each threshold, while the stream still waits. "
        "`none`: no stalls are recorded, and no thread watches for them.",
    ),
    Setting(
        "known_limits",
        ValueType("empty, a factor such as x0.5, or a list such as idle:2s=nginx,duration:3s=gateway", parse_limits),
        "Scales or replaces the table of known middlebox limits, for tests and for middleboxes with other limits.",
    ),
    Setting(
        "max_models",
        integer(1, 1000),
        "Maximum number of different model names, and of server addresses, on metrics. Further ones are recorded as "
        "`other`.",
    ),
    Setting(
        "baggage_labels",
        ValueType(f"at most {bounds.LABELS} keys with commas, such as tenant,feature", parse_keys),
        "Entries of OpenTelemetry's baggage that become labels of metrics and attributes of spans, as "
        "`claude.stream.label.<key>`. Baggage may come from other services, so only these keys are read.",
    ),
    Setting(
        "max_label_values",
        integer(1, 1000),
        "Maximum number of different values on metrics, for each label of `baggage_labels` and `stream_labels()`. "
        "Further ones are recorded as `other`.",
    ),
    Setting(
        "export_failures",
        choice("auto", "once", "all"),
        "How much OpenTelemetry's OTLP exporters log when exports fail. `once`: one line in ten minutes, with the "
        "number of suppressed lines, and none for an attempt that the exporter repeats. `all`: every line. `auto`: "
        "`once` under auto-instrumentation, `all` if the application instruments in code. A logger at DEBUG is not "
        "changed.",
    ),
    Setting(
        "feeds",
        boolean(),
        "True records the connections to the event feeds of agent sessions (`beta.sessions.events.stream` and that of "
        "threads), as spans `claude.stream.feed` and as metrics. They are never retried.",
    ),
)
