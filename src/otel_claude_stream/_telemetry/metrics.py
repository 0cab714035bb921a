"""The metric instruments, and the metrics that are recorded once for each stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel_claude_stream import _guard
from otel_claude_stream._core.bill import CHARACTERS_PER_TOKEN, bill_of, has_extra_tokens
from otel_claude_stream._core.diagnosis.classify import Diagnosis
from otel_claude_stream._core.rate_limits import RateLimits
from otel_claude_stream._core.summary import Summary
from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.buffer import BUFFER, NO_EXEMPLAR, Labels
from otel_claude_stream._telemetry.labels import LabelSets
from otel_claude_stream._telemetry.span_attributes import abort_labels
from otel_claude_stream._telemetry.spec import Metric, names_under

if TYPE_CHECKING:
    from opentelemetry.context import Context


class Histogram:
    """A histogram of the schema, recorded under one or two names."""

    __slots__ = ("_instruments", "record")
    is_counter = False

    def __init__(self, meter: Meter, spec: Metric, names: Iterable[str]) -> None:
        self.record: Final = partial(BUFFER.add, self)
        """Adds a value to the buffer. With a span in the context it becomes an exemplar."""
        self._instruments = [
            meter.create_histogram(
                name, unit=spec.unit, description=spec.doc, explicit_bucket_boundaries_advisory=list(spec.buckets)
            )
            for name in names
        ]

    def record_now(self, value: float, labels: Labels, context: Context) -> None:
        """Record a value, bypassing the buffer."""
        for instrument in self._instruments:
            instrument.record(value, labels, context)


class Counter:
    """A counter of the schema."""

    __slots__ = ("_instrument", "add")
    is_counter = True

    def __init__(self, meter: Meter, spec: Metric) -> None:
        self.add: Final = partial(BUFFER.add, self)
        """Adds to the series with these labels, by way of the buffer. The value 0 creates the series."""
        self._instrument = meter.create_counter(spec.name, unit=spec.unit, description=spec.doc)

    def record_now(self, value: float, labels: Labels, context: Context = NO_EXEMPLAR) -> None:
        """Add to the series with these labels, bypassing the buffer."""
        self._instrument.add(value, labels, context)


def is_live(counter: Counter) -> bool:
    """Whether a provider is set that records this instrument. The API has no way to ask."""
    instrument: object = counter._instrument  # noqa: SLF001 - the wrapper's own field
    while type(instrument).__name__.startswith("_Proxy"):
        instrument = getattr(instrument, "_real_instrument", None)
    return instrument is not None and not type(instrument).__name__.startswith("NoOp")


def observe(meter: Meter, spec: Metric, read: Callable[[], Iterable[tuple[float, Labels]]]) -> None:
    """Create an observable instrument of the schema. `read` returns its values when metrics are collected."""

    def callback(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, labels) for value, labels in read()]

    up_down = spec.kind == "observable_updowncounter"
    create = meter.create_observable_up_down_counter if up_down else meter.create_observable_gauge
    create(spec.name, callbacks=[callback], unit=spec.unit, description=spec.doc)


class OpenStreams(Protocol):
    """The open streams of the process. Each method returns a value for each set of labels."""

    rate_limits: RateLimits
    """The rate limits that the API reported last."""

    def counts(self) -> Iterable[tuple[float, Labels]]:
        """Return the number of open streams."""

    def ages(self) -> Iterable[tuple[float, Labels]]:
        """Return the age of the oldest open stream, in seconds."""


Observed = tuple[Metric, Callable[[], Iterable[tuple[float, Labels]]]]
"""A metric, and what returns its values."""


def observe_all(
    meter: Meter,
    streams: OpenStreams,
    observed: Iterable[Observed],
    clock: Callable[[], int],
) -> None:
    """Create the observable instruments of the schema, and those in `observed`."""
    observe(meter, schema.ACTIVE, flushed_before(streams.counts))
    observe(meter, schema.OLDEST_AGE, streams.ages)
    for metric, read in observed:
        observe(meter, metric, read)

    @_guard.guarded("rate_limits", ())
    def limits(part: str) -> Iterable[tuple[float, Labels]]:
        names = (a.SERVER_ADDRESS.name, a.REQUEST_MODEL.name, a.RATE_LIMIT_KIND.name)
        found = [(getattr(limit, part), key) for key, limit in streams.rate_limits.current(clock())]
        return [(value, dict(zip(names, key, strict=True))) for value, key in found if value is not None]

    for part, spec in schema.RATE_LIMITS.items():
        observe(meter, spec, partial(limits, part))


def flushed_before(read: Callable[[], Iterable[tuple[float, Labels]]]) -> Callable[[], Iterable[tuple[float, Labels]]]:
    """Return a callback that flushes the buffer and then calls `read`. Callbacks run before metrics are collected."""

    @_guard.guarded("collected", ())
    def flush_and_read() -> Iterable[tuple[float, Labels]]:
        BUFFER.flush()
        return read()

    return flush_and_read


class Instruments:
    """The synchronous instruments of the schema. An instrument that the settings exclude is None."""

    def __init__(self, meter: Meter, semconv: str, gaps: str) -> None:
        def histogram(spec: Metric) -> Histogram:
            return Histogram(meter, spec, names_under(spec, semconv))

        def counter(spec: Metric) -> Counter:
            return Counter(meter, spec)

        self.genai_duration = histogram(schema.GENAI_DURATION)
        self.genai_time_to_first_chunk = histogram(schema.GENAI_TIME_TO_FIRST_CHUNK)
        self.genai_time_per_chunk = (
            histogram(schema.GENAI_TIME_PER_OUTPUT_CHUNK) if gaps in ("gen_ai", "both") else None
        )
        self.genai_token_usage = histogram(schema.GENAI_TOKEN_USAGE)
        self.genai_input_tokens = histogram(schema.GENAI_INPUT_TOKENS)
        self.genai_output_tokens = histogram(schema.GENAI_OUTPUT_TOKENS)
        self.genai_usage = tuple(counter(spec) for spec in schema.GENAI_USAGE if names_under(spec, semconv))
        self.duration = histogram(schema.DURATION)
        self.time_to_first_token = histogram(schema.TIME_TO_FIRST_TOKEN)
        self.chunk_gap = histogram(schema.CHUNK_GAP) if gaps in ("claude_stream", "both") else None
        self.longest_silence = histogram(schema.LONGEST_SILENCE)
        self.abort_idle = histogram(schema.ABORT_IDLE)
        self.abort_elapsed = histogram(schema.ABORT_ELAPSED)
        self.retry_delay = histogram(schema.RETRY_DELAY)
        self.concurrency_wait = histogram(schema.CONCURRENCY_WAIT)
        self.output_tokens_rate = histogram(schema.OUTPUT_TOKENS_RATE)
        self.caller_time = histogram(schema.CALLER_TIME)
        self.aborts = counter(schema.ABORTS)
        self.attempt_aborts = counter(schema.ATTEMPT_ABORTS)
        self.stalls = counter(schema.STALLS)
        self.fallbacks = counter(schema.FALLBACKS)
        self.requests = counter(schema.REQUESTS)
        self.retries = counter(schema.RETRIES)
        self.retry_decisions = counter(schema.RETRY_DECISIONS)
        self.recoveries = counter(schema.RECOVERIES)
        self.output_tokens_wasted = counter(schema.OUTPUT_TOKENS_WASTED)
        self.billed_extra_tokens = counter(schema.BILLED_EXTRA_TOKENS)
        self.internal_errors = counter(schema.INTERNAL_ERRORS)


class FeedInstruments:
    """The instruments of feeds, which exist only if the settings ask for them."""

    def __init__(self, meter: Meter, labels: LabelSets) -> None:
        self.labels = labels
        """Those of feeds, bounded apart from those of messages."""
        self.connections = Counter(meter, schema.FEED_CONNECTIONS)
        self.duration = Histogram(meter, schema.FEED_DURATION, (schema.FEED_DURATION.name,))
        self.gap = Histogram(meter, schema.FEED_GAP, (schema.FEED_GAP.name,))
        self.reconnects = Counter(meter, schema.FEED_RECONNECTS)
        self.errors = Counter(meter, schema.FEED_ERRORS)


# --- The metrics of a stream at its end --------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class EndLabels:
    """The labels of one stream at its end."""

    common: Labels
    """Those of all metrics of this package."""
    outcome: Labels
    """The common labels and the outcome."""
    genai: Labels | None
    """Those of the GenAI conventions' metrics. None if another instrumentation records these."""
    fallback: Labels
    """Those of the counter of fallbacks."""
    billed: Labels
    """The label that replaces the model for tokens of the policy's fallback model. Empty without one."""


def record_end(instruments: Instruments, end_labels: EndLabels, context: Context, summary: Summary) -> None:
    """Record the metrics of a stream at its end. `context` contains its span, for exemplars."""
    labels, outcome = end_labels.common, end_labels.outcome
    (facts, verdict), message = summary.diagnosis, summary.message
    instruments.duration.record(facts.elapsed, outcome, context)
    if summary.reads:
        instruments.longest_silence.record(summary.longest_silence, outcome, context)
        instruments.caller_time.record(summary.caller_time, labels)
    if summary.fallback_served:
        instruments.fallbacks.add(1, end_labels.fallback, context)
    if verdict.reason is not None:
        instruments.aborts.add(1, {**labels, **abort_labels(summary.diagnosis)}, context)
    if summary.retries.action is not None:
        recovery = {a.RECOVERY_ACTION.name: summary.retries.action, a.RECOVERY_OUTCOME.name: verdict.outcome.value}
        instruments.recoveries.add(1, {**labels, **recovery}, context)
    if verdict.outcome is Outcome.FAILED:
        wasted = round(message.characters / CHARACTERS_PER_TOKEN)
        if wasted:
            instruments.output_tokens_wasted.add(wasted, {**labels, a.REASON.name: summary.diagnosis.reason.value})
    elif message.usage.output_tokens is not None and summary.writing_time:
        instruments.output_tokens_rate.record(message.usage.output_tokens / summary.writing_time, labels)
    if has_extra_tokens(summary):
        _record_bill(instruments, end_labels, summary)
    if end_labels.genai is not None:
        _record_genai(instruments, end_labels.genai, end_labels.billed, summary)


def _record_bill(instruments: Instruments, end_labels: EndLabels, summary: Summary) -> None:
    for item in bill_of(summary):
        if item.extra:
            kind = {a.BILLED_TYPE.name: item.type, a.BILLED_SOURCE.name: item.source, a.BILLED_USE.name: item.use}
            model = end_labels.billed if item.model else {}
            instruments.billed_extra_tokens.add(item.tokens, {**end_labels.common, **model, **kind})


def record_attempt_abort(instruments: Instruments, labels: Labels, context: Context, failure: Diagnosis) -> None:
    """Record the metrics of an attempt that failed."""
    found = abort_labels(failure)
    origin = {**labels, a.ORIGIN.name: found[a.ORIGIN.name]}
    instruments.attempt_aborts.add(1, {**labels, **found}, context)
    instruments.abort_idle.record(failure.facts.silence, origin, context)
    instruments.abort_elapsed.record(failure.facts.age_of_attempt, origin, context)


def _record_genai(instruments: Instruments, labels: Labels, billed: Labels, summary: Summary) -> None:
    facts, verdict = summary.diagnosis
    failed = verdict.outcome is Outcome.FAILED
    instruments.genai_duration.record(
        facts.elapsed, {**labels, a.ERROR_TYPE.name: summary.diagnosis.known_error_type} if failed else labels
    )
    if summary.time_to_first_event is not None:
        instruments.genai_time_to_first_chunk.record(summary.time_to_first_event, labels)
    usage = summary.message.usage.billed
    if summary.retries.served:
        labels = {**labels, **billed}
    if instruments.genai_usage:
        modality = {**labels, a.TOKEN_MODALITY.name: "unknown"}
        counts = (usage.prompt or 0, usage.output_tokens or 0, usage.cache_read, usage.cache_write)
        for counter, tokens in zip(instruments.genai_usage, (*counts, summary.message.usage.reasoning), strict=True):
            if tokens is not None:
                counter.add(tokens, modality)
    if not summary.usage_complete:
        return
    for kind, tokens, per_call in (
        ("input", usage.prompt, instruments.genai_input_tokens),
        ("output", usage.output_tokens, instruments.genai_output_tokens),
    ):
        if tokens is not None:
            instruments.genai_token_usage.record(tokens, {**labels, a.TOKEN_TYPE.name: kind})
            per_call.record(tokens, labels)
