"""The views of `run` on standard error, with a line for each stream between the output of the application."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, TextIO

from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.plain import PlainView, stream_line
from otel_claude_stream.cli.view.summary import Summary
from otel_claude_stream.cli.view.terminal import Progress, summary_lines, use_colours

PREFIX: Final = "[claude] "
"""Distinguishes these lines from those of the application."""


class LineView(PlainView):
    """Prints a line for each stream that ends, and every 10 s those that are open and silent for long."""

    def __init__(self, out: TextIO) -> None:
        colours = use_colours(out, os.environ)
        super().__init__(out, lambda view, elapsed: stream_line(view, elapsed, colours=colours))
        self._lock = threading.Lock()

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
