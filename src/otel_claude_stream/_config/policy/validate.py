"""Validate the values of one layer key by key: report what is invalid, what is allowed, and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from otel_claude_stream._config import renamed
from otel_claude_stream._config.policy.keys import (
    HEAD,
    KEYS,
    MAX_MODELS,
    MAX_RULES,
    PROCESS_KEYS,
    RULE_KEYS,
    SECTIONS,
    Key,
    Path,
    dotted,
    variables,
)
from otel_claude_stream._config.policy.layer import Layer, Values, preview
from otel_claude_stream._config.policy.value_types import Choice, choice_of
from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import PREFIX
from otel_claude_stream._core.vocabulary import AbortReason

if TYPE_CHECKING:
    from pydantic import ValidationError

OLDEST_PYDANTIC: Final = (2, 7)
"""The oldest version of pydantic that is tested."""

MAX_PROBLEMS: Final = 20
"""Maximum number of problems that are reported for a policy."""
_MAX_ROUNDS: Final = 4
"""Maximum number of attempts to find the valid part of a layer. Each removes all values that are invalid."""
_REASONS: Final = choice_of(AbortReason)
_BY_NAME: Final = {key.name: key for key in (*HEAD, *KEYS, *PROCESS_KEYS, *RULE_KEYS)}
_BACKOFF: Final = tuple(key.path[-1] for key in KEYS if key.path[0] == "backoff")
_SECTIONS: Final = {name: tuple(key.path[1] for key in KEYS if key.path[0] == name) for name in SECTIONS}
_IN_POLICY: Final = (*dict.fromkeys(key.path[0] for key in KEYS), "rules")
_IN_FILE: Final = (*(key.name for key in HEAD), *_IN_POLICY, "models", *(key.name for key in PROCESS_KEYS))
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


def validate(layer: Layer) -> tuple[Layer, tuple[Problem, ...]]:
    """Return a layer with its valid values, durations in seconds, and its problems in the order of the file.

    Imports pydantic; see `pydantic_problem`.
    """
    from pydantic import ValidationError

    from otel_claude_stream._config.policy.models import BARE_NUMBER, Document

    try:
        values = Document.model_validate(dict(layer.values)).model_dump(exclude_unset=True)
        return replace(layer, values=values), ()
    except ValidationError as error:
        errors = _errors(error)
        errors.sort(key=lambda one: layer.line(one[1]))
        problems = [_problem(layer, *one, BARE_NUMBER) for one in errors[:MAX_PROBLEMS]]
        if len(errors) > MAX_PROBLEMS:  # this many problems need no check for contradictions
            more = [Problem(layer.name, preview(dotted(path)), "", "not valid") for _, path, _ in errors[MAX_PROBLEMS:]]
            return replace(layer, values={}, invalid=frozenset({("preset",)})), (*problems, *more)
        unknown = layer.invalid.union(*(_unknown_paths(kind, path, layer) for kind, path, _ in errors))
        valid = replace(layer, values=_valid_part(layer.values, error), invalid=unknown)
        return valid, tuple(problems)


def _unknown_paths(kind: str, path: Path, layer: Layer) -> Iterator[Path]:
    """Yield the paths whose values an error leaves unknown. For a misspelled key these include the one it resembles."""
    yield path
    if kind == "extra_forbidden" and path in layer.variables:
        key = variables().get(nearest_variable(layer.variables[path]))
        yield from [key.path] if key is not None else []
    elif kind == "extra_forbidden" and (near := nearest_key(path)):
        above = path[:-1] if near in _keys_beside(path) else path[:2] if path[0] == "models" else ()
        yield (*above, *near.split("."))


def _valid_part(values: Values, error: ValidationError) -> dict[str, Any]:
    """Return the values without those that are invalid. Rules keep their places; an invalid one has no reasons."""
    from pydantic import ValidationError

    from otel_claude_stream._config.policy.models import Document

    tree = _copied(values)
    without_reasons: set[Path] = set()
    for _ in range(_MAX_ROUNDS):
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            path = tuple(part for part in one["loc"] if part != "[key]")
            rule = next((path[:n] for n in range(len(path) + 1) if is_rule(path[:n])), None)
            if rule is None or path[len(rule) :][:1] not in ((), ("reasons",)):
                _remove(tree, path)
            elif not _keep_valid_reasons(tree, rule):
                without_reasons.add(rule)
        try:
            valid = Document.model_validate(tree).model_dump(exclude_unset=True)
        except ValidationError as further:
            error = further
            continue
        for rule in without_reasons:
            _at(valid, rule)["reasons"] = []
        return valid
    return {}


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _at(tree: Any, path: Path) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _remove(tree: Any, path: Path) -> None:
    """Remove a value from nested mappings; without one at the path, the mapping that should contain it."""
    for length in range(len(path), 0, -1):
        try:
            del _at(tree, path[: length - 1])[path[length - 1]]
        except (KeyError, IndexError, TypeError):
            continue
        return


def _keep_valid_reasons(tree: Any, path: Path) -> bool:
    """Remove the invalid reasons of a rule, and return whether any is left. If not, a valid one takes their place."""
    rule = _at(tree, path)
    if not isinstance(rule, dict):
        _at(tree, path[:-1])[path[-1]] = rule = {}
    reasons = rule.get("reasons")
    valid = [x for x in reasons if isinstance(x, str) and x in _REASONS.words] if isinstance(reasons, list) else []
    rule["reasons"] = valid or [_REASONS.words[0]]
    return bool(valid)


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
            return f"allowed is {_REASONS.allowed}"
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
