"""The table of commands.

Each module has ``configure(parser)`` and ``run(args) -> exit code``. The table names the modules instead of importing
them, so that a command imports only its dependencies. ``doctor`` must start without most packages, and ``path`` runs in
start scripts, where each import counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, its module, and a summary in one line."""

    name: str
    module: str
    summary: str


COMMANDS: Final = (
    Command(
        "demo",
        "otel_claude_stream.cli.demo.command",
        "run an example application with some twenty streams, good and broken ones, and write a report of them",
    ),
    Command(
        "run",
        "otel_claude_stream.cli.run.command",
        "run an application and show its streams, without a collector or an account",
    ),
    Command(
        "report",
        "otel_claude_stream.cli.report.command",
        "write a report from recorded telemetry",
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
        "explain why a recorded, scripted or exported stream ended, and what to change",
    ),
    Command(
        "path",
        "otel_claude_stream.cli.activate.path",
        "print the folder that, on PYTHONPATH, instruments every Python process",
    ),
    Command(
        "autoload",
        "otel_claude_stream.cli.activate.autoload",
        "install one guarded line in this environment, so that OTEL_CLAUDE_STREAM_AUTO=true instruments it",
    ),
)
