"""Validate the values of one layer key by key: report what is invalid, what is allowed, and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple

from otel_claude_stream._config import renamed
from otel_claude_stream._config.policy.keys import (
    HEAD,
    KEYS,
    PROCESS_KEYS,
    Key,
    Path,
    dotted,
    variables,
    without_variable,
)
from otel_claude_stream._config.policy.layer import Layer, preview
from otel_claude_stream._config.policy.schema import DOCUMENT, RULE, Items, Node, Patterns, Section
from otel_claude_stream._config.problem import NO_VALUE, Problem
from otel_claude_stream._config.settings import PREFIX

MAX_PROBLEMS: Final = 20
"""Maximum number of problems that are reported for a policy."""


def validate(layer: Layer) -> tuple[Layer, tuple[Problem, ...]]:
    """Return a layer with its valid values, durations in seconds, and its problems in the order of the file."""
    found = _Validation()
    values = found.value(layer.values, DOCUMENT, ())
    errors = sorted(found.errors, key=lambda error: layer.line(error.path))
    problems = [_problem(layer, error) for error in errors[:MAX_PROBLEMS]]
    if len(errors) > MAX_PROBLEMS:  # this many problems need no check for contradictions
        problems += [Problem(layer.name, preview(dotted(x.path)), "", "not valid") for x in errors[MAX_PROBLEMS:]]
        return replace(layer, invalid=frozenset({("preset",)})), tuple(problems)
    unknown = layer.invalid.union(*(_unknown_paths(error, layer) for error in errors))
    return replace(layer, valid=values, invalid=unknown), tuple(problems)


class _Error(NamedTuple):
    kind: Literal["unknown", "missing", "invalid"]
    path: Path
    value: object
    node: Node
    """The node of the value; for an unknown key the section that contains it."""


class _Invalid:
    """A value without a valid part."""


_INVALID: Final = _Invalid()


class _Validation:
    """Collects the errors in values, and returns the valid part of each value."""

    def __init__(self) -> None:
        self.errors: list[_Error] = []

    def value(self, value: object, node: Node, path: Path) -> Any:
        """Return the valid part of a value."""
        match node:
            case Key():
                try:
                    return node.type.parse(value)
                except ValueError:
                    return self._error("invalid", path, value, node)
            case Section() if isinstance(value, Mapping):
                return self._section(value, node, path)
            case Items() if isinstance(value, list) and node.least <= len(value) <= node.most:
                items = [self.value(item, node.item, (*path, number)) for number, item in enumerate(value)]
                if node.item is RULE:  # rules keep their places; an invalid one has no reasons
                    return [{"reasons": [], **(item if item is not _INVALID else {})} for item in items]
                return [item for item in items if item is not _INVALID]
            case Patterns() if isinstance(value, Mapping) and len(value) <= node.most:
                return _valid(
                    (name, self.value(part, node.item, (*path, name)))
                    if isinstance(name, str)
                    else (name, self._error("invalid", (*path, preview(name)), part, node))
                    for name, part in value.items()
                )
            case _:
                return self._error("invalid", path, value, node)

    def _section(self, values: Mapping[Any, object], section: Section, path: Path) -> dict[str, Any]:
        is_renamed = section is RULE and any(map(renamed.rule_key, values))
        for name in section.required:
            if name not in values and not is_renamed:
                self._error("missing", (*path, name), NO_VALUE, section.children[name])
        return _valid(
            (name, self.value(value, section.children[name], (*path, name)))
            if name in section.children
            else (name, self._unknown(name, value, section, path))
            for name, value in values.items()
        )

    def _unknown(self, name: object, value: object, section: Section, path: Path) -> _Invalid:
        if name is True and section is RULE:  # YAML 1.1 reads the key `on` as true
            return self._error("unknown", (*path, "on"), name, section)
        return self._error("unknown", (*path, name if isinstance(name, str) else preview(name)), value, section)

    def _error(self, kind: Literal["unknown", "missing", "invalid"], path: Path, value: object, node: Node) -> _Invalid:
        self.errors.append(_Error(kind, path, value, node))
        return _INVALID


def _valid(items: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    return {name: value for name, value in items if value is not _INVALID}


def _unknown_paths(error: _Error, layer: Layer) -> Iterator[Path]:
    """Yield the paths whose values an error leaves unknown. For a misspelled key these include the one it resembles."""
    path = error.path
    yield path
    if not isinstance(error.node, Section) or error.kind != "unknown":
        return
    if path in layer.variables:
        key = variables().get(_nearest_variable(layer.variables[path]))
        yield from [key.path] if key is not None else []
    elif near := _nearest_key(path, error.node):
        above = path[:-1] if near in error.node.children else path[:2] if path[0] == "models" else ()
        yield (*above, *near.split("."))


def _problem(layer: Layer, error: _Error) -> Problem:
    kind, path, value, node = error
    if kind == "unknown" and isinstance(node, Section):
        if node is RULE and (new := renamed.rule_key(path[-1])):
            return layer.problem(path, value, renamed.message(new))
        if variable := layer.variables.get(path):
            if why := without_variable(variable):
                return layer.problem(path, value, why)
            return layer.problem(path, value, "no such setting", _nearest_variable(variable))
        return layer.problem(path, value, "no such key", _nearest_key(path, node))
    if not isinstance(node, Key):
        missing = "it is missing; " if kind == "missing" else ""
        return layer.problem(path, value, missing + node.allowed)
    allowed = f"allowed is {node.type.allowed}"
    if new := renamed.value(node.name, value):
        return layer.problem(path, value, renamed.message(new))
    if node.type.is_duration and isinstance(value, int | float) and not isinstance(value, bool):
        nearest = "" if path in layer.references else f"{value}s"
        return layer.problem(path, value, f"a number without its unit; {allowed}", nearest)
    nearest = _nearest(value.strip().lower(), node.type.words) if isinstance(value, str) else ""
    return layer.problem(path, value, allowed, nearest)


def _nearest_key(path: Path, section: Section) -> str:
    """Return the most similar key in the same section as an unknown key, or else in other ones."""
    name = str(path[-1])
    if near := _nearest(name, section.children):
        return near
    keys = KEYS if path[:1] == ("models",) else (*HEAD, *KEYS, *PROCESS_KEYS)
    elsewhere = {key.path[-1]: key.name for key in reversed(keys)}
    return elsewhere.get(_nearest(name, elsewhere), "")


def _nearest_variable(name: str) -> str:
    """Return the environment variable that is most similar to an unknown one, apart from the common prefix."""
    found = _nearest(name.removeprefix(PREFIX).upper(), [known.removeprefix(PREFIX) for known in variables()])
    return PREFIX + found if found else ""


def _nearest(name: str, names: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), "")
