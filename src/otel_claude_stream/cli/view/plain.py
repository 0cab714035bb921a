"""The view of plain lines, for pipes, logs, and terminals without rich."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TextIO

from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.live import hanging, open_row, plain_line
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.printable import printable, printable_line
from otel_claude_stream.cli.view.summary import Summary
from otel_claude_stream.cli.view.terminal import SIGNS, Progress, advice_lines, as_text, summary_lines, table, width_of

LONG_OPEN: Final = 10.0  # seconds until an open stream gets a line, and between two such lines
MOST_SILENT: Final = 5  # lines of silent streams at a time


def finished_line(view: StreamView, elapsed: float) -> str:
    """Return one stream that has just ended as a line."""
    parts = [f"{elapsed:7.1f} s", f"{SIGNS.get(view.outcome, '?')} {view.outcome:<9}"]
    parts += [f"{formatting.readable(view.reason):<18}", f"{formatting.seconds(view.duration):>8}", view.name]
    return printable_line("  ".join(parts).rstrip())


class PlainView:
    """Prints a line when a stream ends, lines for streams that are open for long, and a table at the end.

    ``long_open`` is the seconds until a stream is open or silent for long, and between two lines about that.
    """

    def __init__(
        self,
        out: TextIO,
        line: Callable[[StreamView, float], str] = finished_line,
        *,
        long_open: float = LONG_OPEN,
    ) -> None:
        self._out = out
        self._line = line
        self._long_open = long_open
        self._shown: Sequence[StreamView] = ()
        self._seen: frozenset[str] = frozenset()
        self._last_open_line = 0.0
        self._silent_lines: dict[str, float] = {}

    def update(self, progress: Progress) -> None:
        """Print the lines that are due."""
        self._print_ended(progress)
        if progress.running:
            self._print_open(progress)

    def print(self, text: str) -> None:
        """Print a message, with escapes for control characters."""
        self._show(printable(text))

    def finish(self, views: Sequence[StreamView], summary: Summary) -> None:
        """Print the table and the figures."""
        width = width_of(self._out)
        self.print("\n" + as_text(table(views, width)) + "\n")
        for line in (*advice_lines(views, width), *summary_lines(summary)):
            self.print(line)

    def close(self) -> None:
        """Do nothing: there is no live part."""

    def _print_ended(self, progress: Progress) -> None:
        """Print a line for each stream that has ended since the last update."""
        if progress.views is self._shown:
            return
        for view in sorted(progress.views, key=lambda view: view.end):
            if view.key not in self._seen:
                self._show(self._line(view, progress.elapsed))
        self._shown, self._seen = progress.views, frozenset(view.key for view in progress.views)

    def _print_open(self, progress: Progress) -> None:
        """Print the number of open streams, and those from which nothing has come for long, at intervals."""
        now, long = progress.elapsed, self._long_open
        if progress.open and now - self._last_open_line >= long and (progress.oldest or 0.0) >= long:
            self._last_open_line = now
            self.print(f"{now:7.1f} s  {progress.open} open, the oldest for {formatting.seconds(progress.oldest)}")
        silent = hanging(progress.open_streams, long)
        known = {one.key: self._silent_lines.get(one.key, -long) for one in silent}
        due = [one for one in silent if now - known[one.key] >= long]
        for one in due[:MOST_SILENT]:
            self.print(f"{now:7.1f} s  {plain_line(open_row(one))}")
        if len(due) > MOST_SILENT:
            self.print(f"{now:7.1f} s  … {len(due) - MOST_SILENT} more open and silent")
        self._silent_lines = known | {one.key: now for one in due}

    def _show(self, text: str) -> None:
        """Print a text that is printable, apart from colours of this package."""
        print(text, file=self._out, flush=True)
