"""``otel-claude-stream demo``: a fake API, an example application without telemetry code, and its streams."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from otel_claude_stream._core.retry.policy import Mode
from otel_claude_stream._session.live import VARIABLE
from otel_claude_stream.cli.demo import recovery_scenarios
from otel_claude_stream.cli.demo.scenarios import Scenario, jobs
from otel_claude_stream.cli.errors import FAILED, OK, CommandError, check_installed
from otel_claude_stream.cli.otlp.endpoint import base_url_of_option
from otel_claude_stream.cli.otlp.environment import environment as exporting
from otel_claude_stream.cli.otlp.forward import Forwarder, headers_from
from otel_claude_stream.cli.otlp.receive import Message, Receiver, fan_out
from otel_claude_stream.cli.process import Child, auto_instrumented, discard_line
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.open_streams import LiveFolder, live_folder
from otel_claude_stream.cli.view.report import DEFAULT_FILE, checked_path, write_report
from otel_claude_stream.cli.view.rich_view import view_for
from otel_claude_stream.cli.view.telemetry import Telemetry
from otel_claude_stream.cli.view.terminal import Progress, View
from otel_claude_stream.testing import FakeAPI

WORKER: Final = Path(__file__).parent / "example" / "chat_worker.py"
TIMEOUT: Final = 90.0  # seconds; the application takes about ten, and longer to start on a slow machine
TICK: Final = 0.1
LONG_OPEN: Final = 2.0  # seconds of silence until an open stream gets a plain line; the longest ones take three
TAIL: Final = 12  # lines of the application's output that are printed after a failure

EXAMPLES: Final = f"""\
examples:
  otel-claude-stream demo                                 print a table, and write {DEFAULT_FILE}
  otel-claude-stream demo --mode resume                   streams that break and are retried or continued
  otel-claude-stream demo --report out.html --open        write another file, and open it in the browser
  otel-claude-stream demo --otlp http://localhost:4318    forward all telemetry to your collector
  otel-claude-stream demo --no-report --show-app          show the output of the application, for comparison

No account is needed, since a fake API listens on the loopback interface. No data leaves the machine without --otlp,
which also sends OTEL_EXPORTER_OTLP_HEADERS. The demo takes less than half a minute."""

SERVICE: Final = "chat-worker"
NOT_INHERITED: Final = ("OTEL_", "ANTHROPIC_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""Prefixes of variables that the application does not inherit: the user's settings, keys and proxies."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line; no report is written if ``report`` is None."""

    report: Path | None
    open: bool
    otlp: str | None
    show_app: bool
    mode: Mode = Mode.OBSERVE


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--mode",
        choices=[mode.value for mode in Mode],
        default=Mode.OBSERVE.value,
        help="what a retry policy does with streams that break: observe (default), retry, or also continue them",
    )
    report = parser.add_mutually_exclusive_group()
    report.add_argument(
        "--report", metavar="FILE", default=DEFAULT_FILE, help="the report to write (default: %(default)s)"
    )
    report.add_argument("--no-report", action="store_true", help="write no report")
    parser.add_argument("--open", action="store_true", help="open the report in the browser")
    parser.add_argument("--otlp", metavar="URL", help="forward all telemetry to this OTLP/HTTP endpoint")
    parser.add_argument("--show-app", action="store_true", help="show the output of the application")


def run(args: argparse.Namespace) -> int:
    """Run the demo and return the exit code. Raises ``CommandError`` if it cannot run."""
    check_installed()
    options = _options(args)
    with ExitStack() as stack:
        view = stack.enter_context(closing(view_for(sys.stdout, long_open=LONG_OPEN)))
        telemetry, code = observe(view, options, stack)
        snapshot = telemetry.snapshot()
        view.close()
        view.finish(snapshot.views, snapshot.summary)
        if options.report is not None and snapshot.views:
            write_report(options.report, snapshot, _title(options.mode))
            view.print(f"Report: {options.report}")
    if options.open and options.report is not None and snapshot.views:
        webbrowser.open(options.report.resolve().as_uri())
    return code


def observe(view: View, options: Options, stack: ExitStack) -> tuple[Telemetry, int]:
    """Run the application until it ends; return the telemetry and the exit code."""
    by_port: dict[int, Scenario] = {}
    folder = stack.enter_context(live_folder())
    live = LiveFolder(folder, lambda found: replace(found, title=title(found.port, by_port)))
    telemetry = Telemetry(lambda found: label(found, by_port), live=live.read)
    handlers = [telemetry.add_message, *_forwarders(options, view, stack)]
    with ExitStack() as inner:
        receiver = inner.enter_context(Receiver(fan_out(handlers), view.print))
        urls: dict[str, str] = {}
        scenarios = recovery_scenarios.scenarios_for(options.mode)
        for scenario in scenarios:
            api = inner.enter_context(FakeAPI(scenario.scripts))
            by_port[api.port], urls[scenario.name] = scenario, api.url
        show = view.print if options.show_app else discard_line
        command = auto_instrumented([sys.executable, str(WORKER)])
        view.print(_announcement(len(scenarios), Path(command[0]).name, options.mode))
        env = {**environment(os.environ, receiver.url, options.mode), VARIABLE: folder}
        with Child(command, env, json.dumps(jobs(urls, scenarios)), show) as child:
            _follow(child, telemetry, view, len(scenarios))
        return telemetry, _exit_code(child, telemetry, view, len(scenarios))


def environment(environ: Mapping[str, str], url: str, mode: Mode = Mode.OBSERVE) -> dict[str, str]:
    """Return the environment of the application, without the user's settings, and with an exporter to ``url``."""
    inherited = {name: value for name, value in environ.items() if not name.upper().startswith(NOT_INHERITED)}
    settings = {
        **recovery_scenarios.environment(mode),
        "ANTHROPIC_API_KEY": "not-a-key",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    return exporting({**inherited, **settings}, url, [SERVICE], detail=False).variables


def label(view: StreamView, by_port: Mapping[int, Scenario]) -> StreamView:
    """Return the view with the title and note of its scenario, which the port of its fake API identifies."""
    scenario = by_port.get(view.port or 0)
    return view if scenario is None else replace(view, title=scenario.title, note=scenario.note)


def title(port: int | None, by_port: Mapping[int, Scenario]) -> str:
    """Return the title of the scenario whose fake API has this port; empty if there is none."""
    scenario = by_port.get(port or 0)
    return "" if scenario is None else scenario.title


def _options(args: argparse.Namespace) -> Options:
    report = None if args.no_report else checked_path(args.report, "--report")
    otlp = None if args.otlp is None else base_url_of_option(args.otlp)
    return Options(report, args.open, otlp, args.show_app, Mode(args.mode))


def _announcement(streams: int, launcher: str, mode: Mode) -> str:
    text = f"Running an example application with {streams} streams under {launcher}"
    if mode is Mode.OBSERVE:
        return f"{text} ..."
    policy = {"OTEL_CLAUDE_STREAM_MODE": mode.value, **recovery_scenarios.POLICY}
    return f"{text}, with\n" + "\n".join(f"  {name}={value}" for name, value in policy.items())


def _title(mode: Mode) -> str:
    return "Claude streams: the demo" + ("" if mode is Mode.OBSERVE else f", mode {mode.value}")


def _forwarders(options: Options, view: View, stack: ExitStack) -> list[Callable[[Message], None]]:
    if options.otlp is None:
        return []
    found = Forwarder(options.otlp, lambda text: view.print(f"warning: {text}"), headers_from(os.environ))
    return [stack.enter_context(found).send]


def _follow(child: Child, telemetry: Telemetry, view: View, expected: int) -> None:
    """Show the progress until the application ends. Raises ``CommandError`` after 90 s."""
    started = time.monotonic()
    running = True
    while running:
        running = child.poll() is None
        elapsed, snapshot = time.monotonic() - started, telemetry.snapshot()
        view.update(
            Progress(snapshot.views, expected, snapshot.open, elapsed, running, snapshot.oldest, snapshot.open_streams)
        )
        if elapsed > TIMEOUT:
            raise CommandError(f"the example application did not end within {TIMEOUT:.0f} s\n{_tail(child)}")
        if running:
            time.sleep(TICK)


def _exit_code(child: Child, telemetry: Telemetry, view: View, expected: int) -> int:
    """Return the exit code, and print the cause of a failure."""
    code, ended = child.poll(), telemetry.ended()
    if code:
        view.print(f"the example application ended with exit code {code}\n{_tail(child)}")
        return FAILED
    if ended < expected:
        view.print(f"only {ended} of {expected} streams were recorded\n{_tail(child)}")
        return FAILED
    return OK


def _tail(child: Child) -> str:
    lines = list(child.lines)[-TAIL:]
    return "\n".join(["Its last lines:", *(f"  {line}" for line in lines)]) if lines else "It printed nothing."
