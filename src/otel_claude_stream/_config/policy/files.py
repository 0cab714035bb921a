"""Reading a policy file."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from otel_claude_stream._config.policy.json_text import read_json
from otel_claude_stream._config.policy.layer import Layer
from otel_claude_stream._config.policy.text import Mistake, Read, Unreadable
from otel_claude_stream._config.problem import Problem

_LARGEST: Final = 1_000_000
"""Bytes. A file of that size was named by mistake."""
NO_YAML: Final = "PyYAML is not installed: pip install 'otel-claude-stream[policy]', or write the file as JSON (.json)"


def read(path: str, environment: Mapping[str, str]) -> tuple[Layer | None, tuple[Problem, ...]]:
    """What a file says; None if it cannot be read. The problems are those of its text, not of what it says."""
    try:
        text = _text(path)
        if PurePath(path).suffix.lower() == ".json":
            return _layer(path, read_json(text, environment))
        from otel_claude_stream._config.policy.yaml_text import read_yaml

        return _layer(path, read_yaml(text, environment))
    except ImportError:
        return None, (Problem(path, "", "", NO_YAML),)
    except OSError as error:
        return None, (Problem(path, "", "", f"the file cannot be read: {error.strerror or error}"),)
    except RecursionError:
        return None, (Problem(path, "", "", "nested too deeply"),)
    except ValueError as error:
        return None, (Problem(path, "", "", f"the file cannot be read: {error}"),)
    except Unreadable as error:
        return None, (_problem(Layer(path), error.mistake),)


def _text(path: str) -> str:
    """Raises `OSError`, or `ValueError` for what is no text."""
    status = os.stat(path)  # noqa: PTH116 - the path is shown as it was given, and may hold a NUL
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if status.st_size > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST} bytes")
    with open(path, encoding="utf-8-sig") as opened:  # noqa: PTH123 - as above
        try:
            return opened.read()
        except UnicodeDecodeError as error:
            raise ValueError(f"it is not UTF-8 (byte {error.start})") from None


def _layer(path: str, found: Read) -> tuple[Layer | None, tuple[Problem, ...]]:
    said = {} if found.said is None else found.said
    problems = tuple(_problem(Layer(path, lines=found.lines), mistake) for mistake in found.mistakes)
    if not isinstance(said, dict):
        return None, (*problems, Problem(path, "", "", "the file must be a mapping, such as mode: retry"))
    return Layer(path, said, found.lines), problems


def _problem(layer: Layer, mistake: Mistake) -> Problem:
    if mistake.path:
        return layer.problem(mistake.path, mistake.value, mistake.text)
    where = layer.name if mistake.line is None else f"{layer.name}:{mistake.line}"
    return Problem(where, "", "", mistake.text)
