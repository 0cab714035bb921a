"""Reading the settings: code over environment over defaults, each wrong one named and left at its default."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace

from otel_claude_stream._config.config import StreamConfig
from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import OTHER_VARIABLES, PREFIX, SETTINGS

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
        check_limits: Raises `ValueError` for a value of `limits` that does not parse.
        source: Where the arguments come from, for the problems.
    """
    values: dict[str, object] = {}
    problems: list[Problem] = []
    said: list[tuple[str, str, str, object]] = []
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable.removeprefix(PREFIX) in OTHER_VARIABLES:
            continue
        if variable in _BY_VARIABLE:
            if environment[variable].strip():  # OpenTelemetry: an empty variable is an unset one
                said.append(("environment", variable, _BY_VARIABLE[variable].name, environment[variable]))
        elif "__" not in variable and variable not in _variables_of_the_policy():
            near = _nearest(variable, {**_variables_of_the_policy(), **_BY_VARIABLE})
            problems.append(Problem("environment", variable, environment[variable], "no such setting", near))
    for name, value in (arguments or {}).items():
        if value is None:
            continue
        if name in _BY_NAME:
            said.append((source, name, name, value))
        else:
            problems.append(Problem(source, name, _shown(value), "no such setting", _nearest(name, _BY_NAME)))
    for where, shown, name, value in said:
        setting = _BY_NAME[name]
        try:
            parsed = setting.parse(value)
            if name == "limits" and check_limits is not None:
                check_limits(str(parsed))
            values[name] = parsed
        except Exception:  # noqa: BLE001 - code may give an object of any kind, whose `__str__` may raise anything
            text = _shown(value)
            problems.append(Problem(where, shown, text, f"allowed is {setting.allowed}", _word(setting, text)))
    return replace(base or StreamConfig(), **values), tuple(problems)  # type: ignore[arg-type] # each parsed by its row


def _variables_of_the_policy() -> Mapping[str, object]:
    """Read with the first stream (`policy.load`): what knows them is not imported at the start of every process."""
    from otel_claude_stream._config.policy.keys import variables

    return variables()


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - see above
        return f"<{type(value).__name__}>"


def _word(setting: object, value: str) -> str:
    """The nearest allowed word, for settings that allow words only."""
    allowed = getattr(setting, "allowed", "")
    if getattr(setting, "type", "") != "word":
        return ""
    words = allowed.replace(" or ", ", ").split(", ")
    return next(iter(difflib.get_close_matches(value.strip().lower(), words, n=1)), "")
