"""The only place that calls the OpenTelemetry API: starts the span of a stream, and writes down its summary."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from otel_claude_stream import _guard
from otel_claude_stream._config import StreamConfig
from otel_claude_stream._core.retry.context import Decision
from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._core.summary import Summary
from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema, zeros
from otel_claude_stream._telemetry.buffer import BUFFER, NO_EXEMPLAR, Labels, Measurement
from otel_claude_stream._telemetry.logs import LogEvents
from otel_claude_stream._telemetry.metrics import Bounded, is_live, observe
from otel_claude_stream._telemetry.recording import EndLabels, Instruments, record_end
from otel_claude_stream._telemetry.span_attributes import entry_attributes, entry_name, span_attributes

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter


class StreamTelemetry:
    """What is emitted for one stream while it is open: its span, its labels."""

    __slots__ = ("_context", "_emitter", "_genai", "_instruments", "_longest_gap", "call", "labels", "span", "started")

    def __init__(self, emitter: Emitter, call: Call, span: Span | None, started: int) -> None:
        self._emitter = emitter
        self.call = call
        self.span = span
        self.started = started
        """Wall time in nanoseconds at the start of the call."""
        self._context: Context | None = None
        self._instruments = emitter.instruments
        self.labels = emitter.labels(call)
        self._genai: Labels | None = None
        self._longest_gap = 0.0

    @property
    def context(self) -> Context:
        """A context with the stream's span, whatever is current: for exemplars and for child spans."""
        if self._context is None:
            self._context = trace.set_span_in_context(self.span, NO_EXEMPLAR) if self.span is not None else NO_EXEMPLAR
        return self._context

    @property
    def wants_events(self) -> bool:
        """Whether anybody would see the events of this stream."""
        return self._emitter.wants_events(self.span)

    @property
    def event_budget(self) -> int:
        """Events that may be kept: the setting, or what the span holds, as its SDK drops the oldest beyond that."""
        setting = self._emitter.config.event_budget
        limits = getattr(self.span, "_limits", None)  # of the SDK's spans; the API does not tell
        most = getattr(limits, "max_events", None)
        return min(setting, most) if isinstance(most, int) else setting

    def first_token(self, seconds: float, block: str) -> None:
        """The first content delta came."""
        if self._instruments is not None:
            self._instruments.first_token.record(seconds, {**self.labels, a.BLOCK_TYPE.name: block}, self.context)

    def gap(self, seconds: float) -> None:
        """Record the wait before a chunk. Only the longest of a stream so far is worth an exemplar."""
        instruments = self._instruments
        if instruments is None:
            return
        found: list[Measurement] = []
        if instruments.chunk_gap is not None:
            longest = seconds > self._longest_gap
            if longest:
                self._longest_gap = seconds
            found.append((instruments.chunk_gap, seconds, self.labels, self.context if longest else NO_EXEMPLAR))
        if instruments.genai_per_chunk is not None and self.call.owner != "other":
            if self._genai is None:
                self._genai = self._emitter.genai_labels(self.call, None)
            found.append((instruments.genai_per_chunk, seconds, self._genai, NO_EXEMPLAR))
        BUFFER.add_all(found)  # not through `record`: for every gap, two calls less

    def stalled(self, threshold: str, kind: str) -> None:
        """A wait for content passed a threshold."""
        if self._instruments is not None:
            self._instruments.stalls.add(
                1, {**self.labels, a.STALL_THRESHOLD.name: threshold, a.STALL_KIND.name: kind}, self.context
            )

    def sent(self, status: int | None, layer: str) -> None:
        """An HTTP request was sent and answered with `status`, or with nothing."""
        if self._instruments is not None:
            labels = {**self.labels, a.RETRY_LAYER.name: layer}
            if status is not None:
                labels[a.STATUS_CODE.name] = status
            self._instruments.requests.add(1, labels)

    def retried(self, reason: str, delay: float, layer: str, decision: str) -> None:
        """An attempt failed for `reason`, and another follows after `delay` seconds."""
        if self._instruments is not None:
            labels = {**self.labels, a.RETRY_REASON.name: reason}
            self._instruments.retry_delay.record(delay, labels)
            self._instruments.retries.add(
                1, {**labels, a.RETRY_DECISION.name: decision, a.RETRY_LAYER.name: layer}, self.context
            )

    def decided(self, reason: str, decision: Decision, *, dry_run: bool) -> None:
        """Something was decided about an attempt that failed for `reason`."""
        if self._instruments is not None:
            labels = {
                **self.labels,
                a.RETRY_REASON.name: reason,
                a.RETRY_DECISION.name: decision.action.value,
                a.RETRY_BLOCKED_BY.name: decision.blocked_by.value,
                a.RETRY_DRY_RUN.name: dry_run,
            }
            self._instruments.decisions.add(1, labels, self.context)

    def finish(self, summary: Summary, wall: Callable[[int], int]) -> None:
        """Write down everything, end the span. `wall` turns monotonic nanoseconds into wall time."""
        if self._instruments is not None:
            record_end(self._instruments, self._emitter.end_labels(self, summary), self.context, summary)
        self._emitter.write_events(self, summary, wall)
        span = self.span
        if span is None:
            return
        if span.is_recording():
            span.set_attributes(span_attributes(summary, self._emitter.config.semconv))
            if summary.verdict.outcome is Outcome.FAILED and summary.verdict.reason is not None:
                span.set_status(Status(StatusCode.ERROR, summary.verdict.reason.value))
            if len(summary.attempts) > 1:
                self._emitter.attempt_spans(self, summary, wall)
        span.end(wall(summary.ended))

    def end_span(self) -> None:
        """End the span with nothing more on it."""
        if self.span is not None:
            self.span.end()


def _flushed(read: Callable[[], Iterable[tuple[float, Labels]]]) -> Callable[[], Iterable[tuple[float, Labels]]]:
    """`read`, with all that waits recorded before: observed instruments are asked before the others are collected."""

    @_guard.guarded("collected", ())
    def flushed() -> Iterable[tuple[float, Labels]]:
        BUFFER.flush()
        return read()

    return flushed


class OpenStreams(Protocol):
    """What is asked about the open streams when metrics are collected: a value for each set of labels."""

    def counts(self) -> Iterable[tuple[float, Labels]]:
        """How many are open."""

    def ages(self) -> Iterable[tuple[float, Labels]]:
        """The age of the oldest, in seconds."""


class Emitter:
    """Makes one `StreamTelemetry` a stream. One a process, made by the instrumentor."""

    def __init__(
        self,
        tracer: Tracer,
        meter: Meter,
        log_events: LogEvents | None,
        config: StreamConfig,
        streams: OpenStreams,
        *,
        budgets: Callable[[], Iterable[tuple[float, Labels]]] | None = None,
    ) -> None:
        """`budgets` gives what the retry budgets allow; None where the policy only observes."""
        self._active = budgets is not None
        self._tracer = tracer
        self._logs = log_events if config.events in {"log", "both"} else None
        self.config = config
        self.instruments = Instruments(meter, config.semconv, config.gaps) if config.metrics else None
        self._model = Bounded(config.max_models)
        self._answered = Bounded(config.max_models)  # apart: names of a server must not use up those of the caller
        self._server = Bounded(config.max_models)
        self._labels: dict[tuple[str, str], Labels] = {}
        self._outcomes: dict[tuple[int, Outcome], Labels] = {}  # keyed by the identity of a dict that `_labels` keeps
        self._on_span = config.events in {"span", "both"}
        if config.metrics:
            observe(meter, schema.ACTIVE, _flushed(streams.counts))
            observe(meter, schema.OLDEST_AGE, streams.ages)
            if budgets is not None:
                observe(meter, schema.RETRY_BUDGET, budgets)

    def labels(self, call: Call) -> Labels:
        """The two labels of all our metrics, bounded. One dict a pair, so that up and down are identical."""
        key = (self._model(call.model), self._server(call.server_address))
        found = self._labels.get(key)
        if found is None:
            found = self._labels[key] = {a.REQUEST_MODEL.name: key[0], a.SERVER_ADDRESS.name: key[1]}
            self._begin_at_zero(found)
        return found

    def _begin_at_zero(self, labels: Labels) -> None:
        """Make the series that alerts ask for exist before their first event."""
        instruments = self.instruments
        if instruments is None:
            return
        for counter, series in (
            (instruments.aborts, zeros.aborts()),
            (instruments.retries, zeros.retries()),
            (instruments.decisions, zeros.decisions(active=self._active)),
            (instruments.recoveries, zeros.recoveries(active=self._active)),
            (instruments.requests, zeros.requests()),
            (instruments.stalls, zeros.stalls(self.config.stall_thresholds)),
        ):
            for more in series:
                counter.now(0, {**labels, **more})

    def outcome_labels(self, labels: Labels, outcome: Outcome) -> Labels:
        """`labels` with an outcome; one dict each, as every stream needs one."""
        key = (id(labels), outcome)
        found = self._outcomes.get(key)
        if found is None:
            found = self._outcomes[key] = {**labels, a.OUTCOME.name: outcome.value}
        return found

    def genai_labels(self, call: Call, response_model: str | None) -> Labels:
        """The labels of the conventions' metrics."""
        labels = self.labels(call)
        found: Labels = {a.OPERATION_NAME.name: "chat", a.PROVIDER_NAME.name: call.provider, **labels}
        if response_model is not None:
            found[a.RESPONSE_MODEL.name] = self._answered(response_model)
        if call.server_port is not None:
            found[a.SERVER_PORT.name] = call.server_port
        return found

    def end_labels(self, emission: StreamTelemetry, summary: Summary) -> EndLabels:
        """The labels of a stream at its end."""
        mine = emission.call.owner != "other"
        return EndLabels(
            own=emission.labels,
            outcome=self.outcome_labels(emission.labels, summary.verdict.outcome),
            genai=self.genai_labels(emission.call, summary.message.model) if mine else None,
        )

    def begin(self, call: Call, wall: int) -> StreamTelemetry:
        """Start the span of a call at `wall` (nanoseconds), with what a sampler may want to see."""
        span: Span | None = None
        if self.config.span != "off":
            own = call.owner == "self"
            attributes: Labels = {a.REQUEST_MODEL.name: call.model, a.SERVER_ADDRESS.name: call.server_address}
            if call.server_port is not None:
                attributes[a.SERVER_PORT.name] = call.server_port
            if own:
                attributes[a.OPERATION_NAME.name] = "chat"
                attributes[a.PROVIDER_NAME.name] = call.provider
            spec = schema.CHAT_SPAN if own else schema.STREAM_SPAN
            span = self._tracer.start_span(
                spec.name.format(model=call.model),
                kind=SpanKind.CLIENT if own else SpanKind.INTERNAL,
                attributes=attributes,
                start_time=wall,
            )
        return StreamTelemetry(self, call, span, wall)

    def wants_events(self, span: Span | None) -> bool:
        """Whether events of this stream go anywhere."""
        return self._logs is not None or (self._on_span and span is not None and span.is_recording())

    def write_events(self, emission: StreamTelemetry, summary: Summary, wall: Callable[[int], int]) -> None:
        """The journal of a stream, onto its span and into log records."""
        span = emission.span if self._on_span and emission.span is not None and emission.span.is_recording() else None
        if span is None and self._logs is None:
            return
        for entry in summary.entries:
            name, attributes, at = entry_name(entry), entry_attributes(entry), wall(entry.at)
            if span is not None:
                span.add_event(name, attributes or None, at)
            if self._logs is not None:
                self._logs.emit(name, attributes, at, emission.context)

    def attempt_spans(self, emission: StreamTelemetry, summary: Summary, wall: Callable[[int], int]) -> None:
        """One child span for each HTTP request of a call that needed several, made after the fact."""
        for attempt in summary.attempts:
            attributes: Labels = {a.ATTEMPT_NUMBER.name: attempt.number, a.RETRY_LAYER.name: attempt.layer}
            reply = attempt.reply
            if reply is not None:
                attributes[a.STATUS_CODE.name] = reply.status
                if reply.request_id is not None:
                    attributes[a.REQUEST_ID.name] = reply.request_id
                if reply.retry_after is not None:
                    attributes[a.RETRY_AFTER.name] = reply.retry_after
                if reply.intermediary:
                    attributes[a.INTERMEDIARY.name] = reply.intermediary
            if attempt.reason is not None:
                attributes[a.RETRY_REASON.name] = attempt.reason.value
                attributes[a.ERROR_TYPE.name] = attempt.reason.value
            if attempt.delay is not None:
                attributes[a.RETRY_DELAY.name] = attempt.delay
            span = self._tracer.start_span(
                schema.ATTEMPT_SPAN.name,
                context=emission.context,
                kind=SpanKind.INTERNAL,
                attributes=attributes,
                start_time=wall(attempt.started),
            )
            if attempt.reason is not None:
                span.set_status(Status(StatusCode.ERROR, attempt.reason.value))
            span.end(wall(attempt.ended))

    def is_silent(self, emission: StreamTelemetry) -> bool:
        """Whether nobody hears of this stream: no span that matters, no meter and no logger behind the API."""
        span = emission.span
        return (
            (span is None or not span.get_span_context().is_valid)
            and (self.instruments is None or not is_live(self.instruments.aborts))
            and self._logs is None
        )

    def internal_error(self, where: str) -> None:
        """Count a failure of our own."""
        if self.instruments is not None:
            self.instruments.internal_errors.now(1, {a.INTERNAL_COMPONENT.name: where})
