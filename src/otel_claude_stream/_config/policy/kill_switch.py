"""The kill switch, which switches retries and resumes off, also in a running process.

It is checked for each stream. It is on while the file of the key `kill_switch_file` exists. Without that file, the
environment variable decides, and without the variable the key `kill_switch`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from otel_claude_stream._config.problem import Problem
from otel_claude_stream._config.settings import PREFIX
from otel_claude_stream._config.value_types import parse_boolean
from otel_claude_stream._core.retry.policy import RetryPolicy

VARIABLE: Final = f"{PREFIX}KILL_SWITCH"
CHECK_INTERVAL: Final = 0.1
"""Seconds for which the result of a look for the file is used, so that many streams do not cause many system calls."""

_log = logging.getLogger("otel_claude_stream")
_logged: set[str] = set()
"""Problems that were logged, so that further streams do not log them again."""


class KillSwitch:
    """The kill switch of a process with a policy. Calling it returns whether it is on.

    A call costs one lookup in the environment. With a file, at most one `os.stat` is added every `CHECK_INTERVAL`.
    """

    def __init__(
        self, environment: Mapping[str, str], policy: RetryPolicy, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._environment = environment
        self._key = policy.kill_switch
        self._file = _absolute(policy.kill_switch_file) if policy.kill_switch_file else ""
        self._clock = clock
        self._file_exists = False
        self._next_check = -1.0

    def __call__(self) -> bool:
        return (bool(self._file) and self._check_file()) or kill_switched(self._environment, self._key)

    def _check_file(self) -> bool:
        # Threads may do this at the same time. Each sets the same values.
        if (now := self._clock()) >= self._next_check:
            self._next_check = now + CHECK_INTERVAL
            try:
                self._file_exists = file_exists(self._file)
            except (OSError, ValueError) as error:
                self._file_exists = False
                _log_once(str(file_problem(self._file, error)))
        return self._file_exists


def _absolute(path: str) -> str:
    """Return a path that a change of the working directory does not affect."""
    try:
        return os.path.abspath(path)  # noqa: PTH100 - `Path.resolve` follows links, which may change
    except OSError:  # the working directory was removed
        return path


def kill_switched(environment: Mapping[str, str], key: bool = False) -> bool:
    """Return whether the variable switches the policy off, or without a variable its key.

    An invalid value of the variable is logged once and ignored.
    """
    text = environment.get(VARIABLE)
    if not text:
        return key
    value = parse(text)
    if value is None and text.strip():
        _log_once(str(problem(text)))
    return key if value is None else value


def _log_once(text: str) -> None:
    if text not in _logged:
        _logged.add(text)
        _log.error("otel-claude-stream: %s", text)


def without_kill_switch(policy: RetryPolicy) -> RetryPolicy:
    """Return a policy with its key `kill_switch` false, for a caller that checks a `KillSwitch` for each stream."""
    models = tuple((pattern, replace(other, kill_switch=False)) for pattern, other in policy.models)
    return replace(policy, kill_switch=False, models=models)


def file_exists(path: str) -> bool:
    """Return whether a file exists. Raises `OSError` or `ValueError` if that cannot be known."""
    try:
        os.stat(path)  # noqa: PTH116 - for each stream; a `Path` costs more than the system call
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def file_problem(path: str, error: Exception) -> Problem:
    """Return the problem with a file whose existence cannot be checked."""
    reason = getattr(error, "strerror", None) or str(error)
    text = f"this file cannot be checked ({reason}), so it switches nothing off; make its folder readable"
    return Problem("retry policy", "kill_switch_file", path, text)


def parse(text: str) -> bool | None:
    """Return the value of the variable; None if it is empty or neither true nor false."""
    try:
        return parse_boolean(text)
    except ValueError:
        return None


def problem(text: str) -> Problem:
    """Return the problem with a value that is neither true nor false."""
    return Problem("environment", VARIABLE, text.strip(), "allowed is true or false; nothing is switched off")
