"""The commands, as a table. Each module has ``configure(parser)`` and ``run(args) -> exit code``, imported on use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the module that implements it, and what it does in a line."""

    name: str
    module: str
    summary: str


COMMANDS: Final = (
    Command(
        "demo",
        "otel_claude_stream.cli.demo",
        "watch some twenty streams of an example application, good and broken ones, and get a picture of them",
    ),
)
