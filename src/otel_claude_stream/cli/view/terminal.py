"""A table that fits the width of a terminal, the figures below it, and what a view is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TextIO

from otel_claude_stream._core.vocabulary import AbortReason, Outcome
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.decisions import policy_summary, recovered_cuts
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.open_streams import OpenStream
from otel_claude_stream.cli.view.printable import printable_line
from otel_claude_stream.cli.view.summary import Summary

GUTTER: Final = 2
DEFAULT_WIDTH: Final = 120  # for output to a file
STYLES: Final[Mapping[str, str]] = {
    Outcome.COMPLETED.value: "green",
    Outcome.FAILED.value: "red",
    Outcome.CLOSED.value: "cyan",
}
LONGEST_OUTCOME: Final = 2 + max(len(outcome.value) for outcome in Outcome)
LONGEST_REASON: Final = max(len(reason.value) for reason in AbortReason)
"""Longer texts are those of another program."""
SIGNS: Final[Mapping[str, str]] = {Outcome.COMPLETED.value: "✓", Outcome.FAILED.value: "✗", Outcome.CLOSED.value: "■"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. A higher ``rank`` is left out sooner, and 0 never. A narrowed column keeps ``least`` characters.

    It keeps only ``floor`` if no further column can be left out.
    """

    title: str
    text: Callable[[StreamView], str]
    rank: int
    right: bool = False
    least: int = 0
    floor: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was fitted to a width: column titles, widths, alignment, and cells ready to print."""

    titles: tuple[str, ...]
    widths: tuple[int, ...]
    right: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run, with streams that ended, ``expected`` ones (None if not known), and ``open`` ones.

    ``elapsed`` is in seconds since the start; ``oldest`` is the age in seconds of the oldest open stream.
    """

    views: tuple[StreamView, ...]
    expected: int | None
    open: int | None
    elapsed: float
    running: bool
    oldest: float | None = None
    open_streams: tuple[OpenStream, ...] = ()


def limit_text(view: StreamView) -> str:
    """Return the limit that the ending is consistent with, with all products that have it, else the recovered cuts."""
    return formatting.limit_text(view.limit_match, view.suspects, len(view.suspects)) or recovered_cuts(view)


def limit_or_advice(view: StreamView) -> str:
    """Return the limit that the ending is consistent with, else the recovered cuts, the advice, or suspects."""
    limit = formatting.limit_text(view.limit_match, view.suspects) or recovered_cuts(view)
    return limit or view.advice or ", ".join(view.suspects[:3])


def tokens(view: StreamView) -> str:
    """Return input and output tokens, such as ``412→96``."""
    used = view.tokens
    return (
        formatting.DASH
        if used.input is None and used.output is None
        else f"{_thousands(used.input)}→{_thousands(used.output)}"
    )


COLUMNS: Final = (
    Column("stream", lambda view: view.name, 0, least=24),
    Column("model", lambda view: view.model.removeprefix("claude-") if view.title else "", 11),
    Column("outcome", lambda view: f"{SIGNS.get(view.outcome, '?')} {view.outcome}", 0, least=LONGEST_OUTCOME),
    Column("reason", lambda view: formatting.readable(view.reason), 0, least=LONGEST_REASON, floor=3),
    Column("retry policy", policy_summary, 1),
    Column("phase", lambda view: formatting.readable(view.phase), 10),
    Column("TTFT", lambda view: formatting.seconds(view.ttft), 3, right=True),
    Column("silence", lambda view: formatting.seconds(view.longest_silence), 4, right=True),
    Column("gaps", lambda view: str(view.long_gaps or ""), 7, right=True),
    Column("retries", lambda view: str(view.retries or ""), 5, right=True),
    Column("tokens", tokens, 8, right=True),
    Column("tok/s", lambda view: "" if view.rate is None else f"{view.rate:.0f}", 9, right=True),
    Column("took", lambda view: formatting.seconds(view.duration), 6, right=True),
    Column("API", lambda view: view.api, 3),
    Column("consistent with / advice", limit_or_advice, 2, least=16),
)


def table(views: Sequence[StreamView], width: int, columns: Sequence[Column] = COLUMNS) -> Table:
    """Fit the columns into ``width`` characters by leaving out those of the highest rank and narrowing the others."""
    cells = {column.title: [printable_line(column.text(view)) for view in views] for column in columns}
    kept = [column for column in columns if not views or any(cells[column.title])]
    natural = {c.title: max([len(c.title), *map(len, cells[c.title])]) for c in kept}
    while any(column.rank for column in kept) and _least(kept, natural) > width:
        kept.remove(max(kept, key=lambda column: column.rank))
    widths = _narrowed(kept, natural, width)
    rows = tuple(
        tuple(formatting.truncate(cells[column.title][n], size) for column, size in zip(kept, widths, strict=True))
        for n in range(len(views))
    )
    titles = tuple(formatting.truncate(column.title, size) for column, size in zip(kept, widths, strict=True))
    return Table(titles, tuple(widths), tuple(column.right for column in kept), rows)


def as_text(found: Table) -> str:
    """Return the table as text, one line for each row."""
    lines = [found.titles, tuple("─" * width for width in found.widths), *found.rows]
    return "\n".join(_line(cells, found) for cells in lines)


def advice_lines(views: Sequence[StreamView], width: int) -> list[str]:
    """Return each advice once, with the reasons, of streams whose limit or advice the table of this width cuts."""
    reasons: dict[str, set[str]] = {}
    for view, row in zip(views, table(views, width).rows, strict=True):
        if view.advice and printable_line(limit_or_advice(view)) not in row:
            reasons.setdefault(view.advice, set()).add(formatting.readable(view.reason))
    return [f"{', '.join(sorted(names))}: {advice}" for advice, names in reasons.items()]


def summary_lines(summary: Summary) -> list[str]:
    """Return the figures over all streams as sentences."""
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in summary.outcomes.items() if count)
    reasons = ", ".join(f"{formatting.readable(reason)} {count}" for reason, count in summary.reasons)
    lines = [
        f"{formatting.plural(summary.streams, 'stream')}: {outcomes or 'none'}. HTTP requests: {summary.requests}."
    ]
    if summary.ttft_p50 is not None:
        p50, p95 = formatting.seconds(summary.ttft_p50), formatting.seconds(summary.ttft_p95)
        lines.append(f"Time to first token: median {p50}, 95th percentile {p95}.")
    if summary.policy_results:
        results = ", ".join(f"{count} {result}" for result, count in summary.policy_results)
        lines.append(f"Retry policy: {results}.")
    if summary.recovered_cuts:
        cuts = ", ".join(f"{count} at {limit}" for limit, count in summary.recovered_cuts)
        lines.append(f"Cuts that a retry or resume recovered: {cuts}.")
    return [*lines, f"Reasons: {reasons}."] if reasons else lines


class View(Protocol):
    """Shows progress and results."""

    def update(self, progress: Progress) -> None:
        """Show the progress."""

    def print(self, text: str) -> None:
        """Print a message, above the live part of the view."""

    def finish(self, views: Sequence[StreamView], summary: Summary) -> None:
        """Show the results."""

    def close(self) -> None:
        """Restore the terminal; may be called twice."""


def status_line(progress: Progress) -> str:
    """Return the progress in one line."""
    seen = (
        f"{len(progress.views)} of {progress.expected}" if progress.expected is not None else str(len(progress.views))
    )
    parts = [f"{seen} {'stream' if seen == '1' else 'streams'} ended"]
    if progress.open is not None and progress.running:
        since = f", the oldest for {formatting.seconds(progress.oldest)}" if progress.open and progress.oldest else ""
        parts.append(f"{progress.open} open{since}")
    return f"{' · '.join(parts)} · {progress.elapsed:.0f} s"


def width_of(out: TextIO) -> int:
    """Return the columns of the terminal, else the variable ``COLUMNS``, else 120."""
    return shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns if out.isatty() else _columns(os.environ)


def _columns(environ: Mapping[str, str]) -> int:
    columns = environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) > 0 else DEFAULT_WIDTH


def use_colours(out: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to print in colour: to a capable terminal, unless ``NO_COLOR`` is set (https://no-color.org)."""
    return out.isatty() and not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"


def _least(columns: Sequence[Column], natural: Mapping[str, int]) -> int:
    """Return the width of the table with every column narrowed as far as possible."""
    wanted = sum(min(natural[c.title], c.least) if c.least else natural[c.title] for c in columns)
    return wanted + GUTTER * (len(columns) - 1)


def _narrowed(columns: Sequence[Column], natural: Mapping[str, int], width: int) -> list[int]:
    """Return widths that fit if possible, narrowing columns from the last to the first, no further than necessary."""
    widths = [natural[column.title] for column in columns]
    excess = sum(widths) + GUTTER * (len(columns) - 1) - width
    for limits in ([column.least for column in columns], [column.floor for column in columns]):
        for at in reversed(range(len(columns))):
            if limits[at] and excess > 0:
                cut = min(excess, max(0, widths[at] - limits[at]))
                widths[at] -= cut
                excess -= cut
    return widths


def _line(cells: Sequence[str], found: Table) -> str:
    parts = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, found.widths, found.right, strict=True)
    ]
    return (" " * GUTTER).join(parts).rstrip()


def _thousands(value: int | None) -> str:
    if value is None:
        return formatting.DASH
    return str(value) if value < 10_000 else f"{value / 1000:.0f}k"
