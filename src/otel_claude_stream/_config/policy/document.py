"""Convert a `RetryPolicy` to the values of a file that differ from the defaults."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from otel_claude_stream._config.policy.keys import KEYS, KILL_SWITCH, KILL_SWITCH_FILE
from otel_claude_stream._core.retry.policy import Backoff, RetryPolicy, Rule

_BACKOFF = {key.path[1]: key for key in KEYS if key.path[0] == "backoff"}


def document_of(policy: RetryPolicy) -> dict[str, Any]:
    """Return the values of a policy as in a file. Values of the wrong type stay; the validation reports them."""
    values = _differences(policy, RetryPolicy())
    if policy.kill_switch is not False:
        values[KILL_SWITCH.name] = policy.kill_switch
    if policy.kill_switch_file is not None:
        values[KILL_SWITCH_FILE.name] = policy.kill_switch_file
    if policy.models:
        # The differences from the surrounding policy, since the values of a file for a model override that policy.
        values["models"] = {pattern: _differences(other, policy) for pattern, other in policy.models}
    return values


def _differences(policy: RetryPolicy, base: RetryPolicy) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key in KEYS:
        value = key.value_in(policy)
        if value != key.value_in(base):
            *sections, last = key.path
            part = tree
            for section in sections:
                part = part.setdefault(section, {})
            part[last] = key.in_file(value)
    if policy.rules != base.rules:
        tree["rules"] = [_rule(rule) for rule in policy.rules]
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
