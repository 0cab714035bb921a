"""The live view of `run`, a table in the last lines of the terminal, below the output of the application."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

from otel_claude_stream.cli.run.lines import LineView
from otel_claude_stream.cli.view.live import DETAIL, HEAD, OPEN, LiveLine, live_lines
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.plain import COLOURS
from otel_claude_stream.cli.view.summary import Summary
from otel_claude_stream.cli.view.terminal import (
    Progress,
    advice_lines,
    as_text,
    status_line,
    summary_lines,
    table,
    use_colours,
)

MOST_ROWS: Final = 10  # lines of the panel, a third of the terminal at most
LEAST_HEIGHT: Final = 15  # lines of a terminal that has room for the panel
REDRAW: Final = 0.25  # seconds between two drawings
MOST_ROWS_AT_END: Final = 40  # streams in the table at the end; a report has them all
CODES: Final[Mapping[str, str]] = {**COLOURS, DETAIL: "2", HEAD: "1", OPEN: "0"}
"""Colours of lines by their style; yellow for all others."""

SAVE: Final = "\x1b7"
RESTORE: Final = "\x1b8"
WHOLE: Final = "\x1b[r"
BELOW: Final = "\x1b[J"
PLAIN: Final = "\x1b[0m"


class Panel(LineView):
    """Draws in the last lines of the terminal, which it excludes from scrolling, as apt does.

    Each update is one write that restores the cursor, so the application may print at any time, unless it draws full
    screens itself.
    """

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._size: os.terminal_size | None = None
        self._colours = use_colours(out, os.environ)
        self._drawn = -REDRAW
        self._closed = False

    @staticmethod
    def fits(out: TextIO) -> bool:
        """Whether ``out`` is a capable terminal with enough lines."""
        try:
            return (
                out.isatty()
                and os.environ.get("TERM", "dumb") != "dumb"
                and os.get_terminal_size(out.fileno()).lines >= LEAST_HEIGHT
            )
        except OSError:
            return False

    def update(self, progress: Progress) -> None:
        """Draw the panel, at most four times a second."""
        if progress.running and progress.elapsed - self._drawn < REDRAW:
            return
        self._drawn = progress.elapsed
        with self._lock:
            if self._closed:
                return
            size = os.get_terminal_size(self._out.fileno())
            rows = panel_rows(size.lines)
            begin = "" if size == self._size else self._reserve(size, rows)
            self._size = size
            lines = panel_lines(progress, size.columns, rows, colours=self._colours)
            drawn = "".join(
                f"\x1b[{size.lines - rows + at + 1};1H\x1b[2K{line}{PLAIN}" for at, line in enumerate(lines)
            )
            self._write(f"{begin}{SAVE}{PLAIN}{drawn}{RESTORE}")

    def finish(self, views: Sequence[StreamView], summary: Summary) -> None:
        """Print the table and the figures in place of the panel."""
        self.close()
        if not views:
            return
        width = os.get_terminal_size(self._out.fileno()).columns
        shown = views[-MOST_ROWS_AT_END:]
        self._write("\n" + as_text(table(shown, width)) + "\n\n")
        for line in (*advice_lines(shown, width), *summary_lines(summary)):
            self.print(line)

    def pause(self) -> None:
        """Return the lines to the application until the next update."""
        with self._lock:
            if not self._closed and self._size is not None:
                self._write(f"{SAVE}{WHOLE}{RESTORE}{BELOW}")
            self._size = None

    def close(self) -> None:
        """Return the lines to the application for good."""
        self.pause()
        self._closed = True

    def _reserve(self, size: os.terminal_size, rows: int) -> str:
        """Scroll the last lines up and exclude them from scrolling."""
        whole = f"{SAVE}{WHOLE}{RESTORE}" if self._size else ""
        return f"{whole}{chr(10) * rows}\x1b[{rows}A{SAVE}\x1b[1;{size.lines - rows}r{RESTORE}"


def panel_rows(height: int) -> int:
    """Return the number of lines of the panel in a terminal of ``height`` lines."""
    return min(MOST_ROWS, height // 3)


def panel_lines(progress: Progress, width: int, rows: int, *, colours: bool) -> list[str]:
    """Return exactly ``rows`` lines: a rule with the progress, the open streams, and those that ended last."""
    rule = f"── claude streams: {status_line(progress)} "
    lines = [LiveLine(f"{rule[:width]:─<{width}}", DETAIL), *live_lines(progress, width, rows - 1)]
    shown = [f"\x1b[{CODES.get(style, '33')}m{text[:width]}" if colours else text[:width] for text, style in lines]
    return [*shown, *[""] * (rows - len(shown))]
