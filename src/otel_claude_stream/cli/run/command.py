"""``otel-claude-stream run``: an application with its streams shown, without a collector or an account."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from otel_claude_stream._session.live import VARIABLE
from otel_claude_stream.cli.errors import SIGNAL_BASE, TELEMETRY, CommandError, UsageError, check_installed
from otel_claude_stream.cli.files import is_same_file
from otel_claude_stream.cli.otlp.endpoint import base_url_of_option
from otel_claude_stream.cli.otlp.environment import environment, forward_target, service_name
from otel_claude_stream.cli.otlp.forward import Forwarder, headers_from
from otel_claude_stream.cli.otlp.receive import Message, Receiver, fan_out
from otel_claude_stream.cli.otlp.record import Recorder
from otel_claude_stream.cli.run.application import Application, CannotRun, Signals, check_command
from otel_claude_stream.cli.run.lines import LineView, QuietView
from otel_claude_stream.cli.run.panel import Panel
from otel_claude_stream.cli.run.web import PageServer
from otel_claude_stream.cli.view.feed import Feed
from otel_claude_stream.cli.view.open_streams import LiveFolder, live_folder
from otel_claude_stream.cli.view.printable import printable
from otel_claude_stream.cli.view.report import checked_path, title_of, write_report
from otel_claude_stream.cli.view.telemetry import Telemetry
from otel_claude_stream.cli.view.terminal import Progress, View

TICK: Final = 0.1
MOST_PORT: Final = 65535
MOST_WARNINGS: Final = 20  # different ones

EXAMPLES: Final = """\
examples:
  otel-claude-stream run -- python app.py                        a line on standard error for each stream that ends
  otel-claude-stream run --report out.html -- python app.py      and a report of all streams at the end
  otel-claude-stream run --live -- python app.py                 open and ended streams below its output instead
  otel-claude-stream run --web -- python app.py                  and in a page of the browser, whose URL it prints
  otel-claude-stream run --save streams.jsonl -- pytest tests    the telemetry in a file, for 'report' and 'explain'
  otel-claude-stream run --otlp http://localhost:4318 -- gunicorn app:app
                                                                 all telemetry to your collector as well

Standard input, standard output and signals are passed through. The exit code is that of the application (128 + n if
signal n ended it; 127 if the command does not exist, 126 if it cannot be executed). The application must be a Python
program, or start one, from an environment in which otel-claude-stream is installed.

The time of day in a line is the end of its stream, or the present time while the stream is open.

Your OTEL_* variables apply, except that the application exports to this command. The command forwards the telemetry
to OTEL_EXPORTER_OTLP_ENDPOINT with its headers, to the endpoint of --otlp if given, or nowhere with "--otlp none".
OTEL_CONFIG_FILE, and variables that switch the instrumentation off (OTEL_SDK_DISABLED=true), are ignored with a
notice. Unless you have set them, exports are more frequent, and with --report or --web every delta is recorded.

The page of --web has open streams with what they do now, and those that have ended. Its server listens on 127.0.0.1
while the application runs. The URL has a token, so treat it as a secret. The page stays after the end, until it is
closed or loaded again; --report writes it to a file.

This instrumentation never records prompts or answers. Other instrumentations of the application may record them, and
a file of --save contains all telemetry."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line."""

    command: tuple[str, ...]
    report: Path | None
    save: Path | None
    target: str | None
    live: bool
    quiet: bool
    web: bool
    port: int


@dataclass(frozen=True, slots=True)
class Screens:
    """A view of the terminal, and the feed of the page unless it is None."""

    telemetry: Telemetry
    view: View
    feed: Feed | None
    service: str

    def show(self, elapsed: float, code: int | None) -> bool:
        """Show the progress, with the exit code after the end; return whether that worked."""
        try:
            found = self.telemetry.snapshot()
            running = code is None
            if not running:  # nothing is open any more
                found = replace(found, open=0, oldest=None, open_streams=())
            self.view.update(
                Progress(found.views, None, found.open, elapsed, running, found.oldest, found.open_streams)
            )
            if self.feed is not None:
                self.feed.publish(found, title_of(found.views, self.service), code)
        except Exception as error:  # noqa: BLE001 - the application continues even if the view fails
            self.view.print(f"the view failed and shows no further streams ({error!r}). Please report this.")
            return False
        return True


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "%(prog)s [options] -- python app.py [arguments]"
    parser.epilog = EXAMPLES
    parser.add_argument("--report", metavar="FILE", help="write a report of all streams at the end")
    parser.add_argument("--web", action="store_true", help="show open and ended streams in a page of the browser")
    parser.add_argument("--port", metavar="N", type=int, help="the port of the page (default: a free one)")
    parser.add_argument("--otlp", metavar="URL", help="forward all telemetry to this OTLP/HTTP endpoint")
    parser.add_argument("--save", metavar="FILE", help="write the telemetry to a file, as OTLP JSON lines")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--live", action="store_true", help="show open and ended streams below the application's output")
    shown.add_argument("--quiet", "-q", action="store_true", help="print neither streams nor figures")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the application and its arguments, after --")


def run(args: argparse.Namespace) -> int:
    """Run the application and return its exit code. Raises ``CommandError`` if the command cannot start."""
    check_installed(TELEMETRY)
    options, notice = _options(args)
    try:
        check_command(options.command)
        return _observe(options, notice)
    except CannotRun as error:
        print(printable(f"otel-claude-stream: {error}"), file=sys.stderr)
        return error.code


def _observe(options: Options, notice: str) -> int:
    view = _view(options)
    warn = _warner(view)
    with ExitStack() as stack:
        folder = stack.enter_context(live_folder())
        telemetry = Telemetry(live=LiveFolder(folder).read)
        signals = Signals(on_stop=view.pause if isinstance(view, Panel) else None)
        with ExitStack() as running:
            running.enter_context(signals)  # first, so that the threads below do not receive the signals
            handlers = [telemetry.add_message, *_handlers(options, warn, stack)]
            receiver = running.enter_context(Receiver(fan_out(handlers), warn))
            detail = options.report is not None or options.web
            env = environment(os.environ, receiver.url, options.command, detail=detail)
            for line in [*env.notices, *([notice] if notice else [])]:
                view.print(line)
            feed = Feed() if options.web else None
            screens = Screens(telemetry, view, feed, service_name(options.command))
            if feed is not None:
                server = running.enter_context(PageServer(feed, title_of((), screens.service), options.port))
                view.print(f"Page: {server.url}")
            variables = {**env.variables, VARIABLE: folder}
            application = running.enter_context(Application(options.command, variables, signals.mask))
            running.callback(view.close)
            code = _follow(application, signals, screens)
        _conclude(options, telemetry, view)
    return code


def _follow(application: Application, signals: Signals, screens: Screens) -> int:
    """Show progress and forward signals until the application ends; return the exit code of a shell."""
    started, showing = time.monotonic(), True
    while True:
        code = application.poll()
        if code is not None and code < 0:  # a signal ended it
            code = SIGNAL_BASE - code
        if showing:
            showing = screens.show(time.monotonic() - started, code)
        if code is not None:
            return code
        if (number := signals.wait(TICK)) is not None:
            application.send(number)


def _conclude(options: Options, telemetry: Telemetry, view: View) -> None:
    """Print figures and write files. The exit code stays that of the application if the report cannot be written."""
    found = telemetry.snapshot()
    view.finish(found.views, found.summary)
    if telemetry.empty:
        python = options.command[0] if Path(options.command[0]).name.startswith("python") else "python"
        view.print(
            "No telemetry arrived. The application opened no stream of the Anthropic SDK, was killed before an export, "
            "or runs in an environment without otel-claude-stream.\n"
            f"Check its environment with: {python} -m otel_claude_stream doctor"
        )
    elif not found.views:
        view.print("No stream of the Anthropic SDK was recorded.")
    if options.report is not None:
        try:
            write_report(options.report, found, title_of(found.views, service_name(options.command)))
        except CommandError as error:
            view.print(str(error))
        else:
            view.print(f"Report: {options.report}")
    if options.save is not None:
        view.print(f"Telemetry: {options.save}")


def _options(args: argparse.Namespace) -> tuple[Options, str]:
    command = tuple(args.command[1:] if args.command[:1] == ["--"] else args.command)
    if not command:
        raise UsageError("no command to run; for example: otel-claude-stream run -- python app.py")
    if args.otlp not in (None, "none"):
        base_url_of_option(args.otlp)
    target, notice = forward_target(os.environ, args.otlp)
    if args.port is not None and not args.web:
        raise UsageError("--port is the port of the page; add --web")
    if args.port is not None and not 0 < args.port <= MOST_PORT:
        raise UsageError(f"--port {args.port}: a port is a number from 1 to {MOST_PORT}")
    report = None if args.report is None else checked_path(args.report, "--report")
    save = None if args.save is None else checked_path(args.save, "--save")
    if report is not None and save is not None and is_same_file(report, save):
        raise UsageError(f"--report {report} would replace the telemetry of --save; name another file")
    return Options(command, report, save, target, args.live, args.quiet, args.web, args.port or 0), notice


def _warner(view: View) -> Callable[[str], None]:
    """Return a function that prints each warning once, since an exporter may cause it again and again."""
    printed: set[str] = set()

    def warn(text: str) -> None:
        if text not in printed and len(printed) < MOST_WARNINGS:
            printed.add(text)
            view.print(f"warning: {text}")

    return warn


def _handlers(options: Options, warn: Callable[[str], None], stack: ExitStack) -> list[Callable[[Message], None]]:
    found: list[Callable[[Message], None]] = []
    if options.save is not None:
        found.append(stack.enter_context(Recorder(options.save, warn)).write)
    if options.target is not None:
        found.append(stack.enter_context(Forwarder(options.target, warn, headers_from(os.environ))).send)
    return found


def _view(options: Options) -> View:
    if options.quiet:
        return QuietView(sys.stderr)
    return Panel(sys.stderr) if options.live and Panel.fits(sys.stderr) else LineView(sys.stderr)
