"""Which frames of the current attempt are delivered, and in which form.

Until the first content nothing is, so that a retry repeats nothing; from then on every delta is, as soon as it comes.
A frame of an unknown type is delivered at once, after those before it. The frames of a later attempt are joined to what
the caller has already.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.retry.clocks import Progress
from otel_claude_stream._core.retry.policy import Strategy
from otel_claude_stream._core.retry.resume.seam import SeamFinder, SeamResult
from otel_claude_stream._core.retry.resume.splice import SeamMismatch, Splice
from otel_claude_stream._core.stream.frames import decode, has_content, has_stop_reason, start_usage, type_of_frame
from otel_claude_stream._core.stream.hot_path import Arrival
from otel_claude_stream._core.stream.message_state import CORE_TYPES
from otel_claude_stream._sdk.read.frames import LEGACY_FRAME, UNPARSED_FRAMES
from otel_claude_stream._sdk.retry.failure import ErrorEvent
from otel_claude_stream._session.session import StreamSession

MAX_BUFFERED_FRAMES = 256
"""Frames that are buffered before the first content. An answer begins with two, and a few empty deltas."""

MAX_BUFFERED_SIZE = 1 << 18
"""Characters of their data. Beyond either limit the frames are delivered, and a retry is spliced to them."""


class Gate:
    """Stands between the frames that come and the SDK's parser."""

    __slots__ = (
        "_buffered",
        "_buffered_size",
        "_delivering",
        "_frame",
        "_native",
        "_progress",
        "_seam",
        "_session",
        "_splice",
        "_stop_seen",
        "state_unknown",
    )

    def __init__(self, session: StreamSession) -> None:
        self._session = session
        self._delivering = False
        """Content has been delivered, so frames are not buffered any more."""
        self._stop_seen = False
        self.state_unknown = False
        """After a failure of this package it is not known what a retry would repeat."""
        self._buffered: list[tuple[Any, Arrival]] = []
        self._buffered_size = 0
        """Characters of their data."""
        self._splice: Splice | None = None
        self._seam: tuple[SeamFinder, Strategy] | None = None
        """The seam of a continuation, until it is reported."""
        self._native: tuple[Any, Any] | None = None
        """The SDK's own tracing of the stream of a later attempt, and that stream."""
        self._frame: Any = None
        self._progress: Progress | None = None
        """The part of the current attempt that has arrived, for its watchdog; None without one."""

    @property
    def message_complete(self) -> bool:
        """Whether the stop reason came, so that nothing of the answer is missing, whatever happens to the connection.

        A frame that passed unseen may have been the end, since the type in its data counts and not its name.
        """
        return self._stop_seen or self._session.state.message.stopped

    @property
    def passthrough(self) -> bool:
        """Whether a delta is delivered whatever it holds, so that `take` need not see it."""
        return self._delivering and self._splice is None and self._native is None

    @property
    def seeks_seam(self) -> bool:
        """Whether a continuation is being read that has not met the text before it yet."""
        return self._seam is not None

    # --- Attempts ------------------------------------------------------------------------------------------------
    def expect_answer(self, splice: Splice | None) -> None:
        """Expect the whole answer again; `splice` if the caller has a part of it."""
        self._splice, self._seam, self._native = splice, None, None

    def expect_continuation(self, splice: Splice, seam: SeamFinder, strategy: Strategy) -> None:
        """Expect the rest of the answer."""
        self._splice, self._seam, self._native = splice, (seam, strategy), None

    def report_to(self, progress: Progress) -> None:
        """Report the frames of the response that begins to be read."""
        self._progress = progress

    def adopt(self, stream: Any) -> None:
        """Read on from another stream. The SDK's own tracing has a span for it, and sees none of its events."""
        self._take_buffer()
        observer = getattr(stream, "_observer", None)
        if observer is not None:
            observer.begin()
            self._native = observer, stream

    # --- Frames --------------------------------------------------------------------------------------------------
    def take(self, frame: Any) -> Iterable[Any]:
        """Return the frames that may be delivered now that this one came.

        Raises:
            ErrorEvent: It is an `error` event.
            SeamMismatch: It belongs to a continuation that does not fit.
        """
        if frame.event == "error":
            raise ErrorEvent(frame)
        try:
            return self._take(frame)
        except (ErrorEvent, SeamMismatch):
            raise
        except Exception as error:  # noqa: BLE001 - the boundary
            _guard.report("recovery", error)
            if self._splice is not None:  # it is not known what of it may be delivered
                raise SeamMismatch(SeamResult.MISMATCH) from None
            self._delivering = self.state_unknown = True  # from here on frames pass unchanged
            return [*(other for other, _ in self._take_buffer() if other is not frame), frame]

    def _take(self, frame: Any) -> Iterable[Any]:
        self._frame = frame
        data = decode(frame.data)
        kind = type_of_frame(frame.event, data)
        if kind == "error":
            raise ErrorEvent(frame)
        if self._progress is not None:
            self._progress.frame(kind, data, self._session.hot.waited)
        parsed = frame.event not in UNPARSED_FRAMES
        if parsed:
            self._report_native(kind, data)
        if self._splice is not None and parsed and kind in CORE_TYPES:
            ready: Iterable[Any] = self._spliced(self._splice, kind or "", data)
        elif self._delivering or not parsed:
            ready = (frame,)
        elif kind in CORE_TYPES and not has_content(kind, data) and self._buffer(kind, data, frame):
            ready = ()
        else:
            self._delivering = True
            ready = chain(self.release(), (frame,))
        if kind == "message_stop" or (kind == "message_delta" and has_stop_reason(data)):
            self._stop_seen = True
        return ready

    def _buffer(self, kind: str | None, data: dict[str, Any], frame: Any) -> bool:
        """Buffer a frame, unless the buffer is full."""
        self._buffered_size += len(frame.data)
        if len(self._buffered) >= MAX_BUFFERED_FRAMES or self._buffered_size > MAX_BUFFERED_SIZE:
            return False
        self._buffered.append((frame, self._session.buffer_frame()))
        if kind == "message_start":
            self._session.state.attempts.record_usage(start_usage(data))
        return True

    def release(self) -> Iterator[Any]:
        """Return the buffered frames. While one is parsed, its arrival is that of the event made from it."""
        return self._with_arrivals(self._take_buffer())

    def _take_buffer(self) -> list[tuple[Any, Arrival]]:
        buffered, self._buffered, self._buffered_size = self._buffered, [], 0
        with _guard.guard("recovery"):
            self._session.state.attempts.discard_buffer()
        return buffered

    def _with_arrivals(self, buffered: list[tuple[Any, Arrival]]) -> Iterator[Any]:
        hot = self._session.hot
        try:
            for frame, arrival in buffered:
                hot.arrival = arrival
                yield frame
        finally:
            hot.arrival = None

    def _spliced(self, splice: Splice, kind: str, data: dict[str, Any]) -> Iterable[Any]:
        if kind == "message_start":
            self._session.state.attempts.record_usage(start_usage(data))
        ready = splice.take(kind, data)
        self._report_seam()
        return [self._frame_of(name, made) for name, made in ready]

    def _report_seam(self) -> None:
        if self._seam is None:
            return
        finder, strategy = self._seam
        if finder.result is not None:
            self._seam = None
            self._session.retries.seam_found(strategy.value, finder.result.value, fits=True)

    def _frame_of(self, name: str, data: dict[str, Any]) -> Any:
        """Return a frame of the SDK's own class, as its decoder would have made it."""
        legacy = self._frame.event == LEGACY_FRAME
        return type(self._frame)(event=LEGACY_FRAME if legacy else name, data=json.dumps(data), id=None, retry=None)

    @_guard.guarded("native", None)
    def _report_native(self, kind: str | None, data: dict[str, Any]) -> None:
        """Report an event to the SDK's own tracing, as the SDK's `Stream` does for the events that it delivers."""
        if self._native is None or kind not in CORE_TYPES:
            return
        observer, stream = self._native
        parse = stream._client._process_response_data  # noqa: SLF001 - the SDK's `Stream` parses with it
        observer.item(parse(data=data, cast_to=stream._cast_to, response=stream.response))  # noqa: SLF001
