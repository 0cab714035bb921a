"""Layers of a policy (a preset, a file, the environment, code), and the policy that they result in together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar

from otel_claude_stream._config.policy.keys import HEAD, PROCESS_KEYS, Path, dotted
from otel_claude_stream._config.problem import NO_VALUE, Problem, Severity
from otel_claude_stream._core.retry.policy import RetryPolicy, Rule
from otel_claude_stream._core.vocabulary import AbortReason

T = TypeVar("T")
Values = Mapping[str, Any]

_MAX_CHARS = 60
"""Maximum length of a value in a message."""
_NOT_POLICY = frozenset({"models", *(key.name for key in HEAD)})


@dataclass(frozen=True, slots=True)
class Layer:
    """The values that one source sets."""

    name: str
    """The source as the user knows it: the path of a file, ``environment``, ``instrument()``."""
    values: Values = field(default_factory=dict)
    lines: Mapping[Path, int] = field(default_factory=dict)
    """Lines of a file, from 1."""
    variables: Mapping[Path, str] = field(default_factory=dict)
    """The environment variables that set the values."""
    references: Mapping[Path, str] = field(default_factory=dict)
    """The texts of values that contain references to variables. Messages show them, since values may be secret."""
    invalid: frozenset[Path] = frozenset()
    """Paths of values that are unknown because of an error. Checks between values ignore them."""
    valid: Values = field(default_factory=dict)
    """The valid ones of its values, durations in seconds. Empty before the validation."""

    def location(self, path: Path) -> str:
        """Return where a value is set: the file and line, or the variable, or the name of the layer."""
        line = self.line(path)
        return f"{self.name}:{line}" if line else self.variables.get(path, self.name)

    def line(self, path: Path) -> int:
        """Return the line of a value, or of the closest part of a file that contains it; 0 without a file."""
        return next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), 0)

    def problem(
        self, path: Path, value: object, allowed: str, nearest: str = "", severity: Severity = Severity.ERROR
    ) -> Problem:
        """Return a problem with the value at a path, which may be `NO_VALUE`."""
        variable = self.variables.get(path)
        source, setting = (self.name, variable) if variable else (self.location(path), preview(dotted(path)))
        shown = None if value is NO_VALUE else self.preview(path, value)
        return Problem(source, setting, shown, allowed, nearest, severity)

    def preview(self, path: Path, value: object) -> str:
        """Return a value at a path for messages, with references instead of the values of variables."""
        if path in self.references:
            return preview(self.references[path])
        if isinstance(value, list | tuple):
            return preview([self.references.get((*path, index), item) for index, item in enumerate(value[:5])])
        return preview(value)


def preview(value: object) -> str:
    """Return a value as a file would contain it, truncated if it is long. Never raises."""
    match value:
        case None:
            text = "null"
        case bool():
            text = "true" if value else "false"
        case str():
            text = value
        case Mapping():
            text = f"{{{', '.join(f'{preview(key)}: ...' for key in list(value)[:5])}}}"
        case list() | tuple():
            text = f"[{', '.join(preview(item) for item in value[:5])}]"
        case _:
            try:
                text = str(value)
            except Exception:  # noqa: BLE001 - code may pass an object of any type
                text = f"<{type(value).__name__}>"
    return text if len(text) <= _MAX_CHARS else f"{text[: _MAX_CHARS - 3]}..."


# --- The policy of several layers -----------------------------------------------------------------------------------
def policy_of(layers: Sequence[Values]) -> RetryPolicy:
    """Return the policy of layers with validated values, where later layers override earlier ones.

    The values of a layer for a model override the values for all models in this layer and in earlier ones. Later layers
    override them.
    """
    switches = {key.name: top_level_value(layers, key.name, default=key.default) for key in PROCESS_KEYS}
    patterns = dict.fromkeys(pattern for layer in layers for pattern in layer.get("models", {}))
    models = tuple((pattern, _build(for_pattern(layers, pattern), switches)) for pattern in patterns)
    return replace(_build([_policy_values(layer) for layer in layers], switches), models=models)


def top_level_value(layers: Sequence[Values], name: str, *, default: Any) -> Any:
    """Return the value of a top-level key from the last layer that sets it."""
    return next((layer[name] for layer in reversed(layers) if name in layer), default)


def for_pattern(layers: Sequence[Values], pattern: str) -> list[Values]:
    """Return the layers that apply to the models of a pattern."""
    return [part for layer in layers for part in (_policy_values(layer), layer.get("models", {}).get(pattern, {}))]


def leaves(values: Values, above: Path = ()) -> Iterator[Path]:
    """Yield the paths of all values; a list is one value."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name)


def _policy_values(layer: Values) -> Values:
    return {name: value for name, value in layer.items() if name not in _NOT_POLICY}


def _build(layers: Sequence[Values], switches: Values) -> RetryPolicy:
    policy = RetryPolicy()
    rules: list[Values] = []
    fallback: dict[str, list[str]] = {}
    for layer in layers:
        policy = _overlaid(policy, {name: value for name, value in layer.items() if name not in ("rules", "fallback")})
        rules = layer.get("rules", rules)
        fallback |= layer.get("fallback", {})
    return replace(
        policy,
        rules=tuple(_rule(rule, policy) for rule in rules),
        fallback=tuple((pattern, tuple(models)) for pattern, models in sorted(fallback.items()) if models),
        **switches,
    )


def _overlaid(base: T, values: Values) -> T:
    """Return a frozen dataclass with its fields replaced by values, recursively."""
    changes: dict[str, Any] = {}
    for name, value in values.items():
        old = getattr(base, name)
        if isinstance(value, Mapping):
            changes[name] = _overlaid(old, value)
        else:
            changes[name] = type(old)(value) if isinstance(old, Enum) else value
    return replace(base, **changes)  # type: ignore[type-var] # always one of the dataclasses of a policy


def _rule(values: Values, policy: RetryPolicy) -> Rule:
    backoff = _overlaid(policy.backoff, values["backoff"]) if "backoff" in values else None
    rest = {name: value for name, value in values.items() if name not in ("reasons", "backoff")}
    return Rule(reasons=frozenset(AbortReason(reason) for reason in values["reasons"]), backoff=backoff, **rest)
