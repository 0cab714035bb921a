"""``otel-claude-stream explain``: the timeline of a stream, its ending, the evidence for the reason, and advice."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from otel_claude_stream._core.diagnosis.limits import parse_limits
from otel_claude_stream.cli.errors import FAILED, OK, UsageError
from otel_claude_stream.cli.explain import selection
from otel_claude_stream.cli.explain.inputs import BadInput, Input, read
from otel_claude_stream.cli.explain.text import Subject, show, show_feeds
from otel_claude_stream.cli.process import collector_paused
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.printable import json_text, printable
from otel_claude_stream.cli.view.sides import Sides
from otel_claude_stream.cli.view.telemetry import left_out

STDIN: Final = "-"

EXAMPLES: Final = """\
FILE is one of these, recognised by its content:
  a recorded stream    the body of a response: lines 'event: ...' and 'data: ...'
  a script             JSON of otel_claude_stream.testing; its pauses give the times
  OTLP in JSON         as a Collector's file exporter writes it, one document or one on each line; a last line that
                       is still being written is left out with a warning

examples:
  otel-claude-stream explain answer.sse
  otel-claude-stream explain traces.json --json | jq '.[] | {reason, advice}'
  curl -N ... | otel-claude-stream explain -
  otel-claude-stream explain broken.json --known-limits idle:2s=nginx,duration:29s=gateway
  otel-claude-stream explain streams.jsonl --failed --since 14:05 | less
  otel-claude-stream explain streams.jsonl --reason overloaded --reason rate_limited --since 15m
  otel-claude-stream explain streams.jsonl --trace 4bf92f35
  otel-claude-stream explain streams.jsonl telemetry.jsonl       with the API's spans in a file of a Collector

More than ten streams are printed after an index. Each line of it has the number of a title further below and a short
TRACE/SPAN for --trace. A time without a date is the last one before now. Times are local, unless they end with Z or an
offset. Recordings and scripts have no IDs and no time of day, so --trace and --since leave them out.

The Anthropic SDK reads a recording or a script from memory, instrumented as in production, in simulated time. It
makes one attempt, with its default read timeout. Nothing is sent or written. Recordings and scripts need
otel-claude-stream[instruments,otlp], spans need otel-claude-stream[otlp].
Spans carry the verdict of the time when they were recorded, so --known-limits does not change it.
If the files also have the spans of the Claude API, or lines of proxies that a Collector read, these are shown with
their stream. The evidence "api" then is completed, failed, cancelled or absent, and the cause follows from both ends.
A stream that is in several files is explained once, from the file that has most of it.
One stream is at best consistent with a limit. Many streams with the same figure prove it.

exit codes: 0 explained, whatever the outcome of the streams; 1 no stream matches the options, a file could not be read
or understood, or a package is missing; 2 wrong usage"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("files", metavar="FILE", nargs="+", help="the input; - is the standard input")
    parser.add_argument("--json", action="store_true", help="print a JSON array with one object for each stream")
    parser.add_argument(
        "--known-limits",
        metavar="LIMITS",
        default="",
        help="the known limits, scaled ('x0.5') or replaced ('idle:2s=nginx,duration:29s=gateway')",
    )
    selection.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Explain every file and return the exit code. A file that cannot be explained does not stop the others."""
    with collector_paused():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    _check_limits(args.known_limits)
    wanted = selection.selection(args)
    if args.files.count(STDIN) > 1:
        raise UsageError("the standard input (-) can be read only once; name it once")
    code = OK
    inputs: list[Input] = []
    for file in args.files:
        try:
            found = read(_name(file), _content(file))
        except BadInput as error:
            print(printable(f"otel-claude-stream: {_name(file)}: {error}"), file=sys.stderr)
            code = FAILED
            continue
        if found.left_out is not None:
            print(printable(left_out(_name(file), [found.left_out])), file=sys.stderr)
        if found.kind == "spans" and args.known_limits:
            text = f"otel-claude-stream: {_name(file)}: --known-limits is ignored, since spans carry their verdict"
            print(printable(text), file=sys.stderr)
        if found.kind != "spans" and wanted.needs_spans:
            text = f"otel-claude-stream: {_name(file)}: left out, since a {found.kind} has no IDs and no time of day"
            print(printable(text), file=sys.stderr)
            continue
        inputs.append(found)
    sides = Sides()
    for one in inputs:
        sides.add_spans(one.api_spans)
        sides.add_lines(one.proxy_lines)
    subjects = once(
        Subject(view, one.source, one.kind)
        for one in played(inputs, args.known_limits)
        for view in (sides.join(one.views) if one.kind == "spans" else one.views)
    )
    connections = once(Subject(view, one.source, one.kind) for one in inputs for view in one.feeds)
    if sides and not subjects:
        text = "otel-claude-stream: no stream was found, only what the API or a proxy recorded; name the telemetry too"
        print(text, file=sys.stderr)
        code = FAILED
    matching = [subject for subject in subjects if wanted.matches(subject.view)]
    if args.json:
        print(json_text([asdict(subject.explained()) for subject in matching]))
    else:
        show(matching, sys.stdout)
        show_feeds([one.view for one in connections if wanted.matches(one.view)], sys.stdout)
    if subjects and not matching:
        text = selection.nothing_found(wanted, [subject.view for subject in subjects])
        print(printable(f"otel-claude-stream: {text}"), file=sys.stderr)
        return FAILED
    return code


def played(inputs: Sequence[Input], limits: str) -> list[Input]:
    """Play the scripts among ``inputs``, all in one process, and return the inputs with their streams."""
    scripts = [one.script for one in inputs if one.script is not None]
    if not scripts:
        return list(inputs)
    from otel_claude_stream.cli.explain.playback import play_isolated  # imports the test kit, which spans do not need

    spans = iter(play_isolated(scripts, limits))
    return [one if one.script is None else one.played(next(spans)) for one in inputs]


def once(subjects: Iterable[Subject]) -> list[Subject]:
    """Return each stream once, of the file that has most of it. The files of an application and a gateway share many.

    Recordings and scripts have no IDs, so each is a stream of its own.
    """
    found: dict[str | int, Subject] = {}
    for number, subject in enumerate(subjects):
        key = subject.view.key if subject.kind == "spans" else number
        if key not in found or _size(subject.view) > _size(found[key].view):
            found[key] = subject
    return list(found.values())


def _size(view: StreamView) -> int:
    """Return how much is known of a stream: its attributes, events, and the spans beside its own."""
    used = view.tokens.input is not None, view.tokens.output is not None
    return len(view.attributes) + len(view.marks) + len(view.span_ids) + sum(used)


def _check_limits(text: str) -> None:
    try:
        if text:
            parse_limits(text)
    except ValueError as error:
        raise UsageError(f"--known-limits: {error}") from error


def _content(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}") from error


def _name(file: str) -> str:
    return "standard input" if file == STDIN else file
