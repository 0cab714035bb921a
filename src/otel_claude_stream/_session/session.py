"""One call that streams, from its request to its one end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from otel_claude_stream import _guard
from otel_claude_stream._config import StreamConfig
from otel_claude_stream._core.diagnosis.classify import Diagnosis
from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.diagnosis.limits import Limit
from otel_claude_stream._core.retry.policy import RetryPolicy
from otel_claude_stream._core.stream.call import Call, Reply
from otel_claude_stream._core.stream.delivered import Delivered
from otel_claude_stream._core.stream.events import content_size, is_well_formed, record_event, type_of
from otel_claude_stream._core.stream.frames import error_type
from otel_claude_stream._core.stream.hot_path import Arrival, HotPath, ReadMode
from otel_claude_stream._core.stream.message_state import CORE_TYPES, DELTA, MessageState
from otel_claude_stream._core.stream.timing import BURST_NS, StallThresholds, Timing
from otel_claude_stream._core.summary import NO_RETRIES
from otel_claude_stream._core.vocabulary import Outcome, Stop
from otel_claude_stream._session.attempts import Attempts
from otel_claude_stream._session.call_policy import CallPolicy
from otel_claude_stream._session.report import diagnosis_of, summary_of
from otel_claude_stream._session.retries import Retries
from otel_claude_stream._session.state import StreamState
from otel_claude_stream._telemetry.span_attributes import abort_attributes, stall_attributes
from otel_claude_stream._telemetry.stream_telemetry import StreamTelemetry

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_NS = 1_000_000_000
_NO_CONTENT = frozenset({"ping", "error"})
"""Types of events outside of a message that hold nothing which a retry would repeat."""


class StreamSession:
    """The listener of one call's stream: records what passes, and classifies and reports how it ends.

    It is synchronous. It refers neither to the stream or its response nor to an event or the flow that retries the
    call. So it keeps nothing alive, and is part of no cycle.
    """

    __slots__ = (
        "__weakref__",
        "_ended_by",
        "_keep_text",
        "_message",
        "_on_drop",
        "_on_end",
        "_retries",
        "_telemetry",
        "_timing",
        "_warmed_up",
        "bytes_read",
        "hot",
        "stalls",
        "state",
    )

    def __init__(
        self,
        call: Call,
        telemetry: StreamTelemetry,
        config: StreamConfig,
        limits: tuple[Limit, ...],
        call_policy: CallPolicy,
        *,
        clock: Callable[[], int] = time.perf_counter_ns,
        started: int,
        wall: int,
        on_end: Callable[[StreamSession], None] | None = None,
        on_drop: Callable[[StreamSession], None] | None = None,
        warmed_up: set[str] | None = None,
    ) -> None:
        """Create the session of a call that began at `started` of the monotonic `clock`, at the wall time `wall`.

        `warmed_up` has the helpers of the SDK that have delivered a token in this process, and gets that of this call.

        `on_end` is called once, in whatever thread ends the call. `on_drop` is called when the stream was dropped,
        maybe by the garbage collector; it has to call `ended`, at a time when that is safe.
        """
        self.hot = hot = HotPath(clock, started)
        self._timing = Timing(hot, started, wall)
        self._message = MessageState(
            hot,
            delta_mode=config.deltas if telemetry.wants_events else "none",
            budget=telemetry.event_budget,
            ledger=Delivered(pieces=[] if call_policy.keeps_text else None),
        )
        attempts = Attempts(started, call.read_timeout)
        self.state = StreamState(call, call_policy, limits, telemetry, hot, self._timing, self._message, attempts)
        self.bytes_read = self._timing.bytes_read  # see `StreamListener`; a method would cost a call for each read
        self._keep_text = self._message.ledger.keep_text if call_policy.keeps_text else None
        self._telemetry = telemetry
        self.stalls = StallThresholds(config.stall_thresholds)
        self._retries: Retries | None = None
        self._on_end = on_end
        self._on_drop = on_drop
        self._warmed_up = warmed_up
        self._ended_by: dict[str, object] = {}  # `setdefault` is atomic: the first end wins, in any thread

    # --- Properties ----------------------------------------------------------------------------------------------
    @property
    def is_open(self) -> bool:
        """Whether a response came whose body is the stream."""
        return self.state.attempts.reply is not None

    @property
    def is_over(self) -> bool:
        """Whether the end has been reported, or is being reported."""
        return bool(self._ended_by)

    @property
    def acts(self) -> bool:
        """Whether anything may be done about a failure."""
        return not self.state.call_policy.dry_run

    @property
    def policy(self) -> RetryPolicy:
        """The policy of the call."""
        return self.state.call_policy.policy

    @property
    def span(self) -> Span | None:
        """The span of the call."""
        return self._telemetry.span

    @property
    def is_measured(self) -> bool:
        """Whether metrics of the call are recorded."""
        return self._telemetry.is_measured

    @property
    def labels(self) -> dict[str, object]:
        """The labels of its metrics. All streams of a model and server share one dict."""
        return self._telemetry.labels

    @property
    def age(self) -> float:
        """Seconds since the start of the call."""
        return self._timing.age / _NS

    # --- Reading: `StreamListener` -------------------------------------------------------------------------------
    def opened(self, reply: Reply) -> None:
        """Record the response whose body is the stream."""
        self.state.attempts.opened(reply)
        self._timing.opened()
        self._telemetry.record_request(reply.status, self.state.call_policy.layer)

    def read_as(self, mode: ReadMode) -> None:
        """Record how the body is read."""
        self.hot.read_mode = mode
        state = self.state
        if self._warmed_up is not None and state.call.helper not in self._warmed_up and state.attempts.sent == 1:
            self._timing.began_to_read()

    def frame(self, name: str | None, data: object) -> None:
        """Record a frame that is no event of a message."""
        hot, message = self.hot, self._message
        self._timing.note_event(hot.waited)
        at, gap = hot.last_byte_at, hot.waited - hot.wait_at_last_event
        if name == "ping":
            message.ping(at, gap)
        elif name == "error":
            message.error(error_type(data), at, gap)
        elif name is not None:
            message.unknown_event(name, at, gap)

    def event(self, event: object, arrival: Arrival | None = None) -> None:  # noqa: PLR0912 - a call less for each event
        """Record an event of the message. Never raises, except in the tests of this package."""
        try:
            kind = event.type  # type: ignore[attr-defined] # any other shape: see `_malformed_event`
            if kind != DELTA:
                self._other_event(event, kind, arrival)
                return
            hot = self.hot
            if arrival is None:
                waited = hot.waited
                at, gap = hot.last_byte_at, waited - hot.wait_at_last_event
            else:
                at, waited, gap = arrival
            delta = event.delta  # type: ignore[attr-defined]
            delta_type = delta.type
            if delta_type == "text_delta":
                size = len(delta.text)
                if self._keep_text is not None:
                    self._keep_text(delta.text)
            else:
                size = content_size(delta, delta_type)
            if arrival is None:
                hot.wait_at_last_event = waited
            first = self._message.block_delta(event.index, delta_type, size, at, gap)  # type: ignore[attr-defined]
            if gap > BURST_NS and not self._ended_by:  # the caller may read on after it closed the stream
                if self._timing.first_token is not None:
                    self._telemetry.record_gap(gap / _NS)
                if gap >= self.stalls.lowest:
                    self._report_stall(gap, at)
                    self.stalls.reset()
            if first:
                self._first_token(waited, at)
        except Exception as error:
            if _guard.is_interrupt(error):
                raise
            self._malformed_event(event, error)

    def _other_event(self, event: object, kind: str, arrival: Arrival | None) -> None:
        if kind not in CORE_TYPES:  # recorded as a frame
            if kind not in _NO_CONTENT:
                self._message.ledger.unknown_event()
            return
        hot, timing = self.hot, self._timing
        at, waited, gap = arrival or (hot.last_byte_at, hot.waited, timing.gap)
        if arrival is None:
            hot.wait_at_last_event = waited
        timing.note_event(waited)
        if gap > BURST_NS and not self.is_over:
            if timing.first_token is not None:
                self._telemetry.record_gap(gap / _NS)
            if gap >= self.stalls.lowest:
                self._report_stall(gap, at)
                self.stalls.reset()
        found = record_event(self._message, event, kind, at, gap)
        if found is not None and self.state.attempts.over:
            self.state.attempts.record_usage(found)

    def _first_token(self, waited: int, at: int) -> None:
        seconds = self._timing.note_first_token(waited, at) / _NS
        if self._warmed_up is not None:
            self._warmed_up.add(self.state.call.helper)
        self._telemetry.record_first_token(seconds, self._message.first_block or "other")

    def _malformed_event(self, event: object, error: Exception) -> None:
        """Count an event that does not have the shape of its type. Report a failure of this package."""
        if not isinstance(error, AttributeError | TypeError) or is_well_formed(event):
            self._message.ledger.unjoinable_content()
            _guard.report("read_event", error)
            return
        with _guard.guard("read_event"):
            hot = self.hot
            gap = self._timing.gap
            hot.wait_at_last_event = hot.waited
            if type_of(event) == DELTA and self._message.block_delta(None, "", 0, hot.last_byte_at, gap):
                self._first_token(hot.waited, hot.last_byte_at)

    # --- Stalls --------------------------------------------------------------------------------------------------
    def check_stall(self) -> None:
        """Report the thresholds that the current wait has exceeded. Called in another thread while a read blocks."""
        timing = self._timing
        now = self.hot.clock()
        if timing.is_waiting and not self.is_over:
            gap = timing.gap_at(now)
            if gap >= self.stalls.lowest:
                self._report_stall(gap, now)

    def _report_stall(self, gap: int, now: int) -> None:
        message = self._message
        pinged = message.last_ping_at is not None and message.last_ping_at > now - gap
        kind = "pings_only" if pinged else "silent"
        for label in self.stalls.newly_exceeded(gap):
            self._telemetry.record_stall(label, kind)
            message.record_synthetic_event(
                "stall", now, stall_attributes(label, kind, message.open_block, self.state.call), gap
            )

    # --- Attempts: called by the hooks of the request, and by the retries ------------------------------------------
    @property
    def retries(self) -> Retries:
        """The failed attempts of the call."""
        if self._retries is None:
            self._retries = Retries(self.state)
        return self._retries

    def buffer_frame(self) -> Arrival:
        """Record that a frame is buffered. Return its arrival, to be passed to `event` once it is delivered."""
        hot, timing = self.hot, self._timing
        timing.note_event(hot.waited)
        self.state.attempts.buffer_event()
        arrival = Arrival(hot.last_byte_at, hot.waited, timing.gap)
        hot.wait_at_last_event = hot.waited
        return arrival

    # --- The end -------------------------------------------------------------------------------------------------
    def ended(self, end: End | None, at: int | None = None) -> None:
        """Report the end of the call: as `end` describes it, or without an outcome. Only the first call counts.

        The end of a dropped stream is left to `on_drop`, unless its time is known.
        """
        if at is None and end is not None and end.stop is Stop.DROPPED and self._on_drop is not None:
            self._on_drop(self)
            return
        this = object()
        try:
            if self._ended_by.setdefault("end", this) is not this:
                return
            if end is None:
                self._telemetry.end_span()
            else:
                self._finish(end, at if at is not None else self.hot.clock())
            if self._on_end is not None:
                self._on_end(self)
        except BaseException as error:  # an interrupt strikes at any instruction, also of OpenTelemetry
            if self._ended_by.get("end") is this:
                self._end_after(error)
            raise

    def _end_after(self, error: BaseException) -> None:
        """End what a failure or an interrupt left open, with fewer attributes than it should have."""
        try:
            self._telemetry.end_span(error)
        finally:
            if self._on_end is not None:
                self._on_end(self)

    def detach_after_fork(self) -> None:
        """Report no end in a forked child. The parent does that."""
        self._ended_by.setdefault("end", None)
        self._telemetry.detach()

    def _finish(self, end: End, now: int) -> None:
        state, message, timing, attempts = self.state, self._message, self._timing, self.state.attempts
        if timing.gap >= self.stalls.lowest:
            self._report_stall(timing.gap, now)
        message.close_batches(self.hot.last_byte_at)
        reply = attempts.last_reply
        known = self._retries.known_end(end, now) if self._retries is not None else None
        found, failed = known or (diagnosis_of(state, end, now, reply, opened=self.is_open), None)
        if found.verdict.outcome is Outcome.FAILED:
            self.retries.report_end(found, reply, now, opened=self.is_open)
        if known is None and (found.verdict.outcome is Outcome.FAILED or attempts.is_unanswered):
            failed = found
        if found.verdict.reason is not None:
            message.record_synthetic_event("abort", now, abort_attributes(found, found.facts.elapsed))
        if attempts.is_under_way(now):
            self._end_last_attempt(failed, now)
        outcome = self._retries.outcome if self._retries is not None else NO_RETRIES
        self._telemetry.finish(summary_of(state, end, found, outcome, ended=now), timing.wall)

    def _end_last_attempt(self, diagnosis: Diagnosis | None, now: int) -> None:
        """Record that the request under way is over, with the call."""
        attempts, layer = self.state.attempts, self.state.call_policy.layer
        reply = attempts.last_reply
        if attempts.is_unanswered:
            reply = attempts.pending
            self._telemetry.record_request(reply.status if reply is not None else None, layer)
        self.state.end_attempt(now, layer, reply, diagnosis)
