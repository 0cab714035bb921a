"""The command line, ``otel-claude-stream``. Nothing of it is imported when an application is instrumented."""

from __future__ import annotations

import argparse
import io
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from otel_claude_stream.cli.commands import COMMANDS, Command
from otel_claude_stream.cli.errors import FAILED, SIGNALLED, USAGE, CommandError, UsageError
from otel_claude_stream.version import __version__

PROGRAM = "otel-claude-stream"
EXIT_CODES = "exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (Ctrl-C)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. ``argv`` is without the program's name, ``sys.argv`` if None."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sign that the terminal does not know is no reason to fail
    try:
        parsed = _parser(arguments).parse_args(arguments)
    except SystemExit as done:  # argparse has told what there is to tell
        return done.code if isinstance(done.code, int) else USAGE
    try:
        return _run(parsed)
    except UsageError as error:
        return _tell(str(error), USAGE)
    except CommandError as error:
        return _tell(str(error), FAILED)
    except KeyboardInterrupt:
        return _tell("interrupted", SIGNALLED + signal.SIGINT)


def _run(parsed: argparse.Namespace) -> int:
    from otel_claude_stream.cli.process import Terminated, signals_raise

    module: Any = import_module(parsed.module)
    try:
        with signals_raise():
            return int(module.run(parsed))
    except Terminated as error:
        return _tell(f"ended by {signal.Signals(error.signal).name}", SIGNALLED + error.signal)


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="OpenTelemetry for streaming with the Anthropic Python SDK: what came, and why a stream ended.",
        epilog=f"'{PROGRAM} COMMAND --help' says more about a command. {EXIT_CODES}",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        _add(commands, command, configure=command.name in arguments)
    return parser


def _add(commands: Any, command: Command, *, configure: bool) -> None:
    """Only the command that was typed is imported and configured."""
    parser = commands.add_parser(
        command.name,
        help=command.summary,
        description=command.summary[0].upper() + command.summary[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(module=command.module)
    if configure:
        import_module(command.module).configure(parser)


def _tell(why: str, code: int) -> int:
    print(f"{PROGRAM}: {why}", file=sys.stderr)
    return code
