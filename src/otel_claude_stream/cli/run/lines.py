"""What `run` shows on standard error: a line for each stream, since the rest of the terminal is the application's."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, TextIO

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream.cli.view import formatting as words
from otel_claude_stream.cli.view.details import limit
from otel_claude_stream.cli.view.model import StreamView, Summary
from otel_claude_stream.cli.view.terminal import SIGNS, PlainView, Progress, summary_lines

PREFIX: Final = "[claude] "
"""Tells our lines from the application's."""
OLD: Final = 10.0  # seconds that a stream is open before it is worth a line, and between two such lines
PATIENCE: Final = 0.5  # seconds for what belongs to a stream and comes in another export
COLOURS: Final[Mapping[str, str]] = {"completed": "32", "failed": "31", "closed": "36"}


class Lines(PlainView):
    """A line for each stream that has ended, and one now and then while streams are open for long."""

    def __init__(self, out: TextIO) -> None:
        colours = colourful(out, os.environ)
        super().__init__(out, lambda view, elapsed: stream_line(view, elapsed, colours=colours))
        self._told_open = 0.0
        self._shown: Sequence[StreamView] = ()
        self._held: dict[str, float] = {}
        self._lock = threading.Lock()

    def update(self, progress: Progress) -> None:
        """The lines that are due."""
        if progress.views is not self._shown or self._held:
            self._shown = progress.views
            super().update(
                replace(progress, views=tuple(view for view in progress.views if self._ready(view, progress)))
            )
        due = progress.elapsed - self._told_open >= OLD
        if progress.running and progress.open and due and (progress.oldest or 0.0) >= OLD:
            self._told_open = progress.elapsed
            self.say(
                f"{progress.elapsed:7.1f} s  {progress.open} open, the oldest for {words.seconds(progress.oldest)}"
            )

    def _ready(self, view: StreamView, progress: Progress) -> bool:
        """Whether to tell a stream now: its tokens may be in somebody else's span, and come a moment later."""
        complete = view.outcome != Outcome.COMPLETED.value or view.tokens.output is not None
        if complete or not progress.running or view.key in self._seen:
            self._held.pop(view.key, None)
            return True
        if progress.elapsed - self._held.setdefault(view.key, progress.elapsed) < PATIENCE:
            return False
        del self._held[view.key]
        return True

    def say(self, text: str) -> None:
        """Lines, each with our prefix; one write, so that the application's do not come between."""
        with self._lock:
            self._write("".join(f"{PREFIX}{line}\n" for line in text.splitlines()))

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads any more, which is no reason to disturb the application
            self._out.write(text)
            self._out.flush()

    def finish(self, views: Sequence[StreamView], summary: Summary) -> None:
        """The figures; each stream has had its line."""
        if views:
            for line in summary_lines(summary):
                self.say(line)


class Quiet(Lines):
    """Nothing but what must be said."""

    def update(self, progress: Progress) -> None:
        """Nothing."""

    def finish(self, views: Sequence[StreamView], summary: Summary) -> None:
        """Nothing."""


def stream_line(view: StreamView, elapsed: float, *, colours: bool = False) -> str:
    """One stream that has ended: how, why, and its figures; what is not known is left out."""
    how = f"{SIGNS.get(view.outcome, '?')} {view.outcome:<9}"
    if colours and view.outcome in COLOURS:
        how = f"\x1b[{COLOURS[view.outcome]}m{how}\x1b[0m"
    parts = [f"{elapsed:7.1f} s", how, *([words.words(view.reason)] if view.reason else []), view.name]
    parts.append(f"took {words.seconds(view.duration)}")
    parts += [f"TTFT {words.seconds(view.ttft)}"] if view.ttft is not None else []
    parts += [f"silence {words.seconds(view.longest_silence)}"] if view.longest_silence is not None else []
    parts += [words.plural(view.retries, "retry", "retries")] if view.retries else []
    parts += [f"{view.rate:.0f} tok/s"] if view.rate is not None else []
    parts += [limit(view)] if limit(view) else []
    return "  ".join(parts)


def colourful(out: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to write in colour: a terminal that knows them, and nobody said no (https://no-color.org)."""
    return out.isatty() and not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
