"""The presets: values to start from for four kinds of applications, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class PresetEntry:
    """One value of a preset, as a file would set it, and the reason for it."""

    key: str
    value: str | float | bool
    why: str


@dataclass(frozen=True, slots=True)
class Preset:
    """Values for one kind of application."""

    name: str
    doc: str
    entries: tuple[PresetEntry, ...]

    @property
    def values(self) -> dict[str, Any]:
        """The values as a file would nest them."""
        return nested((entry.key.split("."), entry.value) for entry in self.entries)


def nested(values: Iterable[tuple[Sequence[str], object]]) -> dict[str, Any]:
    """Return values by their paths as the nested mappings of a file."""
    tree: dict[str, Any] = {}
    for (*sections, last), value in values:
        part = tree
        for section in sections:
            part = part.setdefault(section, {})
        part[last] = value
    return tree


_LONG_SILENCE: Final = "Longer than the longest healthy silence known (330 s), shorter than the SDK's 600 s."
_UNCHECKED: Final = "A program takes the answer and would take half of one for a whole one."

_ALL: Final = (
    Preset("observe", "Retries and resumes nothing; records what would be done. The default.", ()),
    Preset(
        "interactive",
        "A person waits for the answer and watches it grow.",
        (
            PresetEntry("mode", "retry", "A text on the screen is not continued by another generation unasked."),
            PresetEntry("limits.max_attempts", 2, "A person asks again sooner than a third attempt would end."),
            PresetEntry("limits.max_resumes", 0, "The mode is `retry`."),
            PresetEntry("limits.max_requests", 4, "The SDK's three, and one more."),
            PresetEntry("limits.deadline", "60s", "The patience of a person in front of an empty screen."),
            PresetEntry("backoff.cap", "2s", "A longer pause is noticed."),
            PresetEntry("retry_after.max", "10s", "A person rather sees an error than waits longer."),
        ),
    ),
    Preset(
        "batch",
        "Many calls whose cost matters; no person waits for a single one.",
        (
            PresetEntry("mode", "retry", "A whole answer by one generation, or an error and another run."),
            PresetEntry("limits.max_attempts", 4, "Waiting is cheap, a failed run is not."),
            PresetEntry("limits.max_requests", 10, "Every attempt may need one or two retries by the SDK."),
            PresetEntry("limits.deadline", "30m", "Later calls outlast an incident of the usual length."),
            PresetEntry("backoff.base", "1s", "Many calls fail together; they return slowly."),
            PresetEntry("backoff.cap", "30s", "Many calls fail together; they return slowly."),
            PresetEntry("retry_after.max", "5m", "Rate limits of the lower tiers ask for up to three minutes."),
            PresetEntry("budget.ratio", 0.1, "Google SRE: one retry for ten calls is enough, if there are many calls."),
            PresetEntry("watchdog.silence", "6m", _LONG_SILENCE),
            PresetEntry("watchdog.no_progress", "10m", "The SDK's limit, which pings reset."),
            PresetEntry("raise_on_truncation", True, _UNCHECKED),
        ),
    ),
    Preset(
        "unattended",
        "An agent that works alone, where one lost step may lose all steps before it.",
        (
            PresetEntry("mode", "resume", "An hour of work is worth a seam."),
            PresetEntry("limits.max_attempts", 5, "The maximum."),
            PresetEntry("limits.max_resumes", 2, "A long answer may break twice."),
            PresetEntry("limits.max_requests", 12, "Every attempt may need one or two retries by the SDK."),
            PresetEntry("limits.deadline", "1h", "No person waits."),
            PresetEntry("backoff.base", "1s", "As in `batch`."),
            PresetEntry("backoff.cap", "60s", "Incidents last minutes."),
            PresetEntry("retry_after.max", "15m", "No person waits, and waiting for a rate limit costs nothing."),
            PresetEntry("watchdog.silence", "6m", _LONG_SILENCE),
            PresetEntry("watchdog.no_progress", "15m", "No person would notice a stream that only pings."),
            PresetEntry("raise_on_truncation", True, _UNCHECKED),
        ),
    ),
)

PRESETS: Final[Mapping[str, Preset]] = {preset.name: preset for preset in _ALL}
