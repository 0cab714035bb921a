"""One stream call, from the request to its one ending: machine, clocks, classifier and emitter behind one object.

Synchronous, and the only object that the SDK shells see. Its public fields are the hot path's: the shells write them
without a call. It holds no reference to the stream, the response or an event (no cycle, nothing is kept alive).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from otel_claude_stream import _guard
from otel_claude_stream._config import StreamConfig
from otel_claude_stream._core.call import Call, Reply
from otel_claude_stream._core.end import End
from otel_claude_stream._core.endings import Verdict, classify
from otel_claude_stream._core.facts import Facts, Fault
from otel_claude_stream._core.limits import Limit
from otel_claude_stream._core.machine import StreamMachine
from otel_claude_stream._core.recent import RecentBytes
from otel_claude_stream._core.recovery.delivered import DeliveredBlocks
from otel_claude_stream._core.recovery.policy import RetryPolicy, Watchdog
from otel_claude_stream._core.recovery.situation import Action, Blocker, Decision
from otel_claude_stream._core.stalls import StallWatch
from otel_claude_stream._core.summary import Summary
from otel_claude_stream._core.vocabulary import AbortReason, Origin, Outcome, Phase, Stop
from otel_claude_stream._session.attempts import Attempts, Totals
from otel_claude_stream._session.handling import Handling
from otel_claude_stream._telemetry.emitter import Emission
from otel_claude_stream._telemetry.writing import (
    abort_detail,
    decision_detail,
    retry_detail,
    seam_detail,
    stall_detail,
)

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_NS = 1_000_000_000

BURST_NS = 1_000_000
"""Events less than this apart are one burst: several arrive in one TCP segment, and a gap costs 6 to 10 us to tell."""

WAIT_NS = 50_000
"""A read that took longer than this waited for the wire; a shorter one took what was there (a read from memory takes
some 5 us). Waits are added up; what is no wait, the SDK and the caller spent."""


class StreamSession:
    """The life of one stream call."""

    __slots__ = (
        "__weakref__",
        "_broken",
        "_emission",
        "_failed_at",
        "_first_event_at_wait",
        "_first_token_wait",
        "_handling",
        "_head_wait",
        "_latch",
        "_largest_gap",
        "_its_reason",
        "_last_failure",
        "_last_wait",
        "_limits",
        "_lost_wait",
        "_opened_at",
        "_recent",
        "_recovered",
        "_resumed",
        "_stalls",
        "_started",
        "_told",
        "_wall_offset",
        "anchor",
        "annotate",
        "arrived",
        "asked",
        "attempts",
        "bytes",
        "call",
        "clock",
        "decoded",
        "held",
        "keep",
        "kept",
        "longest",
        "machine",
        "on_drop",
        "on_end",
        "parsed",
        "progress",
        "read_timeout",
        "reads",
        "recovery",
        "seam",
        "stopped_by",
        "waited",
    )

    def __init__(  # noqa: PLR0915 - one field after the other
        self,
        call: Call,
        emission: Emission,
        config: StreamConfig,
        limits: tuple[Limit, ...],
        handling: Handling,
        *,
        clock: Callable[[], int] = time.perf_counter_ns,
        started: int,
        wall: int,
    ) -> None:
        self.call = call
        self._handling = handling
        self.clock = clock
        self._emission = emission
        self._limits = limits
        self._latch = threading.Lock()  # taken once and never released: the first ending wins, in any thread
        self._started = started
        self._wall_offset = wall - started
        self.attempts = Attempts(started)
        self._broken: tuple[Facts, Verdict] | None = None
        """How the text broke that is being continued: how the stream ends if that fails."""
        self._its_reason: AbortReason | None = None
        """Why the attempt under way failed, where the stream ends for another reason."""
        self._last_failure = ("", "")
        self._told = False
        """The decision about the last failure has been told."""
        self._recovered: str | None = None
        self._resumed = False
        self._opened_at: int | None = None
        self._failed_at = 0
        self._head_wait: int | None = None
        self._first_event_at_wait: int | None = None
        self._first_token_wait: int | None = None
        self._recent = RecentBytes()
        self._stalls = StallWatch(config.stall_thresholds)
        self._largest_gap = 0
        self._last_wait = 0
        self._lost_wait = 0
        """The longest wait at whose end an attempt broke that another followed."""
        self.machine = StreamMachine(
            deltas=config.deltas if emission.wants_events else "none", budget=emission.event_budget
        )
        self.anchor: object = None
        """A weak reference to the response, whose callback ends the session."""
        self.on_end: Callable[[StreamSession], None] | None = None
        self.on_drop: Callable[[StreamSession], None] | None = None
        self.read_timeout = call.read_timeout
        """Seconds after which the transport gives a read of the body up; None for never."""
        self.recovery: object = None
        """What sends the request again, for the shells; None where nothing is to be done about a failure."""
        self.annotate: Callable[[BaseException], None] | None = None
        """Says on an exception what had been tried before; set where something was."""
        self.seam: str | None = None
        """How the last continuation fitted."""
        self.stopped_by: Blocker | None = None
        """The cap of the policy that ended the SDK's own retries."""
        self.held = 0
        """Events that came and are held back until the first content."""
        # The hot path's.
        self.asked = 0
        """When the reader last began to wait for bytes."""
        self.arrived = started
        """When the last bytes came."""
        self.waited = 0
        """Nanoseconds that reads waited, in all."""
        self.progress = 0
        """`waited` at the last event of the message."""
        self.bytes = 0
        self.reads = 0
        self.longest = 0
        """The longest wait of one read that returned bytes."""
        self.decoded = False
        """The SDK decodes the body (else the caller reads bytes, or nobody does)."""
        self.parsed = False
        """The SDK's parsed events would pass by us, if it decodes."""
        self.keep: Callable[[str], None] | None = None
        """Keeps the text that is handed on, for a continuation."""
        self.kept: DeliveredBlocks | None = None
        """What the caller has been handed, where a later attempt may have to go on from there."""

    # --- The request ---------------------------------------------------------------------------------------------
    def attempt_answered(self, reply: Reply) -> None:
        """An attempt got a response that may lead to a retry."""
        self.attempts.pending = reply

    def spend(self) -> bool:
        """Take a retry of the SDK's own loop out of the budget; False if there is none left."""
        return self._handling.take()

    @property
    def answered(self) -> bool:
        """Whether the attempt under way got a response, of whatever status, that has not been told yet."""
        return self.attempts.pending is not None

    def attempt_failed(self, delay: float, end: End | None) -> None:
        """The SDK gave an attempt up and sleeps `delay` seconds before the next."""
        now = self.clock()
        reply = self.attempts.take_pending()
        facts = self._facts(end or End(Stop.RAISED), now, reply, opened=False)
        reason = classify(facts, self._limits).reason or AbortReason.STREAM_ERROR
        self._emission.sent(reply.status if reply is not None else None, self._layer)
        attempt = self.attempts.end(now, "sdk", reply, reason, self._totals, delay=delay)
        self._emission.retried(reason.value, delay, "sdk", Action.RETRY.value)
        self.machine.own("retry", now, retry_detail(attempt))

    @property
    def _totals(self) -> Totals:
        machine = self.machine
        return Totals(self.bytes, machine.events, machine.all_characters)

    @property
    def _layer(self) -> str:
        """Whose request is under way."""
        return "policy" if self._handling.attempt > 1 else "sdk"

    @property
    def requests(self) -> int:
        """HTTP requests sent so far."""
        return self.attempts.sent

    @property
    def acts(self) -> bool:
        """Whether anything may be done about a failure."""
        return not self._handling.dry_run

    @property
    def policy(self) -> RetryPolicy:
        """The policy of the call."""
        return self._handling.policy

    # --- An attempt that failed, where something may be done about it ----------------------------------------------
    def broke(self, end: End, *, before_response: bool = False) -> Decision:
        """An attempt failed. What is done about it; if another follows, it is counted as begun."""
        now = self.clock()
        layer = self._layer
        attempts = self.attempts
        reply = attempts.pending if before_response else attempts.reply
        facts = self._facts(end, now, reply, opened=not before_response)
        verdict = classify(facts, self._limits)
        decision = self._decide(facts, verdict, reply, now, before_response=before_response)
        later = before_response and attempts.reply is not None
        if decision.action is Action.GIVE_UP:
            if later:
                self._broken = self._broken or (facts, verdict)
                self._sent(layer)
                attempts.end(now, "policy", reply, verdict.reason, self._totals)
                attempts.give_up()
            self._its_reason = verdict.reason
            return decision
        if before_response:
            self._sent(layer)
        if decision.action is Action.RESUME and self._broken is None:
            self._broken = (facts, verdict)
        reason = (verdict.reason or AbortReason.STREAM_ERROR).value
        attempts.end(now, "policy", reply, verdict.reason, self._totals, delay=decision.delay)
        attempts.follow()
        self._failed_at = now
        self._emission.retried(reason, decision.delay, "policy", decision.action.value)
        if self._recovered != Action.RESUME.value:
            self._recovered = decision.action.value
        self.held = 0
        self._told = False
        return decision

    def _sent(self, layer: str) -> None:
        """The request that is under way failed, with the response that is pending or with none."""
        reply = self.attempts.take_pending()
        self._emission.sent(reply.status if reply is not None else None, layer)

    def refused(self) -> None:
        """The request of a continuation was refused for its form; another form follows at once."""
        now = self.clock()
        reply = self.attempts.pending
        self._sent("policy")
        self.attempts.end(now, "policy", reply, AbortReason.REQUEST_REJECTED, self._totals, delay=0.0)

    def last_failure(self, decision: Decision) -> str:
        """The last failure and what was decided, in words for whoever reads the exception."""
        reason, phase = self._last_failure
        if decision.action is Action.GIVE_UP:
            return f"{reason} ({phase}), given up: {decision.blocked_by.value}"
        return f"{reason} ({phase}), {decision.action.value} after {decision.delay:.2f} s"

    @property
    def span(self) -> Span | None:
        """The span of the stream."""
        return self._emission.span

    def _decide(
        self, facts: Facts, verdict: Verdict, reply: Reply | None, now: int, *, before_response: bool
    ) -> Decision:
        handling = self._handling
        attempt = len(self.attempts.over) + 1
        decision = handling.decide(
            facts,
            verdict,
            reply,
            self.machine.delivered,
            self.call.traits,
            requests=attempt,
            before_response=before_response,
        )
        if decision.blocked_by is Blocker.SDK and self.stopped_by is not None:
            decision = replace(decision, blocked_by=self.stopped_by)
        reason = verdict.reason or AbortReason.STREAM_ERROR
        self._last_failure = (reason.value, facts.phase.value)
        self._told = True
        self._emission.decided(reason.value, decision, dry_run=handling.dry_run)
        detail = decision_detail(
            attempt, reason, facts.phase, decision, reply, dry_run=handling.dry_run, left=handling.left()
        )
        self.machine.own("retry", now, detail)
        return decision

    def seam_found(self, attempt_strategy: str, seam: str, *, fits: bool) -> None:
        """The continuation met the text before it."""
        now = self.clock()
        self.seam = seam
        self.machine.own(
            "resume", now, seam_detail(len(self.attempts.over) + 1, attempt_strategy, seam, self.machine.delivered.text)
        )
        if fits:
            self._resumed = True
            self._broken = None  # from here on it is the stream

    def opened(self, reply: Reply) -> None:
        """The response whose body is the stream is there."""
        now = self.clock()
        self.attempts.opened(reply)
        self._opened_at = now
        if self._head_wait is None:
            self._head_wait = now - self._started
        else:  # once more: all since the failure was a wait for the wire
            self.waited += max(0, now - self._failed_at)
            self._lost_wait = max(self._lost_wait, self._last_wait)
            self._last_wait = 0
            self.asked = 0
        self.arrived = now
        self._emission.sent(reply.status, self._layer)

    @property
    def is_open(self) -> bool:
        """Whether a response came."""
        return self.attempts.reply is not None

    # --- Reading -------------------------------------------------------------------------------------------------
    def on_wait(self, waited: int, now: int) -> None:
        """A read waited for the wire, until bytes came at `now`."""
        self.waited += waited
        if waited > self.longest:
            self.longest = waited
        self.machine.waits(self.arrived)
        self._recent.note(now, self.bytes)

    def stop_waiting(self) -> None:
        """The reader waited for bytes, and none came: the body ended, or the read raised."""
        self._last_wait = max(0, self.clock() - self.asked)
        self.waited += self._last_wait
        self.asked = 0

    def on_gap(self, gap: int) -> None:
        """An event of the message came, and the reader had waited `gap` (more than a burst) for it."""
        if self.ended:
            return  # the caller closed the stream and reads on
        if self._first_token_wait is not None:
            self._emission.gap(gap / _NS, largest=gap > self._largest_gap)
            self._largest_gap = max(gap, self._largest_gap)
        if self._stalls.passed(gap):
            self._stalled(gap, self.arrived)
            self._stalls.reset()

    def look(self) -> None:
        """Tell the thresholds that the wait that is going on has passed. From any thread, while the stream is open."""
        now = self.clock()
        if self.asked > self.arrived:  # else the caller has bytes to work on
            gap = self.waited - self.progress + now - self.asked
            if self._stalls.passed(gap) and not self.ended:
                self._stalled(gap, now)

    def _stalled(self, gap: int, now: int) -> None:
        machine = self.machine
        pinged = machine.last_ping_at is not None and machine.last_ping_at > now - gap
        kind = "pings_only" if pinged else "silent"
        for label in self._stalls.take(gap):
            self._emission.stalled(label, kind)
            machine.own("stall", now, stall_detail(label, kind, machine.open_block), gap)

    def overdue(self, watchdog: Watchdog) -> str | None:
        """The time-out that the stream has passed, by the name of its exception; None if it is in time."""
        first, progress = watchdog.first_event, watchdog.no_progress
        if first is not None and self._first_event_at_wait is None:
            opened = self._opened_at if self._opened_at is not None else self._started
            if self.clock() - opened > first * _NS:
                return "FirstEventTimeout"
        if progress is not None and self.waited - self.progress > progress * _NS:
            return "NoProgressTimeout"
        return None

    def first_event(self) -> None:
        """The first event of any kind came."""
        if self._first_event_at_wait is None:
            self._first_event_at_wait = (self._head_wait or 0) + self.waited

    def first_token(self) -> None:
        """The first content delta came: the time to it, without what the caller spent elsewhere."""
        self.first_event()
        self._first_token_wait = (self._head_wait or 0) + self.waited
        self._emission.first_token(self._first_token_wait / _NS, self.machine.first_block or "other")

    # --- The end -------------------------------------------------------------------------------------------------
    @property
    def ended(self) -> bool:
        """Whether the one ending has been told, or is being told."""
        return self._latch.locked()

    @property
    def age(self) -> float:
        """Seconds since the start of the call."""
        return (self.clock() - self._started) / _NS

    @property
    def labels(self) -> dict[str, object]:
        """The labels of its metrics: the same dict for all streams of a model and server."""
        return self._emission.labels

    def end(self, end: End, at: int | None = None) -> None:
        """The stream stopped. Only the first call counts."""
        if not self._latch.acquire(blocking=False):
            return
        try:
            self._finish(end, at if at is not None else self.clock())
        except Exception:
            self._emission.end_span()  # with less on it than there should be
            raise
        finally:
            self.anchor = self.recovery = self.annotate = None  # they refer to this session: cycles, until here
            if self.on_end is not None:
                self.on_end(self)

    def drop(self) -> None:
        """The reader was thrown away, maybe by a garbage collection: whoever keeps the open streams tells the end."""
        if self.on_drop is not None:
            self.on_drop(self)
        else:
            self.end(End(Stop.DROPPED))

    def disown(self) -> bool:
        """Tell no end: in a forked child the parent does. False if it was told already."""
        return self._latch.acquire(blocking=False)

    def forget(self) -> None:
        """The call gave something that is no stream: end its span with nothing to say."""
        if self.disown():
            try:
                self._emission.end_span()
            finally:
                if self.on_end is not None:
                    self.on_end(self)

    def _finish(self, end: End, now: int) -> None:
        machine = self.machine
        stopped = end.stop in (Stop.RAISED, Stop.EXHAUSTED)
        if self._stalls.passed(self.waited - self.progress):
            self._stalled(self.waited - self.progress, now)
        machine.settle(self.arrived)
        attempts = self.attempts
        reply = attempts.last_reply
        facts = self._facts(end, now, reply, opened=self.is_open)
        try:
            verdict = classify(facts, self._limits)
        except Exception as error:  # noqa: BLE001 - a stream without a reason is better than one without an end
            _guard.report("classify", error)
            verdict = Verdict(Outcome.FAILED, AbortReason.STREAM_ERROR, Origin.UNKNOWN, rule="internal")
        given_up = self._broken is not None and stopped and verdict.outcome is Outcome.FAILED
        if self._broken is not None and given_up:
            broken, verdict = self._broken
            facts = replace(broken, elapsed=facts.elapsed)
        if verdict.outcome is Outcome.FAILED and not self._told:
            self._last_decision(facts, verdict, reply, now)
        if verdict.reason is not None:
            machine.own("abort", now, abort_detail(facts, verdict))
        if attempts.is_under_way(now):
            unanswered = attempts.is_unanswered
            its_reply = attempts.pending if unanswered else reply
            failed = verdict.reason if unanswered or verdict.outcome is Outcome.FAILED else None
            failed = self._its_reason if given_up else failed
            if unanswered:
                self._emission.sent(its_reply.status if its_reply is not None else None, self._layer)
            attempts.end(now, self._layer, its_reply, failed, self._totals)
        self._emission.finish(self._summary(end, facts, verdict, reply, now), self.wall)

    def _last_decision(self, facts: Facts, verdict: Verdict, reply: Reply | None, now: int) -> None:
        try:
            self._decide(facts, verdict, reply, now, before_response=not self.is_open)
        except Exception as error:  # noqa: BLE001 - as for the classifier
            _guard.report("decide", error)

    def _summary(self, end: End, facts: Facts, verdict: Verdict, reply: Reply | None, now: int) -> Summary:
        first_event, first_token = self._first_event_at_wait, self._first_token_wait
        return Summary(
            call=self.call,
            facts=facts,
            verdict=verdict,
            machine=self.machine,
            entries=self.machine.journal.entries(),
            attempts=tuple(self.attempts.over),
            reply=reply,
            ended=now,
            read="events" if self.decoded else ("bytes" if self.reads else "none"),
            reads=self.reads,
            longest_silence=max(self.longest, self._last_wait, self._lost_wait) / _NS,
            consumer_time=self._others_time(now) / _NS,
            exception=end.exception,
            time_to_headers=self._head_wait / _NS if self._head_wait is not None else None,
            time_to_first_event=first_event / _NS if first_event is not None else None,
            time_to_first_token=first_token / _NS if first_token is not None else None,
            writing_time=self._writing_time(),
            recovered=self._recovered,
            seam=self.seam,
            resumed=self._resumed,
        )

    def _others_time(self, now: int) -> int:
        """What the SDK and the caller spent while the stream was open: all that was no wait."""
        if self._head_wait is None or not self.reads:
            return 0
        return max(0, now - self._started - self._head_wait - self.waited)

    def _writing_time(self) -> float | None:
        if self._first_token_wait is None:
            return None
        return ((self._head_wait or 0) + self.progress - self._first_token_wait) / _NS

    def _facts(self, end: End, now: int, reply: Reply | None, *, opened: bool) -> Facts:
        machine = self.machine
        silence = self._silence(now, opened=opened)
        came = self.attempts.of_this_one(self._totals)
        held = self.held > 0
        return Facts(
            stop=end.stop,
            phase=self._phase(held=held) if opened else _phase_before_response(end.fault),
            fault=end.fault,
            closed_elsewhere=end.closed_elsewhere,
            status=reply.status if reply is not None else None,
            error_type=end.error_type,
            error_source=end.error_source,
            content_type=reply.content_type if reply is not None else "",
            body=end.http.body,
            has_request_id=reply is not None and reply.request_id is not None,
            retry_after=reply.retry_after if reply is not None else None,
            headers=reply.fingerprint if reply is not None else {},
            wording=end.http.wording,
            message_start=machine.message_start or held,
            message_delta=machine.message_delta,
            message_stop=machine.message_stop,
            events=came.events + self.held,
            content_events=max(0, came.events - machine.pings + self.held),
            pings=machine.pings,
            bytes=came.bytes,
            elapsed=(now - self._started) / _NS,
            head=((self._opened_at if opened and self._opened_at is not None else now) - self.attempts.started) / _NS,
            silence=silence / _NS,
            no_progress=(self.waited - self.progress) / _NS,
            longest_earlier_silence=self.longest / _NS,
            largest_ping_gap=machine.largest_ping_gap / _NS,
            bytes_last_5s=self._recent.within(now, self.arrived, self.bytes),
            reads=self.reads,
            read_timeout=self.read_timeout,
            last_attempt=(now - self.attempts.started) / _NS,
        )

    def _phase(self, *, held: bool) -> Phase:
        phase = self.machine.phase
        return Phase.AWAITING_FIRST_TOKEN if held and phase is Phase.AWAITING_FIRST_EVENT else phase

    def _silence(self, now: int, *, opened: bool) -> int:
        """How long the reader had been waiting at its end; 0 if the caller had bytes to work on."""
        if not opened:
            return max(0, now - self.attempts.started)
        if self.asked > self.arrived:  # somebody else ended it, while its reader waits
            return max(0, now - self.asked)
        return self._last_wait

    def wall(self, at: int) -> int:
        """Wall time of a reading of the monotonic clock, both in nanoseconds."""
        return at + self._wall_offset


def _phase_before_response(fault: Fault | None) -> Phase:
    if fault is not None and fault.has("ConnectError", "ConnectTimeout", "ProxyError", "PoolTimeout"):
        return Phase.CONNECTING
    return Phase.AWAITING_RESPONSE
