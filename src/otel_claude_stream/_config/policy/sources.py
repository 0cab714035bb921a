"""The layers that code and the environment set."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from otel_claude_stream._config.policy.document import document_of
from otel_claude_stream._config.policy.files import read
from otel_claude_stream._config.policy.keys import KILL_SWITCH, Path, variables
from otel_claude_stream._config.policy.layer import Layer, preview
from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import OTHER_VARIABLES, PREFIX, SETTINGS
from otel_claude_stream._core.retry.policy import RetryPolicy

PolicyLike = RetryPolicy | Mapping[str, Any] | str | os.PathLike[str]
"""A whole policy, a part of one as in a file, the name of a preset, or the path of a file."""

FILE_VARIABLE: Final = f"{PREFIX}CONFIG"
"""The environment variable that names the policy file."""
ENVIRONMENT: Final = "environment"

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_OTHER_SETTINGS: Final = frozenset(setting.variable for setting in SETTINGS) | {
    PREFIX + name for name in OTHER_VARIABLES
}


# --- Code -----------------------------------------------------------------------------------------------------------
def layer_of(policy: object, source: str, environment: Mapping[str, str]) -> tuple[Layer | None, tuple[Problem, ...]]:
    """Return the layer of a policy from code; None for an unreadable file or an invalid argument."""
    match policy:
        case RetryPolicy():
            try:
                return Layer(source, {"preset": "observe", **document_of(policy)}), ()
            except Exception as error:  # noqa: BLE001 - fields of any type
                return None, (Problem(source, "", "", f"a field of the RetryPolicy has an invalid type: {error}"),)
        case Mapping():
            return Layer(source, policy), ()
        case str() if policy in PRESETS:
            return Layer(source, {"preset": policy}), ()
        case str() | os.PathLike() if _is_path(path := os.fspath(policy)):
            return read(path, environment)
        case str():
            near = next(iter(difflib.get_close_matches(policy, PRESETS, n=1)), "")
            allowed = f"allowed is a preset ({', '.join(PRESETS)}) or the path of a file"
            return None, (Problem(source, "retry_policy", preview(policy), allowed, near),)
        case _:
            allowed = "allowed is a RetryPolicy, a mapping, the name of a preset or the path of a file"
            return None, (Problem(source, "retry_policy", preview(policy), allowed),)


def is_whole_policy(layer: Layer) -> bool:
    """Return whether a layer from code replaces all others: it names a preset, or is a `RetryPolicy`."""
    return "preset" in layer.values


def _is_path(text: object) -> bool:
    return isinstance(text, str) and (PurePath(text).suffix.lower() in _SUFFIXES or os.sep in text)


# --- The environment ------------------------------------------------------------------------------------------------
def policy_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that belong to the policy or look like it, without the kill switch.

    An empty variable counts as unset. An unknown variable without ``__`` may be a misspelled setting; loading the
    settings reports those.
    """
    known = variables()
    return {
        name: value.strip()
        for name, value in environment.items()
        if name.startswith(PREFIX)
        and value.strip()
        and (name in known or "__" in name)
        and name not in _OTHER_SETTINGS
        and name != KILL_SWITCH.variable
    }


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """Return the layer of the environment. An unknown variable becomes an unknown key, which the validation reports."""
    known = variables()
    tree: dict[str, Any] = {}
    names: dict[Path, str] = {}
    for name, text in policy_variables(environment).items():
        key = known.get(name)
        path = key.path if key is not None else (name.removeprefix(PREFIX),)
        part = tree
        for section in path[:-1]:
            part = part.setdefault(section, {})
        part[path[-1]] = key.type.read(text) if key is not None else text
        names[path] = name
    return Layer(ENVIRONMENT, tree, variables=names)
