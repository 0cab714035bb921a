"""The byte clock: transparent proxies of a response's body that time each read, and learn how the body ended.

They sit under everything that reads the body, the SDK's decoder and the caller's own `iter_bytes()` alike, and over
the HTTP library's own stream. `isinstance`, attributes and closing are those of the wrapped stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._sdk.read.endings import body_closed, body_ended, body_failed
from otel_claude_stream._sdk.read.raw_body import RawBodyReader
from otel_claude_stream._sdk.retry.watchdog import WatchedReads
from otel_claude_stream._session import WAIT_NS, StreamSession


def sync_reads(inner: Iterator[bytes], session: StreamSession, unread: RawBodyReader) -> Iterator[bytes]:
    """The bytes of a body, with the time of each read."""
    clocks = session.clocks
    clock = clocks.now
    clocks.asked = asked = clock()
    try:
        # `zip` reads the clock after each chunk without a step of the interpreter: this loop runs for every read.
        for chunk, now in zip(inner, iter(clock, None), strict=False):
            try:
                if now - asked > WAIT_NS:
                    session.on_wait(now - asked, now)
                clocks.arrived = now
                clocks.reads += 1
                clocks.bytes += len(chunk)
                if not session.decoded:
                    unread.read(chunk)
            except Exception as failure:  # noqa: BLE001 - the boundary of the hot path
                _guard.report("read", failure)
            yield chunk
            clocks.asked = asked = clock()
    except BaseException as error:
        body_failed(session, error, unread)
        raise
    body_ended(session, unread)


class AsyncReads:
    """As `sync_reads`. A class, as the event loop would finalise an async generator of ours in a task of its own."""

    __slots__ = ("_clocks", "_inner", "_next", "_session", "_unread")

    def __init__(self, inner: AsyncIterator[bytes], session: StreamSession, unread: RawBodyReader) -> None:
        self._inner = inner
        self._next = inner.__anext__
        self._session = session
        self._clocks = session.clocks
        self._unread = unread

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        session, clocks = self._session, self._clocks
        clock = clocks.now
        clocks.asked = asked = clock()
        try:
            chunk = await self._next()
        except StopAsyncIteration:
            body_ended(session, self._unread)
            raise
        except BaseException as error:
            body_failed(session, error, self._unread)
            raise
        try:
            now = clock()
            if now - asked > WAIT_NS:
                session.on_wait(now - asked, now)
            clocks.arrived = now
            clocks.reads += 1
            clocks.bytes += len(chunk)
            if not session.decoded:
                self._unread.read(chunk)
        except Exception as failure:  # noqa: BLE001 - the boundary of the hot path
            _guard.report("read", failure)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class AsyncGeneratorReads(AsyncReads):
    """`AsyncReads` over an async generator: with its methods, as the SDK closes the body's generator if it is one."""

    __slots__ = ()

    async def asend(self, value: Any) -> bytes:
        """Send into the wrapped generator."""
        return await self._inner.asend(value)  # type: ignore[attr-defined, no-any-return] # a generator by contract

    async def athrow(self, *args: Any) -> bytes:
        """Throw into the wrapped generator."""
        return await self._inner.athrow(*args)  # type: ignore[attr-defined, no-any-return] # as above

    async def aclose(self) -> None:
        """Close the wrapped generator."""
        await self._inner.aclose()  # type: ignore[attr-defined] # as above


class TimedBody:
    """A body (sync, async, or both, as the wrapped one is) whose reads are timed.

    Not a wrapt proxy: the SDK looks for `stream_observer` on the body once per event, and on such a proxy a miss costs
    more than all the rest of this package.
    """

    __slots__ = ("_session", "_unread", "_wrapped", "stream_observer", "watched")

    def __init__(self, wrapped: Any, session: StreamSession, reply: Reply) -> None:
        self._wrapped = wrapped
        self._session = session
        self._unread = RawBodyReader(session, reply)
        self.stream_observer = getattr(wrapped, "stream_observer", None)
        self.watched: WatchedReads | None = None
        """What gives up a body that stalls, where the policy says so."""

    @property  # type: ignore[misc] # what `isinstance` asks besides the type
    def __class__(self) -> type:
        return self._wrapped.__class__  # type: ignore[no-any-return] # not `type`: that may be a proxy too

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __iter__(self) -> Iterator[bytes]:
        inner: Iterator[bytes] = iter(self._wrapped)
        try:
            timed = sync_reads(inner, self._session, self._unread)
            return timed if self.watched is None else self.watched.sync_reads(timed)
        except Exception as failure:  # noqa: BLE001 - the boundary
            _guard.report("read", failure)
            return inner

    def __aiter__(self) -> AsyncIterator[bytes]:
        inner = self._wrapped.__aiter__()
        reads = AsyncGeneratorReads if hasattr(inner, "aclose") else AsyncReads
        try:
            timed = reads(inner, self._session, self._unread)
            return timed if self.watched is None else self.watched.async_reads(timed)
        except Exception as failure:  # noqa: BLE001 - the boundary
            _guard.report("read", failure)
            return inner  # type: ignore[no-any-return] # the wrapped body's own

    def close(self) -> None:
        """Close the wrapped body."""
        body_closed(self._session, self._unread)
        self._wrapped.close()

    async def aclose(self) -> None:
        """Close the wrapped body."""
        body_closed(self._session, self._unread)
        await self._wrapped.aclose()
