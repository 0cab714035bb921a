"""What becomes of the attempts of one call that failed: told, decided about, and remembered until the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otel_claude_stream._core.diagnosis.classify import Verdict, classify
from otel_claude_stream._core.diagnosis.facts import End, Facts
from otel_claude_stream._core.retry.context import Action, Blocker, Decision
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.vocabulary import AbortReason, Stop
from otel_claude_stream._session.report import facts_of, totals_of
from otel_claude_stream._telemetry.span_attributes import decision_detail, retry_detail, seam_detail

if TYPE_CHECKING:
    from otel_claude_stream._session.session import StreamSession


class Failures:
    """The failed attempts of a call, made with the first of them."""

    __slots__ = ("_last", "broken", "its_reason", "recovered", "resumed", "seam", "stopped_by", "told")

    def __init__(self) -> None:
        self.broken: tuple[Facts, Verdict] | None = None
        """How the text broke that is being continued: how the stream ends if that fails."""
        self.its_reason: AbortReason | None = None
        """Why the attempt under way failed, where the stream ends for another reason."""
        self._last = ("", "")
        self.told = False
        """The decision about the last failure has been told."""
        self.recovered: str | None = None
        """What was done about a failure: `retry`, `resume` (maybe both), None if nothing."""
        self.resumed = False
        """The caller holds text of a continuation."""
        self.seam: str | None = None
        """How the last continuation fitted."""
        self.stopped_by: Blocker | None = None
        """The cap of the policy that ended the SDK's own retries."""

    def sdk_retries(self, session: StreamSession, delay: float, end: End | None) -> None:
        """The SDK gave an attempt up and sleeps `delay` seconds before the next."""
        now = session.clocks.now()
        reply = session.attempts.take_pending()
        facts = facts_of(session, end or End(Stop.RAISED), now, reply, opened=False)
        reason = classify(facts, session.limits).reason or AbortReason.STREAM_ERROR
        session.emission.sent(reply.status if reply is not None else None, session.handling.layer)
        attempt = session.attempts.end(now, "sdk", reply, reason, totals_of(session), delay=delay)
        session.emission.retried(reason.value, delay, "sdk", Action.RETRY.value)
        session.machine.own("retry", now, retry_detail(attempt))

    def broke(self, session: StreamSession, end: End, *, before_response: bool) -> Decision:
        """An attempt failed. What is done about it; if another follows, it is counted as begun."""
        now = session.clocks.now()
        layer, attempts = session.handling.layer, session.attempts
        reply = attempts.pending if before_response else attempts.reply
        facts = facts_of(session, end, now, reply, opened=not before_response)
        verdict = classify(facts, session.limits)
        decision = self.decide(session, facts, verdict, reply, now, before_response=before_response)
        later = before_response and attempts.reply is not None
        if decision.action is Action.GIVE_UP:
            if later:
                self.broken = self.broken or (facts, verdict)
                _sent(session, layer)
                attempts.end(now, "policy", reply, verdict.reason, totals_of(session))
                attempts.give_up()
            self.its_reason = verdict.reason
            return decision
        if before_response:
            _sent(session, layer)
        if decision.action is Action.RESUME and self.broken is None:
            self.broken = (facts, verdict)
        reason = (verdict.reason or AbortReason.STREAM_ERROR).value
        attempts.end(now, "policy", reply, verdict.reason, totals_of(session), delay=decision.delay)
        attempts.follow()
        session.clocks.failed(now)
        session.emission.retried(reason, decision.delay, "policy", decision.action.value)
        if self.recovered != Action.RESUME.value:
            self.recovered = decision.action.value
        session.held = 0
        self.told = False
        return decision

    def refused(self, session: StreamSession) -> None:
        """The request of a continuation was refused for its form; another form follows at once."""
        now = session.clocks.now()
        reply = session.attempts.pending
        _sent(session, "policy")
        session.attempts.end(now, "policy", reply, AbortReason.REQUEST_REJECTED, totals_of(session), delay=0.0)

    def seam_found(self, session: StreamSession, strategy: str, seam: str, *, fits: bool) -> None:
        """The continuation met the text before it."""
        self.seam = seam
        machine = session.machine
        detail = seam_detail(len(session.attempts.over) + 1, strategy, seam, machine.delivered.text)
        machine.own("resume", session.clocks.now(), detail)
        if fits:
            self.resumed = True
            self.broken = None  # from here on it is the stream

    def in_words(self, decision: Decision) -> str:
        """The last failure and what was decided, for whoever reads the exception."""
        reason, phase = self._last
        if decision.action is Action.GIVE_UP:
            return f"{reason} ({phase}), given up: {decision.blocked_by.value}"
        return f"{reason} ({phase}), {decision.action.value} after {decision.delay:.2f} s"

    def decide(
        self,
        session: StreamSession,
        facts: Facts,
        verdict: Verdict,
        reply: Reply | None,
        now: int,
        *,
        before_response: bool,
    ) -> Decision:
        """What is done about an attempt that failed, told as an event and as a count."""
        handling, machine = session.handling, session.machine
        attempt = len(session.attempts.over) + 1
        decision = handling.decide(
            facts,
            verdict,
            reply,
            machine.delivered,
            session.call.traits,
            requests=attempt,
            before_response=before_response,
        )
        if decision.blocked_by is Blocker.SDK and self.stopped_by is not None:
            decision = replace(decision, blocked_by=self.stopped_by)
        reason = verdict.reason or AbortReason.STREAM_ERROR
        self._last = (reason.value, facts.phase.value)
        self.told = True
        session.emission.decided(reason.value, decision, dry_run=handling.dry_run)
        detail = decision_detail(
            attempt, reason, facts.phase, decision, reply, dry_run=handling.dry_run, left=handling.left()
        )
        machine.own("retry", now, detail)
        return decision

    @staticmethod
    def stands(broken: tuple[Facts, Verdict], facts: Facts) -> tuple[Facts, Verdict]:
        """How a stream ends whose text could not be continued: by its first failure, whenever that was given up."""
        first, verdict = broken
        return replace(first, elapsed=facts.elapsed), verdict


def _sent(session: StreamSession, layer: str) -> None:
    """The request that is under way failed, with the response that is pending or with none."""
    reply = session.attempts.take_pending()
    session.emission.sent(reply.status if reply is not None else None, layer)
