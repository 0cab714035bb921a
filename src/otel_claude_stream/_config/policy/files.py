"""Read policy files in JSON or YAML. `yaml_text`, and with it PyYAML, is imported for a YAML file only."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from otel_claude_stream._config.policy.keys import Path
from otel_claude_stream._config.policy.layer import Layer
from otel_claude_stream._config.policy.text import (
    DUPLICATE_KEY,
    MAX_BYTES,
    Mistake,
    ParsedText,
    Unreadable,
    plain_scalar,
)
from otel_claude_stream._config.problem import Problem

NO_YAML: Final = "PyYAML is not installed: pip install 'otel-claude-stream[policy]', or write the file as JSON (.json)"


def read(path: str, environment: Mapping[str, str]) -> tuple[Layer | None, tuple[Problem, ...]]:
    """Read the values of a file; None for an unreadable file. The problems are those of its form, not of its values."""
    try:
        text = _read_text(path)
        if PurePath(path).suffix.lower() == ".json":
            return _layer(path, parse_json(text, environment))
        from otel_claude_stream._config.policy.yaml_text import parse_yaml

        return _layer(path, parse_yaml(text, environment))
    except ImportError:
        return None, (Problem(path, "", "", NO_YAML),)
    except OSError as error:
        return None, (Problem(path, "", "", f"the file cannot be read: {error.strerror or error}"),)
    except RecursionError:
        return None, (Problem(path, "", "", "the file cannot be read: it is nested too deeply"),)
    except ValueError as error:
        return None, (Problem(path, "", "", f"the file cannot be read: {error}"),)
    except Unreadable as error:
        return None, (_problem(Layer(path), error.mistake),)


def _read_text(path: str) -> str:
    """Return the text of a file. Raises `OSError`, or `ValueError` for a file that is not text."""
    status = os.stat(path)  # noqa: PTH116 - messages show the path unchanged, and it may contain a NUL
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    with open(path, encoding="utf-8-sig") as opened:  # noqa: PTH123 - as above
        try:
            return opened.read()
        except UnicodeDecodeError as error:
            raise ValueError(f"it is not UTF-8 (byte {error.start})") from None


def _layer(path: str, parsed: ParsedText) -> tuple[Layer | None, tuple[Problem, ...]]:
    values = {} if parsed.data is None else parsed.data
    problems = tuple(_problem(Layer(path, lines=parsed.lines), mistake) for mistake in parsed.mistakes)
    if not isinstance(values, dict):
        return None, (*problems, Problem(path, "", "", "the file must be a mapping, such as mode: retry"))
    invalid = frozenset(mistake.path for mistake in parsed.mistakes)
    return Layer(path, values, parsed.lines, references=parsed.references, invalid=invalid), problems


def _problem(layer: Layer, mistake: Mistake) -> Problem:
    if mistake.path:
        return layer.problem(mistake.path, mistake.value, mistake.text)
    location = layer.name if mistake.line is None else f"{layer.name}:{mistake.line}"
    return Problem(location, "", "", mistake.text)


def parse_json(text: str, environment: Mapping[str, str]) -> ParsedText:
    """Parse a JSON text. A string with references is then read as an unquoted scalar of YAML."""
    parsed = ParsedText()

    def mapping(items: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(items)
        if len(values) < len(items):
            counts = Counter(name for name, _ in items)
            for name in sorted(name for name, count in counts.items() if count > 1):
                parsed.add_mistake(DUPLICATE_KEY, (name,))
        return values

    def substituted(value: object, path: Path) -> object:
        parsed.count_value()
        if isinstance(value, dict):
            return {name: substituted(item, (*path, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [substituted(item, (*path, number)) for number, item in enumerate(value)]
        if isinstance(value, str):
            replaced = parsed.substitute(value, path, environment)
            return value if replaced == value else plain_scalar(replaced)
        return value

    try:
        parsed.data = substituted(json.loads(text, object_pairs_hook=mapping), ())
    except json.JSONDecodeError as error:
        raise Unreadable(Mistake(f"not JSON: {error.msg}, column {error.colno}", line=error.lineno)) from None
    except ValueError:  # Python limits the digits of a number
        raise Unreadable(Mistake("a number has too many digits")) from None
    return parsed
