"""One stream call, from the request to its one ending: machine, clocks, classifier and emitter behind one object.

Synchronous, and the only object that the SDK shells see. Its public fields are the hot path's: the shells write them
without a call. It holds no reference to the stream, the response or an event (no cycle, nothing is kept alive).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from otel_claude_stream import _guard
from otel_claude_stream._config import StreamConfig
from otel_claude_stream._core.call import Attempt, Call, Reply
from otel_claude_stream._core.end import End
from otel_claude_stream._core.endings import Verdict, classify
from otel_claude_stream._core.facts import Facts, Fault
from otel_claude_stream._core.limits import Limit
from otel_claude_stream._core.machine import StreamMachine
from otel_claude_stream._core.recent import RecentBytes
from otel_claude_stream._core.stalls import StallWatch
from otel_claude_stream._core.summary import Summary
from otel_claude_stream._core.vocabulary import AbortReason, Origin, Outcome, Phase, Stop
from otel_claude_stream._telemetry.emitter import Emission
from otel_claude_stream._telemetry.writing import abort_detail, retry_detail, stall_detail

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
        "_attempt_started",
        "_attempts",
        "_emission",
        "_first_event_at_wait",
        "_first_token_wait",
        "_head_wait",
        "_latch",
        "_largest_gap",
        "_last_wait",
        "_limits",
        "_pending_reply",
        "_recent",
        "_reply",
        "_stalls",
        "_started",
        "_wall_offset",
        "anchor",
        "arrived",
        "asked",
        "bytes",
        "call",
        "clock",
        "decoded",
        "longest",
        "machine",
        "on_drop",
        "on_end",
        "parsed",
        "progress",
        "reads",
        "waited",
    )

    def __init__(
        self,
        call: Call,
        emission: Emission,
        config: StreamConfig,
        limits: tuple[Limit, ...],
        *,
        clock: Callable[[], int] = time.perf_counter_ns,
        started: int,
        wall: int,
    ) -> None:
        self.call = call
        self.clock = clock
        self._emission = emission
        self._limits = limits
        self._latch = threading.Lock()  # taken once and never released: the first ending wins, in any thread
        self._started = started
        self._wall_offset = wall - started
        self._attempt_started = started
        self._attempts: list[Attempt] = []
        self._pending_reply: Reply | None = None
        self._reply: Reply | None = None
        self._head_wait: int | None = None
        self._first_event_at_wait: int | None = None
        self._first_token_wait: int | None = None
        self._recent = RecentBytes()
        self._stalls = StallWatch(config.stall_thresholds)
        self._largest_gap = 0
        self._last_wait = 0
        self.machine = StreamMachine(
            deltas=config.deltas if emission.wants_events else "none", budget=emission.event_budget
        )
        self.anchor: object = None
        """A weak reference to the response, whose callback ends the session."""
        self.on_end: Callable[[StreamSession], None] | None = None
        self.on_drop: Callable[[StreamSession], None] | None = None
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

    # --- The request ---------------------------------------------------------------------------------------------
    def attempt_answered(self, reply: Reply) -> None:
        """An attempt got a response that may lead to a retry."""
        self._pending_reply = reply

    def attempt_failed(self, delay: float, end: End | None) -> None:
        """The SDK gave an attempt up and sleeps `delay` seconds before the next."""
        now = self.clock()
        reply, self._pending_reply = self._pending_reply, None
        reason = self._failure(reply, end, now)
        self._attempts.append(Attempt(len(self._attempts) + 1, self._attempt_started, now, "sdk", reply, reason, delay))
        self._attempt_started = now + int(max(delay, 0.0) * _NS)
        self._emission.sent(reply.status if reply is not None else None, "sdk")
        self._emission.retried(reason.value, delay, "sdk")
        self.machine.own("retry", now, retry_detail(self._attempts[-1]))

    def _failure(self, reply: Reply | None, end: End | None, now: int) -> AbortReason:
        facts = self._facts(end or End(Stop.RAISED), now, reply)
        return classify(facts, self._limits).reason or AbortReason.STREAM_ERROR

    def opened(self, reply: Reply) -> None:
        """The response whose body is the stream is there."""
        now = self.clock()
        self._pending_reply = None
        self._reply = reply
        self._head_wait = now - self._started
        self.arrived = now
        self._emission.sent(reply.status, "sdk")

    @property
    def is_open(self) -> bool:
        """Whether a response came."""
        return self._reply is not None

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
            self.anchor = None  # its callback refers to this session: a cycle, until here
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
        if self._stalls.passed(self.waited - self.progress):
            self._stalled(self.waited - self.progress, now)
        machine.settle(self.arrived)
        facts = self._facts(end, now, self._reply or self._pending_reply)
        try:
            verdict = classify(facts, self._limits)
        except Exception as error:  # noqa: BLE001 - a stream without a reason is better than one without an end
            _guard.report("classify", error)
            verdict = Verdict(Outcome.FAILED, AbortReason.STREAM_ERROR, Origin.UNKNOWN, rule="internal")
        if verdict.reason is not None:
            machine.own("abort", now, abort_detail(facts, verdict))
        reply = self._reply or self._pending_reply
        if self._reply is None:
            self._emission.sent(reply.status if reply is not None else None, "sdk")
        failed = verdict.reason if self._reply is None or verdict.outcome is Outcome.FAILED else None
        self._attempts.append(Attempt(len(self._attempts) + 1, self._attempt_started, now, "sdk", reply, failed))
        self._emission.finish(self._summary(end, facts, verdict, reply, now), self.wall)

    def _summary(self, end: End, facts: Facts, verdict: Verdict, reply: Reply | None, now: int) -> Summary:
        first_event, first_token = self._first_event_at_wait, self._first_token_wait
        return Summary(
            call=self.call,
            facts=facts,
            verdict=verdict,
            machine=self.machine,
            entries=self.machine.journal.entries(),
            attempts=tuple(self._attempts),
            reply=reply,
            ended=now,
            read="events" if self.decoded else ("bytes" if self.reads else "none"),
            reads=self.reads,
            longest_silence=max(self.longest, self._last_wait) / _NS,
            consumer_time=self._others_time(now) / _NS,
            exception=end.exception,
            time_to_headers=self._head_wait / _NS if self._head_wait is not None else None,
            time_to_first_event=first_event / _NS if first_event is not None else None,
            time_to_first_token=first_token / _NS if first_token is not None else None,
            writing_time=self._writing_time(),
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

    def _facts(self, end: End, now: int, reply: Reply | None) -> Facts:
        machine = self.machine
        opened = self._reply is not None
        silence = self._silence(now)
        return Facts(
            stop=end.stop,
            phase=machine.phase if opened else _phase_before_response(end.fault),
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
            message_start=machine.message_start,
            message_delta=machine.message_delta,
            message_stop=machine.message_stop,
            events=machine.events,
            content_events=machine.content_events,
            pings=machine.pings,
            bytes=self.bytes,
            elapsed=(now - self._started) / _NS,
            head=(
                (self._head_wait - (self._attempt_started - self._started)) / _NS
                if self._head_wait is not None
                else (now - self._attempt_started) / _NS
            ),
            silence=silence / _NS,
            no_progress=(self.waited - self.progress) / _NS,
            longest_earlier_silence=self.longest / _NS,
            largest_ping_gap=machine.largest_ping_gap / _NS,
            bytes_last_5s=self._recent.within(now, self.arrived, self.bytes),
            reads=self.reads,
            read_timeout=self.call.read_timeout,
            last_attempt=(now - self._attempt_started) / _NS,
        )

    def _silence(self, now: int) -> int:
        """How long the reader had been waiting at its end; 0 if the caller had bytes to work on."""
        if self._reply is None:
            return max(0, now - self._attempt_started)
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
