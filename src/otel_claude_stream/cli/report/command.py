"""``otel-claude-stream report``: the picture from telemetry that was kept."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from otel_claude_stream.cli.errors import OK, CommandError, check_installed
from otel_claude_stream.cli.otlp.record import Unread, read
from otel_claude_stream.cli.view import formatting as words
from otel_claude_stream.cli.view import report_file
from otel_claude_stream.cli.view.telemetry import Telemetry
from otel_claude_stream.cli.view.terminal import plain, summary_lines, table, width_of

NEEDED: Final = (("opentelemetry.proto", "otlp"),)
TABLED: Final = 40  # streams in the table; the report has more

EXAMPLES: Final = f"""\
examples:
  otel-claude-stream report streams.jsonl                          what 'run --save' kept, into {report_file.DEFAULT}
  otel-claude-stream report monday.json tuesday.json -o week.html  several recordings, one picture
  otel-claude-stream report /var/lib/otelcol/traces.json --open    what the Collector's file exporter wrote

Each line of a file is one OTLP request in JSON: spans, metrics or logs. A line that is none, such as the last one of
a file that is still being written, is left out, and that is told."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("files", metavar="FILE", nargs="+", help="telemetry as OTLP JSON lines")
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        default=report_file.DEFAULT,
        help="where the picture goes (default: %(default)s)",
    )
    parser.add_argument("--open", action="store_true", help="open the picture in the browser")


def run(args: argparse.Namespace) -> int:
    """Write the report; returns the exit code. Raises ``CommandError`` if there is nothing to make one of."""
    output = report_file.checked(args.output, "--output")
    check_installed(NEEDED)
    telemetry = Telemetry()
    files = [Path(name) for name in args.files]
    if output in files:
        raise CommandError(f"--output {output} would replace the recording itself")
    for path in files:
        _take(path, telemetry)
    found = telemetry.snapshot()
    if found.views:
        print(plain(table(found.views[-TABLED:], width_of(sys.stdout))) + "\n")
        for line in summary_lines(found.summary):
            print(line)
    else:
        print("There is no stream of the Anthropic SDK in it.")
    report_file.write(output, found, f"Claude streams: {', '.join(path.name for path in files)}")
    print(f"The picture: {output}")
    if args.open:
        webbrowser.open(output.resolve().as_uri())
    return OK


def _take(path: Path, telemetry: Telemetry) -> None:
    """All of a file. Raises ``CommandError`` if none of it can be read."""
    good, bad = 0, []
    for found in read(path):
        if isinstance(found, Unread):
            bad.append(found)
            continue
        telemetry.take(*found)
        good += 1
    if bad and not good:
        raise CommandError(f"{path} is no telemetry in OTLP JSON, a request a line: {_first(bad)}")
    if bad:
        print(f"warning: {path}: {words.plural(len(bad), 'line')} left out; {_first(bad)}", file=sys.stderr)


def _first(bad: Iterable[Unread]) -> str:
    first = next(iter(bad))
    return f"line {first.line}: {first.why}"
