"""The views for a terminal: a table that fits its width, live with rich, plain lines without."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TextIO

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream.cli.view import formatting as words
from otel_claude_stream.cli.view.decisions import recovery
from otel_claude_stream.cli.view.model import StreamView, Summary

GUTTER: Final = 2
DEFAULT_WIDTH: Final = 120  # where output goes to a file
STYLES: Final[Mapping[str, str]] = {
    Outcome.COMPLETED.value: "green",
    Outcome.FAILED.value: "red",
    Outcome.CLOSED.value: "cyan",
}
SIGNS: Final[Mapping[str, str]] = {Outcome.COMPLETED.value: "✓", Outcome.FAILED.value: "✗", Outcome.CLOSED.value: "■"}
LIVE_MARGIN: Final = 6  # lines around the rows of the live table: head, rules, progress


@dataclass(frozen=True, slots=True)
class Column:
    """One column. The higher ``rank``, the sooner it is left out; ``least`` characters are kept when it is narrowed."""

    title: str
    text: Callable[[StreamView], str]
    rank: int
    right: bool = False
    least: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A table cut to a width: column titles, widths and alignment, and cells ready to print."""

    titles: tuple[str, ...]
    widths: tuple[int, ...]
    right: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far things are: streams seen, expected (None: nobody knows) and open now, seconds since the start.

    ``oldest`` is the age in seconds of the oldest that is open.
    """

    views: tuple[StreamView, ...]
    expected: int | None
    open: int | None
    elapsed: float
    running: bool
    oldest: float | None = None


def verdict(view: StreamView) -> str:
    """What the end is consistent with, else what to do: the shortest useful words."""
    if view.limit_match not in ("", "none"):
        return f"{view.limit_match} ({', '.join(view.suspects[:2])})" if view.suspects else view.limit_match
    return view.advice or ", ".join(view.suspects[:3])


def tokens(view: StreamView) -> str:
    """Input and output tokens: ``412 → 96``."""
    used = view.tokens
    return words.NONE if used.input is None and used.output is None else f"{_k(used.input)}→{_k(used.output)}"


COLUMNS: Final = (
    Column("stream", lambda view: view.name, 0, least=24),
    Column("model", lambda view: view.model.removeprefix("claude-") if view.title else "", 10),
    Column("outcome", lambda view: f"{SIGNS.get(view.outcome, '?')} {view.outcome}", 0),
    Column("reason", lambda view: words.words(view.reason), 0),
    Column("retry policy", recovery, 1),
    Column("phase", lambda view: words.words(view.phase), 9),
    Column("TTFT", lambda view: words.seconds(view.ttft), 2, right=True),
    Column("silence", lambda view: words.seconds(view.longest_silence), 3, right=True),
    Column("gaps", lambda view: str(view.stalls or ""), 6, right=True),
    Column("retries", lambda view: str(view.retries or ""), 4, right=True),
    Column("tokens", tokens, 7, right=True),
    Column("tok/s", lambda view: "" if view.rate is None else f"{view.rate:.0f}", 8, right=True),
    Column("took", lambda view: words.seconds(view.duration), 5, right=True),
    Column("consistent with / advice", verdict, 11, least=16),
)


def table(views: Sequence[StreamView], width: int, columns: Sequence[Column] = COLUMNS) -> Table:
    """The columns that fit into ``width`` characters, those that matter least left out first, the rest narrowed."""
    cells = {column.title: [column.text(view) for view in views] for column in columns}
    kept = [column for column in columns if not views or any(cells[column.title])]
    natural = {c.title: max([len(c.title), *map(len, cells[c.title])]) for c in kept}
    while len(kept) > 1 and _least(kept, natural) > width:
        kept.remove(max(kept, key=lambda column: column.rank))
    widths = _narrowed(kept, natural, width)
    rows = tuple(
        tuple(words.shortened(cells[column.title][n], size) for column, size in zip(kept, widths, strict=True))
        for n in range(len(views))
    )
    titles = tuple(words.shortened(column.title, size) for column, size in zip(kept, widths, strict=True))
    return Table(titles, tuple(widths), tuple(column.right for column in kept), rows)


def plain(found: Table) -> str:
    """The table as text, a line a row."""
    lines = [found.titles, tuple("─" * width for width in found.widths), *found.rows]
    return "\n".join(_line(cells, found) for cells in lines)


def summary_lines(summary: Summary) -> list[str]:
    """The figures over all streams, as sentences."""
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in summary.outcomes.items() if count)
    reasons = ", ".join(f"{words.words(reason)} {count}" for reason, count in summary.reasons)
    lines = [f"{words.plural(summary.streams, 'stream')}: {outcomes or 'none'}. HTTP requests: {summary.requests}."]
    if summary.ttft_p50 is not None:
        p50, p95 = words.seconds(summary.ttft_p50), words.seconds(summary.ttft_p95)
        lines.append(f"Time to first token: half within {p50}, 95 % within {p95}.")
    if summary.handled:
        lines.append(f"The retry policy: {', '.join(f'{count} {what}' for what, count in summary.handled)}.")
    return [*lines, f"Reasons: {reasons}."] if reasons else lines


def finished_line(view: StreamView, elapsed: float) -> str:
    """One stream that has just ended, as a line for a log."""
    parts = [f"{elapsed:6.1f} s", f"{SIGNS.get(view.outcome, '?')} {view.outcome:<9}"]
    parts += [f"{words.words(view.reason):<18}", f"{words.seconds(view.duration):>8}", view.name]
    return "  ".join(parts).rstrip()


class View(Protocol):
    """Where progress and results go."""

    def update(self, progress: Progress) -> None:
        """Show how far things are."""

    def say(self, text: str) -> None:
        """A line of its own, above whatever is live."""

    def finish(self, views: Sequence[StreamView], summary: Summary) -> None:
        """Show the results."""

    def close(self) -> None:
        """Leave the terminal as it was; may be called twice."""


class PlainView:
    """Lines as streams end, and a table at the end: for pipes, logs, and terminals without rich."""

    def __init__(self, out: TextIO, line: Callable[[StreamView, float], str] = finished_line) -> None:
        self._out = out
        self._line = line
        self._told: Sequence[StreamView] = ()
        self._seen: frozenset[str] = frozenset()

    def update(self, progress: Progress) -> None:
        """A line for each stream that has ended since."""
        if progress.views is self._told:
            return
        for view in sorted(progress.views, key=lambda view: view.end):
            if view.key not in self._seen:
                self.say(self._line(view, progress.elapsed))
        self._told, self._seen = progress.views, frozenset(view.key for view in progress.views)

    def say(self, text: str) -> None:
        """A line."""
        print(text, file=self._out, flush=True)

    def finish(self, views: Sequence[StreamView], summary: Summary) -> None:
        """The table and the figures."""
        self.say("\n" + plain(table(views, width_of(self._out))) + "\n")
        for line in summary_lines(summary):
            self.say(line)

    def close(self) -> None:
        """Nothing to leave."""


class RichView:
    """A table that grows while streams end, with rich."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=out, highlight=False)
        self._live = Live(console=self._console, transient=True, refresh_per_second=8, vertical_overflow="crop")
        self._live.start()

    def update(self, progress: Progress) -> None:
        """The newest streams that fit the height, and a line of progress below them."""
        from rich.console import Group

        rows = max(3, self._console.height - LIVE_MARGIN)
        self._live.update(Group(self._table(progress.views[-rows:]), self._status(progress)))

    def say(self, text: str) -> None:
        """A line above the table."""
        self._console.print(text, markup=False, soft_wrap=True)

    def finish(self, views: Sequence[StreamView], summary: Summary) -> None:
        """The whole table and the figures."""
        self.close()
        self._console.print()
        self._console.print(self._table(views))
        self._console.print()
        for line in summary_lines(summary):
            self.say(line)

    def close(self) -> None:
        """End the live view."""
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

    def _status(self, progress: Progress) -> Any:
        from rich.text import Text

        return Text(status_line(progress), style="dim")


def status_line(progress: Progress) -> str:
    """How far things are, in one line."""
    seen = (
        f"{len(progress.views)} of {progress.expected}" if progress.expected is not None else str(len(progress.views))
    )
    parts = [f"{seen} {'stream' if seen == '1' else 'streams'} ended"]
    if progress.open is not None and progress.running:
        since = f", the oldest for {words.seconds(progress.oldest)}" if progress.open and progress.oldest else ""
        parts.append(f"{progress.open} open{since}")
    return f"{' · '.join(parts)} · {progress.elapsed:.0f} s"


def view_for(out: TextIO) -> View:
    """The live view where it works: a terminal that is not dumb, and rich installed; else plain lines."""
    if out.isatty() and os.environ.get("TERM") != "dumb":
        try:
            return RichView(out)
        except ImportError:
            return PlainView(out)
    return PlainView(out)


def width_of(out: TextIO) -> int:
    """Columns of the terminal; ``COLUMNS`` or 120 where there is none."""
    return shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns if out.isatty() else _columns(os.environ)


def _columns(environ: Mapping[str, str]) -> int:
    given = environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else DEFAULT_WIDTH


def _least(columns: Sequence[Column], natural: Mapping[str, int]) -> int:
    """The width of a table when every column that can be narrowed is."""
    wanted = sum(min(natural[c.title], c.least) if c.least else natural[c.title] for c in columns)
    return wanted + GUTTER * (len(columns) - 1)


def _narrowed(columns: Sequence[Column], natural: Mapping[str, int], width: int) -> list[int]:
    """Widths that fit: from the last column that can be narrowed to the first, each no further than it must."""
    widths = [natural[column.title] for column in columns]
    excess = sum(widths) + GUTTER * (len(columns) - 1) - width
    for at in reversed(range(len(columns))):
        if columns[at].least and excess > 0:
            cut = min(excess, max(0, widths[at] - columns[at].least))
            widths[at] -= cut
            excess -= cut
    return widths


def _line(cells: Sequence[str], found: Table) -> str:
    parts = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, found.widths, found.right, strict=True)
    ]
    return (" " * GUTTER).join(parts).rstrip()


def _k(value: int | None) -> str:
    if value is None:
        return words.NONE
    return str(value) if value < 10_000 else f"{value / 1000:.0f}k"
