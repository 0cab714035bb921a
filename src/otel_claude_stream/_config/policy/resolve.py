"""From what several places say to one `RetryPolicy`, and for each value the place that said it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any, TypeVar

from otel_claude_stream._config.policy.keys import HEAD, Path
from otel_claude_stream._core.retry.policy import RetryPolicy, Rule
from otel_claude_stream._core.vocabulary import AbortReason

T = TypeVar("T")
Said = Mapping[str, Any]

_NOT_OF_THE_POLICY = frozenset({"models", *(key.name for key in HEAD)})


def policy_of(layers: Sequence[Said]) -> RetryPolicy:
    """The policy that layers of checked values say together; a later one wins.

    What a layer says of a model wins over what it and those before it say of all models, and not over what a later one
    says.
    """
    kill_switch = any_said(layers, "kill_switch", default=False)
    patterns = dict.fromkeys(pattern for layer in layers for pattern in layer.get("models", {}))
    models = tuple((pattern, _build(for_pattern(layers, pattern), kill_switch)) for pattern in patterns)
    return replace(_build([_without_head(layer) for layer in layers], kill_switch), models=models)


def any_said(layers: Sequence[Said], name: str, *, default: Any) -> Any:
    """What the last layer that says it says of a key at the top."""
    return next((layer[name] for layer in reversed(layers) if name in layer), default)


def for_pattern(layers: Sequence[Said], pattern: str) -> list[Said]:
    """The layers as they are for the models of a pattern."""
    return [part for layer in layers for part in (_without_head(layer), layer.get("models", {}).get(pattern, {}))]


def leaves(said: Said, above: Path = ()) -> Iterator[Path]:
    """The paths of all values; a list is one value."""
    for name, value in said.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name)


def _without_head(layer: Said) -> Said:
    return {name: value for name, value in layer.items() if name not in _NOT_OF_THE_POLICY}


def _build(layers: Sequence[Said], kill_switch: bool) -> RetryPolicy:
    policy = RetryPolicy()
    rules: list[Said] = []
    for layer in layers:
        policy = _overlaid(policy, {name: value for name, value in layer.items() if name != "rules"})
        rules = layer.get("rules", rules)
    return replace(policy, rules=tuple(_rule(rule, policy) for rule in rules), kill_switch=kill_switch)


def _overlaid(base: T, said: Said) -> T:
    """A frozen value with what is said in place of what was there."""
    changes: dict[str, Any] = {}
    for name, value in said.items():
        old = getattr(base, name)
        if isinstance(value, Mapping):
            changes[name] = _overlaid(old, value)
        else:
            changes[name] = type(old)(value) if isinstance(old, Enum) else value
    return replace(base, **changes)  # type: ignore[type-var] # always one of the dataclasses of a policy


def _rule(said: Said, policy: RetryPolicy) -> Rule:
    backoff = _overlaid(policy.backoff, said["backoff"]) if "backoff" in said else None
    rest = {name: value for name, value in said.items() if name not in ("reasons", "backoff")}
    return Rule(reasons=frozenset(AbortReason(reason) for reason in said["reasons"]), backoff=backoff, **rest)
