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
        "otel_claude_stream.cli.demo.command",
        "watch some twenty streams of an example application, good and broken ones, and get a picture of them",
    ),
    Command(
        "run",
        "otel_claude_stream.cli.run.command",
        "run your own application and see its streams: no collector, no account",
    ),
    Command(
        "report",
        "otel_claude_stream.cli.report.command",
        "make the picture from recorded telemetry",
    ),
    Command(
        "doctor",
        "otel_claude_stream.cli.doctor.command",
        "check this environment: versions, activation, settings, retry policy, exporters, and a test stream",
    ),
    Command(
        "schema",
        "otel_claude_stream.cli.schema",
        "print the JSON Schema of retry policy files, for editors",
    ),
    Command(
        "explain",
        "otel_claude_stream.cli.explain.command",
        "say of a recorded, scripted or exported stream why it ended, and what to change",
    ),
    Command(
        "path",
        "otel_claude_stream.cli.activate.path",
        "print the folder that, on PYTHONPATH, instruments every Python process",
    ),
    Command(
        "autoload",
        "otel_claude_stream.cli.activate.autoload",
        "write one guarded line into this environment, so that OTEL_CLAUDE_STREAM_AUTO=true instruments it",
    ),
)
