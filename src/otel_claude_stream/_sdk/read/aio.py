"""The asynchronous side of a stream: as `sync_shell`, with `await`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.stream.message_state import CORE_TYPES, DELTA, TEXT
from otel_claude_stream._sdk.read.endings import annotate, stream_ended, stream_failed
from otel_claude_stream._sdk.read.events import read_event, read_frame, read_odd_event
from otel_claude_stream._session import StreamSession


def async_events(inner: AsyncIterator[Any], session: StreamSession) -> AsyncIterator[Any]:
    """The parsed events of a stream, on their way to the caller."""
    return AsyncEvents(inner, session) if session.keep is None else KeptAsyncEvents(inner, session, session.keep)


class AsyncEvents:
    """The events, each told to the session.

    Not an async generator: the event loop would finalise one of our own in a task of its own, one turn later than the
    SDK's, and a dropped stream would release its connection later than without us.
    """

    __slots__ = ("_inner", "_machine", "_next", "_run", "_session")

    def __init__(self, inner: AsyncIterator[Any], session: StreamSession) -> None:
        self._inner = inner
        self._next = inner.__anext__
        self._session = session
        self._machine = session.machine
        self._run = session.machine.run

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            event = await self._next()
        except StopAsyncIteration:
            stream_ended(self._session)
            raise
        except BaseException as error:
            annotate(self._session, error)
            stream_failed(self._session, error)
            raise
        run = self._run
        try:
            if run.open and event.type == DELTA:  # one more of a burst: the case that has to be cheap
                run.characters += len(getattr(event.delta, run.content))
                run.count += 1
            else:
                read_event(self._session, event)
                self._run = self._machine.run
        except Exception:  # noqa: BLE001 - an odd shape: told by the slow path, whose guard reports
            read_odd_event(self._session, event)
        return event

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class KeptAsyncEvents(AsyncEvents):
    """As `AsyncEvents`, and the text of a burst is kept for a continuation."""

    __slots__ = ("_keep",)

    def __init__(self, inner: AsyncIterator[Any], session: StreamSession, keep: Callable[[str], None]) -> None:
        super().__init__(inner, session)
        self._keep = keep

    async def __anext__(self) -> Any:
        try:
            event = await self._next()
        except StopAsyncIteration:
            stream_ended(self._session)
            raise
        except BaseException as error:
            annotate(self._session, error)
            stream_failed(self._session, error)
            raise
        run = self._run
        try:
            if run.open and event.type == DELTA:
                content = getattr(event.delta, run.content)
                run.characters += len(content)
                run.count += 1
                if run.content == TEXT:
                    self._keep(content)
            else:
                read_event(self._session, event)
                self._run = self._machine.run
        except Exception:  # noqa: BLE001 - as above
            read_odd_event(self._session, event)
        return event


class AsyncFrames:
    """The SSE frames of a stream, on their way to the SDK's parser."""

    __slots__ = ("_inner", "_next", "_session")

    def __init__(self, inner: AsyncIterator[Any], session: StreamSession) -> None:
        self._inner = inner
        self._next = inner.__anext__
        self._session = session

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        frame = await self._next()
        try:
            if (name := frame.event) not in CORE_TYPES:
                read_frame(self._session, name, frame)
        except Exception as failure:  # noqa: BLE001 - the boundary of the hot path
            _guard.report("read_frame", failure)
        return frame

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
