"""The entry point of the command line: parse the arguments, run a command, and turn errors into exit codes."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

from otel_claude_stream.cli.errors import BROKEN_PIPE, FAILED, SIGNAL_BASE, USAGE, CommandError, UsageError
from otel_claude_stream.version import __version__

PROGRAM = "otel-claude-stream"


class Command(NamedTuple):
    """One command: its name, its module with ``configure(parser)`` and ``run(args) -> exit code``, and a summary.

    The module is imported only for its own command. ``doctor`` must start without most packages, and ``path`` runs in
    start scripts, where each import counts.
    """

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
        "simulate",
        "otel_claude_stream.cli.simulate.command",
        "replay incidents in simulated time, with a retry policy and with the SDK alone",
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

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (Ctrl-C)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. ``argv`` is without the program's name; ``sys.argv`` if None."""
    try:
        code = _parse_and_run(sys.argv[1:] if argv is None else list(argv))
        print(end="", flush=True)  # a closed pipe is noticed here, rather than when the interpreter exits
    except BrokenPipeError:  # as in `otel-claude-stream doctor | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return _fail("interrupted", SIGNAL_BASE + signal.SIGINT)
    return code


def _parse_and_run(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # the encoding of the terminal may lack a character
    try:
        parsed = _parser(arguments).parse_args(arguments)
    except SystemExit as done:  # argparse has printed its message
        return done.code if isinstance(done.code, int) else USAGE
    try:
        return _run(parsed)
    except UsageError as error:
        return _fail(str(error), USAGE)
    except CommandError as error:
        return _fail(str(error), FAILED)


def _run(parsed: argparse.Namespace) -> int:
    from otel_claude_stream.cli.process import Terminated, raise_on_signals

    module: Any = import_module(parsed.module)
    try:
        with raise_on_signals():
            return int(module.run(parsed))
    except Terminated as error:
        return _fail(f"ended by {signal.Signals(error.signal).name}", SIGNAL_BASE + error.signal)


class _Parser(argparse.ArgumentParser):
    """Prints messages, which quote arguments, with escapes for control characters."""

    def _print_message(self, message: str, file: Any = None) -> None:
        from otel_claude_stream.cli.view.printable import printable

        super()._print_message(printable(message), file)


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="OpenTelemetry for streams of the Anthropic Python SDK: their timeline, and why they ended.",
        epilog=f"'{PROGRAM} COMMAND --help' describes a command. {EXIT_CODES}",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        _add(commands, command, configure=command.name in arguments)
    return parser


def _add(commands: Any, command: Command, *, configure: bool) -> None:
    """Add a command; ``configure`` imports its module and declares its arguments."""
    parser = commands.add_parser(
        command.name,
        help=command.summary,
        description=command.summary[0].upper() + command.summary[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(module=command.module)
    if configure:
        import_module(command.module).configure(parser)


def _fail(reason: str, code: int) -> int:
    from otel_claude_stream.cli.view.printable import printable

    print(printable(f"{PROGRAM}: {reason}"), file=sys.stderr)
    return code
