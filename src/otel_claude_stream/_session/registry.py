"""The streams that are open in this process: ended when dropped, at interpreter exit, and never twice after a fork."""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import weakref
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from otel_claude_stream import _guard
from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.vocabulary import Stop
from otel_claude_stream._session.call_stack import runs_above
from otel_claude_stream._session.child_exit import at_end_of_child
from otel_claude_stream._session.stall_ticker import StallTicker

if TYPE_CHECKING:
    from otel_claude_stream._session import StreamSession

_log = logging.getLogger("otel_claude_stream")

_TELEMETRY = "opentelemetry.sdk"
_MAX_FRAMES = 200


class OpenStreams:
    """Keeps each open session alive until its end, and tells the ends that no caller tells."""

    def __init__(self) -> None:
        self._sessions: dict[int, StreamSession] = {}
        self._late: deque[tuple[StreamSession, int]] = deque()
        self._seen: dict[tuple[object, ...], dict[str, Any]] = {}
        self._ticker: StallTicker | None = None
        self._thresholds: tuple[float, ...] = ()
        self._exit_registered = False
        self._child_looked_at = False
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._after_fork)

    def add(self, session: StreamSession) -> None:
        """A stream was opened."""
        self.settle()
        session.on_end = self._remove
        session.on_drop = self.dropped
        self._sessions[id(session)] = session
        if self._thresholds:
            self._wake()
        if not self._exit_registered:
            # At the first stream, not at import: handlers run last in, first out, and the providers' own handler,
            # which was registered when they were made, must still be to come.
            self._exit_registered = True
            atexit.register(self._at_exit)
        if not self._child_looked_at:
            self._child_looked_at = True
            at_end_of_child(self._at_exit)

    def forget_labels(self) -> None:
        """Begin anew to tell of sets of labels without open streams: those of an instrumentation that is over."""
        self._seen.clear()

    def tell_stalls(self, thresholds: tuple[float, ...]) -> None:
        """Set the waits, in seconds, that are told while they last; none for no thread at all."""
        if self._ticker is not None:
            self._ticker.stop()
        self._ticker, self._thresholds = None, thresholds

    def _wake(self) -> None:
        if self._ticker is None:
            self._ticker = StallTicker(self._thresholds, self._sessions.values)
        self._ticker.wake()

    @_guard.guarded("lose", None)
    def lose(self, session: StreamSession) -> None:
        """Forget a stream whose end could not be told."""
        self._sessions.pop(id(session), None)

    def _remove(self, session: StreamSession) -> None:
        self._sessions.pop(id(session), None)

    def watch(self, session: StreamSession, response: object) -> None:
        """End the session when the response goes away: for streams that nobody closes or reads to the end."""
        session.anchor = weakref.ref(response, _Dropped(self, session))

    def dropped(self, session: StreamSession) -> None:
        """The response is gone. May run anywhere, inside a garbage collection too."""
        if session.ended:
            return
        now = session.clocks.now()
        if not _inside_telemetry():
            session.end(End(Stop.DROPPED), now)
            return
        # A garbage collection that interrupted OpenTelemetry itself: this very thread may hold its locks, which are
        # not re-entrant. Another thread tells the end; the low-level call takes no lock of `threading` either.
        self._late.append((session, now))
        try:
            _thread.start_new_thread(self.settle, ())
        except RuntimeError:
            _log.debug("no thread to tell the end of a dropped stream: the next stream, or the exit, will")

    @_guard.guarded("settle", None)
    def settle(self) -> None:
        """Tell the ends that could not be told when they were noticed. From any thread, several at once too."""
        while self._late:
            try:
                session, at = self._late.popleft()
            except IndexError:  # another thread was faster
                return
            session.end(End(Stop.DROPPED), at)

    @_guard.guarded("active", ())
    def counts(self) -> Iterable[tuple[int, dict[str, Any]]]:
        """Open streams, per set of labels; zero for sets that had some before: for the up-down counter."""
        found = dict.fromkeys(list(self._seen), 0)
        for session in list(self._sessions.values()):
            labels = session.labels
            key = tuple(labels.values())
            self._seen[key] = labels
            found[key] = found.get(key, 0) + 1
        return [(count, self._seen[key]) for key, count in found.items()]

    @_guard.guarded("oldest", ())
    def ages(self) -> Iterable[tuple[float, dict[str, Any]]]:
        """Age of the oldest open stream, per set of labels: for the gauge."""
        oldest: dict[tuple[object, ...], tuple[float, dict[str, Any]]] = {}
        for session in list(self._sessions.values()):
            age, labels = session.age, session.labels
            key = tuple(labels.values())
            if age > oldest.get(key, (-1.0, labels))[0]:
                oldest[key] = (age, labels)
        return list(oldest.values())

    def __len__(self) -> int:
        return len(self._sessions)

    @_guard.guarded("exit", None)
    def _at_exit(self) -> None:
        self.settle()
        for session in list(self._sessions.values()):
            session.end(End(Stop.EXIT))

    def _after_fork(self) -> None:
        """In a child: the open streams, and their ends, are the parent's. No lock and no telemetry here."""
        for session in list(self._sessions.values()):
            session.disown()
        self._sessions.clear()
        self._ticker = None  # threads do not survive a fork
        self._child_looked_at = False
        self._late.clear()


class _Dropped:
    """The callback of the weak reference: holds the session, as the reference may outlive the response's dict."""

    __slots__ = ("_session", "_streams")

    def __init__(self, streams: OpenStreams, session: StreamSession) -> None:
        self._streams = streams
        self._session = session

    def __call__(self, _: object) -> None:
        try:
            self._streams.dropped(self._session)
        except Exception as error:  # noqa: BLE001 - the boundary; an exception in a weakref callback is printed
            self._streams.lose(self._session)
            _guard.report("dropped", error)


def _inside_telemetry() -> bool:
    """Whether OpenTelemetry's SDK is running further up this thread's stack, or may be: whose locks may be held."""
    return runs_above(_TELEMETRY, _MAX_FRAMES) is not False
