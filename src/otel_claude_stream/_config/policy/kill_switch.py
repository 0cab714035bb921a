"""The kill switch, an environment variable that is read for each stream."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import PREFIX, parse_boolean
from otel_claude_stream._core.retry.policy import RetryPolicy

VARIABLE: Final = f"{PREFIX}KILL_SWITCH"

_log = logging.getLogger("otel_claude_stream")
_logged: set[str] = set()
"""Invalid values that were logged, so that further streams do not log them again."""


def kill_switched(environment: Mapping[str, str], policy_value: bool = False) -> bool:
    """Return whether the policy is switched off, by the variable if it is set and otherwise by the key.

    An invalid value of the variable is logged once and ignored. The cost is one lookup in the environment.
    """
    text = environment.get(VARIABLE)
    if not text:
        return policy_value
    value = parse(text)
    if value is None and text.strip() and text not in _logged:
        _logged.add(text)
        _log.error("otel-claude-stream: %s", problem(text))
    return policy_value if value is None else value


def without_kill_switch(policy: RetryPolicy) -> RetryPolicy:
    """Return a policy with its kill switch off, for a caller that checks `kill_switched` for each stream."""
    models = tuple((pattern, replace(other, kill_switch=False)) for pattern, other in policy.models)
    return replace(policy, kill_switch=False, models=models)


def parse(text: str) -> bool | None:
    """Return the value of the variable; None if it is empty or neither true nor false."""
    try:
        return parse_boolean(text)
    except ValueError:
        return None


def problem(text: str) -> Problem:
    """Return the problem with a value that is neither true nor false."""
    return Problem("environment", VARIABLE, text.strip(), "allowed is true or false; nothing is switched off")
