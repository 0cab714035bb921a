"""Load the policy: code overrides the environment, the file, the preset and the defaults. An error means `observe`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from otel_claude_stream import _guard
from otel_claude_stream._config.policy.checked import CheckedPolicy
from otel_claude_stream._config.policy.checks import check
from otel_claude_stream._config.policy.keys import PRESET, Path
from otel_claude_stream._config.policy.layer import Layer, Values, for_pattern, leaves, policy_of, top_level_value
from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.policy.sources import (
    FILE_VARIABLE,
    environment_layer,
    is_whole_policy,
    layer_of,
    policy_variables,
    read,
)
from otel_claude_stream._config.policy.validate import MAX_PROBLEMS, validate
from otel_claude_stream._config.problem import NO_VALUE, Problem, Severity
from otel_claude_stream._core.retry.policy import RetryPolicy

IN_CODE: Final = "instrument()"
DECLARED: Final = "OTEL_CONFIG_FILE"
_DEFAULTS: Final = Layer("default")
_NO_VERSION: Final = (
    "version is missing: add version: 1, so that later versions of this package read the file as it was meant"
)


class PolicyError(ValueError):
    """Raised for an invalid policy; ``problems`` holds all of its errors, and ``str()`` names each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy, its problems, and the layers that set its values."""

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    problems: tuple[Problem, ...] = ()
    layers: tuple[Layer, ...] = ()
    """The preset and the layers over it, later ones override. Empty if there are errors."""

    def origin(self, path: Path) -> Layer:
        """Return the layer that set a value."""
        return _origin(self.layers, path, "")[0]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems because of which the policy is not used."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)


def is_configured(environment: Mapping[str, str], *arguments: object) -> bool:
    """Return whether any source configures a policy. Without one nothing is loaded."""
    return (
        any(argument is not None for argument in arguments)
        or bool(environment.get(FILE_VARIABLE, "").strip())
        or bool(policy_variables(environment))
    )


def load(
    environment: Mapping[str, str], argument: object = None, *, declared: object = None, source: str = IN_CODE
) -> Loaded:
    """Return the policy in effect with its layers, and every problem found. Never raises; an error means `observe`.

    Args:
        environment: The variables of the process.
        argument: The policy from code.
        declared: The policy of a declarative configuration file.
        source: The source of the argument, for messages.
    """
    if not is_configured(environment, argument, declared):
        return Loaded()
    try:
        layers, problems = _layers(environment, argument, declared, source)
        return _combined([_validated(layer, problems) for layer in layers], problems)
    except Exception as error:  # noqa: BLE001 - no error in the configuration may reach the application
        return _failed("retry policy", error)


def load_override(process: Loaded, policy: object, source: str, environment: Mapping[str, str]) -> Loaded:
    """Return a policy for some calls, which overrides that of the process. Never raises."""
    try:
        layer, found = layer_of(policy, source, environment)
        problems = list(found)
        if layer is None:
            return Loaded(problems=_bounded(problems))
        below = () if is_whole_policy(layer) else process.layers[1:]
        return _combined([*below, _validated(layer, problems)], problems)
    except Exception as error:  # noqa: BLE001 - as above
        return _failed(source, error)


def _failed(source: str, error: Exception) -> Loaded:
    """Report an internal error, which tests of this package raise, and fall back to the default policy."""
    _guard.report("policy", error)
    return Loaded(problems=(Problem(source, "", "", f"it cannot be loaded: {type(error).__name__}"),))


def _layers(
    environment: Mapping[str, str], argument: object, declared: object, source: str
) -> tuple[list[Layer], list[Problem]]:
    """Return the layers of all sources; later ones override earlier ones."""
    layers: list[Layer] = []
    problems: list[Problem] = []

    def add(layer: Layer | None, found: Sequence[Problem]) -> None:
        problems.extend(found)
        if layer is not None:
            layers.append(layer)

    if argument is not None:
        add(*layer_of(argument, source, environment))
        if not layers or is_whole_policy(layers[0]):
            return layers, problems
    above = layers.copy()
    layers.clear()
    if path := environment.get(FILE_VARIABLE, "").strip():
        add(*read(path, environment))
    add(environment_layer(environment), ())
    if declared is not None:
        add(*layer_of(declared, DECLARED, environment))
    return [*layers, *above], problems


def _validated(layer: Layer, problems: list[Problem]) -> Layer:
    """Return a layer with validated values, and add its problems to the list."""
    valid, found = validate(layer)
    reported = {(problem.source, problem.setting) for problem in problems}
    problems += [problem for problem in found if (problem.source, problem.setting) not in reported]
    if layer.lines and "version" not in layer.values:
        problems.append(Problem(layer.name, "", "", _NO_VERSION, severity=Severity.WARNING))
    return valid


def _combined(validated: Sequence[Layer], problems: list[Problem]) -> Loaded:
    """Return the policy of layers, or the default policy if they are invalid or contradict each other.

    Contradictions are found among the valid values of invalid layers too, but not without the values of a whole file.
    """
    if any(problem.severity is Severity.ERROR and not problem.setting for problem in problems):
        return Loaded(problems=_bounded(problems))
    name = top_level_value([layer.valid for layer in validated], PRESET.name, default="observe")
    layers = (_validated(Layer(f"preset {name}", PRESETS[name].values), problems), *validated)
    policy = policy_of([layer.valid for layer in layers])
    problems += _contradictions(policy, layers)
    if any(problem.severity is Severity.ERROR for problem in problems):
        return Loaded(problems=_bounded(problems))
    return Loaded(policy, _bounded(problems), layers)


def _bounded(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return at most `MAX_PROBLEMS` problems, errors first if there are more, and the number of the others."""
    if len(problems) <= MAX_PROBLEMS:
        return tuple(problems)
    first = sorted(problems, key=lambda problem: -problem.severity)
    rest = first[MAX_PROBLEMS:]
    return (
        *first[:MAX_PROBLEMS],
        Problem("retry policy", "", "", f"and {len(rest)} more problems", severity=rest[0].severity),
    )


def _contradictions(policy: RetryPolicy, layers: Sequence[Layer]) -> Iterator[Problem]:
    """Yield the problems between values, for all models and then for each pattern with further ones."""
    set_by_user = [layer.valid for layer in layers[1:]]
    unknown = {path for layer in layers for path in layer.invalid}
    base = list(check(CheckedPolicy(policy, _setters(set_by_user), unknown=unknown)))
    findings = [(finding, "") for finding in base]
    for pattern, other in policy.models:
        setters = _setters(for_pattern(set_by_user, pattern))
        for_models = {path[2:] for path in unknown if path[:2] == ("models", pattern)}
        checked = CheckedPolicy(other, setters, pattern, unknown | for_models)
        findings += [(finding, pattern) for finding in check(checked) if finding not in base]
    for finding, pattern in findings:
        layer, path = _origin(layers, finding.path, pattern)
        yield layer.problem(path, _value_at(layer.values, path), finding.text, severity=finding.severity)


def _setters(layers: Sequence[Values]) -> dict[Path, int]:
    """Return the index of the last layer that sets each value. Values within rules are listed separately."""
    setters: dict[Path, int] = {}
    for number, layer in enumerate(layers):
        for path in leaves({name: value for name, value in layer.items() if name != "models"}):
            setters[path] = number
        for index, rule in enumerate(layer.get("rules", ())):
            setters |= {("rules", index, *path): number for path in leaves(rule)}
    return setters


def _origin(layers: Sequence[Layer], path: Path, pattern: str) -> tuple[Layer, Path]:
    """Return the last layer that sets a value, or the list that holds it, and the path of the value in that layer."""
    for layer in reversed(layers):
        parts = layer.valid.get("models", {})
        if pattern in parts and _contains(parts[pattern], path):
            return layer, ("models", pattern, *path)
        if path and _contains(layer.valid, path):
            return layer, path
    return _DEFAULTS, path


def _contains(values: Values, path: Path) -> bool:
    """Return whether values contain a path, or the list that holds it."""
    value: Any = values
    for part in path:
        if isinstance(part, int):
            return True
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def _value_at(values: Values, path: Path) -> object:
    """Return the value at a path before validation; `NO_VALUE` if there is none."""
    value: Any = values
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return NO_VALUE
    return value
