"""The policy that the checks get, and the findings that they return."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from otel_claude_stream._config.policy.keys import Path
from otel_claude_stream._config.problem import Severity
from otel_claude_stream._core.retry.policy import RetryPolicy


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with a value in the context of other values."""

    path: Path
    text: str
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class CheckedPolicy:
    """A policy, and the layers that set its values."""

    policy: RetryPolicy
    setters: Mapping[Path, int]
    """For each value that is not a default, the index of the layer that set it."""
    models: str = ""
    """The pattern of the models to which the policy applies; empty for all."""
    unknown: Collection[Path] = frozenset()
    """Values that an error leaves unknown; the policy has their defaults instead."""

    def knows(self, *paths: Path) -> bool:
        """Return whether all of these values are known."""
        return not any(path[: len(one)] == one for one in self.unknown if one for path in paths)

    def sets(self, *names: str | Path) -> bool:
        """Return whether any layer sets one of these values. A lowered limit does not contradict a default above it."""
        return any(as_path(name) in self.setters for name in names)

    def above_limit(self, path: Path, limit: str, text: str) -> Finding:
        """Return the finding for a value above its limit, a warning if a later layer lowered the limit."""
        lowered = self.setters.get(as_path(limit), -1) > self.setters.get(path, -1)
        return Finding(path, text, Severity.WARNING if lowered else Severity.ERROR)


def as_path(name: str | Path) -> Path:
    """Return the path of a dotted name; a path stays."""
    return tuple(name.split(".")) if isinstance(name, str) else name


def error(path: str | Path, text: str) -> Finding:
    """Return the finding that a value contradicts another one."""
    return Finding(as_path(path), text, Severity.ERROR)


def warning(path: str | Path, text: str) -> Finding:
    """Return the finding that a value is probably a mistake."""
    return Finding(as_path(path), text)
