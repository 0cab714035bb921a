"""The views of `run` on standard error, with a line for each stream between the output of the application."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Final, TextIO

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.model import NANO, StreamView
from otel_claude_stream.cli.view.plain import PlainView
from otel_claude_stream.cli.view.printable import printable_line
from otel_claude_stream.cli.view.summary import Summary
from otel_claude_stream.cli.view.terminal import SIGNS, Progress, limit_text, summary_lines, use_colours

PREFIX: Final = "[claude] "
"""Distinguishes these lines from those of the application."""
USAGE_SECONDS: Final = 0.5  # wait for the usage of a stream, which may come in another export
COLOURS: Final[Mapping[str, str]] = {"completed": "32", "failed": "31", "closed": "36"}


class LineView(PlainView):
    """Prints a line for each stream that ends, and every 10 s those that are open and silent for long."""

    def __init__(self, out: TextIO) -> None:
        colours = use_colours(out, os.environ)
        super().__init__(out, lambda view, elapsed: stream_line(view, elapsed, colours=colours))
        self._last_views: Sequence[StreamView] = ()
        self._delayed: dict[str, float] = {}
        self._lock = threading.Lock()

    def _print_ended(self, progress: Progress) -> None:
        """Print a line for each stream that has ended, once its tokens have come."""
        if progress.views is not self._last_views or self._delayed:
            self._last_views = progress.views
            ready = tuple(view for view in progress.views if self._ready(view, progress))
            super()._print_ended(replace(progress, views=ready))

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

    def _show(self, text: str) -> None:
        """Print a text, each line with the prefix, in one write that no output of the application can split."""
        with self._lock:
            self._write("".join(f"{PREFIX}{line}\n" for line in text.splitlines()))

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a closed standard error must not disturb the application
            self._out.write(text)
            self._out.flush()

    def finish(self, views: Sequence[StreamView], summary: Summary) -> None:
        """Print the figures. Each stream has had a line before."""
        if views:
            for line in summary_lines(summary):
                self.print(line)


class QuietView(LineView):
    """Prints messages only."""

    def update(self, progress: Progress) -> None:
        """Print nothing."""

    def finish(self, views: Sequence[StreamView], summary: Summary) -> None:
        """Print nothing."""


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
