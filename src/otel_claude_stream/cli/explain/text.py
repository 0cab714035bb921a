"""Explanations as text, in colour on a terminal."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TextIO

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.explanation import Explanation, Kind, explanation, sections
from otel_claude_stream.cli.view.model import NANO, StreamView
from otel_claude_stream.cli.view.printable import printable, printable_line
from otel_claude_stream.cli.view.summary import summarise
from otel_claude_stream.cli.view.terminal import (
    COLUMNS,
    SIGNS,
    STYLES,
    Column,
    as_text,
    summary_lines,
    table,
    use_colours,
    width_of,
)

WIDEST: Final = 100  # columns; longer lines are hard to read
SHORT_ID: Final = 17  # characters of TRACE/SPAN
WITHOUT_INDEX: Final = 10  # streams that are printed without an index before them
CODES: Final[Mapping[str, str]] = {
    "bold": "1", "dim": "2", "underline": "4", "red": "31", "green": "32", "yellow": "33", "cyan": "36",
}  # fmt: skip
INDEXED: Final = {"outcome": 0, "reason": 0, "retry policy": 5, "took": 4, "consistent with / advice": 3}
"""Columns of the index by their titles, with their ranks."""


@dataclass(frozen=True, slots=True)
class Line:
    """One paragraph to print. Its continuation lines are indented by ``hang`` columns; ``style`` is for a terminal."""

    text: str = ""
    hang: int = 2
    style: str = ""
    whole: bool = False
    """Never wrapped: a title, since a path may be longer than a line."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A stream of a source, to be explained."""

    view: StreamView
    source: str
    kind: Kind

    def explained(self) -> Explanation:
        """Return the explanation."""
        return explanation(self.view, self.source, self.kind)


def show(subjects: Sequence[Subject], out: TextIO) -> None:
    """Print the explanations, after an index if there are more than ten."""
    columns, colours = width_of(out), use_colours(out, os.environ)
    width = min(columns, WIDEST)
    indexed = len(subjects) > WITHOUT_INDEX
    if indexed:
        write(index(subjects, columns), width, out, colours=colours)
    for number, subject in enumerate(subjects, 1):
        if number > 1 or indexed:
            out.write("\n")
        write(lines_of(subject.explained(), number if indexed else None), width, out, colours=colours)


def show_feeds(views: Sequence[StreamView], out: TextIO) -> None:
    """Print a line for each connection to a feed of an agent session."""
    if not views:
        return
    title = f"{formatting.plural(len(views), 'connection')} to feeds of agent sessions"
    lines = [Line(), Line(title, style="bold"), *(Line(f"  {_connection(view)}", hang=4) for view in views)]
    write(lines, min(width_of(out), WIDEST), out, colours=use_colours(out, os.environ))


def _connection(view: StreamView) -> str:
    """Return when and to which feed a connection was made, and how it ended."""
    at = f"{datetime.fromtimestamp(view.start / NANO).astimezone():%H:%M:%S}"
    names = [view.text(a.FEED_SESSION_ID), view.text(a.FEED_THREAD_ID)]
    number = view.text(a.FEED_CONNECTION_NUMBER)
    reason = formatting.readable(view.reason) if view.reason else ""
    limit = formatting.limit_text(view.limit_match, view.suspects)
    end = ", consistent with ".join(filter(None, (reason, limit)))
    head = f"{at} {'/'.join(filter(None, names))}, connection {number}: {view.outcome}"
    return f"{head} after {formatting.seconds(view.duration)}{f', {end}' if end else ''}"


def write(lines: Iterable[Line], width: int, out: TextIO, *, colours: bool) -> None:
    """Print paragraphs, wrapped at ``width`` columns."""
    shown = []
    for line in lines:
        text = "\n".join(wrapped(line, width))
        if colours and line.style:
            codes = ";".join(CODES[word] for word in line.style.split())
            text = f"\x1b[{codes}m{text}\x1b[0m"
        shown.append(text + "\n")
    out.write("".join(shown))


def wrapped(line: Line, width: int) -> list[str]:
    """Wrap one paragraph at ``width`` columns, with escapes for control characters."""
    if line.whole:
        return [printable_line(line.text)]
    text = printable(line.text)
    if len(text) <= width and text.isprintable():
        return [text.rstrip()]
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        text.strip(),
        max(width, 20),
        initial_indent=indent,
        subsequent_indent=" " * line.hang,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def index(subjects: Sequence[Subject], width: int) -> Iterator[Line]:
    """Yield a line for each stream, with its number and an ID for ``--trace``, and the figures over all of them."""
    numbers = {id(subject.view): f"#{number}" for number, subject in enumerate(subjects, 1)}
    sources = {id(subject.view): subject.source for subject in subjects}
    spans = {id(subject.view) for subject in subjects if subject.kind == "spans"}
    several = len(set(sources.values())) > 1
    days = {_ended(subject.view).date() for subject in subjects if subject.kind == "spans"}
    clock = "%m-%d %H:%M:%S" if len(days) > 1 else "%H:%M:%S"
    by_title = {column.title: column for column in COLUMNS}
    columns = (
        Column("#", lambda view: numbers[id(view)], 0, right=True),
        Column("ended", lambda view: _ended(view).strftime(clock) if id(view) in spans else "", 1),
        Column("trace/span", lambda view: _short_id(view) if id(view) in spans else view.title, 0, least=SHORT_ID),
        Column("file", lambda view: sources[id(view)] if several else "", 6, least=12),
        *(replace(by_title[title], rank=rank) for title, rank in INDEXED.items()),
        Column("model", lambda view: view.model, 7),
    )
    views = [subject.view for subject in subjects]
    titles, rule, *rows = as_text(table(views, width, columns)).splitlines()
    yield Line(titles, style="bold", whole=True)
    yield Line(rule, whole=True)
    for view, row in zip(views, rows, strict=True):
        yield Line(row, style=STYLES.get(view.outcome, "yellow"), whole=True)
    yield Line()
    for text in summary_lines(summarise(views)):
        yield Line(text)


def _ended(view: StreamView) -> datetime:
    return datetime.fromtimestamp(view.end / NANO).astimezone()


def _short_id(view: StreamView) -> str:
    trace, _, span = view.key.partition("/")
    return f"{trace[:8]}/{span[:8]}"


def lines_of(one: Explanation, number: int | None = None) -> Iterator[Line]:
    """Yield one stream as paragraphs; ``number`` is that of the index."""
    sign = SIGNS.get(one.outcome, "?")
    reason = formatting.readable(one.reason) if one.reason else ""
    titles = ["" if number is None else f"#{number}", one.source, one.name, one.model, f"{sign} {one.outcome}", reason]
    yield Line(
        " · ".join(title for title in titles if title), style=f"bold {STYLES.get(one.outcome, 'yellow')}", whole=True
    )
    yield Line()
    yield _heading("Timeline" if one.timed else "Timeline (a recorded body has neither times nor response headers)")
    for moment in one.timeline:
        at = f"{moment.at:9.2f} s  " if one.timed else ""
        style = {"stall": "yellow", "end": STYLES.get(one.outcome, "")}.get(moment.kind, "")
        yield Line(f"  {at}{moment.what}", 2 + len(at) + 2, style)
    yield Line()
    for heading, paragraphs in sections(one):
        yield _heading(heading)
        for text in paragraphs:
            evidence = text.startswith("Evidence: ")
            style = "bold" if heading == "Advice" else "dim" if evidence else ""
            yield Line(f"  {text}", 4 if evidence else 2, style)
        if heading != "Advice":
            yield Line()


def _heading(text: str) -> Line:
    return Line(text, 0, "underline")
