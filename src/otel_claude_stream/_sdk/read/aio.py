"""The asynchronous shells around frames and events: as in `sync`, with `await`.

They are no async generators. The event loop would finalise such a generator in another task, one turn later than the
SDK's. A dropped stream would then release its connection later than without this package.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.stream.message_state import CORE_TYPES, DELTA
from otel_claude_stream._sdk.read.endings import Annotate, record_again, stream_ended, stream_failed
from otel_claude_stream._sdk.read.frames import record_frame
from otel_claude_stream._session.listener import StreamListener


class AsyncShell:
    """The base of the iterators around another one, with the attributes of that one."""

    __slots__ = ("_hot", "_inner", "_listener", "_next")

    def __init__(self, inner: AsyncIterator[Any], listener: StreamListener) -> None:
        self._inner = inner
        self._next = inner.__anext__
        self._listener = listener
        self._hot = listener.hot

    def __aiter__(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class AsyncEvents(AsyncShell):
    """The events of a stream on their way to the caller."""

    __slots__ = ("_annotate",)

    def __init__(self, inner: AsyncIterator[Any], listener: StreamListener, annotate: Annotate | None = None) -> None:
        super().__init__(inner, listener)
        self._annotate = annotate

    async def __anext__(self) -> Any:
        try:
            event = await self._next()
        except StopAsyncIteration:
            stream_ended(self._listener)
            raise
        except BaseException as error:
            stream_failed(self._listener, error, self._annotate)
            raise
        hot = self._hot
        try:
            if hot.in_burst and event.type == DELTA:  # the case that has to be cheap
                content = getattr(event.delta, hot.content)
                hot.characters += len(content)
                hot.deltas += 1
                if hot.on_text is not None:
                    hot.on_text(content)
            else:
                self._listener.event(event, hot.arrival)
        except Exception as failure:
            if _guard.is_interrupt(failure):
                raise
            record_again(self._listener, event)  # a malformed delta, which the listener counts
        return event


class AsyncFrames(AsyncShell):
    """The SSE frames of a stream on their way to the SDK's parser."""

    __slots__ = ()

    async def __anext__(self) -> Any:
        frame = await self._next()
        if frame.event not in CORE_TYPES:
            record_frame(self._listener, frame)
        return frame
