"""The live view with rich, and the choice between it and plain lines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TextIO

from otel_claude_stream.cli.view.live import DETAIL, HANGS, HEAD, OPEN, live_lines
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.plain import LONG_OPEN, PlainView
from otel_claude_stream.cli.view.printable import printable
from otel_claude_stream.cli.view.summary import Summary
from otel_claude_stream.cli.view.terminal import (
    GUTTER,
    STYLES,
    Progress,
    View,
    advice_lines,
    status_line,
    summary_lines,
    table,
)

LIVE_MARGIN: Final = 6  # lines of the terminal that the live view leaves free
LINE_STYLES: Final[Mapping[str, str]] = {**STYLES, HEAD: "bold", DETAIL: "dim", HANGS: "yellow", OPEN: ""}


class RichView:
    """Shows the streams while they are open and when they end, with rich."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=out, highlight=False)
        self._live = Live(console=self._console, transient=True, refresh_per_second=8, vertical_overflow="crop")
        self._live.start()

    def update(self, progress: Progress) -> None:
        """Show the open and the newest streams that fit the height, and a line of progress below them."""
        from rich.text import Text

        lines = live_lines(progress, self._console.width, max(3, self._console.height - LIVE_MARGIN))
        shown = [Text(f"{line.text}\n", style=LINE_STYLES.get(line.style, "yellow")) for line in lines]
        self._live.update(Text.assemble(*shown, Text(status_line(progress), style="dim")))

    def print(self, text: str) -> None:
        """Print a message above the table."""
        self._console.print(printable(text), markup=False, soft_wrap=True)

    def finish(self, views: Sequence[StreamView], summary: Summary) -> None:
        """Print the whole table and the figures."""
        self.close()
        self._console.print()
        self._console.print(self._table(views))
        self._console.print()
        for line in (*advice_lines(views, self._console.width), *summary_lines(summary)):
            self.print(line)

    def close(self) -> None:
        """Stop the live table."""
        self._live.stop()

    def _table(self, views: Sequence[StreamView]) -> Any:
        from rich.table import Table as RichTable
        from rich.text import Text

        found = table(views, self._console.width)
        shown = RichTable(box=None, pad_edge=False, padding=(0, GUTTER, 0, 0), header_style="bold underline")
        for title, right in zip(found.titles, found.right, strict=True):
            shown.add_column(title, justify="right" if right else "left", no_wrap=True)
        marked = {"outcome", "reason"}
        for view, cells in zip(views, found.rows, strict=True):
            style = STYLES.get(view.outcome, "yellow")
            pairs = zip(found.titles, cells, strict=True)
            shown.add_row(*(Text(cell, style=style if title in marked else "") for title, cell in pairs))
        return shown


def view_for(out: TextIO, *, long_open: float = LONG_OPEN) -> View:
    """Return the live view for a capable terminal with rich installed, else the view of plain lines.

    For ``long_open`` see ``PlainView``.
    """
    if out.isatty() and os.environ.get("TERM") != "dumb":
        with suppress(ImportError):
            return RichView(out)
    return PlainView(out, long_open=long_open)
