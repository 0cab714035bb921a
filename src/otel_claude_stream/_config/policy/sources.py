"""The layers that files, code and the environment set."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping
from dataclasses import fields
from pathlib import PurePath
from typing import Any, Final

from otel_claude_stream._config.policy.keys import KEYS, KILL_SWITCH, PROCESS_KEYS, Path, variables
from otel_claude_stream._config.policy.layer import Layer, preview
from otel_claude_stream._config.policy.presets import PRESETS, nested
from otel_claude_stream._config.policy.text import MAX_BYTES, Mistake, ParsedText, Unreadable, parse_json
from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import OTHER_VARIABLES, PREFIX, SETTINGS
from otel_claude_stream._core.retry.policy import Backoff, RetryPolicy, Rule

PolicyLike = RetryPolicy | Mapping[str, Any] | str | os.PathLike[str]
"""A whole policy, a part of one as in a file, the name of a preset, or the path of a file."""

FILE_VARIABLE: Final = f"{PREFIX}CONFIG"
"""The environment variable that names the policy file."""
ENVIRONMENT: Final = "environment"

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_OTHER_SETTINGS: Final = frozenset(setting.variable for setting in SETTINGS) | {
    PREFIX + name for name in OTHER_VARIABLES
}
NO_YAML: Final = "PyYAML is not installed: pip install 'otel-claude-stream[policy]', or write the file as JSON (.json)"
_BACKOFF = {key.path[1]: key for key in KEYS if key.path[0] == "backoff"}


# --- Files ------------------------------------------------------------------------------------------------------------
def read(path: str, environment: Mapping[str, str]) -> tuple[Layer | None, tuple[Problem, ...]]:
    """Read the values of a file; None for an unreadable file. The problems are those of its form, not of its values."""
    try:
        text = _read_text(path)
        if PurePath(path).suffix.lower() == ".json":
            return _layer(path, parse_json(text, environment))
        from otel_claude_stream._config.policy.yaml_text import parse_yaml

        return _layer(path, parse_yaml(text, environment))
    except ImportError:
        return None, (Problem(path, "", "", NO_YAML),)
    except OSError as error:
        return None, (Problem(path, "", "", f"the file cannot be read: {error.strerror or error}"),)
    except RecursionError:
        return None, (Problem(path, "", "", "the file cannot be read: it is nested too deeply"),)
    except ValueError as error:
        return None, (Problem(path, "", "", f"the file cannot be read: {error}"),)
    except Unreadable as error:
        return None, (_problem(Layer(path), error.mistake),)


def _read_text(path: str) -> str:
    """Return the text of a file. Raises `OSError`, or `ValueError` for a file that is not text."""
    status = os.stat(path)  # noqa: PTH116 - messages show the path unchanged, and it may contain a NUL
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    with open(path, encoding="utf-8-sig") as opened:  # noqa: PTH123 - as above
        try:
            return opened.read()
        except UnicodeDecodeError as error:
            raise ValueError(f"it is not UTF-8 (byte {error.start})") from None


def _layer(path: str, parsed: ParsedText) -> tuple[Layer | None, tuple[Problem, ...]]:
    values = {} if parsed.data is None else parsed.data
    problems = tuple(_problem(Layer(path, lines=parsed.lines), mistake) for mistake in parsed.mistakes)
    if not isinstance(values, dict):
        return None, (*problems, Problem(path, "", "", "the file must be a mapping, such as mode: retry"))
    invalid = frozenset(mistake.path for mistake in parsed.mistakes)
    return Layer(path, values, parsed.lines, references=parsed.references, invalid=invalid), problems


def _problem(layer: Layer, mistake: Mistake) -> Problem:
    if mistake.path:
        return layer.problem(mistake.path, mistake.value, mistake.text)
    location = layer.name if mistake.line is None else f"{layer.name}:{mistake.line}"
    return Problem(location, "", "", mistake.text)


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
        case str() | os.PathLike() if PurePath(policy).suffix.lower() in _SUFFIXES or os.sep in os.fspath(policy):
            return read(os.fspath(policy), environment)
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


def document_of(policy: RetryPolicy) -> dict[str, Any]:
    """Return the values of a policy as in a file. Values of the wrong type stay; the validation reports them."""
    values = _differences(policy, RetryPolicy())
    values |= {key.name: key.value_in(policy) for key in PROCESS_KEYS if key.value_in(policy) != key.default}
    if policy.models:
        # The differences from the surrounding policy, since the values of a file for a model override that policy.
        values["models"] = {pattern: _differences(other, policy) for pattern, other in policy.models}
    return values


def _differences(policy: RetryPolicy, base: RetryPolicy) -> dict[str, Any]:
    changed = (key for key in KEYS if key.value_in(policy) != key.value_in(base))
    tree = nested((key.path, key.in_file(key.value_in(policy))) for key in changed)
    if policy.rules != base.rules:
        tree["rules"] = [_rule(rule) for rule in policy.rules]
    if policy.fallback != base.fallback:  # an empty list removes a pattern
        models = {**{pattern: () for pattern, _ in base.fallback}, **dict(policy.fallback)}
        tree["fallback"] = {pattern: list(names) for pattern, names in models.items()}
    return tree


def _rule(rule: Rule) -> dict[str, Any]:
    values: dict[str, Any] = {"reasons": sorted(reason.value for reason in rule.reasons)}
    for field in fields(rule):
        value = getattr(rule, field.name)
        if field.name != "reasons" and value is not None:
            values[field.name] = _backoff(value) if isinstance(value, Backoff) else value
    return values


def _backoff(backoff: Backoff) -> dict[str, Any]:
    """Return all fields, since keys that a rule does not set have the value of the policy."""
    return {name: key.in_file(getattr(backoff, name)) for name, key in _BACKOFF.items()}


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
    values: dict[tuple[str, ...], object] = {}
    names: dict[Path, str] = {}
    for name, text in policy_variables(environment).items():
        key = known.get(name)
        path = key.path if key is not None else (name.removeprefix(PREFIX),)
        values[path] = key.type.read(text) if key is not None else text
        names[path] = name
    return Layer(ENVIRONMENT, nested(values.items()), variables=names)
