"""Records streams with the OpenTelemetry API: the span and the metrics of each, and its summary at the end."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.metrics import NoOpMeter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from otel_claude_stream._config import StreamConfig
from otel_claude_stream._core.diagnosis.classify import Diagnosis
from otel_claude_stream._core.retry.context import Decision
from otel_claude_stream._core.stream.call import Call, Reply
from otel_claude_stream._core.summary import Summary
from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema, zero_series
from otel_claude_stream._telemetry.attempt_spans import write_attempt_spans
from otel_claude_stream._telemetry.buffer import NO_EXEMPLAR, Labels
from otel_claude_stream._telemetry.interrupts import end_after, start_span, started_span
from otel_claude_stream._telemetry.labels import LabelSets
from otel_claude_stream._telemetry.logs import LogEvents
from otel_claude_stream._telemetry.metrics import (
    EndLabels,
    FeedInstruments,
    Instruments,
    Observed,
    OpenStreams,
    is_live,
    observe_all,
    record_attempt_abort,
    record_end,
)
from otel_claude_stream._telemetry.span_attributes import (
    event_attributes,
    event_name,
    feed_attributes,
    span_attributes,
    thought_pairs,
)
from otel_claude_stream._telemetry.spec import names_under

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter


_log = logging.getLogger("otel_claude_stream")


@functools.cache
def _log_silence(owner: str) -> None:
    _log.warning(
        "otel-claude-stream: a thread of the parent held a lock of %s at the fork; the streams of this process are not "
        "recorded. Fork before streams are read, or create the providers in the child",
        owner,
    )


class StreamTelemetry:
    """The span of one stream, and the metrics that are recorded while it is open."""

    __slots__ = ("_emitter", "_genai_labels", "_instruments", "_longest_gap", "call", "labels", "span", "started")

    def __init__(self, emitter: Emitter, call: Call, started: int, labels: Labels | None = None) -> None:
        """If `labels` are given, they are those of other metrics, and no metric of messages is recorded."""
        self._emitter = emitter
        self.call = call
        self.span: Span | None = None
        self.started = started
        """Wall time in nanoseconds at the start of the call."""
        self._instruments = emitter.instruments if labels is None else None
        self.labels = emitter.labels.common(call) if labels is None else labels
        if labels is None:
            emitter.stall_labels(call, self.labels)  # the series have to exist before the first stall
        self._genai_labels: Labels | None = None
        self._longest_gap = 0.0

    @property
    def context(self) -> Context:
        """A context with the span of the stream, for exemplars and child spans."""
        # Not kept: it takes 300 bytes, and few measurements of a stream need it.
        return trace.set_span_in_context(self.span, NO_EXEMPLAR) if self.span is not None else NO_EXEMPLAR

    @property
    def is_measured(self) -> bool:
        """Whether metrics of this stream are recorded."""
        return self._instruments is not None

    @property
    def wants_events(self) -> bool:
        """Whether events of this stream are recorded on its span or as log records."""
        return self._emitter.wants_events(self.span)

    @property
    def event_budget(self) -> int:
        """The number of events to keep. OpenTelemetry's SDK drops the oldest events beyond the limit of the span."""
        setting = self._emitter.config.event_budget
        limits = getattr(self.span, "_limits", None)  # an attribute of the SDK's spans; the API has none
        max_events = getattr(limits, "max_events", None)
        return min(setting, max_events) if isinstance(max_events, int) else setting

    def record_first_token(self, seconds: float, block: str) -> None:
        """Record the time to the first content delta, which is in a block of the type `block`."""
        if self._instruments is not None:
            labels = self._emitter.labels.extended(self.labels, ((a.BLOCK_TYPE.name, block),))
            self._instruments.time_to_first_token.record(seconds, labels, self.context)

    def record_gap(self, seconds: float) -> None:
        """Record the wait before a chunk. It becomes an exemplar if it is the longest so far."""
        instruments = self._instruments
        if instruments is None:
            return
        if instruments.chunk_gap is not None:
            if seconds > self._longest_gap:
                self._longest_gap = seconds
                instruments.chunk_gap.record(seconds, self.labels, self.context)
            else:
                instruments.chunk_gap.record(seconds, self.labels)
        if instruments.genai_time_per_chunk is not None and self.call.owner != "other":
            if self._genai_labels is None:
                self._genai_labels = self._emitter.labels.genai(self.call, None)
            instruments.genai_time_per_chunk.record(seconds, self._genai_labels)

    def record_stall(self, threshold: str, kind: str) -> None:
        """Count a wait for content that exceeded a threshold."""
        if self._instruments is not None:
            labels = self._emitter.stall_labels(self.call, self.labels)
            self._instruments.stalls.add(
                1, {**labels, a.STALL_THRESHOLD.name: threshold, a.STALL_KIND.name: kind}, self.context
            )

    def record_request(self, reply: Reply | None, layer: str, model: str) -> None:
        """Count an HTTP request, and record the rate limits of its response. `model` is empty for that of the call."""
        if self._instruments is not None:
            sets, status = self._emitter.labels, reply.status if reply is not None else 0
            code = ((a.STATUS_CODE.name, status),) if 100 <= status < 600 else ()  # a server may send any number
            self._instruments.requests.add(1, sets.extended(self.labels, ((a.RETRY_LAYER.name, layer), *code)))
            if reply is not None and reply.rate_limits:
                server, model = self.labels[a.SERVER_ADDRESS.name], sets.request_model(model or self.call.model)
                self._emitter.rate_limits.record(server, model, reply.rate_limits, self._emitter.clock())

    def record_attempt_abort(self, failure: Diagnosis) -> None:
        """Record the metrics of an attempt that failed. An attempt that the caller ended has none."""
        if self._instruments is not None and failure.verdict.outcome is Outcome.FAILED:
            record_attempt_abort(self._instruments, self.labels, self.context, failure)

    def record_retry(self, reason: str, delay: float, layer: str, decision: str) -> None:
        """Record that another attempt follows in `delay` seconds after one failed for `reason`."""
        if self._instruments is not None:
            labels = {**self.labels, a.RETRY_REASON.name: reason}
            self._instruments.retry_delay.record(delay, labels)
            self._instruments.retries.add(
                1, {**labels, a.RETRY_DECISION.name: decision, a.RETRY_LAYER.name: layer}, self.context
            )

    def record_permit_wait(self, seconds: float, outcome: str) -> None:
        """Record how long a request waited for a permit, and the outcome of the wait."""
        if self._instruments is not None:
            labels = self._emitter.labels.extended(self.labels, ((a.CONCURRENCY_OUTCOME.name, outcome),))
            self._instruments.concurrency_wait.record(seconds, labels)

    def record_decision(self, reason: str, decision: Decision, *, dry_run: bool) -> None:
        """Count a decision about an attempt that failed for `reason`."""
        if self._instruments is not None:
            labels = {
                **self.labels,
                a.RETRY_REASON.name: reason,
                a.RETRY_DECISION.name: decision.action.value,
                a.RETRY_BLOCKED_BY.name: decision.blocked_by.value,
                a.RETRY_DRY_RUN.name: dry_run,
            }
            self._instruments.retry_decisions.add(1, labels, self.context)

    def finish(self, summary: Summary, wall: Callable[[int], int]) -> None:
        """Record the summary of the stream and end its span. `wall` converts monotonic to wall time, in nanoseconds."""
        if self._instruments is not None:
            record_end(self._instruments, self._emitter.end_labels(self, summary), self.context, summary)
        self._emitter.write_events(self, summary, wall)
        span = self.span
        if span is None:
            return
        if span.is_recording():
            span.set_attributes(span_attributes(summary, self._emitter.config.semconv))
            if summary.diagnosis.verdict.outcome is Outcome.FAILED:
                span.set_status(Status(StatusCode.ERROR, summary.diagnosis.reason.value))
            if len(summary.attempts) > 1:
                write_attempt_spans(self._emitter.tracer, self.context, summary, wall)
        span.end(wall(summary.ended))

    def start_span(self) -> None:
        """Start the span, if the settings ask for one."""
        started: list[Span] = []
        try:
            self._emitter.start_span(self.call, self.started, started)
            self.span = started[0] if started else None
        except BaseException as error:
            self.span = started_span(started, error)
            raise

    def detach(self) -> None:
        """Record no measurements any more: in a forked child, because the parent records them."""
        self._instruments = None

    def end_span(self, error: BaseException | None = None) -> None:
        """End the span without further attributes. After an `error`, do only what is left to do."""
        if self.span is None:
            return
        if error is None:
            self.span.end()
        else:
            end_after(error, self.span)


class Emitter:
    """Creates the telemetry of each stream. The instrumentor creates one emitter for the process."""

    def __init__(
        self,
        tracer: Tracer,
        meter: Meter,
        log_events: LogEvents | None,
        config: StreamConfig,
        streams: OpenStreams,
        *,
        observed: Sequence[Observed] = (),
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """`observed` has the figures of retry budgets and concurrency limiters, if the policy has such.

        `clock` is the monotonic clock, in nanoseconds.
        """
        self._active = schema.RETRY_BUDGET in dict(observed)
        self.tracer = tracer
        self._logs = log_events if config.events in {"log", "both"} else None
        self.config = config
        self.instruments = Instruments(meter, config.semconv, config.gaps) if config.metrics else None
        self.labels = LabelSets(config, self._create_zero_series)
        self.clock = clock
        self.rate_limits = streams.rate_limits
        feeds = config.metrics and config.feeds
        self.feeds = FeedInstruments(meter, LabelSets(config, lambda _: None)) if feeds else None
        self._silenced_by = ""
        self._on_span = config.events in {"span", "both"}
        if config.metrics:
            observe_all(meter, streams, observed, clock)

    def silence(self, owner: str) -> None:
        """Record nothing any more, in a child that would wait for a lock of the class `owner` forever."""
        self.instruments = self.feeds = self._logs = None
        self._silenced_by = owner

    def stall_labels(self, call: Call, common: Labels) -> Labels:
        """Return the labels that the stalls of a call have."""
        pairs = thought_pairs(call)
        return self.labels.extended(common, pairs, self._create_stalls) if pairs else common

    def _create_stalls(self, labels: Labels) -> None:
        if self.instruments is not None:
            zero_series.create_stalls(self.instruments, labels, self.config.stall_thresholds)

    def _create_zero_series(self, labels: Labels) -> None:
        if self.instruments is not None:
            zero_series.create(self.instruments, labels, active=self._active, thresholds=self.config.stall_thresholds)

    def end_labels(self, telemetry: StreamTelemetry, summary: Summary) -> EndLabels:
        """Return the labels of a stream at its end."""
        records_genai = telemetry.call.owner != "other"
        model, fallback = summary.message.model, summary.retries.model
        outcome = self.labels.extended(telemetry.labels, ((a.OUTCOME.name, summary.diagnosis.verdict.outcome.value),))
        return EndLabels(
            common=telemetry.labels,
            outcome=outcome,
            genai=self.labels.genai(telemetry.call, model) if records_genai else None,
            fallback={**outcome, **self.labels.response(model)} if summary.fallback_served else outcome,
            billed={a.REQUEST_MODEL.name: self.labels.request_model(fallback)} if fallback is not None else {},
        )

    def telemetry(self, call: Call, wall: int) -> StreamTelemetry:
        """Return the telemetry of a call that begins at the wall time `wall` (nanoseconds), without its span."""
        return StreamTelemetry(self, call, wall)

    def start_span(self, call: Call, wall: int, into: list[Span]) -> None:
        """Append the span of a call to `into`, with the attributes that samplers may use, if there is to be one."""
        if self._silenced_by:
            _log_silence(self._silenced_by)
            return
        if self.config.span == "off":
            return
        is_chat, feed = call.owner == "self", call.feed
        attributes: Labels = {a.REQUEST_MODEL.name: call.model} if feed is None else feed_attributes(feed)
        attributes[a.SERVER_ADDRESS.name] = call.server_address
        if call.server_port is not None:
            attributes[a.SERVER_PORT.name] = call.server_port
        if call.conversation_id is not None:
            attributes[a.CONVERSATION_ID.name] = call.conversation_id
        for key, value in call.labels:
            attributes[a.LABEL_PREFIX + key] = value
        if is_chat:
            attributes[a.OPERATION_NAME.name] = "chat"
            attributes[a.PROVIDER_NAME.name] = call.provider
        spec = schema.CHAT_SPAN if is_chat else schema.STREAM_SPAN if feed is None else schema.FEED_SPAN
        start_span(
            self.tracer,
            into,
            spec.name.format(model=call.model),
            None,
            kind=SpanKind.CLIENT if is_chat else SpanKind.INTERNAL,
            attributes=attributes,
            start_time=wall,
        )

    def wants_events(self, span: Span | None) -> bool:
        """Whether events are recorded on this span or as log records."""
        return self._logs is not None or (self._on_span and span is not None and span.is_recording())

    def write_events(self, telemetry: StreamTelemetry, summary: Summary, wall: Callable[[int], int]) -> None:
        """Record the entries of a stream's journal on its span and as log records."""
        span = (
            telemetry.span if self._on_span and telemetry.span is not None and telemetry.span.is_recording() else None
        )
        if span is None and self._logs is None:
            return
        for entry in summary.entries:
            name, attributes, at = event_name(entry), event_attributes(entry), wall(entry.at)
            if span is not None:
                span.add_event(name, attributes or None, at)
            if self._logs is not None:
                self._logs.emit(name, attributes, at, telemetry.context)
        if self._logs is not None and summary.call.owner == "self" and summary.exception is not None:
            for name in names_under(schema.EXCEPTION, self.config.semconv):
                raised = {a.EXCEPTION_TYPE.name: summary.exception}
                self._logs.emit(name, raised, wall(summary.ended), telemetry.context)

    def is_unobserved(self, telemetry: StreamTelemetry) -> bool:
        """Whether nothing records this stream: no tracer, meter or logger of a real provider."""
        span = telemetry.span
        return (
            (span is None or not span.get_span_context().is_valid)
            and (self.instruments is None or not is_live(self.instruments.aborts))
            and self._logs is None
        )

    def record_internal_error(self, component: str) -> None:
        """Count a failure of this package."""
        if self.instruments is not None:
            self.instruments.internal_errors.record_now(1, {a.INTERNAL_COMPONENT.name: component})


def silent_emitter(config: StreamConfig, streams: OpenStreams) -> Emitter:
    """Return an emitter that records nothing, for streams whose telemetry the application suppresses."""
    config = replace(config, span="off", metrics=False, events="none")
    return Emitter(trace.NoOpTracer(), NoOpMeter(""), None, config, streams)
