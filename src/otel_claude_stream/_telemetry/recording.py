"""Recording what is recorded once a stream: which value goes on which instrument, under which labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_claude_stream._core.summary import Summary
from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.buffer import Labels
from otel_claude_stream._telemetry.metrics import Counter, Histogram, names
from otel_claude_stream._telemetry.spec import Metric

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English text; used for `output_tokens.wasted` only, which says that it is an estimate."""


class Instruments:
    """Every instrument of the schema."""

    def __init__(self, meter: Meter, semconv: str, gaps: str = "both") -> None:
        """`semconv` and `gaps` are the settings of these names; what they leave out is None."""

        def histogram(spec: Metric) -> Histogram:
            return Histogram(meter, spec, names(spec, semconv))

        def counter(spec: Metric) -> Counter:
            return Counter(meter, spec)

        self.genai_duration = histogram(schema.GENAI_DURATION)
        self.genai_first_chunk = histogram(schema.GENAI_TIME_TO_FIRST_CHUNK)
        self.genai_per_chunk = histogram(schema.GENAI_TIME_PER_OUTPUT_CHUNK) if gaps != "claude_stream" else None
        self.token_usage = histogram(schema.GENAI_TOKEN_USAGE) if semconv != "latest" else None
        self.input_tokens = histogram(schema.GENAI_INPUT_TOKENS) if semconv != "released" else None
        self.output_tokens = histogram(schema.GENAI_OUTPUT_TOKENS) if semconv != "released" else None
        self.duration = histogram(schema.DURATION)
        self.first_token = histogram(schema.TIME_TO_FIRST_TOKEN)
        self.chunk_gap = histogram(schema.CHUNK_GAP) if gaps != "gen_ai" else None
        self.longest_silence = histogram(schema.LONGEST_SILENCE)
        self.abort_idle = histogram(schema.ABORT_IDLE)
        self.abort_elapsed = histogram(schema.ABORT_ELAPSED)
        self.retry_delay = histogram(schema.RETRY_DELAY)
        self.tokens_rate = histogram(schema.OUTPUT_TOKENS_RATE)
        self.caller_time = histogram(schema.CALLER_TIME)
        self.aborts = counter(schema.ABORTS)
        self.stalls = counter(schema.STALLS)
        self.requests = counter(schema.REQUESTS)
        self.retries = counter(schema.RETRIES)
        self.decisions = counter(schema.RETRY_DECISIONS)
        self.recoveries = counter(schema.RECOVERIES)
        self.tokens_wasted = counter(schema.OUTPUT_TOKENS_WASTED)
        self.internal_errors = counter(schema.INTERNAL_ERRORS)


@dataclass(frozen=True, slots=True)
class EndLabels:
    """The labels of one stream at its end; `genai` is None where another instrumentation records those metrics."""

    own: Labels
    outcome: Labels
    genai: Labels | None


def record_end(instruments: Instruments, of: EndLabels, context: Context, summary: Summary) -> None:
    """The metrics that are recorded once a stream, at its end. `context` makes exemplars of them."""
    labels, outcome = of.own, of.outcome
    verdict, facts, message = summary.verdict, summary.facts, summary.message
    instruments.duration.record(facts.elapsed, outcome, context)
    if summary.reads:
        instruments.longest_silence.record(summary.longest_silence, outcome, context)
        instruments.caller_time.record(summary.caller_time, labels)
    if verdict.reason is not None:
        instruments.aborts.add(
            1,
            {
                **labels,
                a.REASON.name: verdict.reason.value,
                a.PHASE.name: facts.phase.value,
                a.ORIGIN.name: verdict.origin.value if verdict.origin is not None else "unknown",
                a.LIMIT_MATCH.name: verdict.limit_match,
            },
            context,
        )
    if summary.retries.action is not None:
        recovery = {a.RECOVERY_ACTION.name: summary.retries.action, a.RECOVERY_OUTCOME.name: verdict.outcome.value}
        instruments.recoveries.add(1, {**labels, **recovery}, context)
    if verdict.outcome is Outcome.FAILED:
        _record_failure(instruments, labels, context, summary)
    elif message.output_tokens is not None and summary.writing_time:
        instruments.tokens_rate.record(message.output_tokens / summary.writing_time, labels)
    if of.genai is not None:
        _record_genai(instruments, of.genai, summary)


def _record_failure(instruments: Instruments, labels: Labels, context: Context, summary: Summary) -> None:
    verdict, facts = summary.verdict, summary.facts
    origin = {**labels, a.ORIGIN.name: verdict.origin.value if verdict.origin is not None else "unknown"}
    instruments.abort_idle.record(facts.silence, origin, context)
    instruments.abort_elapsed.record(facts.elapsed, origin, context)
    wasted = round(summary.message.characters / CHARACTERS_PER_TOKEN)
    if wasted and verdict.reason is not None:
        instruments.tokens_wasted.add(wasted, {**labels, a.REASON.name: verdict.reason.value})


def _record_genai(instruments: Instruments, labels: Labels, summary: Summary) -> None:
    error_type = summary.error_type
    instruments.genai_duration.record(
        summary.facts.elapsed, {**labels, a.ERROR_TYPE.name: error_type} if error_type else labels
    )
    if summary.time_to_first_event is not None:
        instruments.genai_first_chunk.record(summary.time_to_first_event, labels)
    if not summary.usage_complete:
        return
    for kind, tokens, latest in (
        ("input", summary.total_input_tokens, instruments.input_tokens),
        ("output", summary.message.output_tokens, instruments.output_tokens),
    ):
        if tokens is None:
            continue
        if instruments.token_usage is not None:
            instruments.token_usage.record(tokens, {**labels, a.TOKEN_TYPE.name: kind})
        if latest is not None:
            latest.record(tokens, {**labels, a.TOKEN_MODALITY.name: "unknown"})
