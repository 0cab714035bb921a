"""The synchronous shells around frames and events, which pass each one on unchanged and report it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.stream.message_state import CORE_TYPES, DELTA
from otel_claude_stream._sdk.read.endings import Annotate, record_again, stream_ended, stream_failed
from otel_claude_stream._sdk.read.frames import record_frame
from otel_claude_stream._session.listener import StreamListener


def sync_events(inner: Iterator[Any], listener: StreamListener, annotate: Annotate | None = None) -> Iterator[Any]:
    """Yield the events of a stream on their way to the caller."""
    hot = listener.hot
    try:
        for event in inner:
            try:
                if hot.in_burst and event.type == DELTA:  # the case that has to be cheap
                    content = getattr(event.delta, hot.content)
                    hot.characters += len(content)
                    hot.deltas += 1
                    if hot.on_text is not None:
                        hot.on_text(content)
                else:
                    listener.event(event, hot.arrival)
            except Exception as failure:
                if _guard.is_interrupt(failure):
                    raise
                record_again(listener, event)  # a malformed delta, which the listener counts
            yield event
    except BaseException as error:
        stream_failed(listener, error, annotate)
        raise
    stream_ended(listener)


def sync_frames(inner: Iterator[Any], listener: StreamListener) -> Iterator[Any]:
    """Yield the SSE frames of a stream on their way to the SDK's parser."""
    for frame in inner:
        if frame.event not in CORE_TYPES:
            record_frame(listener, frame)
        yield frame
