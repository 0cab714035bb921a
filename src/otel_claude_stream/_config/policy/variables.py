"""The policy in the environment: one variable for each key that holds a single value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_claude_stream._config.policy.keys import KILL_SWITCH, Path, variables
from otel_claude_stream._config.policy.layer import Layer
from otel_claude_stream._config.settings import OTHER_VARIABLES, PREFIX, SETTINGS

FILE: Final = f"{PREFIX}CONFIG"
"""Names the policy file."""
NAME: Final = "environment"

_OTHERS: Final = frozenset(setting.variable for setting in SETTINGS) | {PREFIX + name for name in OTHER_VARIABLES}


def said(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are, or look like, a part of the policy; not the kill switch, which is read at each stream.

    An empty variable is an unset one. Without ``__`` an unknown variable may be meant for another setting: those are
    named where settings are read.
    """
    known = variables()
    return {
        name: value.strip()
        for name, value in environment.items()
        if name.startswith(PREFIX)
        and value.strip()
        and (name in known or "__" in name)
        and name not in _OTHERS
        and name != KILL_SWITCH.variable
    }


def layer(environment: Mapping[str, str]) -> Layer:
    """What the environment says. An unknown variable becomes an unknown key, to be named with the others."""
    known = variables()
    tree: dict[str, Any] = {}
    names: dict[Path, str] = {}
    for name, text in said(environment).items():
        key = known.get(name)
        path = key.path if key is not None else (name.removeprefix(PREFIX),)
        into = tree
        for part in path[:-1]:
            into = into.setdefault(part, {})
        into[path[-1]] = key.kind.read(text) if key is not None else text
        names[path] = name
    return Layer(NAME, tree, variables=names)
