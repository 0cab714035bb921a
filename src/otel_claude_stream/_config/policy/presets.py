"""The presets: values to start from for four kinds of callers, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a preset, as a file would say it, and why."""

    key: str
    value: str | float | bool
    why: str


@dataclass(frozen=True, slots=True)
class Preset:
    """Values for one kind of caller."""

    name: str
    doc: str
    choices: tuple[Choice, ...]

    @property
    def said(self) -> dict[str, Any]:
        """What a file would say."""
        found: dict[str, Any] = {}
        for choice in self.choices:
            *sections, last = choice.key.split(".")
            into = found
            for section in sections:
                into = into.setdefault(section, {})
            into[last] = choice.value
        return found


_LONG_SILENCE: Final = "Longer than the longest healthy silence known (330 s), shorter than the SDK's 600 s."
_NOBODY_LOOKS: Final = "A program takes the answer; half of one passes for a whole one."

_ALL: Final = (
    Preset("observe", "Nothing is done; what would be done is recorded. The default.", ()),
    Preset(
        "interactive",
        "Somebody waits for the answer and sees it grow.",
        (
            Choice("mode", "retry", "A text on the screen is not continued by another generation unasked."),
            Choice("limits.max_attempts", 2, "Whoever waits sends it again sooner than a third attempt would."),
            Choice("limits.max_resumes", 0, "See the mode."),
            Choice("limits.max_requests", 4, "The SDK's three, and one more."),
            Choice("limits.deadline", "60s", "The patience of somebody who looks at an empty screen."),
            Choice("backoff.cap", "2s", "A longer pause is noticed."),
            Choice("retry_after.max", "10s", "A longer wait is better told than sat through."),
        ),
    ),
    Preset(
        "batch",
        "Many calls, nobody waits for a single one, their cost counts.",
        (
            Choice("mode", "retry", "A whole answer by one generation, or an error to be run again."),
            Choice("limits.max_attempts", 4, "Waiting is cheap, a run that fails is not."),
            Choice("limits.max_requests", 10, "Every attempt may meet an SDK retry or two."),
            Choice("limits.deadline", "30m", "An incident of the usual length is sat out by the later calls."),
            Choice("backoff.base", "1s", "Many calls fail together; they return slowly."),
            Choice("backoff.cap", "30s", "As above."),
            Choice("retry_after.max", "5m", "Rate limits of the lower tiers ask for up to three minutes."),
            Choice("budget.ratio", 0.1, "Google SRE: one retry for ten calls is enough, if there are many calls."),
            Choice("watchdog.silence", "6m", _LONG_SILENCE),
            Choice("watchdog.no_progress", "10m", "The SDK's limit, though pings reset that one."),
            Choice("raise_on_truncation", True, _NOBODY_LOOKS),
        ),
    ),
    Preset(
        "unattended",
        "An agent that works alone: a step that is lost may lose all before it.",
        (
            Choice("mode", "resume", "An hour of work is worth a seam."),
            Choice("limits.max_attempts", 5, "The most there is."),
            Choice("limits.max_resumes", 2, "A long answer may break twice."),
            Choice("limits.max_requests", 12, "Every attempt may meet an SDK retry or two."),
            Choice("limits.deadline", "1h", "Nobody waits."),
            Choice("backoff.base", "1s", "As in `batch`."),
            Choice("backoff.cap", "60s", "Incidents last minutes."),
            Choice("retry_after.max", "15m", "Nobody waits, and a limit that is waited out costs nothing."),
            Choice("watchdog.silence", "6m", _LONG_SILENCE),
            Choice("watchdog.no_progress", "15m", "Nobody else would notice a stream that only pings."),
            Choice("raise_on_truncation", True, _NOBODY_LOOKS),
        ),
    ),
)

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType({preset.name: preset for preset in _ALL})
