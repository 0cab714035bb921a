"""One call that may be sent again: what follows when an attempt fails.

Sans I/O: a driver reads the frames and hands each one to the gate; when an attempt fails it carries out the steps of
`recover`.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.retry.context import Action, Blocker, Decision
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy, SdkRetries, Strategy
from otel_claude_stream._core.retry.resume.capabilities import refuses_prefill, strategy_for
from otel_claude_stream._core.retry.resume.delivered import DeliveredBlocks
from otel_claude_stream._core.retry.resume.request import continue_body
from otel_claude_stream._core.retry.resume.seam import SeamFinder
from otel_claude_stream._core.retry.resume.splice import Splice
from otel_claude_stream._sdk.attach.request_scope import RequestScope
from otel_claude_stream._sdk.read.endings import answered
from otel_claude_stream._sdk.read.responses import status_of
from otel_claude_stream._sdk.retry.failure import Failure, PendingFailures, truncation
from otel_claude_stream._sdk.retry.gate import Gate
from otel_claude_stream._sdk.retry.resend import Resend
from otel_claude_stream._sdk.retry.steps import Close, Send, Sleep, Step
from otel_claude_stream._session import StreamSession

GAVE_UP = Decision(Action.GIVE_UP, Blocker.NONE)

Steps = Generator[Step, Any, Any]


class Recovery:
    """The state of one call whose policy says more than to observe."""

    def __init__(self, session: StreamSession, resend: Resend) -> None:
        self.session = session
        self.policy: RetryPolicy = session.policy
        self._resend = resend
        self.gate = Gate(session)
        self._strategy = Strategy.AUTO
        self._log: list[str] = []
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

    def _adopt(self, stream: Any) -> Any:
        """Read on from another stream."""
        self.response = stream.response
        self.gate.adopt(stream)
        return stream

    # --- Failing ---------------------------------------------------------------------------------------------------
    def requests(self) -> Steps:
        """The first request, and the ones that follow while there is no response, if those are ours to make."""
        replaced = self.policy.sdk_retries is SdkRetries.REPLACE
        call = self._resend.first(0 if replaced else max(0, self.policy.limits.max_requests - 1)) or self._resend.call
        while True:
            result = yield Send(call)
            if not replaced or not isinstance(result, Exception):
                return result
            decision = self._decide(Failure(error=result), before_response=True)
            if decision.action is not Action.RETRY:
                self.note(result)
                return result
            yield Sleep(decision.delay)

    def recover(self, failure: Failure, response: Any, standing: PendingFailures) -> Steps:
        """The steps after a failure. Returns the stream to read on, or the failure that the caller gets."""
        gate = self.gate
        if gate.complete or gate.unsure or self.session.ended:  # nothing is missing, or nobody waits for it any more
            return failure
        if not gate.seeks_seam:  # there is none, or it was found: what broke now is another failure
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
        return 0 if self.policy.sdk_retries is SdkRetries.REPLACE else max(0, self._left())

    def _prepare_replay(self) -> Any:
        splice, kept = None, self.kept
        if kept is not None and kept.delivered.started:
            splice = Splice.for_retry(
                started=True,
                message_id=kept.message_id,
                next_index=kept.next_index,
                open_index=kept.open_index,
                open_type=kept.open_type,
                drop_thinking=not self.policy.commit.thinking_is_output,
            )
        call = self._resend.again(self._sdk_retries())
        self.gate.replays(splice)
        return call

    def _prepare_continuation(self, strategy: Strategy | None = None) -> Any:
        kept = self.kept
        if kept is None:
            raise RuntimeError("no text was kept")
        body, resume, traits = self._resend.body, self.policy.resume, self.session.call.traits
        self._strategy = strategy or strategy_for(resume, str(body.get("model")), traits)
        text = kept.text
        seam = SeamFinder(text, resume, self._strategy)
        splice = Splice.for_resume(
            seam, next_index=kept.next_index, open_index=kept.open_text_index, message_id=kept.message_id
        )
        self.gate.continues(splice, seam, self._strategy)
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
        yield from self.gate.release()
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
    def enter(self) -> RequestScope | None:
        """Set the contexts of a request: whose it is, and the span of the stream."""
        return RequestScope(self.session, self.session.span)

    @_guard.guarded("recovery", None)
    def leave_request(self, entered: RequestScope | None) -> None:
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
