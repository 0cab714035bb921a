"""The shells around a response's body: they time each read, and notice how the body ends.

They sit below everything that reads the body, the SDK's decoder and the caller's own `iter_bytes()` alike, and above
the HTTP library's own stream. `isinstance`, attributes and closing are those of the wrapped body.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from otel_claude_stream import _guard
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.stream.hot_path import ReadMode
from otel_claude_stream._core.stream.timing import WAIT_NS
from otel_claude_stream._sdk.read.aio import AsyncShell
from otel_claude_stream._sdk.read.endings import body_closed, body_ended, body_failed
from otel_claude_stream._sdk.read.raw_body import RawBodyReader
from otel_claude_stream._session.listener import StreamListener


class ReadWatch(Protocol):
    """Gives up a body that stalls, by raising out of its iterators."""

    def sync_reads(self, inner: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the bytes of a body until it is overdue."""

    def async_reads(self, inner: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """As `sync_reads`."""


def sync_reads(inner: Iterator[bytes], listener: StreamListener, raw: RawBodyReader) -> Iterator[bytes]:
    """Yield the bytes of a body, and time each read."""
    hot = listener.hot
    clock, events = hot.clock, ReadMode.EVENTS
    hot.read_started_at = started = clock()
    try:
        # `zip` reads the clock after each chunk without a step of the interpreter: this loop runs for every read.
        for chunk, now in zip(inner, iter(clock, None), strict=False):
            try:
                if now - started > WAIT_NS:
                    listener.bytes_read(len(chunk), now - started, now)
                else:
                    hot.last_byte_at = now
                    hot.reads += 1
                    hot.bytes += len(chunk)
                if hot.read_mode is not events:
                    raw.read(chunk)
            except Exception as failure:  # noqa: BLE001 - the boundary of the hot path
                _guard.report("read", failure)
            yield chunk
            hot.read_started_at = started = clock()
    except BaseException as error:
        body_failed(listener, error, raw)
        raise
    body_ended(listener, raw)


class AsyncReads(AsyncShell):
    """As `sync_reads`."""

    __slots__ = ("_raw",)

    def __init__(self, inner: AsyncIterator[bytes], listener: StreamListener, raw: RawBodyReader) -> None:
        super().__init__(inner, listener)
        self._raw = raw

    async def __anext__(self) -> bytes:
        hot = self._hot
        clock = hot.clock
        hot.read_started_at = started = clock()
        try:
            chunk: bytes = await self._next()
        except StopAsyncIteration:
            body_ended(self._listener, self._raw)
            raise
        except BaseException as error:
            body_failed(self._listener, error, self._raw)
            raise
        try:
            now = clock()
            if now - started > WAIT_NS:
                self._listener.bytes_read(len(chunk), now - started, now)
            else:
                hot.last_byte_at = now
                hot.reads += 1
                hot.bytes += len(chunk)
            if hot.read_mode is not ReadMode.EVENTS:
                self._raw.read(chunk)
        except Exception as failure:  # noqa: BLE001 - the boundary of the hot path
            _guard.report("read", failure)
        return chunk


class AsyncGeneratorReads(AsyncReads):
    """`AsyncReads` over an async generator, with its methods. The SDK closes the body's generator if it is one."""

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

    It is no wrapt proxy, because the SDK looks for `stream_observer` on the body once per event. On such a proxy a miss
    costs more than all the rest of this package.
    """

    __slots__ = ("_listener", "_raw", "_watch", "_wrapped", "stream_observer")

    def __init__(self, wrapped: Any, listener: StreamListener, reply: Reply, watch: ReadWatch | None = None) -> None:
        self._wrapped = wrapped
        self._listener = listener
        self._raw = RawBodyReader(listener, reply)
        self._watch = watch
        self.stream_observer = getattr(wrapped, "stream_observer", None)

    @property  # type: ignore[misc] # `isinstance` reads it besides the type
    def __class__(self) -> type:
        return self._wrapped.__class__  # type: ignore[no-any-return] # not `type`: that may be a proxy too

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __iter__(self) -> Iterator[bytes]:
        inner: Iterator[bytes] = iter(self._wrapped)
        with _guard.guard("read"):
            reads = inner if self._watch is None else self._watch.sync_reads(inner)
            return sync_reads(reads, self._listener, self._raw)
        return inner

    def __aiter__(self) -> AsyncIterator[bytes]:
        inner: AsyncIterator[bytes] = self._wrapped.__aiter__()
        with _guard.guard("read"):
            shell = AsyncGeneratorReads if hasattr(inner, "aclose") else AsyncReads
            reads = inner if self._watch is None else self._watch.async_reads(inner)
            return shell(reads, self._listener, self._raw)
        return inner

    def close(self) -> None:
        """Close the wrapped body."""
        body_closed(self._listener, self._raw)
        self._wrapped.close()

    async def aclose(self) -> None:
        """Close the wrapped body."""
        body_closed(self._listener, self._raw)
        await self._wrapped.aclose()
