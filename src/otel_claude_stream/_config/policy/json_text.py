"""Policies written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from otel_claude_stream._config.policy.keys import Path
from otel_claude_stream._config.policy.substitution import plain
from otel_claude_stream._config.policy.text import TWICE, Mistake, Read, Unreadable


def read_json(text: str, environment: Mapping[str, str]) -> Read:
    """A JSON text. A string that a substitution has changed is taken as one without quotes would be in YAML."""
    found = Read()

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in items]
        for name in sorted({name for name in names if names.count(name) > 1}):
            found.mistake(TWICE, (name,))
        return dict(items)

    def walk(value: object, path: Path) -> object:
        if isinstance(value, dict):
            return {name: walk(item, (*path, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*path, number)) for number, item in enumerate(value)]
        if isinstance(value, str):
            put_in = found.substituted(value, path, environment)
            return value if put_in == value else plain(put_in)
        return value

    try:
        found.said = walk(json.loads(text, object_pairs_hook=pairs), ())
    except json.JSONDecodeError as error:
        raise Unreadable(Mistake(f"not JSON: {error.msg}, column {error.colno}", line=error.lineno)) from None
    return found
