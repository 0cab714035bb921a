"""What the doctor says: findings of four levels, in sections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Level(IntEnum):
    """How bad it is; the worst one decides the exit code."""

    OK = 0
    NOTE = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, and what to do about it if there is something to do."""

    level: Level
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Findings on one subject."""

    title: str
    findings: tuple[Finding, ...]


def ok(text: str) -> Finding:
    """It is as it should be."""
    return Finding(Level.OK, text)


def note(text: str, hint: str = "") -> Finding:
    """Worth knowing, and neither good nor bad."""
    return Finding(Level.NOTE, text, hint)


def warning(text: str, hint: str = "") -> Finding:
    """It works, though perhaps not as it was meant."""
    return Finding(Level.WARNING, text, hint)


def error(text: str, hint: str = "") -> Finding:
    """Telemetry is lost, or something the user asked for is not done."""
    return Finding(Level.ERROR, text, hint)


def worst(sections: Iterable[Section]) -> Level:
    """The worst level found."""
    return max((finding.level for section in sections for finding in section.findings), default=Level.OK)


def count(sections: Iterable[Section], level: Level) -> int:
    """How many findings of a level there are."""
    return sum(finding.level is level for section in sections for finding in section.findings)


def as_json(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """The sections as plain data."""
    return [
        {
            "title": section.title,
            "findings": [
                {"level": finding.level.name.lower(), "text": finding.text, "hint": finding.hint}
                for finding in section.findings
            ],
        }
        for section in sections
    ]
