"""A `RetryPolicy` as a file would say it: what differs from the default."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from typing import Any

from otel_claude_stream._config import durations
from otel_claude_stream._config.policy.keys import KEYS, KILL_SWITCH, Key
from otel_claude_stream._config.policy.value_types import Duration
from otel_claude_stream._core.retry.policy import Backoff, RetryPolicy, Rule

_BACKOFF = {key.path[1]: key for key in KEYS if key.path[0] == "backoff"}


def written(policy: RetryPolicy) -> dict[str, Any]:
    """What a file would say for this policy. Values of the wrong type are left as they are: the check names them."""
    said = _differences(policy, RetryPolicy())
    if policy.kill_switch is not False:
        said[KILL_SWITCH.name] = policy.kill_switch
    if policy.models:
        # Against the policy around it, which is what a file's part for a model is laid over.
        said["models"] = {pattern: _differences(other, policy) for pattern, other in policy.models}
    return said


def _differences(policy: RetryPolicy, base: RetryPolicy) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for key in KEYS:
        value, other = _at(policy, key), _at(base, key)
        if value != other:
            *sections, last = key.path
            into = said
            for section in sections:
                into = into.setdefault(section, {})
            into[last] = _value(key, value)
    if policy.rules != base.rules:
        said["rules"] = [_rule(rule) for rule in policy.rules]
    return said


def _at(policy: RetryPolicy, key: Key) -> object:
    value: object = policy
    for name in key.path:
        value = getattr(value, name)
    return value


def _value(key: Key, value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(key.kind, Duration) and isinstance(value, int | float) and not isinstance(value, bool):
        return _duration(value)
    return value


def _duration(value: float) -> object:
    try:
        return durations.written(float(value))
    except (ArithmeticError, ValueError):  # not a finite number
        return str(value)


def _rule(rule: Rule) -> dict[str, Any]:
    said: dict[str, Any] = {"reasons": sorted(reason.value for reason in rule.reasons)}
    for field in fields(rule):
        value = getattr(rule, field.name)
        if field.name != "reasons" and value is not None:
            said[field.name] = _backoff(value) if isinstance(value, Backoff) else value
    return said


def _backoff(backoff: Backoff) -> dict[str, Any]:
    """All of it: what is left out would be that of the policy."""
    return {name: _value(key, getattr(backoff, name)) for name, key in _BACKOFF.items()}
