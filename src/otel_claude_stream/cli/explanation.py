"""One stream explained: what came when, where it stalled, how it ended, why we think so, what to change. Plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from otel_claude_stream._core.diagnosis.classify import RULES, LimitCheck
from otel_claude_stream._core.diagnosis.limits import AMBIGUOUS, NO_MATCH
from otel_claude_stream._core.stream.message_state import DELTA
from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli import words
from otel_claude_stream.cli._replay import REQUEST_ID
from otel_claude_stream.cli.decisions import decided_words, seam_words
from otel_claude_stream.cli.inputs import Input, Kind
from otel_claude_stream.cli.model import StreamView, texts
from otel_claude_stream.cli.timeline import LABELLED_GAP, Attempt, Gap, Mark

BY_ID: Final = {rule.id: rule for rule in RULES}
MOST_MARKS: Final = 40
"""Lines of a timeline; what is between the first and the last of more is told as a number."""

ORIGINS: Final = {
    "anthropic": "the API",
    "intermediary": "something between the application and the API",
    "network": "the network",
    "client": "the client's own clock",
    "caller": "the application itself",
}
GAPS: Final = {
    "first": "no content yet",
    "silent": "not a byte",
    "pings": "pings only",
    "caller": "the application was busy with what it had",
    "seam": "no seam yet",
}
NOTHING: Final = {
    Outcome.COMPLETED.value: "Nothing: the message is complete.",
    Outcome.CLOSED.value: "Nothing: the application ended the stream itself.",
}


CLOCKS: Final = (
    ("silence before the end", a.ABORT_IDLE),
    ("from request to end", a.ABORT_ELAPSED),
    ("until the response", a.TIME_TO_HEADERS),
    ("until the first token", a.TIME_TO_FIRST_TOKEN),
    ("longest silence", a.LONGEST_SILENCE),
    ("time in the application's loop", a.CALLER_TIME),
)
COUNTS: Final = (
    ("events", a.EVENT_COUNT),
    ("deltas", a.DELTA_COUNT),
    ("pings", a.PING_COUNT),
    ("bytes", a.READ_BYTES),
    ("errno", a.ABORT_ERRNO),
)
SAID: Final = (
    ("exception", a.ABORT_EXCEPTION),
    ("error type", a.ERROR_TYPE),
    ("said in", a.ERROR_SOURCE),
    ("error body", a.ERROR_BODY),
    ("status", a.STATUS_CODE),
    ("who answered", a.INTERMEDIARY),
    ("request id", a.REQUEST_ID),
)
"""Evidence: what it is called, and the attribute that holds it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something of the timeline: ``at`` seconds after the start of the call; ``kind`` is event, stall or end."""

    at: float
    what: str
    kind: str = "event"


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is told of one stream. ``timed``: whether the times mean anything. Texts are empty where unknown."""

    source: str
    name: str
    model: str
    timed: bool
    outcome: str
    reason: str
    phase: str
    origin: str
    duration: float
    timeline: tuple[Moment, ...]
    rule: str
    because: str
    evidence: tuple[tuple[str, str], ...]
    also_possible: tuple[str, ...]
    limit_match: str
    suspects: tuple[str, ...]
    consistent: str
    advice: str


def explain(given: Input) -> tuple[Explanation, ...]:
    """Each stream of an input."""
    return tuple(explanation(view, given) for view in given.views)


def explanation(view: StreamView, given: Input) -> Explanation:
    """One stream."""
    rule = _rule(view)
    timed = given.kind != "recording"
    return Explanation(
        source=given.source,
        name=view.title or (view.key if given.kind == "spans" else ""),
        model=view.model,
        timed=timed,
        outcome=view.outcome,
        reason=view.reason,
        phase=view.phase,
        origin=view.origin,
        duration=view.duration,
        timeline=_shortened(tuple(_timeline(view, given.kind))),
        rule=rule,
        because=BY_ID[rule].description if rule in BY_ID else "",
        evidence=tuple(_evidence(view, given.kind)),
        also_possible=texts(view.attributes, a.ALSO_POSSIBLE),
        limit_match=view.limit_match,
        suspects=view.suspects,
        consistent=consistent(view.limit_match, view.suspects) if timed and _compared(view, rule) else "",
        advice=view.advice or NOTHING.get(view.outcome, ""),
    )


def consistent(match: str, suspects: tuple[str, ...]) -> str:
    """What the times fit, and whose limit that is: never more than "consistent with"."""
    whose = ", ".join(suspects) or "no product that we know by default"
    if match == AMBIGUOUS:
        return f"Consistent with an idle limit and with a limit on the whole response alike: {whose}."
    kind, _, seconds = match.partition(":")
    if seconds:
        what = "an idle limit" if kind == "idle" else "a limit on the whole response"
        return f"Consistent with {what} of {seconds.removesuffix('s')} s: {whose}."
    if match == NO_MATCH and suspects:
        return f"Consistent with no known time limit. The response names {', '.join(suspects)}."
    return "Consistent with no known time limit." if match == NO_MATCH else ""


def _compared(view: StreamView, rule: str) -> bool:
    """Whether the ending's times were compared with limits: not those of the caller, nor what the API itself said."""
    if view.outcome != Outcome.FAILED.value:
        return False
    return rule not in BY_ID or BY_ID[rule].limit_check is not LimitCheck.NONE


def _rule(view: StreamView) -> str:
    """The rule that decided. Spans of complete streams do not carry it: two rules make a stream complete."""
    if view.outcome == Outcome.COMPLETED.value:
        return "only_stop_missing" if view.attributes.get(a.MISSING_MESSAGE_STOP.name) is True else "message_stop"
    return view.text(a.RULE)


def _timeline(view: StreamView, kind: Kind) -> Iterator[Moment]:
    moments = [Moment(0.0, "request sent")] if kind != "recording" else []
    moments += [Moment(attempt.end, _attempt(attempt)) for attempt in view.attempts[:-1]]
    if view.headers_at is not None and kind != "recording":
        moments.append(Moment(view.headers_at, _head(view)))
    gaps = [gap for gap in view.gaps if gap.labelled]
    moments += [Moment(mark.at, _mark(mark)) for mark in joined(view.marks) if mark.kind != "stall"]
    moments += [Moment(gap.start, _gap(gap), "stall") for gap in gaps]
    moments += [Moment(mark.at, _stall(mark), "stall") for mark in view.marks if _is_told(mark, gaps)]
    moments += [Moment(decided.at, decided_words(decided)) for decided in view.decisions]
    moments += [Moment(seam.at, seam_words(seam)) for seam in view.seams]
    moments.sort(key=lambda moment: moment.at)  # stable: what is told first came first
    yield from moments
    yield Moment(view.duration, _end(view), "end")


def joined(marks: Sequence[Mark]) -> list[Mark]:
    """Marks of one kind and block that follow each other without a gap as one; pings whatever is between them."""
    found: list[Mark] = []
    for mark in marks:
        last = found[-1] if found else None
        if last is not None and _continues(last, mark):
            gap = max(last.gap or 0.0, mark.gap or 0.0)
            found[-1] = replace(
                last,
                count=last.count + mark.count,
                span=max(last.until, mark.until) - last.at,
                gap=gap or None,
                characters=last.characters + mark.characters,
            )
        else:
            found.append(mark)
    return found


def _continues(last: Mark, mark: Mark) -> bool:
    alike = (last.name, last.kind, last.block) == (mark.name, mark.kind, mark.block)
    return alike and (mark.kind == "ping" or (mark.name == DELTA and mark.at - last.until < LABELLED_GAP))


def _is_told(mark: Mark, gaps: Sequence[Gap]) -> bool:
    """Whether a stall was told that no gap shows: one between deltas that came as one mark."""
    return mark.kind == "stall" and not any(gap.start <= mark.at <= gap.end for gap in gaps)


def _stall(mark: Mark) -> str:
    return f"stall: no content for {words.seconds(mark.gap)} so far"


def _attempt(attempt: Attempt) -> str:
    status = f", status {attempt.status}" if attempt.status is not None else ""
    delay = f"; next attempt after {words.seconds(attempt.delay)}" if attempt.delay is not None else ""
    return f"attempt {attempt.number} failed: {words.words(attempt.reason)}{status}{delay}"


def _head(view: StreamView) -> str:
    found = [f"response {view.status}" if view.status is not None else "response"]
    found += [f"from {spoken}" for spoken in [view.text(a.INTERMEDIARY)] if spoken]
    return ", ".join(found)


def _mark(mark: Mark) -> str:
    name = mark.name if mark.block is None else f"{mark.name} [{mark.block}]"
    kind = f" {words.words(mark.kind)}" if mark.kind in ("text", "thinking", "tool_use") else ""
    size = f", {mark.characters} characters" if mark.characters else ""
    times = f" x{mark.count}" if mark.count > 1 else ""
    span = f", over {words.seconds(mark.span)}" if mark.span else ""
    gap = f", longest wait {words.seconds(mark.gap)}" if mark.gap and mark.count > 1 else ""
    return f"{name}{kind}{times}{size}{span}{gap}"


def _gap(gap: Gap) -> str:
    pings = f" ({gap.pings} pings)" if gap.kind == "pings" and gap.pings else ""
    return f"nothing for {words.seconds(gap.seconds)}: {GAPS[gap.kind]}{pings}"


def _end(view: StreamView) -> str:
    if view.outcome == Outcome.COMPLETED.value:
        stop = f", stop reason {view.stop_reason}" if view.stop_reason else ""
        if view.attributes.get(a.FAULT_AFTER_STOP.name) is True:
            raised = view.text(a.ABORT_EXCEPTION) or "an exception"
            return f"end: completed{stop}; {raised} came after message_stop, and nothing was lost"
        if view.attributes.get(a.MISSING_MESSAGE_STOP.name) is True:
            return f"end: completed{stop}; only message_stop was missing, and nothing was lost"
        return f"end: completed{stop}"
    raised = view.text(a.ABORT_EXCEPTION)
    return f"end: {words.words(view.reason)}" + (
        f", the application got {raised}" if raised else ", nothing was raised"
    )


def _evidence(view: StreamView, kind: Kind) -> Iterator[tuple[str, str]]:
    """The figures that the classifier went by; what a recording or a Script does not say is left out."""
    for label, attribute in CLOCKS if kind != "recording" else ():
        value = view.number(attribute)
        if value:
            yield label, words.seconds(value)
    for label, attribute in COUNTS:
        value = view.number(attribute)
        if value is not None:
            yield label, words.count(int(value))
    for label, attribute in SAID if kind != "recording" else SAID[:1]:
        text = view.text(attribute)
        if text and text not in (view.reason, REQUEST_ID):
            yield label, text
    if view.retries:
        yield "HTTP requests", words.count(view.requests)


def _shortened(moments: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """The first and the last moments of a long timeline, and all of its stalls."""
    if len(moments) <= MOST_MARKS:
        return moments
    half = MOST_MARKS // 2
    middle = moments[half:-half]
    stalls = [moment for moment in middle if moment.kind == "stall"]
    left_out = Moment(middle[0].at, f"... {len(middle) - len(stalls)} more ...")
    return (*moments[:half], left_out, *stalls, *moments[-half:])
