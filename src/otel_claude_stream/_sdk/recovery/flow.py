"""One call that may be sent again: which of its events may go on, and what follows when an attempt fails.

Sans I/O: a driver reads the frames and hands each one to `take`; when an attempt fails it carries out the steps of
`recover`. Until the first content comes nothing is handed on, so that a replay duplicates nothing; from then on every
delta goes on as soon as it comes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.machine import CORE_TYPES
from otel_claude_stream._core.recovery.capabilities import refuses_prefill, strategy_for
from otel_claude_stream._core.recovery.continuation import continue_body
from otel_claude_stream._core.recovery.delivered import DeliveredBlocks
from otel_claude_stream._core.recovery.policy import Mode, RetryPolicy, SdkRetries, Strategy
from otel_claude_stream._core.recovery.seam import SeamFinder, SeamResult
from otel_claude_stream._core.recovery.situation import Action, Blocker, Decision
from otel_claude_stream._core.recovery.splice import SeamMismatch, Splice
from otel_claude_stream._sdk.ends import answered
from otel_claude_stream._sdk.entering import Entered
from otel_claude_stream._sdk.reading import LEGACY_FRAME
from otel_claude_stream._sdk.recovery.failure import Failure, Standing, truncation
from otel_claude_stream._sdk.recovery.resend import Resend
from otel_claude_stream._sdk.recovery.steps import Close, Send, Sleep, Step
from otel_claude_stream._sdk.replies import status_of
from otel_claude_stream._session import StreamSession

GAVE_UP = Decision(Action.GIVE_UP, Blocker.NONE)

Steps = Generator[Step, Any, Any]


class Recovery:
    """The state of one call whose policy says more than to observe."""

    def __init__(self, session: StreamSession, resend: Resend) -> None:
        self.session = session
        self.policy: RetryPolicy = session.policy
        self._resend = resend
        self.through = False
        """Content has been handed on: deltas need no look any more."""
        self._unsure = False
        """A failure of ours: nobody knows any more what a replay would duplicate."""
        self.complete = False
        """The stop reason came: nothing of the answer is missing, whatever happens to the connection."""
        self._held: list[tuple[Any, int, int, int]] = []
        self._splice: Splice | None = None
        self._strategy = Strategy.AUTO
        self._native: tuple[Any, Any] | None = None
        """The SDK's own tracing of the stream that is being read, and that stream, if it is not the first one."""
        self._seam: SeamFinder | None = None
        self._seam_told = True
        self._log: list[str] = []
        self._frame: Any = None
        self.response: Any = None
        """The response that is being read now, if it is not the first one."""
        self.request: Any = None
        """The client's own `request`, for the drivers."""
        self.reading = False
        """The frames of the first response are being read through a driver."""
        self.asked_to_wait: float | None = None
        """What the last response asked the SDK's own loop to wait."""
        self.left = threading.Event()
        """The caller has closed the stream."""
        self.leave_async: Any = None
        """Called when the caller closes the stream while an asynchronous driver sleeps."""
        self.kept: DeliveredBlocks | None = None
        if self.policy.mode is Mode.RESUME or not self.policy.commit.thinking_is_output:
            self.kept = session.kept = DeliveredBlocks()
            session.keep = self.kept.parts.append

    # --- Reading ---------------------------------------------------------------------------------------------------
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
            self.through = self._unsure = True  # from here on it goes on untouched
            held, self._held, self.session.held = self._held, [], 0
            return [*(other for other, *_ in held if other is not frame), frame]

    @property
    def splicing(self) -> bool:
        """The frames are those of a later attempt, and every one has to be looked at."""
        return self._splice is not None or self._native is not None

    def _adopt(self, stream: Any) -> Any:
        """Read on from another stream. The SDK's own tracing has a span for it, and hears of no event by itself."""
        self.response = stream.response
        self._held.clear()
        observer = getattr(stream, "_observer", None)
        if observer is not None:
            observer.begin()
            self._native = observer, stream
        return stream

    @_guard.guarded("native", None)
    def _tell_native(self, name: str | None, frame: Any) -> None:
        """Tell the SDK's own tracing of an event, as its `Stream` does for the events that it hands on."""
        if self._native is None or name not in CORE_TYPES:
            return
        observer, stream = self._native
        parse = stream._client._process_response_data  # noqa: SLF001 - what the SDK's `Stream` parses with
        observer.item(parse(data=_data(frame), cast_to=stream._cast_to, response=stream.response))  # noqa: SLF001

    def _take(self, name: str | None, frame: Any) -> Iterable[Any]:
        data: dict[str, Any] | None = None
        if name == LEGACY_FRAME:
            data = _data(frame)
            name = str(data.get("type"))
        self._frame = frame
        self._tell_native(name, frame)
        if self._splice is not None:
            return self._spliced(self._splice, name or "", _data(frame) if data is None else data)
        if name in ("message_delta", "message_stop"):
            self.complete = self.complete or name == "message_stop" or _stops(_data(frame))
        elif not self.through and (name == "ping" or name is None):
            return (frame,)  # the SDK drops these
        elif not self.through and not _is_content(name, _data(frame)):
            self._hold(name, frame)
            return ()
        if self.through:
            return (frame,)
        self.through = True
        return self._released_with(frame)

    def _hold(self, name: str | None, frame: Any) -> None:
        session = self.session
        clocks = session.clocks
        clocks.note_first_event()
        session.held += name in CORE_TYPES  # the others have been counted by their frame
        self._held.append((frame, clocks.arrived, clocks.waited, clocks.progress))
        clocks.progress = clocks.waited
        if name == "message_start":
            self._said(_data(frame))

    def _said(self, data: dict[str, Any]) -> None:
        """The usage of a `message_start` that may never be handed on."""
        usage = (data.get("message") or {}).get("usage") or {}
        names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        self.session.attempts.said = sum(value for name in names if isinstance(value := usage.get(name), int)), 0

    def _released_with(self, frame: Any) -> Iterable[Any]:
        return chain(self.release(), (frame,))

    def release(self) -> Iterator[Any]:
        """What was held back, each with the clocks of its arrival."""
        held, self._held = self._held, []
        return self._by_their_clocks(held)

    def _by_their_clocks(self, held: list[tuple[Any, int, int, int]]) -> Iterator[Any]:
        clocks = self.session.clocks
        now = clocks.arrived, clocks.waited
        self.session.held = 0
        try:
            for frame, arrived, waited, progress in held:
                clocks.arrived, clocks.waited, clocks.progress = arrived, waited, progress
                yield frame
        finally:
            clocks.arrived, clocks.waited = now

    def _spliced(self, splice: Splice, name: str, data: dict[str, Any]) -> Iterable[Any]:
        if name == "message_start":
            self._said(data)
        ready = splice.take(name, data)
        self._tell_seam()
        if name == "message_stop" or (name == "message_delta" and _stops(data)):
            self.complete = True
        return [self._made(kind, made) for kind, made in ready]

    def _tell_seam(self) -> None:
        seam = self._seam
        if self._seam_told or seam is None or seam.result is None:
            return
        self._seam_told = True
        self.session.seam_found(self._strategy.value, seam.result.value, fits=True)

    def _made(self, name: str, data: dict[str, Any]) -> Any:
        """A frame of the SDK's own class, as its decoder would have made it."""
        legacy = self._frame.event == LEGACY_FRAME
        return type(self._frame)(event=LEGACY_FRAME if legacy else name, data=json.dumps(data), id=None, retry=None)

    def ended(self) -> Failure | None:
        """The body ended: a failure, unless the answer was complete."""
        return None if self.complete else Failure()

    # --- Failing ---------------------------------------------------------------------------------------------------
    def requests(self) -> Steps:
        """The first request, and the ones that follow while there is no response, if those are ours to make."""
        own = self.policy.sdk_retries is SdkRetries.OWN
        call = self._resend.first(0 if own else max(0, self.policy.limits.max_requests - 1)) or self._resend.call
        while True:
            result = yield Send(call)
            if not own or not isinstance(result, Exception):
                return result
            decision = self._decide(Failure(error=result), before_response=True)
            if decision.action is not Action.RETRY:
                self.note(result)
                return result
            yield Sleep(decision.delay)

    def recover(self, failure: Failure, response: Any, standing: Standing) -> Steps:
        """The steps after a failure. Returns the stream to read on, or the failure that the caller gets."""
        if self.complete or self._unsure or self.session.ended:  # nothing is missing, or nobody waits for it any more
            return failure
        if self._seam_told:  # there is none, or it was found: what broke now is another failure
            standing.original = None
        if failure.seam:
            self.session.seam_found(self._strategy.value, failure.seam, fits=False)
            self._log.append(f"the continuation did not fit: {failure.seam}")
            return self._give_up(standing.original or standing.latest or failure)
        decision = self._decide(failure)
        while decision.action is not Action.GIVE_UP:
            standing.latest = failure
            if decision.action is Action.RESUME:
                standing.original = standing.original or failure
            if response is not None:
                yield Close(response)
                response = None
            if not (yield Sleep(decision.delay)):
                break
            result = yield from self._send(decision.action)
            if result is None:
                break
            if self.left.is_set():  # meanwhile: nobody waits for it
                if not isinstance(result, Exception):
                    yield Close(result.response)
                break
            if not isinstance(result, Exception):
                return self._adopt(result)
            failure = Failure(error=result)
            decision = self._decide(failure, before_response=True)
        return self._give_up(standing.original or failure)

    def _send(self, action: Action) -> Steps:
        """Make the request of an attempt. Returns the stream, the exception it ended with, or None if it cannot be."""
        try:
            call = self._prepare_replay() if action is Action.RETRY else self._prepare_continuation()
        except Exception as error:  # noqa: BLE001 - the boundary: the caller gets the failure he would have got
            _guard.report("recovery", error)
            return None
        result = yield Send(call)
        if self._strategy is Strategy.PREFILL and isinstance(result, Exception) and self._refused(result):
            # The table of models is behind: once, the other way, which every model takes.
            answered(self.session, result)
            self.session.refused()
            self._strategy = Strategy.USER_CONTINUE
            result = yield Send(self._prepare_continuation(self._strategy))
        return result

    def _refused(self, error: Exception) -> bool:
        status = status_of(error)
        return status is not None and refuses_prefill(status, str(error)) and self._left() > 0

    def _left(self) -> int:
        """Requests that may still be sent."""
        return self.policy.limits.max_requests - self.session.requests

    def _sdk_retries(self) -> int:
        """Retries that the SDK may make of the request that is about to be sent, which is counted already."""
        return 0 if self.policy.sdk_retries is SdkRetries.OWN else max(0, self._left())

    def _prepare_replay(self) -> Any:
        splice, kept = None, self.kept
        if kept is not None and kept.delivered.started:
            splice = Splice.replay(
                started=True,
                message_id=kept.message_id,
                next_index=kept.next_index,
                open_index=kept.open_index,
                open_type=kept.open_type,
                drop_thinking=not self.policy.commit.thinking_is_output,
            )
        call = self._resend.again(self._sdk_retries())
        self._splice, self._native = splice, None
        self._seam_told = True
        return call

    def _prepare_continuation(self, strategy: Strategy | None = None) -> Any:
        kept = self.kept
        if kept is None:
            raise RuntimeError("no text was kept")
        body, resume, traits = self._resend.body, self.policy.resume, self.session.call.traits
        self._strategy = strategy or strategy_for(resume, str(body.get("model")), traits)
        text = kept.text
        self._seam = SeamFinder(text, resume, self._strategy)
        self._splice = Splice.resumed(
            self._seam, next_index=kept.next_index, open_index=kept.open_text_index, message_id=kept.message_id
        )
        self._seam_told = False
        self._native = None
        return self._resend.with_body(continue_body(body, text, self._strategy, resume), self._sdk_retries())

    @_guard.guarded("recovery", GAVE_UP)  # the boundary: the caller gets the failure he would have got
    def _decide(self, failure: Failure, *, before_response: bool = False) -> Decision:
        if before_response and failure.error is not None:
            answered(self.session, failure.error)
        decision = self.session.broke(failure.end(), before_response=before_response)
        self._log.append(self.session.last_failure(decision))
        return decision

    def _give_up(self, failure: Failure) -> Failure:
        self.session.annotate = self.note  # the SDK has yet to make the exception of an `error` event
        return failure

    @_guard.guarded("recovery", None)
    def note(self, error: BaseException) -> None:
        """Say on an exception what had been tried, if anything was."""
        if len(self._log) < 2:  # the failure itself, and no other attempt
            return
        text = "otel-claude-stream: " + "; ".join(f"attempt {n}: {said}" for n, said in enumerate(self._log, 1))
        self._log = []
        error.__dict__.setdefault("__notes__", []).append(text)  # `add_note`, which Python 3.10 does not have

    def last_words(self, failure: Failure, response: Any) -> Iterator[Any]:
        """What the caller gets of the failure that stands: what he would have got without us, if it was the first."""
        yield from self.release()
        if failure.frame is not None:
            yield failure.frame  # the SDK raises
            return
        error = failure.error
        if error is None and self.policy.raise_on_truncation:
            error = truncation(response)
        if error is not None:
            try:
                raise error
            finally:
                del error, failure  # its traceback has this frame: a cycle otherwise

    # --- Around a request ------------------------------------------------------------------------------------------
    @_guard.guarded("recovery", None)
    def enter(self) -> Entered | None:
        """Set the contexts of a request: whose it is, and the span of the stream."""
        return Entered(self.session, self.session.span)

    @_guard.guarded("recovery", None)
    def leave_request(self, entered: Entered | None) -> None:
        """Restore the contexts."""
        if entered is not None:
            entered.leave()

    # --- The caller leaves -----------------------------------------------------------------------------------------
    @_guard.guarded("recovery", None)
    def leave(self) -> None:
        """The caller closed the stream: nothing is sent any more, and a back-off ends at once. From any thread."""
        self.left.set()
        if self.leave_async is not None:
            self.leave_async()


@_guard.guarded("recovery", None)
def recovery_of(session: StreamSession | None) -> Recovery | None:
    """The recovery of a session, if the policy of its call says more than to observe."""
    found = session.recovery if session is not None else None
    return found if isinstance(found, Recovery) else None


def _data(frame: Any) -> dict[str, Any]:
    try:
        data = json.loads(frame.data)
    except (ValueError, RecursionError, TypeError):
        return {}
    return data if isinstance(data, dict) else {}


def _stops(data: dict[str, Any]) -> bool:
    """Whether a `message_delta` brings the stop reason."""
    delta = data.get("delta")
    return isinstance(delta, dict) and delta.get("stop_reason") is not None


def _is_content(name: str | None, data: dict[str, Any]) -> bool:
    """Whether a frame holds something of the answer: a delta that is not empty, a block that begins with content."""
    if name == "content_block_delta":
        delta = data.get("delta")
        return not isinstance(delta, dict) or any(value for key, value in delta.items() if key != "type")
    if name == "content_block_start":
        block = data.get("content_block")
        if not isinstance(block, dict):
            return True
        return block.get("type") not in _EMPTY_STARTS or any(block.get(key) for key in _CONTENT)
    return name not in ("message_start", "content_block_stop") and name is not None and name in _CORE


_EMPTY_STARTS = frozenset({"text", "thinking", "tool_use"})
"""Blocks that begin with nothing: what they hold comes in deltas. Those of servers and of results begin whole."""

_CONTENT = ("text", "thinking", "signature", "input", "citations")
"""What a block holds; a tool's id and name are made anew by each attempt, so the caller may not have them yet."""

_CORE = frozenset({"message_delta", "message_stop"})
