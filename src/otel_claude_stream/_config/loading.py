"""Load the settings from code, the environment and defaults, and report each invalid one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from otel_claude_stream._config import renamed
from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import OTHER_VARIABLES, PREFIX, SETTINGS, Setting, StreamConfig, opted_in

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}


class _Assignment(NamedTuple):
    """One value that a source sets."""

    source: str
    name: str
    """The name that the source uses: a variable or an argument."""
    setting: Setting
    value: object


def load(
    environment: Mapping[str, str],
    arguments: Mapping[str, object] | None = None,
    base: StreamConfig | None = None,
    source: str = "instrument()",
) -> tuple[StreamConfig, tuple[Problem, ...]]:
    """Load the settings, and collect every problem. Never raises; an invalid setting keeps its default.

    Args:
        environment: The variables of the process. Variables without the prefix are ignored.
        arguments: Settings from code (``instrument(events="log")``). They override the environment. None means unset.
        base: The settings to start from. The default is `StreamConfig()`.
        source: Where the arguments come from, for messages.
    """
    values: dict[str, object] = {}
    assignments, problems = _from_environment(environment)
    from_code, further = _from_code(arguments or {}, source)
    problems += further
    for assignment in (*assignments, *from_code):
        name = assignment.setting.name
        try:
            values[name] = assignment.setting.parse(assignment.value)
        except Exception:  # noqa: BLE001 - code may pass any object, and its `__str__` may raise anything
            problems.append(_invalid(assignment))
    if base is None and opted_in(environment):
        values.setdefault("semconv", "0.1")
    return replace(base or StreamConfig(), **values), tuple(problems)  # type: ignore[arg-type] # parsed by its setting


def _from_environment(environment: Mapping[str, str]) -> tuple[list[_Assignment], list[Problem]]:
    """Return the settings that variables set, and problems for variables that are not settings."""
    assignments: list[_Assignment] = []
    problems: list[Problem] = []
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable.removeprefix(PREFIX) in OTHER_VARIABLES:
            continue
        value = environment[variable]
        if variable in _BY_VARIABLE:
            if value.strip():  # OpenTelemetry treats an empty variable as unset
                assignments.append(_Assignment("environment", variable, _BY_VARIABLE[variable], value))
        elif new := renamed.SETTINGS.get(variable.removeprefix(PREFIX).lower()):
            problems.append(Problem("environment", variable, value, renamed.message(_BY_NAME[new].variable)))
        elif "__" not in variable and variable not in _policy_variables():
            if why := _in_files_only(variable):
                problems.append(Problem("environment", variable, value, why))
                continue
            near = _nearest(variable, {**_policy_variables(), **_BY_VARIABLE})
            problems.append(Problem("environment", variable, value, "no such setting", near))
    return assignments, problems


def _from_code(arguments: Mapping[str, object], source: str) -> tuple[list[_Assignment], list[Problem]]:
    """Return the settings that arguments set, and problems for arguments that are not settings."""
    assignments: list[_Assignment] = []
    problems: list[Problem] = []
    for name, value in arguments.items():
        if value is None:
            continue
        if name in _BY_NAME:
            assignments.append(_Assignment(source, name, _BY_NAME[name], value))
        elif new := renamed.SETTINGS.get(name):
            problems.append(Problem(source, name, _text_of(value), renamed.message(new)))
        else:
            problems.append(Problem(source, name, _text_of(value), "no such setting", _nearest(name, _BY_NAME)))
    return assignments, problems


def _invalid(assignment: _Assignment) -> Problem:
    """Return the problem for a value that its setting rejects."""
    source, name, setting, value = assignment
    text = _text_of(value)
    if new := renamed.value(setting.name, text):
        return Problem(source, name, text, renamed.message(new))
    return Problem(
        source, name, text, f"allowed is {setting.allowed}", _nearest(text.strip().lower(), setting.type.words)
    )


def _policy_variables() -> Mapping[str, object]:
    """Return the environment variables of the policy. Their table is imported only for an unknown variable."""
    from otel_claude_stream._config.policy.keys import variables

    return variables()


def _in_files_only(variable: str) -> str:
    """Return why no environment variable sets a key of the policy; empty for any other name."""
    from otel_claude_stream._config.policy.keys import without_variable

    return without_variable(variable)


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - `__str__` of any object
        return f"<{type(value).__name__}>"


def _nearest(name: str, names: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), "")
