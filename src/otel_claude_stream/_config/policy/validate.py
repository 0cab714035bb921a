"""Validate the values of one layer key by key: report what is invalid, what is allowed, and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from otel_claude_stream._config import renamed
from otel_claude_stream._config.policy.keys import HEAD, KEYS, KILL_SWITCH, RULE_KEYS, SECTIONS, Key, Path, variables
from otel_claude_stream._config.policy.layer import Layer
from otel_claude_stream._config.policy.value_types import Choice, choice_of
from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import PREFIX
from otel_claude_stream._core.vocabulary import AbortReason

if TYPE_CHECKING:
    from pydantic import ValidationError

OLDEST_PYDANTIC: Final = (2, 7)
"""The oldest version of pydantic that is tested."""

_REASONS: Final = choice_of(AbortReason)
_BY_NAME: Final = {key.name: key for key in (*HEAD, *KEYS, KILL_SWITCH, *RULE_KEYS)}
_BACKOFF: Final = tuple(key.path[-1] for key in KEYS if key.path[0] == "backoff")
_SECTIONS: Final = {name: tuple(key.path[1] for key in KEYS if key.path[0] == name) for name in SECTIONS}
_IN_POLICY: Final = (*dict.fromkeys(key.path[0] for key in KEYS), "rules")
_IN_FILE: Final = (*(key.name for key in HEAD), *_IN_POLICY, "models", KILL_SWITCH.name)
_IN_RULE: Final = ("reasons", *(key.path[1] for key in RULE_KEYS), "backoff")


def pydantic_problem() -> str:
    """Return why pydantic cannot be used, and how to install it; empty if it can be used."""
    install = "pip install 'otel-claude-stream[policy]'"
    try:
        import pydantic

        version = str(pydantic.VERSION)
        found = tuple(int(part) for part in version.split(".")[:2])
    except ImportError:
        return f"a retry policy needs pydantic, which is not installed: {install}"
    except Exception as error:  # noqa: BLE001 - a broken installation of pydantic
        return f"a retry policy needs pydantic, which cannot be imported ({type(error).__name__}): {install}"
    if found < OLDEST_PYDANTIC or found[0] > OLDEST_PYDANTIC[0]:
        oldest = ".".join(map(str, OLDEST_PYDANTIC))
        return f"a retry policy needs pydantic {oldest} or newer, below 3; {version} is installed: {install}"
    return ""


def validate(layer: Layer) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Return the values of a layer, with durations in seconds, and its problems in the order of the file.

    Imports pydantic; see `pydantic_problem`.
    """
    from pydantic import ValidationError

    from otel_claude_stream._config.policy.models import BARE_NUMBER, Document

    try:
        return Document.model_validate(dict(layer.values)).model_dump(exclude_unset=True), ()
    except ValidationError as error:
        problems = [_problem(layer, *one, BARE_NUMBER) for one in _errors(error)]
        return {}, tuple(sorted(problems, key=lambda problem: _line(problem.source)))


def _errors(error: ValidationError) -> list[tuple[str, Path, object]]:
    """Return type, path and value of each error. A rule with a renamed key has only the error that names the key."""
    found: list[tuple[str, Path, object]] = []
    for one in error.errors(include_url=False, include_context=False):
        path: Path = tuple(part for part in one["loc"] if part != "[key]")
        if one["input"] is True and is_rule(path[:-1]):  # YAML 1.1 reads the key `on` as true
            path = (*path[:-1], "on")
        found.append(("renamed" if _renamed_key(path) else one["type"], path, one["input"]))
    rules = {path[:-1] for kind, path, _ in found if kind == "renamed"}
    return [(kind, path, value) for kind, path, value in found if kind != "missing" or path[:-1] not in rules]


def _renamed_key(path: Path) -> str:
    """Return the new name of the last key of a path; empty for a key that was not renamed."""
    return renamed.rule_key(path[-1]) if path and is_rule(path[:-1]) else ""


def _line(source: str) -> int:
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
            return "allowed is a list of rules, such as [{reasons: [overloaded], max_attempts: 2}]"
        case ("rules", "reasons") if isinstance(path[-1], int):
            return f"allowed is {_REASONS.allowed}"
        case ("rules", "reasons"):
            return "allowed is a list of reasons, such as [overloaded, silent], not an empty one"
        case ("models",) if len(path) == 1:
            return "allowed is a mapping from patterns, such as claude-haiku-*, to the values for these models"
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
    keys = KEYS if path[:1] == ("models",) else (*HEAD, *KEYS, KILL_SWITCH)
    elsewhere = {key.path[-1]: key.name for key in reversed(keys)}
    return elsewhere.get(_nearest(name, elsewhere), "")


def nearest_variable(name: str) -> str:
    """Return the environment variable that is most similar to an unknown one, apart from the common prefix."""
    found = _nearest(name.removeprefix(PREFIX).upper(), [known.removeprefix(PREFIX) for known in variables()])
    return PREFIX + found if found else ""


def nearest_word(path: Path, value: object) -> str:
    """Return the allowed word that is most similar to an invalid one."""
    key = key_at(path)
    value_type = key.type if key is not None else None
    if _names_in_policy(path) == ("rules", "reasons") and isinstance(path[-1], int):
        value_type = _REASONS
    if not isinstance(value_type, Choice) or not isinstance(value, str):
        return ""
    return _nearest(value.strip().lower(), value_type.words)


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
