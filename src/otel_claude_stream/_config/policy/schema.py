"""The JSON Schema of policy files, made from the models: for editors, and for whoever checks files elsewhere."""

from __future__ import annotations

import json
from typing import Any, Final

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DESCRIPTION: Final = (
    "A policy file of otel-claude-stream, named by OTEL_CLAUDE_STREAM_CONFIG: what may be done about streams that "
    "break. Whatever is left out has its default."
)


def json_schema() -> dict[str, Any]:
    """The schema. Imports pydantic."""
    from otel_claude_stream._config.policy.models import Document

    made = Document.model_json_schema()
    parts = made.pop("$defs")
    return {
        "$schema": DIALECT,
        "title": "Retry policy of otel-claude-stream",
        "description": DESCRIPTION,
        **{name: value for name, value in made.items() if name not in ("title", "description")},
        "$defs": parts,
    }


def text() -> str:
    """The schema as it is published."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
