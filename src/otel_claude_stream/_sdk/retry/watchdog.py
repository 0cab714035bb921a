"""The watchdog, which gives up a stream that stalls, without a thread.

The transport notices silence, since its time-out for reads of this body is lowered. The time-out of the request itself
stays unchanged, as a response may take longer. Progress is checked after each read, even of a ping or a comment, which
a dead path does not send.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.retry.policy import Watchdog
from otel_claude_stream._session.session import StreamSession

_NS = 1_000_000_000

_made: dict[tuple[type, str], Any] = {}

_MESSAGES = {
    "FirstEventTimeout": "No event came within watchdog.first_event.",
    "NoProgressTimeout": "Pings came, and no event of the message within watchdog.no_progress.",
}


class WatchedReads:
    """The watchdog of one response."""

    __slots__ = ("_base", "_request", "_session", "_watchdog")

    def __init__(self, session: StreamSession, response: Any, watchdog: Watchdog) -> None:
        self._session = session
        self._watchdog = watchdog
        self._request = response.request
        self._base = sys.modules[type(response).__module__.partition(".")[0]].ReadTimeout

    def check(self) -> None:
        """Raise a read time-out of the HTTP library, under another name, if the stream is overdue."""
        name = self._overdue()
        if name is None:
            return
        kind = _made.get((self._base, name))
        if kind is None:
            kind = _made[self._base, name] = type(name, (self._base,), {"__module__": __name__})
        raise kind(_MESSAGES[name], request=self._request)

    @_guard.guarded("watchdog", None)
    def _overdue(self) -> str | None:
        """Return the name of the time-out that the stream has exceeded; None if it is in time."""
        state, limits = self._session.state, self._watchdog
        timing = state.timing
        if limits.first_event is not None and timing.first_event is None:
            opened = timing.opened_at if timing.opened_at is not None else timing.started
            if state.hot.clock() - opened > limits.first_event * _NS:
                return "FirstEventTimeout"
        if limits.no_progress is not None and timing.gap > limits.no_progress * _NS:
            return "NoProgressTimeout"
        return None

    def sync_reads(self, inner: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the bytes of a body until it is overdue."""
        for chunk in inner:
            yield chunk
            self.check()  # the event is recorded by now, so that progress counts

    async def async_reads(self, inner: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """As `sync_reads`."""
        async for chunk in inner:
            yield chunk
            self.check()


def watched(session: StreamSession, response: Any, watchdog: Watchdog) -> WatchedReads | None:
    """Lower the time-out of the reads of this body. Return the watchdog of its progress; None without limits on it."""
    if watchdog.silence is not None:
        timeouts = response.request.extensions.get("timeout")
        if isinstance(timeouts, dict):
            before = timeouts.get("read")
            timeouts["read"] = watchdog.silence if before is None else min(before, watchdog.silence)
            session.state.attempts.lower_read_timeout(timeouts["read"])
    if watchdog.first_event is None and watchdog.no_progress is None:
        return None
    return WatchedReads(session, response, watchdog)
