"""Which frames of the attempt that is being read are handed on, and as what.

Until the first content comes nothing is, so that a replay duplicates nothing; from then on every delta goes on as soon
as it comes. Of a later attempt each frame is joined to what the caller has already.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.retry.policy import Strategy
from otel_claude_stream._core.retry.resume.seam import SeamFinder, SeamResult
from otel_claude_stream._core.retry.resume.splice import SeamMismatch, Splice
from otel_claude_stream._core.stream.message_state import CORE_TYPES
from otel_claude_stream._sdk.read.events import LEGACY_FRAME
from otel_claude_stream._sdk.retry.failure import Failure
from otel_claude_stream._sdk.retry.frames import data_of, input_tokens, is_content, stops
from otel_claude_stream._session import StreamSession


class Gate:
    """Between the frames that come and the SDK's parser."""

    __slots__ = (
        "_frame",
        "_held",
        "_native",
        "_seam",
        "_session",
        "_splice",
        "complete",
        "through",
        "unsure",
    )

    def __init__(self, session: StreamSession) -> None:
        self._session = session
        self.through = False
        """Content has been handed on: deltas need no look any more."""
        self.complete = False
        """The stop reason came: nothing of the answer is missing, whatever happens to the connection."""
        self.unsure = False
        """A failure of ours: nobody knows any more what a replay would duplicate."""
        self._held: list[tuple[Any, int, int, int]] = []
        self._splice: Splice | None = None
        self._seam: tuple[SeamFinder, Strategy] | None = None
        """Of a continuation whose seam has not been told yet."""
        self._native: tuple[Any, Any] | None = None
        """The SDK's own tracing of the stream that is being read, and that stream, if it is not the first one."""
        self._frame: Any = None

    @property
    def splicing(self) -> bool:
        """The frames are those of a later attempt, and every one has to be looked at."""
        return self._splice is not None or self._native is not None

    @property
    def seeks_seam(self) -> bool:
        """A continuation is being read that has not met the text before it yet."""
        return self._seam is not None

    # --- Attempts ------------------------------------------------------------------------------------------------
    def replays(self, splice: Splice | None) -> None:
        """The next frames are the whole answer once more; `splice` where the caller has some of it."""
        self._splice, self._seam, self._native = splice, None, None

    def continues(self, splice: Splice, seam: SeamFinder, strategy: Strategy) -> None:
        """The next frames are the rest of the answer."""
        self._splice, self._seam, self._native = splice, (seam, strategy), None

    def adopt(self, stream: Any) -> None:
        """Another stream is read on. The SDK's own tracing has a span for it, and hears of no event by itself."""
        self._held.clear()
        observer = getattr(stream, "_observer", None)
        if observer is not None:
            observer.begin()
            self._native = observer, stream

    def ended(self) -> Failure | None:
        """The body ended: a failure, unless the answer was complete."""
        return None if self.complete else Failure()

    # --- Frames --------------------------------------------------------------------------------------------------
    def take(self, name: str | None, frame: Any) -> Iterable[Any]:
        """What may be handed on now that this frame came. Raises `SeamMismatch` if a continuation does not fit."""
        try:
            return self._take(name, frame)
        except SeamMismatch:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary
            _guard.report("recovery", error)
            if self._splice is not None:  # nobody knows what the caller may be given of it
                raise SeamMismatch(SeamResult.MISMATCH) from None
            self.through = self.unsure = True  # from here on it goes on untouched
            held, self._held, self._session.held = self._held, [], 0
            return [*(other for other, *_ in held if other is not frame), frame]

    def _take(self, name: str | None, frame: Any) -> Iterable[Any]:
        data: dict[str, Any] | None = None
        if name == LEGACY_FRAME:
            data = data_of(frame)
            name = str(data.get("type"))
        self._frame = frame
        self._tell_native(name, frame)
        if self._splice is not None:
            return self._spliced(self._splice, name or "", data_of(frame) if data is None else data)
        if name in ("message_delta", "message_stop"):
            self.complete = self.complete or name == "message_stop" or stops(data_of(frame))
        elif not self.through and (name == "ping" or name is None):
            return (frame,)  # the SDK drops these
        elif not self.through and not is_content(name, data_of(frame)):
            self._hold(name, frame)
            return ()
        if self.through:
            return (frame,)
        self.through = True
        return chain(self.release(), (frame,))

    def _hold(self, name: str | None, frame: Any) -> None:
        session = self._session
        clocks = session.clocks
        clocks.note_first_event()
        session.held += name in CORE_TYPES  # the others have been counted by their frame
        self._held.append((frame, clocks.arrived, clocks.waited, clocks.progress))
        clocks.progress = clocks.waited
        if name == "message_start":
            self._says(data_of(frame))

    def _says(self, data: dict[str, Any]) -> None:
        """The usage of a `message_start` that may never be handed on."""
        self._session.attempts.said = input_tokens(data), 0

    def release(self) -> Iterator[Any]:
        """What was held back, each with the clocks of its arrival."""
        held, self._held = self._held, []
        return self._by_their_clocks(held)

    def _by_their_clocks(self, held: list[tuple[Any, int, int, int]]) -> Iterator[Any]:
        clocks = self._session.clocks
        now = clocks.arrived, clocks.waited
        self._session.held = 0
        try:
            for frame, arrived, waited, progress in held:
                clocks.arrived, clocks.waited, clocks.progress = arrived, waited, progress
                yield frame
        finally:
            clocks.arrived, clocks.waited = now

    def _spliced(self, splice: Splice, name: str, data: dict[str, Any]) -> Iterable[Any]:
        if name == "message_start":
            self._says(data)
        ready = splice.take(name, data)
        self._tell_seam()
        if name == "message_stop" or (name == "message_delta" and stops(data)):
            self.complete = True
        return [self._made(kind, made) for kind, made in ready]

    def _tell_seam(self) -> None:
        if self._seam is None:
            return
        finder, strategy = self._seam
        if finder.result is not None:
            self._seam = None
            self._session.seam_found(strategy.value, finder.result.value, fits=True)

    def _made(self, name: str, data: dict[str, Any]) -> Any:
        """A frame of the SDK's own class, as its decoder would have made it."""
        legacy = self._frame.event == LEGACY_FRAME
        return type(self._frame)(event=LEGACY_FRAME if legacy else name, data=json.dumps(data), id=None, retry=None)

    @_guard.guarded("native", None)
    def _tell_native(self, name: str | None, frame: Any) -> None:
        """Tell the SDK's own tracing of an event, as its `Stream` does for the events that it hands on."""
        if self._native is None or name not in CORE_TYPES:
            return
        observer, stream = self._native
        parse = stream._client._process_response_data  # noqa: SLF001 - what the SDK's `Stream` parses with
        observer.item(parse(data=data_of(frame), cast_to=stream._cast_to, response=stream.response))  # noqa: SLF001
