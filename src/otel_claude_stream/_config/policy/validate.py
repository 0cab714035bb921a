"""Checking what one place says, key by key: everything that is wrong with it, and the values if nothing is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_claude_stream._config import renamed
from otel_claude_stream._config.policy.expected import (
    allowed,
    is_rule,
    key_at,
    nearest_key,
    nearest_variable,
    nearest_word,
)
from otel_claude_stream._config.policy.keys import Path
from otel_claude_stream._config.policy.layer import Layer
from otel_claude_stream._config.problem import Problem

if TYPE_CHECKING:
    from pydantic import ValidationError

LEAST: Final = (2, 7)
"""The oldest version of pydantic that is tested."""


def unusable() -> str:
    """Why there is no pydantic to check with; empty if there is."""
    install = "pip install 'otel-claude-stream[policy]'"
    try:
        import pydantic

        version = str(pydantic.VERSION)
        found = tuple(int(part) for part in version.split(".")[:2])
    except ImportError:
        return f"a retry policy needs pydantic, which is not installed: {install}"
    except Exception as error:  # noqa: BLE001 - a broken installation of somebody else's
        return f"a retry policy needs pydantic, which cannot be imported ({type(error).__name__}): {install}"
    if found < LEAST or found[0] > LEAST[0]:
        return (
            f"a retry policy needs pydantic {LEAST[0]}.{LEAST[1]} or newer, below 3; {version} is installed: {install}"
        )
    return ""


def validate(layer: Layer) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """What a layer says, durations in seconds. Imports pydantic; see `unusable`."""
    from pydantic import ValidationError

    from otel_claude_stream._config.policy.models import BARE_NUMBER, Document

    try:
        return Document.model_validate(dict(layer.said)).model_dump(exclude_unset=True), ()
    except ValidationError as error:
        found = [_problem(layer, *one, BARE_NUMBER) for one in _errors(error)]
        return {}, tuple(sorted(found, key=lambda problem: _line(problem.source)))


def _errors(error: ValidationError) -> list[tuple[str, Path, object]]:
    """Return kind, path and value of each error; one, not two, for a rule with a key under its old name."""
    found: list[tuple[str, Path, object]] = []
    for one in error.errors(include_url=False, include_context=False):
        path: Path = tuple(part for part in one["loc"] if part != "[key]")
        if one["input"] is True and is_rule(path[:-1]):  # what YAML 1.1 makes of the key `on`
            path = (*path[:-1], "on")
        found.append(("renamed" if _renamed_key(path) else one["type"], path, one["input"]))
    rules = {path[:-1] for kind, path, _ in found if kind == "renamed"}
    return [(kind, path, value) for kind, path, value in found if kind != "missing" or path[:-1] not in rules]


def _renamed_key(path: Path) -> str:
    """Return the new name of the last key of a path; empty for a key that was not renamed."""
    return renamed.rule_key(path[-1]) if path and is_rule(path[:-1]) else ""


def _line(source: str) -> int:
    """In the order of the file."""
    line = source.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0


def _problem(layer: Layer, kind: str, path: Path, value: object, bare_number: str) -> Problem:
    if kind == "renamed":
        return layer.problem(path, value, renamed.message(_renamed_key(path)))
    if (key := key_at(path)) is not None and (new := renamed.value(key.name, value)):
        return layer.problem(path, value, renamed.message(new))
    if kind == "extra_forbidden" and path in layer.variables:
        return layer.problem(path, value, "no such setting", nearest_variable(layer.variables[path]))
    if kind == "extra_forbidden":
        return layer.problem(path, value, "no such key", nearest_key(path))
    if kind == "missing":
        return layer.problem(path, "", f"it is missing; {allowed(path)}")
    if kind == bare_number:
        return layer.problem(path, value, f"a number without its unit; {allowed(path)}", f"{value}s")
    return layer.problem(path, value, allowed(path), nearest_word(path, value))
