"""The model of a stream that all views show: plain data from its span, its attempts' spans, and related spans.

All times of a view are seconds from the start of its span. Only ``start`` and ``end`` are nanoseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from otel_claude_stream._core.retry.context import Action
from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute
from otel_claude_stream.cli.otlp.decode import Attributes, SpanData
from otel_claude_stream.cli.view.attribute_values import integer, integers, line, number, text, texts
from otel_claude_stream.cli.view.timeline import (
    ERROR_STATUS,
    Attempt,
    Clocks,
    Decision,
    Gap,
    Mark,
    Seam,
    attempts_from,
    decisions_from,
    gaps_of_attempts,
    marks_from,
    seams_from,
)

SCOPE = "otel_claude_stream"
UNKNOWN = "unknown"
NANO = 1e9
RECOVERED = {Action.RETRY.value: "retried", Action.FALLBACK.value: "retried", Action.RESUME.value: "continued"}
_OTHERS = (schema.ATTEMPT_SPAN.name, schema.FEED_SPAN.name)
SHORTEST_WRITING = 0.05  # seconds; a rate means nothing for an answer that arrived in one piece


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a call; ``output`` is None if the stream broke before the usage came."""

    input: int | None
    output: int | None


@dataclass(frozen=True, slots=True)
class Side:
    """The record of another party, the API or a proxy, about one request. A log line has no ``start``."""

    party: str
    start: float | None
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class StreamView:
    """One stream. ``title`` and ``note`` are empty unless the command knows the stream, as the demo does.

    ``span_ids`` has its own and those of its children. ``api`` is the outcome of its last request by the API's own
    span, and ``join_rule`` the rule that applied. Both are empty if the telemetry has no span of the API at all.
    """

    key: str
    title: str
    note: str
    model: str
    service: str
    version: str
    start: int
    end: int
    outcome: str
    phase: str
    reason: str
    origin: str
    limit_match: str
    suspects: tuple[str, ...]
    advice: str
    ttft: float | None
    longest_silence: float | None
    headers_at: float | None
    status: int | None
    requests: int
    tokens: Tokens
    stop_reason: str
    server: str
    port: int | None
    marks: tuple[Mark, ...]
    gaps: tuple[Gap, ...]
    attempts: tuple[Attempt, ...]
    decisions: tuple[Decision, ...]
    seams: tuple[Seam, ...]
    marks_dropped: int
    attributes: Attributes
    span_ids: tuple[str, ...] = ()
    api: str = ""
    join_rule: str = ""
    sides: tuple[Side, ...] = ()

    @property
    def duration(self) -> float:
        """Seconds from the start of the call to the end of its stream; zero if the clock went back."""
        return max(0, self.end - self.start) / NANO

    @property
    def retries(self) -> int:
        """HTTP requests after the first."""
        return max(0, self.requests - 1)

    @property
    def rate(self) -> float | None:
        """Output tokens per second from the first token to the end, without the caller's time; None if not known.

        A resumed text has no rate: its time includes a backoff, and its usage is that of the last request.
        """
        if not self.tokens.output or self.ttft is None or self.seams:
            return None
        writing = self.duration - self.ttft - (self.number(a.CALLER_TIME) or 0.0)
        return self.tokens.output / writing if writing >= SHORTEST_WRITING else None

    @property
    def policy_result(self) -> str:
        """The result of the retry policy: ``retried``, ``continued``, ``given up`` or ``caller left``.

        Empty if the policy did nothing, or only observed.
        """
        if all(decision.dry_run for decision in self.decisions):
            return ""
        if self.outcome == Outcome.FAILED.value:
            return "given up"
        recovered = RECOVERED.get(self.text(a.RECOVERY_ACTION), "")
        return recovered if self.outcome == Outcome.COMPLETED.value or self.retries else "caller left"

    @property
    def long_gaps(self) -> int:
        """The number of gaps after the first token that are long enough to be labelled."""
        return sum(1 for gap in self.gaps if gap.labelled and gap.kind not in ("first", "seam"))

    @property
    def name(self) -> str:
        """The title of the stream, else its model."""
        return self.title or self.model

    def number(self, attribute: Attribute) -> float | None:
        """Return a numeric attribute, None if it is absent or no finite number."""
        return number(self.attributes, attribute)

    def text(self, attribute: Attribute) -> str:
        """Return an attribute as one line of text, lists joined by commas; empty if it is absent."""
        return text(self.attributes, attribute)


def streams(spans: Iterable[SpanData]) -> tuple[StreamView, ...]:
    """Return the views of all streams among ``spans``, by start. A span that came twice counts once."""
    unique = {(span.trace_id, span.span_id): span for span in spans}
    families: dict[tuple[str, str], list[SpanData]] = {}
    for span in unique.values():
        families.setdefault((span.trace_id, span.parent_id), []).append(span)
    views = []
    for key, span in unique.items():
        if is_stream(span):
            parent = unique.get((span.trace_id, span.parent_id))
            views.append(stream_view(span, families.get(key, ()), parent))
    return tuple(sorted(views, key=lambda view: (view.start, view.end, view.key)))


def is_stream(span: SpanData) -> bool:
    """Whether this package recorded the span, for the stream of a message."""
    return span.scope == SCOPE and span.name not in _OTHERS


def feeds(spans: Iterable[SpanData]) -> tuple[StreamView, ...]:
    """Return the views of the connections to feeds of agent sessions, by start. They are no streams of messages."""
    found = {(x.trace_id, x.span_id): x for x in spans if x.scope == SCOPE and x.name == schema.FEED_SPAN.name}
    return tuple(sorted(map(stream_view, found.values()), key=lambda view: (view.start, view.end, view.key)))


def stream_view(span: SpanData, children: Collection[SpanData] = (), parent: SpanData | None = None) -> StreamView:
    """Return the view of one stream span.

    ``children`` may hold its attempts. They and ``parent`` may hold the usage, if another instrumentation owns the
    chat span.
    """
    attrs, duration = span.attributes, max(0, span.end - span.start) / NANO
    marks = marks_from(span, duration)
    attempts = attempts_from(span, [child for child in children if child.name == schema.ATTEMPT_SPAN.name], duration)
    seams = seams_from(span, duration)
    headers_at = number(attrs, a.TIME_TO_HEADERS)
    dropped = integer(attrs, a.EVENT_DROPPED) or 0
    opened = headers_at if headers_at is not None else (attempts[-1].start if attempts else 0.0)
    status, sent = integer(attrs, a.STATUS_CODE), integer(attrs, a.ATTEMPT_COUNT)
    silence = _silence(attrs)
    clocks = Clocks(silence, number(attrs, a.CALLER_TIME))
    complete = not dropped and (status is None or status < ERROR_STATUS) and headers_at is not None
    return StreamView(
        key=f"{span.trace_id}/{span.span_id}",
        title="",
        note="",
        model=text(attrs, a.REQUEST_MODEL) or line(span.name.partition(" ")[2]) or UNKNOWN,
        service=line(span.service),
        version=line(span.scope_version),
        start=span.start,
        end=max(span.start, span.end),
        outcome=text(attrs, a.OUTCOME) or UNKNOWN,
        phase=text(attrs, a.PHASE),
        reason=text(attrs, a.REASON),
        origin=text(attrs, a.ORIGIN),
        limit_match=text(attrs, a.LIMIT_MATCH),
        suspects=texts(attrs, a.SUSPECTS),
        advice=text(attrs, a.ADVICE),
        ttft=number(attrs, a.TIME_TO_FIRST_TOKEN),
        longest_silence=silence,
        headers_at=headers_at,
        status=status,
        requests=sent if sent is not None else 1 + (integer(attrs, a.RESEND_COUNT) or 0),
        tokens=_tokens([span, *children, *([parent] if parent else [])]),
        stop_reason=text(attrs, a.STOP_REASON),
        server=text(attrs, a.SERVER_ADDRESS),
        port=integer(attrs, a.SERVER_PORT),
        marks=marks,
        gaps=gaps_of_attempts(marks, attempts, opened, duration, seams=seams, clocks=clocks)
        if complete or (marks and not dropped)
        else (),
        attempts=attempts,
        decisions=decisions_from(span, duration),
        seams=seams,
        marks_dropped=dropped,
        attributes=attrs,
        span_ids=(span.span_id, *(child.span_id for child in children)),
    )


def _silence(attrs: Attributes) -> float | None:
    """Return the longest time without a byte, the time before the end included."""
    found = [value for value in (number(attrs, a.LONGEST_SILENCE), number(attrs, a.ABORT_IDLE)) if value is not None]
    return max(found, default=None)


def _tokens(family: Sequence[SpanData]) -> Tokens:
    """Return the usage from the first span of the family that has it, which depends on the owner of the chat span.

    A stream with several attempts counts the one that served: spans of the SDK's tracing know only their request.
    """
    inputs, outputs = (integers(family[0].attributes, key) for key in (a.ATTEMPT_INPUT_TOKENS, a.ATTEMPT_OUTPUT_TOKENS))
    if inputs and outputs:
        return Tokens(next((known for known in reversed(inputs) if known), None), outputs[-1] or None)
    for span in family:
        used = integer(span.attributes, a.INPUT_TOKENS), integer(span.attributes, a.OUTPUT_TOKENS)
        if used != (None, None):
            complete = family[0].attributes.get(a.USAGE_COMPLETE.name) is not False
            return Tokens(used[0], used[1] if complete else None)
    return Tokens(None, None)
