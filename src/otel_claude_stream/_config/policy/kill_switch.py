"""The kill switch: one environment variable, read anew for each stream."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import PREFIX, boolean
from otel_claude_stream._core.retry.policy import RetryPolicy

VARIABLE: Final = f"{PREFIX}KILL_SWITCH"

_log = logging.getLogger("otel_claude_stream")
_told: set[str] = set()
"""Wrong words that were told: a stream is no reason to tell them again."""


def kill_switched(environment: Mapping[str, str], policy_says: bool = False) -> bool:
    """Whether the policy is switched off, by the variable if it is set, else by what the policy says.

    A wrong word is no switch, and one error log. Costs one look into the environment.
    """
    word = environment.get(VARIABLE)
    if not word:
        return policy_says
    found = said(word)
    if found is None and word.strip() and word not in _told:
        _told.add(word)
        _log.error("otel-claude-stream: %s", problem(word))
    return policy_says if found is None else found


def lifted(policy: RetryPolicy) -> RetryPolicy:
    """A policy without its own switch, for whoever asks `kill_switched` at each stream."""
    models = tuple((pattern, replace(other, kill_switch=False)) for pattern, other in policy.models)
    return replace(policy, kill_switch=False, models=models)


def said(word: str) -> bool | None:
    """What the variable says; None for nothing and for what is neither true nor false."""
    try:
        return boolean(word)
    except ValueError:
        return None


def problem(word: str) -> Problem:
    """What is wrong with a word that is neither."""
    return Problem("environment", VARIABLE, word.strip(), "allowed is true or false; nothing is switched off")
