"""The view of plain lines, for pipes, logs, and terminals without rich."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TextIO

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.live import hanging, open_row, plain_line
from otel_claude_stream.cli.view.model import NANO, StreamView
from otel_claude_stream.cli.view.printable import printable, printable_line
from otel_claude_stream.cli.view.summary import Summary
from otel_claude_stream.cli.view.terminal import (
    SIGNS,
    Progress,
    advice_lines,
    as_text,
    limit_text,
    summary_lines,
    table,
    width_of,
)

LONG_OPEN: Final = 10.0  # seconds until an open stream gets a line, and between two such lines
COLOURS: Final[Mapping[str, str]] = {"completed": "32", "failed": "31", "closed": "36"}
USAGE_SECONDS: Final = 0.5  # wait for the usage of a stream, which may come in another export
MOST_SILENT: Final = 5  # lines of silent streams at a time


def stream_line(view: StreamView, elapsed: float, *, colours: bool = False) -> str:
    """Return one stream that has ended as a line: outcome, reason, and the known figures. The advice has its own."""
    outcome = printable_line(f"{SIGNS.get(view.outcome, '?')} {view.outcome:<9}")
    if colours and view.outcome in COLOURS:
        outcome = f"\x1b[{COLOURS[view.outcome]}m{outcome}\x1b[0m"
    parts = [*([formatting.readable(view.reason)] if view.reason else []), view.name]
    parts.append(f"took {formatting.seconds(view.duration)}")
    parts += [f"TTFT {formatting.seconds(view.ttft)}"] if view.ttft is not None else []
    parts += [f"silence {formatting.seconds(view.longest_silence)}"] if view.longest_silence is not None else []
    parts += [formatting.plural(view.retries, "retry", "retries")] if view.retries else []
    parts += [f"{view.rate:.0f} tok/s"] if view.rate is not None else []
    parts += [text for text in (limit_text(view), view.text(a.REQUEST_ID) if view.reason else "") if text]
    clock = datetime.fromtimestamp(view.end / NANO).astimezone()
    line = "  ".join([f"{elapsed:7.1f} s  {clock:%H:%M:%S}", outcome, *map(printable_line, parts)])
    return f"{line}\n{'':21}{printable_line(view.advice)}" if view.advice and view.reason else line


class PlainView:
    """Prints a line when a stream ends, lines for streams that are open for long, and a table at the end.

    ``long_open`` is the seconds until a stream is open or silent for long, and between two lines about that.
    """

    def __init__(
        self,
        out: TextIO,
        line: Callable[[StreamView, float], str] = stream_line,
        *,
        long_open: float = LONG_OPEN,
    ) -> None:
        self._out = out
        self._line = line
        self._long_open = long_open
        self._shown: Sequence[StreamView] = ()
        self._seen: frozenset[str] = frozenset()
        self._delayed: dict[str, float] = {}
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
        """Print a line for each stream that has ended since the last update, once its tokens have come."""
        if progress.views is self._shown and not self._delayed:
            return
        self._shown = progress.views
        ready = [view for view in progress.views if self._ready(view, progress)]
        for view in sorted(ready, key=lambda view: view.end):
            if view.key not in self._seen:
                self._show(self._line(view, progress.elapsed))
        self._seen = frozenset(view.key for view in ready)

    def _ready(self, view: StreamView, progress: Progress) -> bool:
        """Whether to print a stream now. Its tokens may be in the span of another library, which arrives later."""
        complete = view.outcome != Outcome.COMPLETED.value or view.tokens.output is not None
        if complete or not progress.running or view.key in self._seen:
            self._delayed.pop(view.key, None)
            return True
        if progress.elapsed - self._delayed.setdefault(view.key, progress.elapsed) < USAGE_SECONDS:
            return False
        del self._delayed[view.key]
        return True

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
