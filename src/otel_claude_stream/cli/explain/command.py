"""``otel-claude-stream explain``: the timeline of a stream, its ending, the evidence for the reason, and advice."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from otel_claude_stream._core.diagnosis.limits import parse_limits
from otel_claude_stream.cli.errors import FAILED, OK, UsageError
from otel_claude_stream.cli.explain.inputs import BadInput, Input, read
from otel_claude_stream.cli.explain.playback import play_isolated
from otel_claude_stream.cli.explain.text import show
from otel_claude_stream.cli.view.explanation import Explanation, explanation
from otel_claude_stream.cli.view.printable import json_text, printable

STDIN: Final = "-"

EXAMPLES: Final = """\
FILE is one of these, recognised by its content:
  a recorded stream    the body of a response: lines 'event: ...' and 'data: ...'
  a script             JSON of otel_claude_stream.testing; its pauses give the times
  OTLP in JSON         as a Collector's file exporter writes it, one document or one on each line

examples:
  otel-claude-stream explain answer.sse
  otel-claude-stream explain traces.json --json | jq '.[] | {reason, advice}'
  curl -N ... | otel-claude-stream explain -
  otel-claude-stream explain broken.json --known-limits idle:2s=nginx,duration:29s=gateway

The Anthropic SDK reads a recording or a script from memory, instrumented as in production, in simulated time. It
makes one attempt, with its default read timeout. Nothing is sent or written. Recordings and scripts need
otel-claude-stream[instruments,otlp], spans need otel-claude-stream[otlp].
Spans carry the verdict of the time when they were recorded, so --known-limits does not change it.
One stream is at best consistent with a limit. Many streams with the same figure prove it.

exit codes: 0 explained, whatever the outcome of the streams; 1 a file could not be read or understood, or a package is
missing; 2 wrong usage"""


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


def run(args: argparse.Namespace) -> int:
    """Explain every file and return the exit code. A file that cannot be explained does not stop the others."""
    _check_limits(args.known_limits)
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
        if found.kind == "spans" and args.known_limits:
            text = f"otel-claude-stream: {_name(file)}: --known-limits is ignored, since spans carry their verdict"
            print(printable(text), file=sys.stderr)
        inputs.append(found)
    explanations = [
        explanation(view, found.source, found.kind)
        for found in played(inputs, args.known_limits)
        for view in found.views
    ]
    try:
        _print(explanations, as_json=args.json)
    except BrokenPipeError:  # as under `| head`; the interpreter must find nothing to flush when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def played(inputs: Sequence[Input], limits: str) -> list[Input]:
    """Play the scripts among ``inputs``, all in one process, and return the inputs with their streams."""
    spans = iter(play_isolated([one.script for one in inputs if one.script is not None], limits))
    return [one if one.script is None else one.played(next(spans)) for one in inputs]


def _print(found: Sequence[Explanation], *, as_json: bool) -> None:
    if as_json:
        print(json_text([asdict(one) for one in found]))
    else:
        show(found, sys.stdout)
    sys.stdout.flush()


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
