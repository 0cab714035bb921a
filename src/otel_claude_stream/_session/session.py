"""One stream call, from the request to its one ending: machine, clocks, classifier and emitter behind one object.

Synchronous, and the only object that the SDK shells see. It holds no reference to the stream, the response or an event
(no cycle, nothing is kept alive).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from otel_claude_stream import _guard
from otel_claude_stream._config import StreamConfig
from otel_claude_stream._core.diagnosis.classify import Verdict, classify
from otel_claude_stream._core.diagnosis.facts import End, Facts
from otel_claude_stream._core.diagnosis.limits import Limit
from otel_claude_stream._core.retry.context import Blocker, Decision
from otel_claude_stream._core.retry.policy import RetryPolicy, Watchdog
from otel_claude_stream._core.retry.resume.delivered import DeliveredBlocks
from otel_claude_stream._core.stream.call import Call, Reply
from otel_claude_stream._core.stream.message_state import MessageState
from otel_claude_stream._core.stream.stalls import StallWatch
from otel_claude_stream._core.vocabulary import AbortReason, Origin, Outcome, Stop
from otel_claude_stream._session.attempts import Attempts
from otel_claude_stream._session.call_policy import CallPolicy
from otel_claude_stream._session.report import facts_of, summary_of, totals_of
from otel_claude_stream._session.retries import Failures
from otel_claude_stream._session.timing import Clocks
from otel_claude_stream._telemetry.span_attributes import abort_detail, stall_detail
from otel_claude_stream._telemetry.stream_telemetry import StreamTelemetry

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_NS = 1_000_000_000


class StreamSession:
    """The life of one stream call."""

    __slots__ = (
        "__weakref__",
        "_largest_gap",
        "_latch",
        "_stalls",
        "anchor",
        "annotate",
        "attempts",
        "call",
        "clocks",
        "decoded",
        "emission",
        "failures",
        "handling",
        "held",
        "keep",
        "kept",
        "limits",
        "machine",
        "on_drop",
        "on_end",
        "parsed",
        "read_timeout",
        "recovery",
    )

    def __init__(
        self,
        call: Call,
        emission: StreamTelemetry,
        config: StreamConfig,
        limits: tuple[Limit, ...],
        handling: CallPolicy,
        *,
        clock: Callable[[], int] = time.perf_counter_ns,
        started: int,
        wall: int,
    ) -> None:
        self.call = call
        self.emission = emission
        self.limits = limits
        self.handling = handling
        self._latch = threading.Lock()  # taken once and never released: the first ending wins, in any thread
        self.clocks = Clocks(clock, started, wall)
        self.attempts = Attempts(started)
        self.failures: Failures | None = None
        """Of the attempts so far; None as long as none failed."""
        self._stalls = StallWatch(config.stall_thresholds)
        self._largest_gap = 0
        deltas = config.deltas if emission.wants_events else "none"
        self.machine = MessageState(deltas=deltas, budget=emission.event_budget)
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
        self.held = 0
        """Events that came and are held back until the first content."""
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
        return self.handling.take()

    def opened(self, reply: Reply) -> None:
        """The response whose body is the stream is there."""
        self.attempts.opened(reply)
        self.clocks.opened()
        self.emission.sent(reply.status, self.handling.layer)

    @property
    def is_open(self) -> bool:
        """Whether a response came."""
        return self.attempts.reply is not None

    @property
    def answered(self) -> bool:
        """Whether the attempt under way got a response, of whatever status, that has not been told yet."""
        return self.attempts.pending is not None

    @property
    def requests(self) -> int:
        """HTTP requests sent so far."""
        return self.attempts.sent

    @property
    def acts(self) -> bool:
        """Whether anything may be done about a failure."""
        return not self.handling.dry_run

    @property
    def policy(self) -> RetryPolicy:
        """The policy of the call."""
        return self.handling.policy

    @property
    def span(self) -> Span | None:
        """The span of the stream."""
        return self.emission.span

    @property
    def labels(self) -> dict[str, object]:
        """The labels of its metrics: the same dict for all streams of a model and server."""
        return self.emission.labels

    @property
    def age(self) -> float:
        """Seconds since the start of the call."""
        return (self.clocks.now() - self.clocks.started) / _NS

    # --- An attempt that failed ----------------------------------------------------------------------------------
    @property
    def _failed(self) -> Failures:
        if self.failures is None:
            self.failures = Failures()
        return self.failures

    def attempt_failed(self, delay: float, end: End | None) -> None:
        """The SDK gave an attempt up and sleeps `delay` seconds before the next."""
        self._failed.sdk_retries(self, delay, end)

    def stopped(self, by: Blocker) -> None:
        """A cap of the policy ended the SDK's own retries."""
        self._failed.stopped_by = by

    def broke(self, end: End, *, before_response: bool = False) -> Decision:
        """An attempt failed. What is done about it; if another follows, it is counted as begun."""
        return self._failed.broke(self, end, before_response=before_response)

    def refused(self) -> None:
        """The request of a continuation was refused for its form; another form follows at once."""
        self._failed.refused(self)

    def seam_found(self, strategy: str, seam: str, *, fits: bool) -> None:
        """The continuation met the text before it."""
        self._failed.seam_found(self, strategy, seam, fits=fits)

    def last_failure(self, decision: Decision) -> str:
        """The last failure and what was decided, in words for whoever reads the exception."""
        return self._failed.in_words(decision)

    # --- Reading -------------------------------------------------------------------------------------------------
    def on_wait(self, waited: int, now: int) -> None:
        """A read waited for the wire, until bytes came at `now`."""
        clocks = self.clocks
        self.machine.waits(clocks.arrived)
        clocks.on_wait(waited, now)

    def on_gap(self, gap: int) -> None:
        """An event of the message came, and the reader had waited `gap` (more than a burst) for it."""
        if self.ended:
            return  # the caller closed the stream and reads on
        clocks = self.clocks
        if clocks.first_token is not None:
            self.emission.gap(gap / _NS, largest=gap > self._largest_gap)
            self._largest_gap = max(gap, self._largest_gap)
        if self._stalls.passed(gap):
            self._stalled(gap, clocks.arrived)
            self._stalls.reset()

    def look(self) -> None:
        """Tell the thresholds that the wait that is going on has passed. From any thread, while the stream is open."""
        clocks = self.clocks
        now = clocks.now()
        if clocks.is_waiting:  # else the caller has bytes to work on
            gap = clocks.gap + now - clocks.asked
            if self._stalls.passed(gap) and not self.ended:
                self._stalled(gap, now)

    def _stalled(self, gap: int, now: int) -> None:
        machine = self.machine
        pinged = machine.last_ping_at is not None and machine.last_ping_at > now - gap
        kind = "pings_only" if pinged else "silent"
        for label in self._stalls.take(gap):
            self.emission.stalled(label, kind)
            machine.own("stall", now, stall_detail(label, kind, machine.open_block), gap)

    def overdue(self, watchdog: Watchdog) -> str | None:
        """The time-out that the stream has passed, by the name of its exception; None if it is in time."""
        clocks = self.clocks
        first, progress = watchdog.first_event, watchdog.no_progress
        if first is not None and clocks.first_event is None:
            opened = clocks.opened_at if clocks.opened_at is not None else clocks.started
            if clocks.now() - opened > first * _NS:
                return "FirstEventTimeout"
        if progress is not None and clocks.gap > progress * _NS:
            return "NoProgressTimeout"
        return None

    def first_token(self) -> None:
        """The first content delta came."""
        self.emission.first_token(self.clocks.note_first_token() / _NS, self.machine.first_block or "other")

    # --- The end -------------------------------------------------------------------------------------------------
    @property
    def ended(self) -> bool:
        """Whether the one ending has been told, or is being told."""
        return self._latch.locked()

    def end(self, end: End, at: int | None = None) -> None:
        """The stream stopped. Only the first call counts."""
        if not self._latch.acquire(blocking=False):
            return
        try:
            self._finish(end, at if at is not None else self.clocks.now())
        except Exception:
            self.emission.end_span()  # with less on it than there should be
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
                self.emission.end_span()
            finally:
                if self.on_end is not None:
                    self.on_end(self)

    def _finish(self, end: End, now: int) -> None:
        machine, clocks, attempts = self.machine, self.clocks, self.attempts
        if self._stalls.passed(clocks.gap):
            self._stalled(clocks.gap, now)
        machine.settle(clocks.arrived)
        reply = attempts.last_reply
        facts = facts_of(self, end, now, reply, opened=self.is_open)
        try:
            verdict = classify(facts, self.limits)
        except Exception as error:  # noqa: BLE001 - a stream without a reason is better than one without an end
            _guard.report("classify", error)
            verdict = Verdict(Outcome.FAILED, AbortReason.STREAM_ERROR, Origin.UNKNOWN, rule="internal")
        failed = verdict.reason if attempts.is_unanswered or verdict.outcome is Outcome.FAILED else None
        if verdict.outcome is Outcome.FAILED:
            failures = self._failed
            if failures.broken is not None and end.stop in (Stop.RAISED, Stop.EXHAUSTED):
                failed = failures.its_reason
                facts, verdict = failures.stands(failures.broken, facts)
            if verdict.outcome is Outcome.FAILED and not failures.told:
                self._last_decision(facts, verdict, reply, now)
        if verdict.reason is not None:
            machine.own("abort", now, abort_detail(facts, verdict))
        if attempts.is_under_way(now):
            self._last_attempt(failed, now)
        self.emission.finish(summary_of(self, end, facts, verdict, now), clocks.wall)

    def _last_decision(self, facts: Facts, verdict: Verdict, reply: Reply | None, now: int) -> None:
        try:
            self._failed.decide(self, facts, verdict, reply, now, before_response=not self.is_open)
        except Exception as error:  # noqa: BLE001 - as for the classifier
            _guard.report("decide", error)

    def _last_attempt(self, failed: AbortReason | None, now: int) -> None:
        """The request under way is over, with the stream."""
        attempts, layer = self.attempts, self.handling.layer
        reply = attempts.last_reply
        if attempts.is_unanswered:
            reply = attempts.pending
            self.emission.sent(reply.status if reply is not None else None, layer)
        attempts.end(now, layer, reply, failed, totals_of(self))
