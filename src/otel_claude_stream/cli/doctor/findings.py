"""Findings of the doctor: four levels, in sections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Level(IntEnum):
    """The severity of a finding; the highest one determines the exit code."""

    OK = 0
    NOTE = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, and the remedy if there is one."""

    level: Level
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Findings on one subject."""

    title: str
    findings: tuple[Finding, ...]


def ok(text: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(Level.OK, text)


def note(text: str, hint: str = "") -> Finding:
    """Return a finding for information."""
    return Finding(Level.NOTE, text, hint)


def warning(text: str, hint: str = "") -> Finding:
    """Return a finding that works, but perhaps not as intended."""
    return Finding(Level.WARNING, text, hint)


def error(text: str, hint: str = "") -> Finding:
    """Return a finding by which telemetry is lost, or a setting has no effect."""
    return Finding(Level.ERROR, text, hint)


def worst(sections: Iterable[Section]) -> Level:
    """Return the highest level."""
    return max((finding.level for section in sections for finding in section.findings), default=Level.OK)


def problems(sections: Iterable[Section]) -> list[Finding]:
    """Return the errors, then the warnings, each in the order of the sections."""
    found = [finding for section in sections for finding in section.findings if finding.level >= Level.WARNING]
    return sorted(found, key=lambda finding: -finding.level)


def as_json(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """Return the sections as plain data."""
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
