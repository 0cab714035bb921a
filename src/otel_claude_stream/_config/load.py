"""Reading the settings: code over environment over defaults, each wrong one named and left at its default."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace

from otel_claude_stream._config import renamed
from otel_claude_stream._config.config import StreamConfig
from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import OTHER_VARIABLES, PREFIX, SETTINGS, Setting, opted_in

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}


def _nearest(name: str, names: Mapping[str, object]) -> str:
    return next(iter(difflib.get_close_matches(name, names, n=1)), "")


def load(
    environment: Mapping[str, str],
    arguments: Mapping[str, object] | None = None,
    base: StreamConfig | None = None,
    check_limits: Callable[[str], object] | None = None,
    source: str = "instrument()",
) -> tuple[StreamConfig, tuple[Problem, ...]]:
    """The settings in force, and every problem found. Never raises: a wrong setting keeps its default.

    Args:
        environment: The variables of the process; those with another prefix are nobody's business.
        arguments: What code said (``instrument(events="log")``). Wins over the environment; None is not said.
        base: What to start from; by default the defaults.
        check_limits: Raises `ValueError` for a value of `known_limits` that does not parse.
        source: Where the arguments come from, for the problems.
    """
    values: dict[str, object] = {}
    said, problems = _in_environment(environment)
    more, further = _in_code(arguments or {}, source)
    problems += further
    for where, shown, name, value in (*said, *more):
        setting = _BY_NAME[name]
        try:
            parsed = setting.parse(value)
            if name == "known_limits" and check_limits is not None:
                check_limits(str(parsed))
            values[name] = parsed
        except Exception:  # noqa: BLE001 - code may give an object of any kind, whose `__str__` may raise anything
            problems.append(_wrong(where, shown, setting, _shown(value)))
    if base is None and opted_in(environment):
        values.setdefault("semconv", "latest")
    return replace(base or StreamConfig(), **values), tuple(problems)  # type: ignore[arg-type] # each parsed by its row


_Said = tuple[str, str, str, object]
"""One value that was set: the source, its name there, the setting, and the value."""


def _in_environment(environment: Mapping[str, str]) -> tuple[list[_Said], list[Problem]]:
    """Return the settings that variables set, and the variables that are no settings."""
    said: list[_Said] = []
    problems: list[Problem] = []
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable.removeprefix(PREFIX) in OTHER_VARIABLES:
            continue
        value = environment[variable]
        if variable in _BY_VARIABLE:
            if value.strip():  # OpenTelemetry: an empty variable is an unset one
                said.append(("environment", variable, _BY_VARIABLE[variable].name, value))
        elif new := renamed.setting(variable.removeprefix(PREFIX).lower()):
            problems.append(Problem("environment", variable, value, renamed.message(_BY_NAME[new].variable)))
        elif "__" not in variable and variable not in _variables_of_the_policy():
            near = _nearest(variable, {**_variables_of_the_policy(), **_BY_VARIABLE})
            problems.append(Problem("environment", variable, value, "no such setting", near))
    return said, problems


def _in_code(arguments: Mapping[str, object], source: str) -> tuple[list[_Said], list[Problem]]:
    """Return the settings that arguments set, and the arguments that are no settings."""
    said: list[_Said] = []
    problems: list[Problem] = []
    for name, value in arguments.items():
        if value is None:
            continue
        if name in _BY_NAME:
            said.append((source, name, name, value))
        elif new := renamed.setting(name):
            problems.append(Problem(source, name, _shown(value), renamed.message(new)))
        else:
            problems.append(Problem(source, name, _shown(value), "no such setting", _nearest(name, _BY_NAME)))
    return said, problems


def _wrong(where: str, shown: str, setting: Setting, value: str) -> Problem:
    """Return the problem of a value that its setting does not take."""
    if new := renamed.value(setting.name, value):
        return Problem(where, shown, value, renamed.message(new))
    return Problem(where, shown, value, f"allowed is {setting.allowed}", _word(setting, value))


def _variables_of_the_policy() -> Mapping[str, object]:
    """Read with the first stream (`policy.load`): what knows them is not imported at the start of every process."""
    from otel_claude_stream._config.policy.keys import variables

    return variables()


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - see above
        return f"<{type(value).__name__}>"


def _word(setting: Setting, value: str) -> str:
    """The nearest allowed word, for settings that allow words only."""
    if setting.type != "word":
        return ""
    words = setting.allowed.replace(" or ", ", ").split(", ")
    return next(iter(difflib.get_close_matches(value.strip().lower(), words, n=1)), "")
