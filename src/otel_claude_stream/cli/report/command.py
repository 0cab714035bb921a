"""``otel-claude-stream report``: a report from recorded telemetry."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from pathlib import Path
from typing import Final

from otel_claude_stream.cli.errors import OK, CommandError, check_installed
from otel_claude_stream.cli.files import is_same_file
from otel_claude_stream.cli.process import collector_paused
from otel_claude_stream.cli.view.printable import printable
from otel_claude_stream.cli.view.report import DEFAULT_FILE, checked_path, title_of, write_report
from otel_claude_stream.cli.view.stream_store import StreamStore
from otel_claude_stream.cli.view.telemetry import Telemetry, add_recording
from otel_claude_stream.cli.view.terminal import as_text, summary_lines, table, width_of

NEEDED: Final = (("opentelemetry.proto", "otlp"),)
MOST_ROWS: Final = 40  # streams in the printed table; the report has more
MOST_STREAMS: Final = 10_000  # in a report
MOST_MARKS: Final = 500_000  # events of all of them together, some 200 bytes each: 100 MB

EXAMPLES: Final = f"""\
examples:
  otel-claude-stream report streams.jsonl                          a file of 'run --save', into {DEFAULT_FILE}
  otel-claude-stream report monday.json tuesday.json -o week.html  several recordings in one report
  otel-claude-stream report /var/lib/otelcol/traces.json --open    a file of the Collector's file exporter

Each line of a file is one OTLP request in JSON: spans, metrics or logs. Other lines, such as the last one of a file
that is still being written, are left out with a warning."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("files", metavar="FILE", nargs="+", help="telemetry as OTLP JSON lines")
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        default=DEFAULT_FILE,
        help="the file to write (default: %(default)s)",
    )
    parser.add_argument("--open", action="store_true", help="open the report in the browser")


def run(args: argparse.Namespace) -> int:
    """Write the report and return the exit code. Raises ``CommandError`` if a file contains no telemetry."""
    with collector_paused():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    output = checked_path(args.output, "--output")
    check_installed(NEEDED)
    telemetry = Telemetry(streams=StreamStore(streams=MOST_STREAMS, marks=MOST_MARKS))
    files = [Path(name) for name in args.files]
    if any(is_same_file(output, path) for path in files):
        raise CommandError(f"--output {output} would replace a recording; name another file")
    for path in files:
        add_recording(path, telemetry)
    found = telemetry.snapshot()
    write_report(output, found, title_of(found.views, ", ".join(path.name for path in files)))  # even if `head` leaves
    if found.views:
        print(as_text(table(found.views[-MOST_ROWS:], width_of(sys.stdout))) + "\n")
        for line in summary_lines(found.summary):
            print(printable(line))
    else:
        print("The recordings contain no stream of the Anthropic SDK.")
    print(printable(f"Report: {output}"))
    if args.open:
        webbrowser.open(output.resolve().as_uri())
    return OK
