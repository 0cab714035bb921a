"""The watchdog, which gives up a response when one of its clocks expires, without a thread.

`_core/retry/clocks.py` decides how long the next read may block. The transport's time-out for that read is lowered to
it, and the time-out of the request itself stays unchanged:

- HTTP/1.1: the HTTP library takes the time-out of the body once, but passes it to its network stream with each read of
  the socket. So `read` of that stream is replaced until the body ends.
- HTTP/2, synchronous: the library takes the time-out from the request at each read of the socket. So the time-outs of
  the request are replaced.
- Asynchronous code over HTTP/2 or any other transport: a cancel scope around each read of the body.
- Synchronous code over any other transport: `silence` is the read time-out of the request, which the transport may
  obey. The other clocks are noticed when something arrives.

A policy that only observes lowers nothing. The first clock that would have expired is then reported as a dry run.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.durations import format_duration
from otel_claude_stream._core.retry.clocks import Clock, ClockLimits, Progress, limits_for, longest_silence, next_due
from otel_claude_stream._core.stream.hot_path import ReadMode
from otel_claude_stream._core.stream.timing import WAIT_NS
from otel_claude_stream._core.vocabulary import Phase, Stop
from otel_claude_stream._sdk.read.aio import AsyncShell
from otel_claude_stream._sdk.read.errors import exception_of_caller, fault_of
from otel_claude_stream._sdk.retry.gate import Gate
from otel_claude_stream._session.session import StreamSession

_NS = 1_000_000_000
_HTTP_1, _HTTP_2 = (b"HTTP/1.0", b"HTTP/1.1"), b"HTTP/2"
_LEAST = 0.001
"""The shortest time-out of a read in seconds. 0 would make the socket non-blocking."""
_EARLY_NS = 50_000_000
"""By how much a time-out may precede its clock. A system's clock and its timers may differ in their resolution."""

_MESSAGES = {
    Clock.FIRST_EVENT: "No event came within",
    Clock.FIRST_CONTENT: "No content came within",
    Clock.SILENCE: "No byte came within",
    Clock.NO_PROGRESS: "Bytes came, and no event of the message within",
    Clock.LIFETIME: "The response did not end within",
}
_made: dict[tuple[type, str], Any] = {}


class LimitedRead:
    """`read` of a network stream, of either kind, with the time-out that the clocks of a response allow."""

    __slots__ = ("_stream", "_watch")

    def __init__(self, stream: Any, watch: WatchedReads) -> None:
        self._stream = weakref.ref(stream)  # it holds this object: a cycle otherwise
        self._watch = weakref.ref(watch)

    def __call__(self, max_bytes: int, timeout: float | None = None) -> Any:
        stream, watch = self._stream(), self._watch()
        if watch is not None:
            timeout = watch.limited(timeout)
        return type(stream).read(stream, max_bytes, timeout)  # type: ignore[union-attr] # it is being read


class LimitedTimeouts(dict[str, Any]):
    """The time-outs of a request over HTTP/2. That of a read of the socket is what the clocks of its response allow."""

    __slots__ = ("_watch",)

    def __init__(self, timeouts: dict[str, Any], watch: WatchedReads) -> None:
        super().__init__(timeouts)
        self._watch = weakref.ref(watch)

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return a time-out, as the HTTP library does before each read and write of the socket."""
        timeout, watch = super().get(key, default), self._watch()
        return watch.limited(timeout) if watch is not None and key == "read" else timeout


class WatchedReads:
    """The clocks of one response. If the policy acts, the first that expires raises a read time-out."""

    def __init__(self, session: StreamSession, response: Any, gate: Gate | None) -> None:
        self._session = session
        self._hot = hot = session.hot
        self._acts = session.acts
        self._request = response.request
        self._base = sys.modules[type(response).__module__.partition(".")[0]].ReadTimeout
        self._opened_at = session.state.timing.opened_at or 0
        self._waited = hot.waited
        self._progress = Progress(waited=hot.waited)
        self._gate = gate
        if gate is not None:
            gate.report_to(self._progress)
        self._limits: dict[tuple[Phase, str], ClockLimits] = {}
        self._due: tuple[int, Clock] | None = None
        """When the read under way is overdue, and by which clock."""
        self._lowered = False
        """The time-out of the read under way is that of the clock, not the caller's own."""
        self._reported = self._reading = False
        version, stream = response.extensions.get("http_version"), response.extensions.get("network_stream")
        self._stream: Any = stream if version in _HTTP_1 and hasattr(stream, "__dict__") else None
        self._limited: LimitedRead | None = None
        self._is_http_2 = version == _HTTP_2 and stream is not None

    # --- One read ------------------------------------------------------------------------------------------------
    def begin(self) -> None:
        """Begin a read. Raise if the response is overdue, otherwise limit the read."""
        self._due, self._lowered, self._reading = None, False, True
        if not self._acts or self._limited is not None:  # the read of the network stream does the same, if there is one
            return
        self._check()

    def limited(self, timeout: float | None) -> float | None:
        """Return the time-out for a read of the socket. Raise if the response is overdue."""
        if not self._reading:  # it is read for another response
            return timeout
        if self._due is None:
            self._check()
        elif self._due[0] <= self._hot.clock():  # the reads before brought nothing of this response
            self._raise(self._due[1])
        return self.read_timeout(timeout)

    def _check(self) -> None:
        due = self._due = self._next()
        if due is not None and due[0] <= self._hot.read_started_at:
            self._raise(due[1])

    @_guard.guarded("watchdog", None)
    def _next(self) -> tuple[int, Clock] | None:
        """Return when the read that begins is overdue, and by which clock; None if no clock runs."""
        hot, progress = self._hot, self._progress
        if self._gate is None or self._gate.state_unknown or hot.read_mode is not ReadMode.EVENTS:
            progress.follow(self._session.state.message)  # no gate sees the frames
        started = hot.read_started_at
        due = next_due(
            self._limits_here(),
            age=started - self._opened_at,
            waited=hot.waited - self._waited,
            gap=hot.waited - max(progress.waited, hot.wait_at_last_event),
            event=progress.event,
            content=progress.content,
        )
        return None if due is None else (started + due.left, due.clock)

    def _limits_here(self) -> ClockLimits:
        place = self._progress.phase, self._progress.block
        found = self._limits.get(place)
        if found is None:
            found = self._limits[place] = limits_for(self._session.policy.watchdog, *place)
        return found

    def left(self) -> float | None:
        """Return the seconds until a clock expires; None if no clock runs."""
        return None if self._due is None else max((self._due[0] - self._hot.clock()) / _NS, _LEAST)

    def read_timeout(self, timeout: float | None) -> float | None:
        """Return the time until a clock expires, or the `timeout` of the client if that is shorter."""
        left = self.left()
        self._lowered = left is not None and (timeout is None or left < timeout)
        return left if self._lowered else timeout

    def returned(self) -> None:
        """Record that the read is over. In a dry run, report the clock that expired meanwhile."""
        self._due, self._reading = None, False
        if not self._acts and not self._reported:
            self._dry_run()

    def failed(self, error: BaseException) -> None:
        """Record that the read raised. Raise the time-out of a clock in place of the one that it had lowered."""
        due, lowered = self._due, self._lowered and type(error) is self._base
        self.returned()
        self.release()
        # Over HTTP/2 the time-out of another response ends this one, too.
        if due is None or not lowered or due[0] - _EARLY_NS > self._hot.clock():
            return
        if exception_of_caller(error) is None:
            self._raise(due[1], error)

    def expired(self) -> None:
        """Raise the time-out of the clock that limits the read under way."""
        if self._due is not None:
            self._raise(self._due[1])

    def _raise(self, clock: Clock, cause: BaseException | None = None) -> None:
        made = self._time_out(clock)
        if made is not None:
            try:
                raise made from cause
            finally:
                del made, cause  # the traceback of what is raised has this frame: a cycle otherwise

    @_guard.guarded("watchdog", None)
    def _time_out(self, clock: Clock) -> Exception | None:
        name = clock.value.title().replace("_", "") + "Timeout"
        kind = _made.get((self._base, name))
        if kind is None:
            kind = _made[self._base, name] = type(name, (self._base,), {"__module__": __name__})
        limit = format_duration((getattr(self._limits_here(), clock.value) or 0) / _NS)
        made: Exception = kind(f"{_MESSAGES[clock]} watchdog.{clock.value} ({limit}).", request=self._request)
        return made

    @_guard.guarded("watchdog", None)
    def _dry_run(self) -> None:
        now, started = self._hot.clock(), self._hot.read_started_at
        due = self._next() if now - started > WAIT_NS else None
        if due is not None and now >= due[0] and (made := self._time_out(due[1])) is not None:
            self._reported = True
            self._session.retries.would_abort(End(Stop.RAISED, fault_of(made)), max(due[0], started))

    # --- The body ------------------------------------------------------------------------------------------------
    @_guard.guarded("watchdog", None)
    def limit(self) -> None:
        """Let the network stream take the time-out of each read from the clocks."""
        if self._stream is not None and self._acts:
            vars(self._stream)["read"] = self._limited = LimitedRead(self._stream, self)

    @_guard.guarded("watchdog", None)
    def _limit_request(self) -> None:
        """Lower the read time-out of the request, which is all that limits a synchronous read without network stream.

        HTTP/2 takes it from there at each read of the socket, other transports once, if at all.
        """
        extensions, silence = self._request.extensions, longest_silence(self._session.policy.watchdog)
        timeouts = extensions.get("timeout")
        if not self._acts or self._stream is not None or not isinstance(timeouts, dict):
            return
        if self._is_http_2:
            extensions["timeout"] = LimitedTimeouts(timeouts, self)
        elif silence is not None:
            own = timeouts.get("read")
            timeouts["read"] = silence if own is None else min(own, silence)

    @_guard.guarded("watchdog", None)
    def release(self) -> None:
        """Restore the network stream. The body ended, and its connection may be used for another one."""
        if self._stream is not None and vars(self._stream).get("read") is self._limited:
            vars(self._stream).pop("read", None)

    @property
    def needs_scope(self) -> bool:
        """Whether only a cancel scope can limit an asynchronous read."""
        return self._limited is None and self._due is not None

    def sync_reads(self, inner: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the bytes of a body until it is overdue."""
        self.limit()
        self._limit_request()
        try:
            self.begin()
            for chunk in inner:
                self.returned()
                yield chunk
                self.begin()
        except BaseException as error:
            self.failed(error)
            raise
        self.returned()
        self.release()

    def async_reads(self, inner: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """As `sync_reads`."""
        self.limit()
        return AsyncWatchedReads(inner, self._session, self)


class AsyncWatchedReads(AsyncShell):
    """The asynchronous reads of a body, until it is overdue."""

    __slots__ = ("_watch",)

    def __init__(self, inner: AsyncIterator[bytes], session: StreamSession, watch: WatchedReads) -> None:
        super().__init__(inner, session)
        self._watch = watch

    async def __anext__(self) -> bytes:
        watch = self._watch
        try:
            watch.begin()
            chunk: bytes = await (self._scoped() if watch.needs_scope else self._next())
        except BaseException as error:
            watch.failed(error)
            raise
        watch.returned()
        return chunk

    async def _scoped(self) -> bytes:
        import anyio  # the SDK's own; not before the SDK is imported

        left = None
        with _guard.guard("watchdog"):
            left = self._watch.left()
        with anyio.move_on_after(left):
            return await self._next()  # type: ignore[no-any-return] # bytes by contract
        self._watch.expired()
        raise TimeoutError  # only after a failure of this package


def watched(session: StreamSession, response: Any, gate: Gate | None) -> WatchedReads | None:
    """Return the watchdog of a response, whose frames pass through `gate` if the policy acts; None without clocks."""
    return WatchedReads(session, response, gate) if session.policy.watchdog.is_set else None
