"""``otel-claude-stream demo``: a fake API, an example application that knows nothing of us, and what we see of it."""

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
from otel_claude_stream.cli import recovery_scenarios, report_file
from otel_claude_stream.cli.child import Child, instrumented, unheard
from otel_claude_stream.cli.errors import FAILED, OK, CommandError, check_installed
from otel_claude_stream.cli.forward import Forwarder, forward_to, headers_from
from otel_claude_stream.cli.model import StreamView
from otel_claude_stream.cli.receiver import Message, Receiver, to_all
from otel_claude_stream.cli.scenarios import Scenario, jobs
from otel_claude_stream.cli.telemetry import Telemetry
from otel_claude_stream.cli.terminal import Progress, View, view_for
from otel_claude_stream.testing import FakeAPI

WORKER: Final = Path(__file__).parent / "example" / "chat_worker.py"
REPORT: Final = report_file.DEFAULT
TIMEOUT: Final = 90.0  # seconds; the application needs about ten, a slow machine some more to start it
TICK: Final = 0.1
TAIL: Final = 12  # lines of the application that are shown when it failed

EXAMPLES: Final = f"""\
examples:
  otel-claude-stream demo                                 a table here, and the picture in {REPORT}
  otel-claude-stream demo --mode resume                   streams that break, and are retried or continued
  otel-claude-stream demo --report out.html --open        the picture elsewhere, opened in the browser
  otel-claude-stream demo --otlp http://localhost:4318    everything to your collector as well
  otel-claude-stream demo --no-report --show-app          what the application itself says, for comparison

No account is needed: the API is a fake one on the loopback interface, and nothing leaves the machine unless
--otlp says so (OTEL_EXPORTER_OTLP_HEADERS is sent along then). It takes less than half a minute."""

EXPORT: Final = {
    "OTEL_SERVICE_NAME": "chat-worker",
    "OTEL_PYTHON_DISTRO": "distro",
    "OTEL_PYTHON_CONFIGURATOR": "configurator",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "OTEL_METRIC_EXPORT_INTERVAL": "500",
}
"""OpenTelemetry in the application: to our receiver, and often enough to follow (milliseconds)."""
NOT_INHERITED: Final = ("OTEL_", "ANTHROPIC_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""Beginnings of variables that the application does not get: the user's own settings, keys and proxies."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for. ``report`` None: no report."""

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
        help="what a retry policy may do about streams that break: nothing (default), begin them again, continue them",
    )
    report = parser.add_mutually_exclusive_group()
    report.add_argument(
        "--report", metavar="FILE", default=REPORT, help="where the picture goes (default: %(default)s)"
    )
    report.add_argument("--no-report", action="store_true", help="no picture")
    parser.add_argument("--open", action="store_true", help="open the picture in the browser")
    parser.add_argument("--otlp", metavar="URL", help="send everything to this OTLP/HTTP endpoint as well")
    parser.add_argument("--show-app", action="store_true", help="show what the application itself prints")


def run(args: argparse.Namespace) -> int:
    """Run the demo; returns the exit code. Raises ``CommandError`` for what keeps it from running."""
    check_installed()
    options = _options(args)
    with ExitStack() as stack:
        view = stack.enter_context(closing(view_for(sys.stdout)))
        telemetry, code = observe(view, options, stack)
        snapshot = telemetry.snapshot()
        view.close()
        view.finish(snapshot.views, snapshot.summary)
        if options.report is not None and snapshot.views:
            report_file.write(options.report, snapshot, _title(options.mode))
            view.say(f"The picture: {options.report}")
    if options.open and options.report is not None and snapshot.views:
        webbrowser.open(options.report.resolve().as_uri())
    return code


def observe(view: View, options: Options, stack: ExitStack) -> tuple[Telemetry, int]:
    """Start everything, wait for the application; what was received, and the exit code so far."""
    by_port: dict[int, Scenario] = {}
    telemetry = Telemetry(lambda found: label(found, by_port))
    takers = [telemetry.add, *_forwarders(options, view, stack)]
    with ExitStack() as inner:
        receiver = inner.enter_context(Receiver(to_all(takers), view.say))
        urls: dict[str, str] = {}
        scenarios = recovery_scenarios.shown(options.mode)
        for scenario in scenarios:
            api = inner.enter_context(FakeAPI(scenario.scripts))
            by_port[api.port], urls[scenario.name] = scenario, api.url
        show = view.say if options.show_app else unheard
        command = instrumented([sys.executable, str(WORKER)])
        view.say(_announced(len(scenarios), Path(command[0]).name, options.mode))
        given = environment(os.environ, receiver.url, options.mode)
        with Child(command, given, json.dumps(jobs(urls, scenarios)), show) as child:
            _follow(child, telemetry, view, len(scenarios))
        return telemetry, _judge(child, telemetry, view, len(scenarios))


def environment(environ: Mapping[str, str], url: str, mode: Mode = Mode.OBSERVE) -> dict[str, str]:
    """The environment of the application: that of the user without what would disturb, and telemetry to ``url``."""
    kept = {name: value for name, value in environ.items() if not name.upper().startswith(NOT_INHERITED)}
    return {
        **kept,
        **EXPORT,
        **recovery_scenarios.environment(mode),
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "ANTHROPIC_API_KEY": "not-a-key",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }


def label(view: StreamView, by_port: Mapping[int, Scenario]) -> StreamView:
    """The view with title and note of its scenario, told by the port of its fake API."""
    scenario = by_port.get(view.port or 0)
    return view if scenario is None else replace(view, title=scenario.title, note=scenario.note)


def _options(args: argparse.Namespace) -> Options:
    report = None if args.no_report else report_file.checked(args.report, "--report")
    otlp = None if args.otlp is None else forward_to(args.otlp)
    return Options(report, args.open, otlp, args.show_app, Mode(args.mode))


def _announced(streams: int, launcher: str, mode: Mode) -> str:
    said = f"{streams} streams of an example application, under {launcher}"
    if mode is Mode.OBSERVE:
        return f"{said} ..."
    policy = {"OTEL_CLAUDE_STREAM_MODE": mode.value, **recovery_scenarios.POLICY}
    return f"{said}, with\n" + "\n".join(f"  {name}={value}" for name, value in policy.items())


def _title(mode: Mode) -> str:
    return "Claude streams: the demo" + ("" if mode is Mode.OBSERVE else f", mode {mode.value}")


def _forwarders(options: Options, view: View, stack: ExitStack) -> list[Callable[[Message], None]]:
    if options.otlp is None:
        return []
    found = Forwarder(options.otlp, lambda why: view.say(f"warning: {why}"), headers_from(os.environ))
    return [stack.enter_context(found).send]


def _follow(child: Child, telemetry: Telemetry, view: View, expected: int) -> None:
    """Show progress until the application ends. Raises ``CommandError`` after 90 s."""
    started = time.monotonic()
    running = True
    while running:
        running = child.poll() is None
        elapsed, snapshot = time.monotonic() - started, telemetry.snapshot()
        view.update(Progress(snapshot.views, expected, snapshot.open, elapsed, running))
        if elapsed > TIMEOUT:
            raise CommandError(f"the example application did not end within {TIMEOUT:.0f} s\n{_tail(child)}")
        if running:
            time.sleep(TICK)


def _judge(child: Child, telemetry: Telemetry, view: View, expected: int) -> int:
    """The exit code; what went wrong is told."""
    code, ended = child.poll(), telemetry.ended()
    if code:
        view.say(f"the example application ended with exit code {code}\n{_tail(child)}")
        return FAILED
    if ended < expected:
        view.say(f"only {ended} of {expected} streams were seen\n{_tail(child)}")
        return FAILED
    return OK


def _tail(child: Child) -> str:
    lines = list(child.lines)[-TAIL:]
    return "\n".join(["Its last lines:", *(f"  {line}" for line in lines)]) if lines else "It printed nothing."
