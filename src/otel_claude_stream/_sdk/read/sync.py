"""The synchronous side of a stream: hands every event on untouched, and tells the session of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.stream.message_state import CORE_TYPES, DELTA, TEXT
from otel_claude_stream._sdk.read.endings import annotate, stream_ended, stream_failed
from otel_claude_stream._sdk.read.events import read_event, read_frame, read_odd_event
from otel_claude_stream._session import StreamSession


def sync_events(inner: Iterator[Any], session: StreamSession) -> Iterator[Any]:
    """The parsed events of a stream, on their way to the caller."""
    return counted(inner, session) if session.keep is None else counted_and_kept(inner, session, session.keep)


def counted(inner: Iterator[Any], session: StreamSession) -> Iterator[Any]:
    """The events, each told to the session."""
    machine, run = session.machine, session.machine.run
    try:
        for event in inner:
            try:
                if run.open and event.type == DELTA:  # one more of a burst: the case that has to be cheap
                    run.characters += len(getattr(event.delta, run.content))
                    run.count += 1
                else:
                    read_event(session, event)
                    run = machine.run
            except Exception:  # noqa: BLE001 - an odd shape: told by the slow path, whose guard reports
                read_odd_event(session, event)
            yield event
    except BaseException as error:
        annotate(session, error)
        stream_failed(session, error)
        raise
    stream_ended(session)


def counted_and_kept(inner: Iterator[Any], session: StreamSession, keep: Callable[[str], None]) -> Iterator[Any]:
    """As `counted`, and the text of a burst is kept for a continuation. Apart, as one question more costs 0.2 us."""
    machine, run = session.machine, session.machine.run
    try:
        for event in inner:
            try:
                if run.open and event.type == DELTA:
                    content = getattr(event.delta, run.content)
                    run.characters += len(content)
                    run.count += 1
                    if run.content == TEXT:
                        keep(content)
                else:
                    read_event(session, event)
                    run = machine.run
            except Exception:  # noqa: BLE001 - as above
                read_odd_event(session, event)
            yield event
    except BaseException as error:
        annotate(session, error)
        stream_failed(session, error)
        raise
    stream_ended(session)


def sync_frames(inner: Iterator[Any], session: StreamSession) -> Iterator[Any]:
    """The SSE frames of a stream, on their way to the SDK's parser."""
    for frame in inner:
        try:
            if (name := frame.event) not in CORE_TYPES:
                read_frame(session, name, frame)
        except Exception as failure:  # noqa: BLE001 - the boundary of the hot path
            _guard.report("read_frame", failure)
        yield frame
