"""Loading the policy: code over environment over file over preset over defaults; anything wrong means `observe`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from otel_claude_stream import _guard
from otel_claude_stream._config.policy import validate, variables
from otel_claude_stream._config.policy.checks import Checked, check
from otel_claude_stream._config.policy.files import read
from otel_claude_stream._config.policy.keys import PRESET, Path
from otel_claude_stream._config.policy.layer import Layer
from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.policy.resolve import any_said, for_pattern, leaves, policy_of
from otel_claude_stream._config.policy.sources import Given, layer_of, starts_afresh
from otel_claude_stream._config.problem import Problem, Severity
from otel_claude_stream._core.retry.policy import RetryPolicy

IN_CODE: Final = "instrument()"
DECLARED: Final = "OTEL_CONFIG_FILE"
_DEFAULTS: Final = Layer("default")
_VERSION: Final = (
    "version is missing: say version: 1, so that a later version of this package reads the file as it was meant"
)


class PolicyError(ValueError):
    """A policy that cannot be used; ``problems`` are all that is wrong with it, and ``str()`` names each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy, what is wrong with what was said, and who said what."""

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    problems: tuple[Problem, ...] = ()
    layers: tuple[Layer, ...] = ()
    """The preset and those that say something, the weakest first, their values checked. Empty with errors."""
    raw: tuple[Layer, ...] = ()
    """Those that say something, as they say it."""

    @property
    def checked(self) -> tuple[Layer, ...]:
        """Those that say something, their values checked."""
        return self.layers[1:]

    def origin(self, path: Path) -> Layer:
        """Who said a value."""
        return _origin(self.layers, path, "")[0]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems for which the policy is not used."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)


def asked_for(environment: Mapping[str, str], *given: object) -> bool:
    """Whether anybody says anything about a policy. If not, nothing has to be loaded, and pydantic not be there."""
    return (
        any(one is not None for one in given)
        or bool(environment.get(variables.FILE, "").strip())
        or bool(variables.said(environment))
    )


def load_policy(
    environment: Mapping[str, str],
    given: Given | None = None,
    *,
    declared: object = None,
    source: str = IN_CODE,
    strict: bool = False,
) -> tuple[RetryPolicy, tuple[Problem, ...]]:
    """The policy in force, and every problem found.

    Args:
        environment: The variables of the process.
        given: What code said.
        declared: What a declarative configuration file said.
        source: Where the given one comes from, for the problems.
        strict: Raise `PolicyError` where an error is found. Otherwise nothing is raised: any error means `observe`.
    """
    loaded = load(environment, given, declared=declared, source=source)
    if strict and loaded.errors:
        raise PolicyError(loaded.errors)
    return loaded.policy, loaded.problems


def load(
    environment: Mapping[str, str], given: object = None, *, declared: object = None, source: str = IN_CODE
) -> Loaded:
    """As `load_policy`, with who said what. Never raises."""
    if not asked_for(environment, given, declared):
        return Loaded()
    if why := validate.unusable():
        return Loaded(problems=(Problem("retry policy", "", "", why),))
    try:
        layers, problems = _layers(environment, given, declared, source)
        return _combined([_checked(layer, problems) for layer in layers], layers, problems)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever was said, the application is not affected
        return _failed("retry policy", error)


def over(process: Loaded, given: object, source: str, environment: Mapping[str, str]) -> Loaded:
    """A policy for some calls: what was given over what was loaded for the process. Never raises."""
    if why := validate.unusable():
        return Loaded(problems=(Problem(source, "", "", why),))
    try:
        layer, found = layer_of(given, source, environment)
        problems = list(found)
        if layer is None:
            return Loaded(problems=found)
        below = Loaded() if starts_afresh(layer) else process
        return _combined([*below.checked, _checked(layer, problems)], [*below.raw, layer], problems)
    except Exception as error:  # noqa: BLE001 - as above
        return _failed(source, error)


def _failed(source: str, error: Exception) -> Loaded:
    """For a failure of our own, which tests of this package see raised."""
    _guard.report("policy", error)
    return Loaded(problems=(Problem(source, "", "", f"it cannot be loaded: {type(error).__name__}"),))


def _layers(
    environment: Mapping[str, str], given: object, declared: object, source: str
) -> tuple[list[Layer], list[Problem]]:
    """Who says something, the weakest first."""
    layers: list[Layer] = []
    problems: list[Problem] = []

    def add(layer: Layer | None, found: Sequence[Problem]) -> None:
        problems.extend(found)
        if layer is not None:
            layers.append(layer)

    if given is not None:
        add(*layer_of(given, source, environment))
        if not layers or starts_afresh(layers[0]):
            return layers, problems
    above = layers.copy()
    layers.clear()
    if path := environment.get(variables.FILE, "").strip():
        add(*read(path, environment))
    add(variables.layer(environment), ())
    if declared is not None:
        add(*layer_of(declared, DECLARED, environment))
    return [*layers, *above], problems


def _checked(layer: Layer, problems: list[Problem]) -> Layer:
    """A layer with its values checked; what is wrong with them goes to the problems."""
    values, found = validate.validate(layer)
    named = {(problem.source, problem.setting) for problem in problems}
    problems += [problem for problem in found if (problem.source, problem.setting) not in named]
    if layer.lines and "version" not in layer.said:
        problems.append(Problem(layer.name, "", "", _VERSION, severity=Severity.WARNING))
    return Layer(layer.name, values, layer.lines, layer.variables)


def _combined(checked: Sequence[Layer], raw: Sequence[Layer], problems: list[Problem]) -> Loaded:
    """The policy that layers say together, if nothing is wrong with them, and nothing between them."""
    if _errors(problems):
        return Loaded(problems=tuple(problems))
    name = any_said([layer.said for layer in checked], PRESET.name, default="observe")
    preset = Layer(f"preset {name}", PRESETS[name].said)
    whole = (_checked(preset, problems), *checked)
    policy = policy_of([layer.said for layer in whole])
    problems += _contradictions(policy, whole, (preset, *raw))
    if _errors(problems):
        return Loaded(problems=tuple(problems))
    return Loaded(policy, tuple(problems), whole, tuple(raw))


def _errors(problems: Sequence[Problem]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def _contradictions(policy: RetryPolicy, checked: Sequence[Layer], raw: Sequence[Layer]) -> Iterator[Problem]:
    """What is wrong between the values, for all models and then for each pattern, where it differs."""
    by_users = [layer.said for layer in checked[1:]]
    written_as = dict(zip((id(layer) for layer in checked), raw, strict=True))
    base = list(check(Checked(policy, _said(by_users))))
    found = [(doubt, "") for doubt in base]
    for pattern, other in policy.models:
        said = _said(for_pattern(by_users, pattern))
        found += [(doubt, pattern) for doubt in check(Checked(other, said, pattern)) if doubt not in base]
    for doubt, pattern in found:
        layer, path = _origin(checked, doubt.path, pattern)
        written = written_as.get(id(layer), layer)
        yield written.problem(path, _value(written.said, path), doubt.text, severity=doubt.severity)


def _said(layers: Sequence[Mapping[str, Any]]) -> dict[Path, int]:
    """The paths of all values that somebody said, those of rules item by item, and the number of who said it last."""
    found: dict[Path, int] = {}
    for number, layer in enumerate(layers):
        for path in leaves({name: value for name, value in layer.items() if name != "models"}):
            found[path] = number
        for index, rule in enumerate(layer.get("rules", ())):
            found |= {("rules", index, *path): number for path in leaves(rule)}
    return found


def _origin(layers: Sequence[Layer], path: Path, pattern: str) -> tuple[Layer, Path]:
    """The last one that said a value, or the list that it is in, and where it stands there."""
    for layer in reversed(layers):
        part = layer.said.get("models", {}).get(pattern, {}) if pattern else {}
        if _holds(part, path):
            return layer, ("models", pattern, *path)
        if _holds(layer.said, path):
            return layer, path
    return _DEFAULTS, path


def _holds(said: Mapping[str, Any], path: Path) -> bool:
    """Whether a value, or the list that holds it, was said."""
    value: Any = said
    for part in path:
        if isinstance(part, int):
            return True
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def _value(said: Mapping[str, Any], path: Path) -> object:
    """What stands at a path, as it was written; an empty text where it is not there."""
    value: Any = said
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return ""
    return value
