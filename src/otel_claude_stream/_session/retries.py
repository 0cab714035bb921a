"""The failed attempts of one call, and the decisions about them."""

from __future__ import annotations

from dataclasses import replace

from otel_claude_stream import _guard
from otel_claude_stream._core.diagnosis.classify import Diagnosis
from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.retry.context import Action, Blocker, Decision
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.summary import RetryOutcome
from otel_claude_stream._core.vocabulary import Stop
from otel_claude_stream._session.report import diagnosis_of
from otel_claude_stream._session.state import StreamState
from otel_claude_stream._telemetry.span_attributes import decision_attributes, resume_attributes, retry_attributes


class Retries:
    """The failed attempts of a call. Created with the first of them: most calls have none."""

    __slots__ = (
        "_action",
        "_given_up",
        "_last",
        "_model",
        "_original_failure",
        "_reported",
        "_resumed",
        "_seam",
        "_served",
        "_state",
        "_stopped_by",
    )

    def __init__(self, state: StreamState) -> None:
        self._state = state
        self._original_failure: Diagnosis | None = None
        """The failure that the call ends by, if the continuation of its text or its fallback model fails too."""
        self._given_up: Diagnosis | None = None
        """Why the current attempt failed, which no other one follows."""
        self._last = ("", "")
        """Reason and phase of the last failure."""
        self._reported = False
        """The decision about the last failure has been reported."""
        self._action: Action | None = None
        """The last in the order of `Action` of the actions that followed a failure; None for none."""
        self._model: str | None = None
        """The fallback model that a request was sent to."""
        self._served = False
        """It answered."""
        self._resumed = False
        self._seam: str | None = None
        self._stopped_by: Blocker | None = None
        """The limit of the policy that ended the SDK's own retries, or passed during a back-off."""

    @property
    def outcome(self) -> RetryOutcome:
        """The outcome, for the summary."""
        action = self._action.value if self._action is not None else None
        return RetryOutcome(action, self._seam, self._resumed, self._model, self._served)

    # --- The SDK's own retries -----------------------------------------------------------------------------------
    def sdk_attempt_failed(self, delay: float, end: End | None) -> None:
        """Record that the SDK gave up an attempt, and sleeps `delay` seconds before the next."""
        state = self._state
        now = state.hot.clock()
        reply = state.attempts.take_pending()
        found = diagnosis_of(state, end or End(Stop.RAISED), now, reply, opened=False)
        state.telemetry.record_request(reply, state.call_policy.layer, state.attempts.model)
        attempt = state.end_attempt(now, "sdk", reply, found, delay=delay)
        state.telemetry.record_retry(found.reason.value, delay, "sdk", Action.RETRY.value)
        state.message.record_synthetic_event("retry", now, retry_attributes(attempt.number, found, delay, reply))

    def sdk_retries_stopped(self, by: Blocker) -> None:
        """Record that a cap of the policy ended the SDK's own retries."""
        self._stopped_by = by

    # --- Those of the policy -------------------------------------------------------------------------------------
    def attempt_failed(self, end: End, *, before_response: bool) -> Decision:
        """Decide what is done about the current attempt, which failed. If another one follows, it begins here."""
        state, attempts = self._state, self._state.attempts
        now, layer = state.hot.clock(), state.call_policy.layer
        reply = attempts.pending if before_response else attempts.reply
        found = diagnosis_of(state, end, now, reply, opened=not before_response)
        decision = self._decide(found, reply, now, before_response=before_response)
        if decision.action is Action.GIVE_UP:
            if before_response and attempts.reply is not None:
                self._original_failure = self._original_failure or found
                self._report_pending(layer)
                state.end_attempt(now, "policy", reply, found)
                attempts.give_up()
            self._given_up = found
            return decision
        if before_response:
            self._report_pending(layer)
        if decision.action is not Action.RETRY and self._original_failure is None:
            self._original_failure = found
        state.end_attempt(now, "policy", reply, found, delay=decision.delay)
        if state.call_policy.permits is not None:
            state.call_policy.permits.back_off(decision.model)
        attempts.follow(decision.model)
        self._model = decision.model or self._model
        state.timing.attempt_failed(now)
        state.telemetry.record_retry(found.reason.value, decision.delay, "policy", decision.action.value)
        self._action = max(self._action or decision.action, decision.action, key=list(Action).index)
        self._reported = False
        return decision

    def answered(self) -> None:
        """Record that the stream goes on with the whole answer of another attempt."""
        self._original_failure = None
        self._served = self._model is not None

    def not_sent(self, by: Blocker = Blocker.DEADLINE) -> None:
        """Record that the attempt which was decided upon was not sent. The caller left, or a limit forbids it."""
        self._state.attempts.give_up()
        self._stopped_by = by  # if the caller left, no decision is reported

    def continuation_refused(self, end: End) -> None:
        """Record that the form of a continuation was rejected; another form follows at once."""
        state = self._state
        now, reply = state.hot.clock(), state.attempts.pending
        self._report_pending("policy")
        state.end_attempt(now, "policy", reply, diagnosis_of(state, end, now, reply, opened=False), delay=0.0)

    def seam_found(self, strategy: str, seam: str, *, fits: bool) -> None:
        """Record how a continuation met the text before it."""
        self._seam = seam
        state = self._state
        detail = resume_attributes(len(state.attempts.over) + 1, strategy, seam, state.message.delivered.text)
        state.message.record_synthetic_event("resume", state.hot.clock(), detail)
        if fits:
            self._resumed = True
            self._original_failure = None  # from here on this attempt is the stream

    def describe(self, decision: Decision) -> str:
        """Return the last failure and the decision about it, for a note on the exception."""
        reason, phase = self._last
        if decision.action is Action.GIVE_UP:
            return f"{reason} ({phase}), given up: {decision.blocked_by.value}"
        action = f"fallback to {decision.model}" if decision.model else decision.action.value
        return f"{reason} ({phase}), {action} after {decision.delay:.2f} s"

    # --- The end of the call -------------------------------------------------------------------------------------
    def known_end(self, end: End, now: int) -> tuple[Diagnosis, Diagnosis | None] | None:
        """Return why the call and its last attempt failed, if the policy gave up or a text could not be continued.

        Such a text ends by its first failure, whatever happened since.
        """
        found = self._original_failure or self._given_up
        if found is None or end.stop not in (Stop.RAISED, Stop.EXHAUSTED):
            return None
        elapsed = (now - self._state.timing.started) / 1e9
        return found._replace(facts=replace(found.facts, elapsed=elapsed)), self._given_up

    def report_end(self, found: Diagnosis, reply: Reply | None, now: int, *, opened: bool) -> None:
        """Report the decision about a call that failed, unless it was reported when it was taken."""
        if not self._reported:
            try:
                self._decide(found, reply, now, before_response=not opened)
            except Exception as error:  # noqa: BLE001 - an end without a decision is better than none
                _guard.report("decide", error)

    def would_abort(self, end: End, now: int) -> None:
        """Report, as a dry run, what would be done if the watchdog had aborted the response at `now`.

        It is the decision about the call: a policy that acts would not see a later failure of the response.
        """
        reply = self._state.attempts.reply
        self._decide(diagnosis_of(self._state, end, now, reply, opened=True), reply, now, before_response=False)

    def _decide(self, found: Diagnosis, reply: Reply | None, now: int, *, before_response: bool) -> Decision:
        """Return what is done about an attempt that failed, and report it as an event and as a count."""
        state, policy = self._state, self._state.call_policy
        attempt = len(state.attempts.over) + 1
        decision = policy.decide(
            *found,
            reply,
            state.message.delivered,
            state.call.capabilities,
            requests=attempt,
            before_response=before_response,
        )
        not_sent = not state.attempts.is_under_way(now)
        if self._stopped_by is not None and (not_sent or decision.blocked_by is Blocker.SDK):
            decision = replace(decision, blocked_by=self._stopped_by)
        self._last = (found.reason.value, found.facts.phase.value)
        self._reported = True
        state.telemetry.record_decision(found.reason.value, decision, dry_run=policy.dry_run)
        detail = decision_attributes(attempt, found, decision, reply, dry_run=policy.dry_run, budget_left=policy.left())
        state.message.record_synthetic_event("retry", now, detail)
        return decision

    def _report_pending(self, layer: str) -> None:
        """Count the request under way, which failed, with the response that is pending or with none."""
        attempts = self._state.attempts
        self._state.telemetry.record_request(attempts.take_pending(), layer, attempts.model)
