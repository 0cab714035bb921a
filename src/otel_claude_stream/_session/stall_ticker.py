"""Checks the open streams periodically, so that a stall is reported while its reader is still blocked.

One daemon thread a process, asleep while no stream is open; none at all if no stall thresholds are set. It also records
the buffered measurements, which the readers of streams then need not do. Under the command `run` it writes the open
streams to a file.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from otel_claude_stream import _guard
from otel_claude_stream._session import live
from otel_claude_stream._telemetry.buffer import BUFFER

if TYPE_CHECKING:
    from otel_claude_stream._session.session import StreamSession

_LONGEST_PERIOD = 1.0
"""Longest time between two checks in seconds. A stall of ten seconds is reported within eleven."""

_SHARE = 4
"""Checks within the time of the lowest threshold, if that is less than four seconds."""


_log = logging.getLogger("otel_claude_stream")


@functools.cache
def _log_once(error: str) -> None:
    _log.warning(
        "otel-claude-stream: cannot start the thread that looks for stalls (%s); a stall is reported when it is over. "
        "All other telemetry is recorded. Raise the limit of threads to report stalls while they last",
        error,
    )


class StallTicker:
    """The thread that checks the streams."""

    def __init__(
        self,
        thresholds: tuple[float, ...],
        sessions: Callable[[], Iterable[StreamSession]],
        live_file: live.LiveFile | None = None,
    ) -> None:
        self._period = min(_LONGEST_PERIOD, thresholds[0] / _SHARE) if thresholds else 0.0
        if live_file is not None:
            self._period = min(self._period or live.PERIOD, live.PERIOD)
        self._sessions = sessions
        self._live_file = live_file
        self._wanted = threading.Event()
        self._runner: object | None = None
        """Identifies the thread that checks. Any other one ends by itself."""

    def wake(self) -> None:
        """Start checking, since a stream was opened."""
        if not self._period:
            return
        if not self._wanted.is_set():
            self._wanted.set()
        if self._runner is None:
            self._start()

    def _start(self) -> None:
        this = object()
        try:
            # Before the start, which waits for the thread: other threads and greenlets open streams meanwhile.
            self._runner = this
            threading.Thread(target=self._run, args=(this,), name="otel-claude-stream-stalls", daemon=True).start()
        except BaseException as error:  # a limit of the system, the exit of the interpreter, or an interrupt
            if self._runner is this:
                self._runner = None
            if not isinstance(error, RuntimeError) or _guard.is_interrupt(error):
                raise
            _log_once(str(error))

    def stop(self) -> None:
        """Let the thread end, after `uninstrument()`."""
        self._runner, self._period = None, 0.0
        self._wanted.set()

    def close_file(self) -> None:
        """Remove the file of open streams, as the process ends."""
        if self._live_file is not None:
            self._live_file.close()

    def after_fork(self) -> None:
        """Begin anew in a child, where the thread does not run, and its lock may be held."""
        self._runner, self._wanted = None, threading.Event()

    def _run(self, this: object) -> None:
        while self._runner is this:
            self._wanted.wait()
            time.sleep(self._period)
            BUFFER.flush()
            if not self.look():
                self._wanted.clear()
                if self.look():  # a stream was opened between the check and the clearing
                    self._wanted.set()

    @_guard.guarded("stalls", False)
    def look(self) -> bool:
        """Let every open stream report the thresholds that it has exceeded. Return False if none is open."""
        sessions = list(self._sessions())
        for session in sessions:
            session.check_stall()
        if self._live_file is not None:
            self._live_file.write(sessions)
        return bool(sessions)
