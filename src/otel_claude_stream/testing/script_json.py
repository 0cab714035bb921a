"""Conversion of scripts to and from JSON text.

Unknown keys are errors: a misspelt key would silently test something else.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, Final

from otel_claude_stream.testing.checks import ScriptError
from otel_claude_stream.testing.steps import KINDS, NAMES, Step

VERSION: Final = 1
STEP_KEY: Final = "do"  # {"do": "pause", "seconds": 0.5}


def fields_to_json(values: Mapping[str, object], indent: int | None) -> str:
    """Return the fields of a script, of which `steps` holds steps, as ASCII JSON text."""
    document: dict[str, Any] = {"version": VERSION, **values}
    if "steps" in document:
        document["steps"] = [{STEP_KEY: NAMES[type(step)], **asdict(step)} for step in document["steps"]]
    return json.dumps(document, indent=indent)


def fields_from_json(text: str | bytes, known: Collection[str]) -> dict[str, Any]:
    """Parse the fields of a script from JSON text. Raises ``ScriptError`` with the path of the first invalid value."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ScriptError("script", text, f"JSON text ({error})") from error
    values = _object("script", document, {*known, "version"})
    version = values.pop("version", MISSING)
    if version != VERSION or isinstance(version, bool):
        raise ScriptError("version", None if version is MISSING else version, str(VERSION))
    steps = values.get("steps", [])
    if not isinstance(steps, list):
        raise ScriptError("steps", steps, "a list of steps")
    return {**values, "steps": tuple(_step_from_json(f"steps[{n}]", item) for n, item in enumerate(steps))}


def _step_from_json(path: str, value: object) -> Step:
    if not isinstance(value, dict) or STEP_KEY not in value:
        raise ScriptError(path, value, f"an object with the key {STEP_KEY!r}")
    name = value[STEP_KEY]
    if not isinstance(name, str) or name not in KINDS:
        raise ScriptError(f"{path}.{STEP_KEY}", name, ", ".join(KINDS))
    kind = KINDS[name]
    values = _object(path, value, {STEP_KEY, *(field.name for field in fields(kind))})
    del values[STEP_KEY]
    for field in fields(kind):
        if field.default is MISSING and field.name not in values:
            raise ScriptError(f"{path}.{field.name}", None, f"a value; it is required by the step {name!r}")
    try:
        return kind(**values)
    except ScriptError as error:
        raise error.with_prefix(path) from None


def _object(path: str, value: object, known: Collection[str]) -> dict[str, Any]:
    """Return a copy of ``value``; raises ``ScriptError`` unless it is an object with known keys only."""
    if not isinstance(value, dict):
        raise ScriptError(path, value, "an object")
    for key in value:
        if key not in known:
            raise ScriptError(f"{path}.{key}", value[key], "one of the keys " + ", ".join(sorted(known)))
    return dict(value)
