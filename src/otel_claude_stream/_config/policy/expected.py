"""What is allowed at a path of a policy, in words, and the nearest valid name for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from otel_claude_stream._config.policy.keys import HEAD, KEYS, KILL_SWITCH, RULE_KEYS, SECTIONS, Key, Path, variables
from otel_claude_stream._config.policy.value_types import Choice, words
from otel_claude_stream._config.settings import PREFIX
from otel_claude_stream._core.vocabulary import AbortReason

_REASONS: Final = words(AbortReason)
_BY_NAME: Final = {key.name: key for key in (*HEAD, *KEYS, KILL_SWITCH, *RULE_KEYS)}
_BACKOFF: Final = tuple(key.path[-1] for key in KEYS if key.path[0] == "backoff")
_SECTIONS: Final = {name: tuple(key.path[1] for key in KEYS if key.path[0] == name) for name in SECTIONS}
_IN_POLICY: Final = (*dict.fromkeys(key.path[0] for key in KEYS), "rules")
_IN_FILE: Final = (*(key.name for key in HEAD), *_IN_POLICY, "models", KILL_SWITCH.name)
_IN_RULE: Final = ("reasons", *(key.path[1] for key in RULE_KEYS), "backoff")


def key_at(path: Path) -> Key | None:
    """The row of the table for a path, wherever it stands: in a file, a model's part, or a rule."""
    names = _names(path)
    if names[:2] == ("rules", "backoff"):
        names = names[1:]
    return _BY_NAME.get(".".join(names))


def allowed(path: Path) -> str:
    """What may stand at a path."""
    key = key_at(path)
    if key is not None:
        return f"allowed is {key.kind.allowed}"
    match _names(path):
        case ("rules",) if isinstance(path[-1], int):
            return f"a rule is a mapping with the keys {', '.join(_IN_RULE)}"
        case ("rules",):
            return "allowed is a list of rules, such as [{reasons: [overloaded], max_attempts: 2}]"
        case ("rules", "reasons") if isinstance(path[-1], int):
            return f"allowed is {_REASONS.allowed}"
        case ("rules", "reasons"):
            return "allowed is a list of reasons, such as [overloaded, silent], not an empty one"
        case ("models",) if len(path) == 1:
            return "allowed is a mapping from patterns, such as claude-haiku-*, to what differs for these models"
        case _:
            return f"allowed is a mapping with the keys {', '.join(_siblings((*path, '')))}"


def is_rule(path: Path) -> bool:
    """Return whether a path is that of a rule, for all models or for some."""
    return bool(path) and isinstance(path[-1], int) and _names(path) == ("rules",)


def nearest_key(path: Path) -> str:
    """For an unknown key: the nearest one beside it, else one of that name elsewhere."""
    name = str(path[-1])
    near = _nearest(name, _siblings(path))
    if near:
        return near
    keys = KEYS if path[:1] == ("models",) else (*HEAD, *KEYS, KILL_SWITCH)
    elsewhere = {key.path[-1]: key.name for key in reversed(keys)}
    return elsewhere.get(_nearest(name, elsewhere), "")


def nearest_variable(name: str) -> str:
    """For an unknown environment variable: the nearest one. What all begin with makes none of them nearer."""
    found = _nearest(name.removeprefix(PREFIX).upper(), [known.removeprefix(PREFIX) for known in variables()])
    return PREFIX + found if found else ""


def nearest_word(path: Path, value: object) -> str:
    """For a wrong word: the nearest allowed one."""
    key = key_at(path)
    kind = key.kind if key is not None else None
    if _names(path) == ("rules", "reasons") and isinstance(path[-1], int):
        kind = _REASONS
    return _nearest(value.strip().lower(), kind.words) if isinstance(kind, Choice) and isinstance(value, str) else ""


def _names(path: Path) -> tuple[str, ...]:
    """The keys of a path within a policy: without a model's pattern, without the numbers of items."""
    within = path[2:] if path[:1] == ("models",) and len(path) > 1 else path
    return tuple(part for part in within if isinstance(part, str))


def _siblings(path: Path) -> tuple[str, ...]:
    """The keys that may stand beside the last one of a path."""
    in_model = path[:1] == ("models",) and len(path) > 2
    match _names(path)[:-1]:
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
