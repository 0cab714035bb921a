"""The streams that are open in this process: ended when dropped and at exit, and never in a forked child."""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from otel_claude_stream import _guard
from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.rate_limits import RateLimits
from otel_claude_stream._core.vocabulary import Stop
from otel_claude_stream._session.call_stack import runs_above
from otel_claude_stream._session.child_exit import at_end_of_child
from otel_claude_stream._session.fork_locks import release_locks
from otel_claude_stream._session.live import live_file
from otel_claude_stream._session.stall_ticker import StallTicker

if TYPE_CHECKING:
    from otel_claude_stream._session.session import StreamSession
    from otel_claude_stream._telemetry.stream_telemetry import Emitter

_log = logging.getLogger("otel_claude_stream")

_TELEMETRY = "opentelemetry.sdk"
_MAX_FRAMES = 200


class OpenStreams:
    """Keeps each open session alive until its end, and ends those that no caller ends."""

    def __init__(self) -> None:
        self._sessions: dict[int, StreamSession] = {}
        self._anchors: dict[int, weakref.ref[Any]] = {}
        """Weak references to the calls or responses, whose callbacks end the sessions."""
        self._deferred: deque[tuple[StreamSession, int]] = deque()
        """Ends that were noticed where telemetry cannot be recorded, with their times."""
        self.warmed_up: set[str] = set()
        """Helpers of the SDK that have delivered a token in this process, so that the SDK has built its models."""
        self.rate_limits = RateLimits()
        """Those that the API reported last. A second instrumentation with the same provider has the same gauges."""
        self._seen: dict[tuple[tuple[str, object], ...], dict[str, Any]] = {}
        self._ticker = StallTicker((), self._sessions.values)
        self._emitter: Emitter | None = None
        self._exit_registered = False
        self._child_looked_at = False
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._after_fork)

    def add(self, session: StreamSession) -> None:
        """Add a session, which calls `remove` at its end and `dropped` if its stream is dropped."""
        self.end_deferred()
        self._sessions[id(session)] = session
        self._ticker.wake()
        if not self._exit_registered:
            # At the first stream, not at import. Handlers run last in, first out, and the handler of the providers,
            # which was registered when they were created, has to run after this one.
            self._exit_registered = True
            atexit.register(self._at_exit)
        if not self._child_looked_at:
            self._child_looked_at = True
            at_end_of_child(self._at_exit)

    def forget_labels(self) -> None:
        """Forget the sets of labels without open streams, which belong to an earlier instrumentation."""
        self._seen.clear()
        self.rate_limits.clear()

    def recorded_by(self, emitter: Emitter) -> None:
        """Set what records the streams, which is silenced in a child where it would wait for a lock forever."""
        self._emitter = emitter

    def report_stalls(self, thresholds: tuple[float, ...]) -> None:
        """Set the waits, in seconds, that are reported while they last; without any there is no thread."""
        self._ticker.stop()
        self._ticker = StallTicker(thresholds, self._sessions.values, live_file())

    @_guard.guarded("lose", None)
    def discard(self, session: StreamSession) -> None:
        """Remove a session that could not be ended."""
        self.remove(session)

    def remove(self, session: StreamSession) -> None:
        """Remove a session, which is over, and return its permit."""
        self._sessions.pop(id(session), None)
        self._anchors.pop(id(session), None)
        if session.state.call_policy.permits is not None:
            session.state.call_policy.permits.leave()

    def watch(self, session: StreamSession, anchor: object) -> None:
        """End the session when `anchor` is freed, if it has not ended: the call, and later its first response."""
        self._anchors[id(session)] = weakref.ref(anchor, _Dropped(self, session))

    def dropped(self, session: StreamSession) -> None:
        """End a session whose stream was dropped. Called in any thread, and inside a garbage collection."""
        if session.is_over:
            return
        self._deferred.append((session, session.hot.clock()))
        if not _inside_telemetry():
            self.end_deferred()
            return
        # A garbage collection that interrupted OpenTelemetry itself: this very thread may hold its locks, which are
        # not re-entrant. Another thread ends the session; the low-level call takes no lock of `threading` either.
        try:
            _thread.start_new_thread(self.end_deferred, ())
        except RuntimeError:
            _log.debug(
                "otel-claude-stream: cannot start a thread; a dropped stream is reported with the next one or at exit"
            )

    @_guard.guarded("settle", None)
    def end_deferred(self) -> None:
        """End the sessions whose end was deferred. Called in any thread, also in several at once."""
        while self._deferred:
            try:
                session, at = self._deferred.popleft()
            except IndexError:  # another thread was faster
                return
            session.ended(End(Stop.DROPPED), at)

    @_guard.guarded("active", ())
    def counts(self) -> Iterable[tuple[float, dict[str, Any]]]:
        """Return the open streams for each set of labels; zero for a set that had some before."""
        return self._by_labels(0, lambda count, _: count + 1)

    @_guard.guarded("oldest", ())
    def ages(self) -> Iterable[tuple[float, dict[str, Any]]]:
        """Return the age of the oldest open stream for each set of labels; zero for a set that had some before."""
        return self._by_labels(0.0, lambda age, session: max(age, session.age))

    def _by_labels(
        self, zero: float, add: Callable[[float, StreamSession], float]
    ) -> list[tuple[float, dict[str, Any]]]:
        found = dict.fromkeys(list(self._seen), zero)
        for session in [one for one in list(self._sessions.values()) if one.is_measured]:
            labels = session.labels
            key = tuple(labels.items())
            self._seen[key] = labels
            found[key] = add(found.get(key, zero), session)
        return [(value, self._seen[key]) for key, value in found.items()]

    def __len__(self) -> int:
        return len(self._sessions)

    @_guard.guarded("exit", None)
    def _at_exit(self) -> None:
        self.end_deferred()
        for session in list(self._sessions.values()):
            session.ended(End(Stop.EXIT))
        self._ticker.close_file()

    def _after_fork(self) -> None:
        """In a child: the open streams, and their ends, are the parent's. Nothing here waits for a lock."""
        for session in list(self._sessions.values()):
            session.detach_after_fork()
        self._sessions.clear()
        self._anchors.clear()
        self._ticker.after_fork()
        self._child_looked_at = False
        self._deferred.clear()
        self.rate_limits.clear()
        if self._emitter is not None and (owner := release_locks(self._emitter)) is not None:
            self._emitter.silence(owner)


class _Dropped:
    """The callback of a weak reference. It holds the session, since the response and its extensions are freed."""

    __slots__ = ("_session", "_streams")

    def __init__(self, streams: OpenStreams, session: StreamSession) -> None:
        self._streams = streams
        self._session = session

    def __call__(self, _: object) -> None:
        try:
            self._streams.dropped(self._session)
        except Exception as error:  # noqa: BLE001 - the boundary; an exception in a weakref callback is printed
            self._streams.discard(self._session)
            _guard.report("dropped", error)


def _inside_telemetry() -> bool:
    """Whether OpenTelemetry's SDK runs, or may run, further up this thread's stack, and may hold its locks."""
    return runs_above(_TELEMETRY, _MAX_FRAMES) is not False
