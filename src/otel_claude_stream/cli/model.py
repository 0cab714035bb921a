"""What the views show of a stream: plain frozen data made from its span, the attempt spans below it and its relatives.

All times of a view are seconds from the start of its span, except ``start`` and ``end`` (nanoseconds, epoch).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from otel_claude_stream._core.retry.context import Action
from otel_claude_stream._core.vocabulary import CALLER_REASONS, Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute
from otel_claude_stream.cli.otlp import Attributes, SpanData
from otel_claude_stream.cli.timeline import (
    ERROR_STATUS,
    Attempt,
    Clocks,
    Decided,
    Gap,
    Mark,
    Seam,
    attempts_from,
    decisions_from,
    gaps_over,
    marks_from,
    seams_from,
)

SCOPE = "otel_claude_stream"
UNKNOWN = "unknown"
LATEST = 10_000  # first tokens that percentiles are taken of: a run may last for weeks
LINE = 400  # characters of one value that are shown
NANO = 1e9
RECOVERED = {Action.RETRY.value: "retried", Action.RESUME.value: "continued"}
SHORTEST_WRITING = 0.05  # seconds; of an answer that came in one piece a rate says nothing


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a call; ``output`` is None where the stream broke before the usage came."""

    input: int | None
    output: int | None


@dataclass(frozen=True, slots=True)
class StreamView:
    """One stream. ``title`` and ``note`` are empty unless somebody who knows the stream gave them."""

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
    error_type: str
    limit_match: str
    suspects: tuple[str, ...]
    advice: str
    ttft: float | None
    longest_silence: float | None
    longest_gap: float | None
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
    decisions: tuple[Decided, ...]
    seams: tuple[Seam, ...]
    marks_dropped: int
    attributes: Attributes

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
        """Output tokens a second from the first token to the end, the caller's time left out; None if not known.

        None of a text that was continued as well: its time has a back-off in it, its usage is that of the last request.
        """
        if not self.tokens.output or self.ttft is None or self.seams:
            return None
        writing = self.duration - self.ttft - (self.number(a.CALLER_TIME) or 0.0)
        return self.tokens.output / writing if writing >= SHORTEST_WRITING else None

    @property
    def handled(self) -> str:
        """What a retry policy did: ``retried``, ``continued`` or ``given up``; empty if nothing, or if it observed."""
        if all(decided.dry_run for decided in self.decisions):
            return ""
        if self.outcome == Outcome.FAILED.value:
            return "given up"
        recovered = RECOVERED.get(self.text(a.RECOVERY_ACTION), "")
        return recovered if self.outcome == Outcome.COMPLETED.value or self.retries else "caller left"

    @property
    def stalls(self) -> int:
        """Silences after the first token that were long enough to be worth a word."""
        return sum(1 for gap in self.gaps if gap.labelled and gap.kind not in ("first", "seam"))

    @property
    def name(self) -> str:
        """What the stream is called: its title, else its model."""
        return self.title or self.model

    def number(self, attribute: Attribute) -> float | None:
        """The value of a numeric attribute, None if absent or no finite number."""
        return number(self.attributes, attribute)

    def text(self, attribute: Attribute) -> str:
        """The value of an attribute as one line, lists joined by commas; empty if absent."""
        return text(self.attributes, attribute)


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures over many streams. ``reasons`` is ordered, most frequent first; so is what a policy ``handled``."""

    streams: int
    outcomes: Mapping[str, int]
    reasons: tuple[tuple[str, int], ...]
    ttft_p50: float | None
    ttft_p95: float | None
    longest_silence: float | None
    requests: int
    start: int
    end: int
    handled: tuple[tuple[str, int], ...] = ()


def streams(spans: Iterable[SpanData]) -> tuple[StreamView, ...]:
    """The views of all streams among ``spans``, by start. A span that came twice counts once."""
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
    """Whether the span is one of ours, and of a stream rather than of one of its attempts."""
    return span.scope == SCOPE and span.name != schema.ATTEMPT_SPAN.name


def stream_view(span: SpanData, children: Collection[SpanData] = (), parent: SpanData | None = None) -> StreamView:
    """The view of one stream span; ``children`` hold its attempts and, like ``parent``, perhaps the usage."""
    attrs, duration = span.attributes, max(0, span.end - span.start) / NANO
    marks = marks_from(span, duration)
    attempts = attempts_from(span, [child for child in children if child.name == schema.ATTEMPT_SPAN.name], duration)
    seams = seams_from(span, duration)
    headers_at = number(attrs, a.TIME_TO_HEADERS)
    dropped = whole(attrs, a.EVENT_DROPPED) or 0
    opened = headers_at if headers_at is not None else (attempts[-1].start if attempts else 0.0)
    status = whole(attrs, a.STATUS_CODE)
    silence = _silence(attrs)
    clocks = Clocks(silence, number(attrs, a.CALLER_TIME))
    told = not dropped and (status is None or status < ERROR_STATUS) and headers_at is not None
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
        error_type=text(attrs, a.ERROR_TYPE),
        limit_match=text(attrs, a.LIMIT_MATCH),
        suspects=texts(attrs, a.SUSPECTS),
        advice=text(attrs, a.ADVICE),
        ttft=number(attrs, a.TIME_TO_FIRST_TOKEN),
        longest_silence=silence,
        longest_gap=number(attrs, a.CHUNK_LONGEST_GAP),
        headers_at=headers_at,
        status=status,
        requests=whole(attrs, a.ATTEMPT_COUNT) or 1 + (whole(attrs, a.RESEND_COUNT) or 0),
        tokens=_tokens([span, *children, *([parent] if parent else [])]),
        stop_reason=text(attrs, a.STOP_REASON),
        server=text(attrs, a.SERVER_ADDRESS),
        port=whole(attrs, a.SERVER_PORT),
        marks=marks,
        gaps=gaps_over(marks, attempts, opened, duration, seams=seams, clocks=clocks)
        if told or (marks and not dropped)
        else (),
        attempts=attempts,
        decisions=decisions_from(span, duration),
        seams=seams,
        marks_dropped=dropped,
        attributes=attrs,
    )


class Tally:
    """Figures over streams, one after the other. The percentiles are those of the last 10 000 first tokens."""

    def __init__(self) -> None:
        self.streams: int = 0
        self._outcomes = {outcome.value: 0 for outcome in Outcome}
        self._reasons: dict[str, int] = {}
        self._handled: dict[str, int] = {}
        self._ttfts: deque[float] = deque(maxlen=LATEST)
        self._silence: float | None = None
        self._requests = 0
        self._start: int | None = None
        self._end = 0

    def add(self, view: StreamView) -> None:
        """One more stream."""
        self.streams += 1
        self._outcomes[view.outcome] = self._outcomes.get(view.outcome, 0) + 1
        if view.reason:
            self._reasons[view.reason] = self._reasons.get(view.reason, 0) + 1
        if view.handled:
            self._handled[view.handled] = self._handled.get(view.handled, 0) + 1
        if view.ttft is not None:
            self._ttfts.append(view.ttft)
        self._silence = max(self._silence or 0.0, view.longest_silence or 0.0)
        self._requests += view.requests
        self._start = view.start if self._start is None else min(self._start, view.start)
        self._end = max(self._end, view.end)

    def summary(self) -> Summary:
        """The figures so far; the known outcomes are always there, with zero if need be."""
        return Summary(
            streams=self.streams,
            outcomes=dict(self._outcomes),
            reasons=_most_first(self._reasons),
            handled=_most_first(self._handled),
            ttft_p50=percentile(self._ttfts, 0.5),
            ttft_p95=percentile(self._ttfts, 0.95),
            longest_silence=self._silence,
            requests=self._requests,
            start=self._start or 0,
            end=self._end,
        )


def summarise(views: Iterable[StreamView]) -> Summary:
    """Figures over ``views``."""
    tally = Tally()
    for view in views:
        tally.add(view)
    return tally.summary()


def _most_first(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def percentile(values: Collection[float], share: float) -> float | None:
    """The value below which ``share`` (0 to 1) of ``values`` lie, between two of them linearly; None for none."""
    if not values:
        return None
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def by_caller(reason: str) -> bool:
    """Whether a reason is the caller's own doing."""
    return reason in {known.value for known in CALLER_REASONS}


def number(attrs: Attributes, attribute: Attribute) -> float | None:
    """A numeric attribute, None if absent, of another type, or not finite."""
    value = attrs.get(attribute.name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def whole(attrs: Attributes, attribute: Attribute) -> int | None:
    """A numeric attribute as a whole number, None if absent."""
    value = number(attrs, attribute)
    return None if value is None else int(value)


def text(attrs: Attributes, attribute: Attribute) -> str:
    """An attribute as one line of text, lists joined by commas; empty if absent."""
    return line(attrs.get(attribute.name))


def texts(attrs: Attributes, attribute: Attribute) -> tuple[str, ...]:
    """An attribute that is a list of strings; a single string is a list of one."""
    value = attrs.get(attribute.name)
    if value is None:
        return ()
    return tuple(line(item) for item in value) if isinstance(value, tuple) else (line(value),)


def line(value: object) -> str:
    """A value as one line of printable text: control characters become blanks, what is longer than 400 is cut."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case tuple():
            return line(", ".join(line(item) for item in value))
        case _:
            shown = "".join(char if char.isprintable() else " " for char in str(value)[: LINE + 1]).strip()
            return shown if len(shown) <= LINE else shown[: LINE - 1] + "…"


def _silence(attrs: Attributes) -> float | None:
    """The longest time without a byte, that before the end included."""
    found = [value for value in (number(attrs, a.LONGEST_SILENCE), number(attrs, a.ABORT_IDLE)) if value is not None]
    return max(found, default=None)


def _tokens(family: Sequence[SpanData]) -> Tokens:
    """The usage, from the first span of the family that has it: which one does depends on who owns the chat span.

    Of a stream that the policy recovered, that of the request that served: spans of the SDK's own know only theirs.
    """
    inputs, outputs = (_counts(family[0].attributes, key) for key in (a.ATTEMPT_INPUT_TOKENS, a.ATTEMPT_OUTPUT_TOKENS))
    if inputs and outputs:
        return Tokens(next((said for said in reversed(inputs) if said), None), outputs[-1] or None)
    for span in family:
        used = whole(span.attributes, a.INPUT_TOKENS), whole(span.attributes, a.OUTPUT_TOKENS)
        if used != (None, None):
            complete = family[0].attributes.get(a.USAGE_COMPLETE.name) is not False
            return Tokens(used[0], used[1] if complete else None)
    return Tokens(None, None)


def _counts(attrs: Attributes, attribute: Attribute) -> list[int]:
    """An attribute that is a list of counts; empty if it is absent or holds anything else."""
    value = attrs.get(attribute.name)
    found = [item for item in value if isinstance(item, int)] if isinstance(value, tuple) else []
    return found if isinstance(value, tuple) and len(found) == len(value) else []
