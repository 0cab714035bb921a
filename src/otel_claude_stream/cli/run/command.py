"""``otel-claude-stream run``: the user's own application under observation, without a collector or an account."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_claude_stream.cli.errors import SIGNALLED, CommandError, UsageError, check_installed
from otel_claude_stream.cli.otlp.environment import environment, forward_target
from otel_claude_stream.cli.otlp.forward import Forwarder, forward_to, headers_from
from otel_claude_stream.cli.otlp.receive import Message, Receiver, to_all
from otel_claude_stream.cli.otlp.record import Recorder
from otel_claude_stream.cli.run.application import Application, CannotRun, Signals, check_command
from otel_claude_stream.cli.run.lines import Lines, Quiet
from otel_claude_stream.cli.run.panel import Panel
from otel_claude_stream.cli.view import report_file
from otel_claude_stream.cli.view.telemetry import Telemetry
from otel_claude_stream.cli.view.terminal import Progress, View

TICK: Final = 0.1
WARNINGS: Final = 20  # different ones; more of them tell nothing new
NEEDED: Final = (
    ("opentelemetry.sdk", "otlp"),
    ("opentelemetry.distro", "otlp"),
    ("opentelemetry.exporter.otlp.proto.http", "otlp"),
    ("opentelemetry.proto", "otlp"),
)

EXAMPLES: Final = """\
examples:
  otel-claude-stream run -- python app.py                        a line on standard error for each stream that ends
  otel-claude-stream run --report out.html -- python app.py      and a picture of them all at the end
  otel-claude-stream run --live -- python app.py                 a table in the last lines of the terminal instead
  otel-claude-stream run --save streams.jsonl -- pytest tests    the telemetry itself, for 'report' and 'explain'
  otel-claude-stream run --otlp http://localhost:4318 -- gunicorn app:app
                                                                 everything to your collector as well

Standard input, standard output, signals and the exit code are the application's own (128 + n if signal n ended it;
127 if there is no such command, 126 if it cannot be executed). It must be a Python program, or start one, from an
environment in which otel-claude-stream is installed.

The user's OTEL_* variables hold, with these exceptions. Telemetry comes here first: OTEL_EXPORTER_OTLP_ENDPOINT with
its headers is where it is sent on to, unless --otlp names another place ("--otlp none": nowhere); OTEL_CONFIG_FILE,
and what would switch everything off (OTEL_SDK_DISABLED=true), is set aside, and that is told. Exports are more
frequent, and --report records every delta, unless you have set these yourself.

Nothing of ours holds a prompt or an answer; other instrumentations of the application may record them, and a file of
--save then holds what they sent."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    command: tuple[str, ...]
    report: Path | None
    save: Path | None
    target: str | None
    live: bool
    quiet: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "%(prog)s [options] -- python app.py [arguments]"
    parser.epilog = EXAMPLES
    parser.add_argument("--report", metavar="FILE", help="write a picture of all streams at the end")
    parser.add_argument("--otlp", metavar="URL", help="send everything to this OTLP/HTTP endpoint as well")
    parser.add_argument("--save", metavar="FILE", help="keep the telemetry, as OTLP JSON lines")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--live", action="store_true", help="a table of streams below the application's output")
    shown.add_argument("--quiet", "-q", action="store_true", help="say nothing while it runs")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the application, behind --")


def run(args: argparse.Namespace) -> int:
    """Run the application; returns its exit code. Raises ``CommandError`` for what keeps it from running."""
    check_installed(NEEDED)
    options, notice = _options(args)
    try:
        check_command(options.command)
        return _observe(options, notice)
    except CannotRun as error:
        print(f"otel-claude-stream: {error}", file=sys.stderr)
        return error.code


def _observe(options: Options, notice: str) -> int:
    telemetry, view = Telemetry(), _view(options)
    warn = _once(view)
    with ExitStack() as stack:
        signals = Signals(on_stop=view.pause if isinstance(view, Panel) else None)
        with ExitStack() as running:
            running.enter_context(signals)  # first, so that the threads below leave the signals alone
            takers = [telemetry.add, *_takers(options, warn, stack)]
            receiver = running.enter_context(Receiver(to_all(takers), warn))
            env = environment(os.environ, receiver.url, options.command, detail=options.report is not None)
            for line in [*env.notices, *([notice] if notice else [])]:
                view.say(line)
            application = running.enter_context(Application(options.command, env.variables, signals.mask))
            running.callback(view.close)
            code = _follow(application, signals, telemetry, view)
        _conclude(options, telemetry, view)
    return code if code >= 0 else SIGNALLED - code


def _follow(application: Application, signals: Signals, telemetry: Telemetry, view: View) -> int:
    """Show progress and send signals on until the application ends; its exit code, negative for a signal."""
    started, shows = time.monotonic(), True
    while True:
        code = application.poll()
        if shows:
            shows = _show(telemetry, view, time.monotonic() - started, running=code is None)
        if code is not None:
            return code
        if (number := signals.wait(TICK)) is not None:
            application.send(number)


def _show(telemetry: Telemetry, view: View, elapsed: float, *, running: bool) -> bool:
    """Show how far things are; whether that worked."""
    try:
        found = telemetry.snapshot()
        view.update(Progress(found.views, None, found.open, elapsed, running, found.oldest))
    except Exception as error:  # noqa: BLE001 - the application goes on, whatever is wrong with our view of it
        view.say(f"the view has failed and ends here, please report it: {error!r}")
        return False
    return True


def _conclude(options: Options, telemetry: Telemetry, view: View) -> None:
    """Figures and files. A report that cannot be written does not change the exit code, which is the application's."""
    found = telemetry.snapshot()
    view.finish(found.views, found.summary)
    if telemetry.silent:
        view.say(
            "No telemetry came. Either no stream of the Anthropic SDK was opened, or the application was killed before "
            "it could tell, or it is no Python program of an environment with otel-claude-stream in it.\n"
            f"Look into that environment with: {_python(options.command)} -m otel_claude_stream doctor"
        )
    elif not found.views:
        view.say("No stream of the Anthropic SDK was seen.")
    if options.report is not None:
        try:
            report_file.write(options.report, found, f"Claude streams of {options.command[-1]}")
        except CommandError as error:
            view.say(str(error))
        else:
            view.say(f"The picture: {options.report}")
    if options.save is not None:
        view.say(f"The telemetry: {options.save}")


def _options(args: argparse.Namespace) -> tuple[Options, str]:
    command = tuple(args.command[1:] if args.command[:1] == ["--"] else args.command)
    if not command:
        raise UsageError("what is to be run? For example: otel-claude-stream run -- python app.py")
    if args.otlp not in (None, "none"):
        forward_to(args.otlp)
    target, notice = forward_target(os.environ, args.otlp)
    report = None if args.report is None else report_file.checked(args.report, "--report")
    save = None if args.save is None else report_file.checked(args.save, "--save")
    return Options(command, report, save, target, args.live, args.quiet), notice


def _once(view: View) -> Callable[[str], None]:
    """Says each warning once: an exporter tries again and again."""
    said: set[str] = set()

    def warn(why: str) -> None:
        if why not in said and len(said) < WARNINGS:
            said.add(why)
            view.say(f"warning: {why}")

    return warn


def _takers(options: Options, warn: Callable[[str], None], stack: ExitStack) -> list[Callable[[Message], None]]:
    found: list[Callable[[Message], None]] = []
    if options.save is not None:
        found.append(stack.enter_context(Recorder(options.save, warn)).write)
    if options.target is not None:
        found.append(stack.enter_context(Forwarder(options.target, warn, headers_from(os.environ))).send)
    return found


def _view(options: Options) -> View:
    if options.quiet:
        return Quiet(sys.stderr)
    return Panel(sys.stderr) if options.live and Panel.fits(sys.stderr) else Lines(sys.stderr)


def _python(command: tuple[str, ...]) -> str:
    return command[0] if Path(command[0]).name.startswith("python") else "python"
