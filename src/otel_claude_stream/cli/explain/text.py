"""Explanations as text, in colour on a terminal with rich, else plain."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.explanation import Explanation, sections
from otel_claude_stream.cli.view.printable import printable, printable_line
from otel_claude_stream.cli.view.terminal import SIGNS, STYLES, width_of

WIDEST: Final = 100  # columns; longer lines are hard to read


@dataclass(frozen=True, slots=True)
class Line:
    """One paragraph to print. Its continuation lines are indented by ``hang`` columns; ``style`` is for rich."""

    text: str = ""
    hang: int = 2
    style: str = ""
    whole: bool = False
    """Never wrapped: a title, since a path may be longer than a line."""


def show(found: Sequence[Explanation], out: TextIO) -> None:
    """Print all explanations."""
    lines = [line for number, one in enumerate(found) for line in (*_separator(number), *lines_of(one))]
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
    """Wrap one paragraph at ``width`` columns, with escapes for control characters."""
    if line.whole:
        return [printable_line(line.text)]
    text = printable(line.text)
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        text.strip(),
        max(width, 20),
        initial_indent=indent,
        subsequent_indent=" " * line.hang,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _separator(number: int) -> tuple[Line, ...]:
    return (Line(),) if number else ()


def lines_of(one: Explanation) -> Iterator[Line]:
    """Yield one stream as paragraphs."""
    sign = SIGNS.get(one.outcome, "?")
    reason = formatting.readable(one.reason) if one.reason else ""
    titles = [one.source, one.name, one.model, f"{sign} {one.outcome}", reason]
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
