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
    MAX_MODELS,
    MAX_RULES,
    PROCESS_KEYS,
    REASON,
    RULE_KEYS,
    SECTIONS,
    Key,
    Path,
    dotted,
    variables,
)
from otel_claude_stream._config.policy.layer import Layer, preview
from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import PREFIX
from otel_claude_stream._config.value_types import ValueType

MAX_PROBLEMS: Final = 20
"""Maximum number of problems that are reported for a policy."""
_BY_NAME: Final = {key.name: key for key in (*HEAD, *KEYS, *PROCESS_KEYS, *RULE_KEYS)}
_BACKOFF: Final = tuple(key.path[-1] for key in KEYS if key.path[0] == "backoff")
_SECTIONS: Final = {name: tuple(key.path[1] for key in KEYS if key.path[0] == name) for name in SECTIONS}
_IN_POLICY: Final = (*dict.fromkeys(key.path[0] for key in KEYS), "rules")
_IN_FILE: Final = (*(key.name for key in HEAD), *_IN_POLICY, "models", *(key.name for key in PROCESS_KEYS))
_IN_RULE: Final = ("reasons", *(key.path[1] for key in RULE_KEYS), "backoff")


def validate(layer: Layer) -> tuple[Layer, tuple[Problem, ...]]:
    """Return a layer with its valid values, durations in seconds, and its problems in the order of the file."""
    found = _Validation()
    values = found.mapping(layer.values, ())
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


class _Invalid:
    """A value without a valid part."""


_INVALID: Final = _Invalid()


class _Validation:
    """Collects the errors in values, and returns the valid part of each value."""

    def __init__(self) -> None:
        self.errors: list[_Error] = []

    def mapping(self, values: object, path: Path) -> Any:
        """Return the valid values of a mapping with known keys."""
        if not isinstance(values, Mapping):
            return self._error("invalid", path, values)
        known = _keys_beside((*path, ""))
        return self._items(
            (name, self.value(value, (*path, name)) if name in known else self._unknown(name, value, path))
            for name, value in values.items()
        )

    def value(self, value: object, path: Path) -> Any:
        """Return the valid part of the value of a key."""
        if (key := key_at(path)) is not None:
            return self._parsed(key.type, value, path)
        match _names_in_policy(path):
            case ("rules",):
                return self._rules(value, path)
            case ("rules", "reasons"):
                if not isinstance(value, list) or not value:
                    return self._error("invalid", path, value)
                reasons = [self._parsed(REASON, reason, (*path, n)) for n, reason in enumerate(value)]
                return [reason for reason in reasons if reason is not _INVALID]
            case ("models",) if len(path) == 1:
                if not isinstance(value, Mapping) or len(value) > MAX_MODELS:
                    return self._error("invalid", path, value)
                return self._items((pattern, self._model(pattern, part)) for pattern, part in value.items())
            case _:
                return self.mapping(value, path)

    def _rules(self, rules: object, path: Path) -> Any:
        """Return the valid part of each rule. Rules keep their places; an invalid one has no reasons."""
        if not isinstance(rules, list) or len(rules) > MAX_RULES:
            return self._error("invalid", path, rules)
        valid = []
        for number, rule in enumerate(rules):
            found = self.mapping(rule, (*path, number))
            if found is not _INVALID and "reasons" not in rule and not any(map(renamed.rule_key, rule)):
                self._error("missing", (*path, number, "reasons"), "")
            valid.append({"reasons": [], **(found if found is not _INVALID else {})})
        return valid

    def _model(self, pattern: object, values: object) -> Any:
        if not isinstance(pattern, str):
            return self._error("invalid", ("models", preview(pattern)), values)
        return self.mapping(values, ("models", pattern))

    def _parsed(self, value_type: ValueType, value: object, path: Path) -> Any:
        try:
            return value_type.parse(value)
        except ValueError:
            return self._error("invalid", path, value)

    def _unknown(self, name: object, value: object, path: Path) -> _Invalid:
        if name is True and is_rule(path):  # YAML 1.1 reads the key `on` as true
            return self._error("unknown", (*path, "on"), name)
        return self._error("unknown", (*path, name if isinstance(name, str) else preview(name)), value)

    def _error(self, kind: Literal["unknown", "missing", "invalid"], path: Path, value: object) -> _Invalid:
        self.errors.append(_Error(kind, path, value))
        return _INVALID

    @staticmethod
    def _items(items: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
        return {name: value for name, value in items if value is not _INVALID}


def _unknown_paths(error: _Error, layer: Layer) -> Iterator[Path]:
    """Yield the paths whose values an error leaves unknown. For a misspelled key these include the one it resembles."""
    path = error.path
    yield path
    if error.kind == "unknown" and path in layer.variables:
        key = variables().get(nearest_variable(layer.variables[path]))
        yield from [key.path] if key is not None else []
    elif error.kind == "unknown" and (near := nearest_key(path)):
        above = path[:-1] if near in _keys_beside(path) else path[:2] if path[0] == "models" else ()
        yield (*above, *near.split("."))


def _problem(layer: Layer, error: _Error) -> Problem:
    kind, path, value = error
    key = key_at(path)
    if new := renamed.rule_key(path[-1]) if is_rule(path[:-1]) else renamed.value(key.name, value) if key else "":
        return layer.problem(path, value, renamed.message(new))
    if kind == "unknown" and path in layer.variables:
        return layer.problem(path, value, "no such setting", nearest_variable(layer.variables[path]))
    if kind == "unknown":
        return layer.problem(path, value, "no such key", nearest_key(path))
    if kind == "missing":
        return layer.problem(path, "", f"it is missing; {allowed(path)}")
    if key is not None and key.type.is_duration and isinstance(value, int | float) and not isinstance(value, bool):
        nearest = "" if path in layer.references else f"{value}s"
        return layer.problem(path, value, f"a number without its unit; {allowed(path)}", nearest)
    return layer.problem(path, value, allowed(path), nearest_word(path, value))


# --- The values allowed at a path -----------------------------------------------------------------------------------
def key_at(path: Path) -> Key | None:
    """Return the key of the table at a path of a file, which may lead into a model's part or a rule."""
    names = _names_in_policy(path)
    if names[:2] == ("rules", "backoff"):
        names = names[1:]
    return _BY_NAME.get(".".join(names))


def allowed(path: Path) -> str:
    """Return the values that are allowed at a path, in words."""
    key = key_at(path)
    if key is not None:
        return f"allowed is {key.type.allowed}"
    match _names_in_policy(path):
        case ("rules",) if isinstance(path[-1], int):
            return f"a rule is a mapping with the keys {', '.join(_IN_RULE)}"
        case ("rules",):
            return (
                f"allowed is a list of at most {MAX_RULES} rules, such as [{{reasons: [overloaded], max_attempts: 2}}]"
            )
        case ("rules", "reasons") if isinstance(path[-1], int):
            return f"allowed is {REASON.allowed}"
        case ("rules", "reasons"):
            return "allowed is a list of reasons, such as [overloaded, silent], not an empty one"
        case ("models",) if len(path) == 1:
            return (
                f"allowed is a mapping from at most {MAX_MODELS} patterns, such as claude-haiku-*, "
                "to the values for these models"
            )
        case _:
            return f"allowed is a mapping with the keys {', '.join(_keys_beside((*path, '')))}"


def is_rule(path: Path) -> bool:
    """Return whether a path leads to a rule, for all models or for some."""
    return bool(path) and isinstance(path[-1], int) and _names_in_policy(path) == ("rules",)


def nearest_key(path: Path) -> str:
    """Return the most similar key in the same mapping as an unknown key, or else in other mappings."""
    name = str(path[-1])
    near = _nearest(name, _keys_beside(path))
    if near:
        return near
    keys = KEYS if path[:1] == ("models",) else (*HEAD, *KEYS, *PROCESS_KEYS)
    elsewhere = {key.path[-1]: key.name for key in reversed(keys)}
    return elsewhere.get(_nearest(name, elsewhere), "")


def nearest_variable(name: str) -> str:
    """Return the environment variable that is most similar to an unknown one, apart from the common prefix."""
    found = _nearest(name.removeprefix(PREFIX).upper(), [known.removeprefix(PREFIX) for known in variables()])
    return PREFIX + found if found else ""


def nearest_word(path: Path, value: object) -> str:
    """Return the allowed word that is most similar to an invalid one."""
    key = key_at(path)
    words = key.type.words if key is not None else ()
    if _names_in_policy(path) == ("rules", "reasons") and isinstance(path[-1], int):
        words = REASON.words
    return _nearest(value.strip().lower(), words) if isinstance(value, str) else ""


def _names_in_policy(path: Path) -> tuple[str, ...]:
    """Return the keys of a path within a policy, without the pattern of a model and without list indices."""
    within = path[2:] if path[:1] == ("models",) and len(path) > 1 else path
    return tuple(part for part in within if isinstance(part, str))


def _keys_beside(path: Path) -> tuple[str, ...]:
    """Return the keys that are allowed in the mapping that holds the last key of a path."""
    in_model = path[:1] == ("models",) and len(path) > 2
    match _names_in_policy(path)[:-1]:
        case ():
            return _IN_POLICY if in_model else _IN_FILE
        case ("rules",):
            return _IN_RULE
        case ("rules", "backoff"):
            return _BACKOFF
        case (name,):
            return _SECTIONS.get(name, ())
        case _:
            return ()


def _nearest(name: str, names: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), "")
