"""The attempts of one call, as generators of steps without I/O.

A driver reads the frames and passes each one to the gate. When an attempt fails, the driver carries out the steps of
`RetryFlow.recover`: sleep, send, close.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._core.retry.concurrency import WaitLimit, longest_wait, no_permit
from otel_claude_stream._core.retry.context import Action, Blocker, Decision
from otel_claude_stream._core.retry.policy import RetryPolicy, SdkRetries, Strategy
from otel_claude_stream._core.retry.resume.capabilities import refuses_prefill, strategy_for
from otel_claude_stream._core.retry.resume.request import continue_body
from otel_claude_stream._core.retry.resume.seam import SeamFinder
from otel_claude_stream._core.retry.resume.splice import Splice
from otel_claude_stream._sdk.read.endings import record_error_response
from otel_claude_stream._sdk.read.responses import end_by, status_of
from otel_claude_stream._sdk.retry.failure import Failure, PendingFailures, queue_timeout, truncation
from otel_claude_stream._sdk.retry.gate import Gate
from otel_claude_stream._sdk.retry.resend import Call, Resend
from otel_claude_stream._sdk.retry.sdk_retries import SdkRetryCaps
from otel_claude_stream._sdk.retry.steps import Close, Send, Sleep, Step, Wait
from otel_claude_stream._session.session import StreamSession

_GIVE_UP = Decision(Action.GIVE_UP, Blocker.NONE)

Steps = Generator[Step, Any, Any]


class RetryFlow:
    """The attempts of one call whose policy does more than observe."""

    def __init__(self, session: StreamSession, resend: Resend) -> None:
        self.session = session
        self.gate = Gate(session)
        self.sdk_caps = SdkRetryCaps(session)
        self._policy: RetryPolicy = session.policy
        self._resend = resend
        self._strategy = Strategy.AUTO
        self._log: list[str] = []
        self._gave_up = False
        self._wait_limit: WaitLimit | None = None
        """The limit on the last wait for a permit."""
        self.response: Any = None
        """The response that is being read now, if it is not the first one."""
        self.request: Any = None
        """The client's own `request`, for the drivers."""
        self.caller_left = threading.Event()
        """Set when the caller closes the stream."""
        self._wake: Callable[[], object] | None = None

    # --- Steps ---------------------------------------------------------------------------------------------------
    def requests(self, request: Callable[..., Any]) -> Steps:
        """Send the first request, and repeat it while there is no response, if the policy replaces the SDK's retries.

        Returns the stream, or the exception that the caller gets.
        """
        self.request = request
        replaces_sdk = self._policy.sdk_retries is SdkRetries.REPLACE
        limit = 0 if replaces_sdk else max(0, self._policy.limits.max_requests - 1)
        if not (yield from self._admitted()) and (refused := self._queue_timeout()) is not None:
            return refused
        result = yield Send(self._resend.first(limit) or self._resend.call)
        original: Exception | None = None  # that of the requested model, if another one was asked
        while isinstance(result, Exception) and (
            replaces_sdk or original is not None or self.session.state.call_policy.fallback
        ):
            decision = self._decide(Failure(error=result), before_response=True)
            if decision.action is Action.FALLBACK:
                original = result
            again = None if decision.action is Action.GIVE_UP else (yield from self._send_first_again(decision))
            if again is None:
                self._add_note(original or result)
                return original or result
            result = again
        if original is not None:
            with _guard.guard("recovery"):
                self.session.retries.answered()
        return result

    def _send_first_again(self, decision: Decision) -> Steps:
        """Send the request again that has no response yet. Returns the same as `_attempt`."""
        yield Sleep(decision.delay)
        try:
            return (yield from self._send(functools.partial(self._first_call_again, decision.model)))
        except Exception as error:  # noqa: BLE001 - the boundary: the caller gets the failure as it came
            _guard.report("recovery", error)
            return None

    def _first_call_again(self, model: str) -> Call:
        """Return the call as it was made, for another model if one is named."""
        self._switch_to(model)
        return self._resend.first(self._sdk_retries()) or self._resend.call

    def _switch_to(self, model: str) -> None:
        """Send all further requests to another model, if one is named."""
        if model:
            self._resend = self._resend.for_model(model)

    def recover(self, failure: Failure, response: Any, pending: PendingFailures) -> Steps:
        """Do what the policy decides about a failure. Returns the stream to read on, or the failure to raise."""
        try:
            return (yield from self._recover(failure, response, pending))
        except Exception as error:  # noqa: BLE001 - the boundary: the caller gets the failure as without the policy
            _guard.report("recovery", error)
            return pending.to_raise(failure) if failure.seam else failure

    def _recover(self, failure: Failure, response: Any, pending: PendingFailures) -> Steps:
        gate = self.gate
        if gate.message_complete or gate.state_unknown or self.session.is_over:
            return failure
        if not gate.seeks_seam:
            pending.seam_passed()
        if failure.seam:
            self.session.retries.seam_found(self._strategy.value, failure.seam, fits=False)
            self._log.append(f"the continuation did not fit: {failure.seam}")
            return self._give_up(pending.to_raise(failure))
        decision = self._decide(failure)
        while decision.action is not Action.GIVE_UP:
            pending.add(failure, stands=decision.action is not Action.RETRY)
            if response is not None:
                yield Close(response)
                response = None
            yield Sleep(decision.delay)
            result = yield from self._attempt(decision)
            if result is None:
                break
            if self.caller_left.is_set():
                if not isinstance(result, Exception):
                    yield Close(result.response)
                break
            if not isinstance(result, Exception):
                self.response = result.response
                if not gate.seeks_seam:
                    self.session.retries.answered()
                gate.adopt(result)
                return result
            failure = Failure(error=result)
            decision = self._decide(failure, before_response=True)
        return self._give_up(pending.to_raise(failure))

    def _attempt(self, decision: Decision) -> Steps:
        """Send the request of an attempt.

        Returns the stream, the exception that the request ended with, or None if it was not sent.
        """
        retried = functools.partial(self._retried_call, decision.model)
        result = yield from self._send(self._continuing_call if decision.action is Action.RESUME else retried)
        if self._strategy is Strategy.PREFILL and isinstance(result, Exception) and _refuses_prefill(result):
            # The table of models is outdated: once, the other way, which every model accepts.
            other = yield from self._send(functools.partial(self._other_form, result), decided=False)
            result = result if other is None else other
        return result

    def _send(self, make: Callable[[], Call], *, decided: bool = True) -> Steps:
        """Send a further request, if it may be sent. Returns the same as `_attempt`."""
        if not self._may_send(decided=decided):
            return None
        if not (yield from self._admitted()):
            self.session.retries.not_sent(Blocker.CONCURRENCY)
            return None
        try:
            call = make()
        except Exception as error:  # noqa: BLE001 - the boundary: the caller gets the failure without the attempt
            _guard.report("recovery", error)
            return None
        return (yield Send(call))

    @_guard.guarded("recovery", False)
    def _may_send(self, *, decided: bool = True) -> bool:
        """Whether a request may be sent now. Every request but the first has to pass here.

        The caller waits for it, the deadline has not passed, and there is budget left. `decided` if a decision has
        counted the request and taken its token.
        """
        session, limits = self.session, self._policy.limits
        in_time = limits.deadline is None or session.age <= limits.deadline
        if not self.caller_left.is_set() and not session.is_over and in_time:
            return decided or (session.state.attempts.sent < limits.max_requests and session.state.call_policy.take())
        if decided:
            session.retries.not_sent()
        return False

    # --- Its permit ----------------------------------------------------------------------------------------------
    def _admitted(self) -> Steps:
        """Wait for the permit of the next request, if the policy limits them. Returns whether it may be sent."""
        if self.session.state.call_policy.permits is None or self._has_permit():
            return True
        try:
            self._wait_limit = limit = self._longest_wait()
            yield Wait(limit.left)
        except Exception as error:  # noqa: BLE001 - the boundary: the request is sent
            _guard.report("permit", error)
            return True
        return self._wait_over()

    def _longest_wait(self) -> WaitLimit:
        policy, session = self._policy, self.session
        return longest_wait(policy.concurrency, policy.limits.deadline, session.age, session.state.call.read_timeout)

    @_guard.guarded("permit", True)
    def _has_permit(self) -> bool:
        permits = self.session.state.call_policy.permits
        return permits is None or permits.ask(self.session.state.attempts)

    @_guard.guarded("permit", True)
    def _wait_over(self) -> bool:
        permits, left = self.session.state.call_policy.permits, self.caller_left.is_set() or self.session.is_over
        return permits is None or permits.wait_over(self.session.state.attempts, left=left)

    @_guard.guarded("permit", None)
    def permit_wakes(self, wake: Callable[[], object]) -> None:
        """Set what ends the driver's wait for a permit."""
        permits = self.session.state.call_policy.permits
        if permits is not None:
            permits.wake_by(wake)

    @_guard.guarded("permit", None)
    def _queue_timeout(self) -> Exception | None:
        """Return what a call raises that got no permit; None if it cannot be made, and the request is sent."""
        permits, limit = self.session.state.call_policy.permits, self._wait_limit
        if permits is None or limit is None:
            return None
        text = no_permit(self._policy.concurrency, limit, permits.outcome.limit)
        return queue_timeout(self._resend.unsent(), text)

    def _other_form(self, refusal: Exception) -> Call:
        record_error_response(self.session, refusal)
        self.session.retries.continuation_refused(end_by(refusal))
        return self._continuing_call(Strategy.USER_CONTINUE)

    def _sdk_retries(self) -> int:
        """Return the retries that the SDK may make of the next request, which is counted already."""
        left = self._policy.limits.max_requests - self.session.state.attempts.sent
        return 0 if self._policy.sdk_retries is SdkRetries.REPLACE else max(0, left)

    def _retried_call(self, model: str) -> Call:
        self._switch_to(model)
        splice, delivered = None, self.session.state.message.ledger
        if delivered.started:
            splice = Splice.for_retry(
                started=True,
                message_id=delivered.message_id,
                next_index=delivered.next_index,
                open_index=delivered.open_index,
                open_type=delivered.open_type,
                drop_thinking=not self._policy.commit.thinking_is_output,
            )
        call = self._resend.again(self._sdk_retries())
        self.gate.expect_answer(splice)
        return call

    def _continuing_call(self, strategy: Strategy | None = None) -> Call:
        delivered = self.session.state.message.ledger
        body, resume = self._resend.body, self._policy.resume
        self._strategy = strategy or strategy_for(resume, str(body.get("model")), self.session.state.call.capabilities)
        text = delivered.full_text
        seam = SeamFinder(text, resume, self._strategy)
        splice = Splice.for_resume(
            seam,
            next_index=delivered.next_index,
            open_index=delivered.open_text_index,
            message_id=delivered.message_id,
        )
        self.gate.expect_continuation(splice, seam, self._strategy)
        return self._resend.with_body(continue_body(body, text, self._strategy, resume), self._sdk_retries())

    @_guard.guarded("recovery", _GIVE_UP)  # the boundary: the caller gets the failure as it would without the policy
    def _decide(self, failure: Failure, *, before_response: bool = False) -> Decision:
        if before_response and failure.error is not None:
            record_error_response(self.session, failure.error)
        decision = self.session.retries.attempt_failed(failure.end(), before_response=before_response)
        self._log.append(self.session.retries.describe(decision))
        return decision

    # --- Giving up -----------------------------------------------------------------------------------------------
    def _give_up(self, failure: Failure) -> Failure:
        self._gave_up = True  # the SDK has yet to make the exception of an `error` event: see `annotate`
        return failure

    @_guard.guarded("recovery", None)
    def annotate(self, error: Exception) -> None:
        """Add the attempts to the exception that the caller gets, if the policy gave up."""
        if self._gave_up:
            self._add_note(error)

    @_guard.guarded("recovery", None)
    def _add_note(self, error: Exception) -> None:
        if len(self._log) < 2:  # the failure itself, and no other attempt
            return
        text = "otel-claude-stream: " + "; ".join(f"attempt {n}: {entry}" for n, entry in enumerate(self._log, 1))
        self._log = []
        error.__dict__.setdefault("__notes__", []).append(text)  # `add_note`, which Python 3.10 does not have

    def emit_final_failure(self, failure: Failure, response: Any) -> Iterator[Any]:
        """Yield the frames that let the SDK raise, or raise the exception itself. Buffered frames come first."""
        yield from self.gate.release()
        if failure.frame is not None:
            yield failure.frame  # the SDK raises
            return
        error = failure.error
        if error is None and self._policy.raise_on_truncation:
            error = truncation(response)
        if error is not None:
            try:
                raise error
            finally:
                del error, failure  # its traceback has this frame: a cycle otherwise

    # --- The caller leaves ---------------------------------------------------------------------------------------
    def wake_by(self, wake: Callable[[], object] | None) -> None:
        """Set what interrupts the driver's sleep when the caller leaves; None if it does not sleep."""
        self._wake = wake

    @_guard.guarded("recovery", None)
    def leave(self) -> None:
        """Send nothing any more, and end a back-off: the caller closed the stream, in any thread."""
        self.caller_left.set()
        if self._wake is not None:
            self._wake()


def _refuses_prefill(error: Exception) -> bool:
    status = status_of(error)
    return status is not None and refuses_prefill(status, str(error))
