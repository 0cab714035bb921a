"""``otel-claude-stream explain``: what came, where it stalled, how it ended, why we think so, and what to change."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TextIO

from otel_claude_stream._core.diagnosis.limits import KNOWN_LIMITS, Limit, parse_limits
from otel_claude_stream.cli import words
from otel_claude_stream.cli.errors import FAILED, OK, UsageError
from otel_claude_stream.cli.explanation import ORIGINS, Explanation, explain
from otel_claude_stream.cli.inputs import BadInput, Input, read
from otel_claude_stream.cli.terminal import SIGNS, STYLES, width_of

STDIN: Final = "-"
WIDEST: Final = 100  # columns in which a sentence is still easy to read

EXAMPLES: Final = """\
FILE is one of, told apart by what is in it:
  a recorded stream    the body of a response as it came: lines 'event: ...' and 'data: ...'
  a Script             JSON of otel_claude_stream.testing, with the pauses that the times come from
  OTLP in JSON         what a Collector's file exporter writes, one document or one a line

examples:
  otel-claude-stream explain answer.sse
  otel-claude-stream explain traces.json --json | jq '.[] | {reason, advice}'
  curl -N ... | otel-claude-stream explain -
  otel-claude-stream explain broken.json --known-limits idle:2s=nginx,duration:29s=gateway

A recording and a Script are run through the same state machine and classifier as a live stream, in simulated time
(read time-out 600 s, one attempt). Spans carry what the classifier said at the time, so --known-limits does not change
it. One stream is at best consistent with a limit: many with the same figure prove it.

exit codes: 0 explained, however the streams ended; 1 a file could not be read or understood; 2 wrong usage"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("files", metavar="FILE", nargs="+", help="what to explain; - is the standard input")
    parser.add_argument("--json", action="store_true", help="a JSON array, one object a stream")
    parser.add_argument(
        "--known-limits",
        metavar="LIMITS",
        default="",
        help="known limits, scaled ('x0.5') or replaced ('idle:2s=nginx,duration:29s=gateway')",
    )


def run(args: argparse.Namespace) -> int:
    """Explain every file; returns the exit code. Files that cannot be explained do not stop the others."""
    limits = _limits(args.known_limits)
    if args.files.count(STDIN) > 1:
        raise UsageError("the standard input can be read once only")
    code = OK
    found: list[Explanation] = []
    for file in args.files:
        try:
            given = _input(file, limits)
        except BadInput as error:
            print(f"otel-claude-stream: {_name(file)}: {error}", file=sys.stderr)
            code = FAILED
            continue
        if given.kind == "spans" and args.known_limits:
            print(f"otel-claude-stream: {_name(file)}: spans keep their own limits", file=sys.stderr)
        found += explain(given)
    try:
        _print(found, as_json=args.json)
    except BrokenPipeError:  # `| head` has seen enough; nothing is left to flush when the interpreter goes down
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _print(found: Sequence[Explanation], *, as_json: bool) -> None:
    if as_json:
        json.dump([asdict(one) for one in found], sys.stdout, indent=2, ensure_ascii=False)
        print()
    else:
        show(found, sys.stdout)
    sys.stdout.flush()


def _limits(text: str) -> Sequence[Limit]:
    try:
        return parse_limits(text) if text else KNOWN_LIMITS
    except ValueError as error:
        raise UsageError(f"--known-limits: {error}") from error


def _input(file: str, limits: Sequence[Limit]) -> Input:
    try:
        raw = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}") from error
    return read(_name(file), raw, limits)


def _name(file: str) -> str:
    return "standard input" if file == STDIN else file


# ------------------------------------------------------------------------------------------------------------- showing


@dataclass(frozen=True, slots=True)
class Line:
    """One paragraph to print: ``hang`` columns of its continuation lines, a style for terminals with rich."""

    text: str = ""
    hang: int = 2
    style: str = ""
    whole: bool = False
    """Never wrapped: a title, whose path may be longer than a line."""


def show(found: Sequence[Explanation], out: TextIO) -> None:
    """Print all of them: in colour on a terminal with rich, else as plain text."""
    lines = [line for number, one in enumerate(found) for line in (*_between(number), *lines_of(one))]
    width = min(width_of(out), WIDEST)
    if out.isatty() and os.environ.get("TERM") != "dumb":
        try:
            _show_rich(lines, width, out)
        except ImportError:
            _show_plain(lines, width, out)
        return
    _show_plain(lines, width, out)


def _show_plain(lines: Sequence[Line], width: int, out: TextIO) -> None:
    for line in lines:
        print("\n".join(wrapped(line, width)), file=out)


def _show_rich(lines: Sequence[Line], width: int, out: TextIO) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, highlight=False)
    for line in lines:
        console.print(Text("\n".join(wrapped(line, width)), style=line.style), soft_wrap=True)


def wrapped(line: Line, width: int) -> list[str]:
    """The lines on the screen."""
    if line.whole:
        return [line.text]
    indent = " " * (len(line.text) - len(line.text.lstrip()))
    return textwrap.wrap(
        line.text.strip(),
        max(width, 20),
        initial_indent=indent,
        subsequent_indent=" " * line.hang,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _between(number: int) -> tuple[Line, ...]:
    return (Line(),) if number else ()


def lines_of(one: Explanation) -> Iterator[Line]:
    """One stream as text."""
    sign = SIGNS.get(one.outcome, "?")
    titles = [one.source, one.name, one.model, f"{sign} {one.outcome}", words.words(one.reason) if one.reason else ""]
    yield Line(
        " · ".join(title for title in titles if title), style=f"bold {STYLES.get(one.outcome, 'yellow')}", whole=True
    )
    yield Line()
    yield _heading("What came" if one.timed else "What came (a recorded body: its head and its times are not known)")
    for moment in one.timeline:
        at = f"{moment.at:9.2f} s  " if one.timed else ""
        style = {"stall": "yellow", "end": STYLES.get(one.outcome, "")}.get(moment.kind, "")
        yield Line(f"  {at}{moment.what}", 2 + len(at) + 2, style)
    yield Line()
    yield _heading("How it ended")
    yield Line(f"  {_ending(one)}")
    yield Line()
    yield _heading("Why we think so")
    yield Line(f"  {one.because} (rule {one.rule})" if one.because else f"  (rule {one.rule or 'not known'})")
    if one.consistent:
        yield Line(f"  {one.consistent}")
    if one.also_possible:
        yield Line(f"  The same evidence fits: {', '.join(words.words(reason) for reason in one.also_possible)}.")
    yield Line("  Evidence: " + "; ".join(f"{label} {text}" for label, text in one.evidence) + ".", 4, "dim")
    yield Line()
    yield _heading("What to change")
    yield Line(f"  {one.advice or 'No advice.'}", style="bold")


def _heading(text: str) -> Line:
    return Line(text, 0, "underline")


def _ending(one: Explanation) -> str:
    after = f" after {words.seconds(one.duration)}" if one.timed and one.duration else ""
    if not one.reason:
        return f"Completed{after}."
    by = f", caused by {ORIGINS[one.origin]}" if one.origin in ORIGINS else "; the evidence does not tell who caused it"
    ended = {"failed": "Failed", "closed": "Closed"}.get(one.outcome, one.outcome)
    return f"{ended}{after}, {words.words(one.phase)}: {words.words(one.reason)}{by}."
