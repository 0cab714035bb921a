"""Entry point of ``python -m dashboards.live``, which shows the dashboards until Ctrl-C.

With Jaeger v2, if it is built, *Drill-down* shows the traces of the demo. Jaeger runs no TraceQL, so the server of the
page evaluates the conditions.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from dashboards.generator.boards import drill_down, overview
from dashboards.generator.perses_json import path as path_of
from dashboards.live.scenario_data import END, SCENARIOS, scenario_prometheus
from dashboards.live.server import address, serving
from dashboards.live.traces import TempoApi
from tests.dashboards.build_jaeger import JAEGER
from tests.dashboards.build_perses_page import PAGE
from tests.support.dashboards import jaeger_server
from tests.support.dashboards.cached_builds import NotBuilt

MODES: Final = ("observe", "retry", "resume")
"""Modes of the demo: streams that fail, that are retried, and that are continued."""


def report(text: str) -> None:
    """Report progress on the standard error, as the standard output is for the URLs."""
    print(text, file=sys.stderr, flush=True)


def demo_traces(stack: ExitStack) -> TempoApi | None:
    """Run Jaeger and the demo, and return the traces. Return None if Jaeger is not built."""
    try:
        program = JAEGER.find()
    except NotBuilt as error:
        report(f"panels of traces stay empty: {error}")
        return None
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="claude-stream-traces-"))
    jaeger = stack.enter_context(jaeger_server.running(program, Path(folder)))
    report(f"running the demo in the modes {', '.join(MODES)}: half a minute")
    demos: list[tuple[str, subprocess.Popen[bytes]]] = []
    with ExitStack() as running:
        for mode in MODES:
            command = [sys.executable, "-m", "otel_claude_stream", "demo", "--mode", mode, "--no-report"]
            demo = running.enter_context(
                subprocess.Popen([*command, "--otlp", jaeger.otlp], stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
            )
            running.callback(demo.terminate)
            demos.append((mode, demo))
        for mode, demo in demos:
            if demo.wait():
                report(f"the demo in mode {mode} failed with status {demo.returncode}: its traces are incomplete")
    return TempoApi(jaeger.url)


def main() -> int:
    """Build the page once, play the scenarios, and serve. Return 1 if a tool is missing."""
    argparse.ArgumentParser(
        prog="python -m dashboards.live",
        description="Show the dashboards with a real Prometheus and known data, until Ctrl-C. Needs Node.",
    ).parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        page = PAGE.build()
        report(f"playing the scenarios {', '.join(sorted(SCENARIOS))}: about a minute")
        first = address(overview.BOARD, END - 7200, END)
        with ExitStack() as stack:
            prometheus = stack.enter_context(scenario_prometheus())
            traces = demo_traces(stack)
            url = stack.enter_context(serving(page, prometheus.url, first, traces))
            print(f"dashboards: {url}/ (Ctrl-C ends)", flush=True)
            if traces is not None:
                report("Jaeger runs no TraceQL: the server of the page evaluates the conditions of the panels")
                print(f"traces of the demo: {url}{path_of(drill_down.BOARD)}?start=1h", flush=True)
            threading.Event().wait()
    except NotBuilt as error:
        print(
            f"cannot show the dashboards: {error}. They need Node, and Debian's package prometheus for promtool.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
