"""What code may give as a policy, and what it says."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from otel_claude_stream._config.policy.document import written
from otel_claude_stream._config.policy.files import read
from otel_claude_stream._config.policy.layer import Layer, shown
from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.problem import Problem
from otel_claude_stream._core.retry.policy import RetryPolicy

Given = RetryPolicy | Mapping[str, Any] | str | os.PathLike[str]
"""A whole policy, a part of one as a file has it, the name of a preset, or the path of a file."""

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def layer_of(given: object, source: str, environment: Mapping[str, str]) -> tuple[Layer | None, tuple[Problem, ...]]:
    """What was given says; None if that cannot be known."""
    match given:
        case RetryPolicy():
            try:
                return Layer(source, {"preset": "observe", **written(given)}), ()
            except Exception as error:  # noqa: BLE001 - fields of any type
                return None, (Problem(source, "", "", f"the policy holds what is none of one: {error}"),)
        case Mapping():
            return Layer(source, given), ()
        case str() if given in PRESETS:
            return Layer(source, {"preset": given}), ()
        case str() | os.PathLike() if _is_path(path := os.fspath(given)):
            return read(path, environment)
        case str():
            near = next(iter(difflib.get_close_matches(given, PRESETS, n=1)), "")
            allowed = f"allowed is a preset ({', '.join(PRESETS)}) or the path of a file"
            return None, (Problem(source, "retry_policy", shown(given), allowed, near),)
        case _:
            allowed = "allowed is a RetryPolicy, a mapping, the name of a preset or the path of a file"
            return None, (Problem(source, "retry_policy", shown(given), allowed),)


def starts_afresh(layer: Layer) -> bool:
    """Whether it says all there is to say: code that names a preset, or gives a whole policy."""
    return "preset" in layer.said


def _is_path(text: object) -> bool:
    return isinstance(text, str) and (PurePath(text).suffix.lower() in _SUFFIXES or os.sep in text)
