"""The explanation of one stream as plain data: its timeline, its ending, the evidence for the reason, and advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from otel_claude_stream._core.diagnosis.both_ends import JOIN_RULES
from otel_claude_stream._core.diagnosis.classify import RULES, LimitCheck
from otel_claude_stream._core.diagnosis.limits import AMBIGUOUS, NO_MATCH
from otel_claude_stream._core.stream.message_state import DELTA
from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.attribute_values import texts
from otel_claude_stream.cli.view.decisions import decision_text, recovered_cuts, seam_text
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.timeline import LABELLED_GAP, Attempt, Gap, Mark

Kind = Literal["recording", "script", "spans"]

SCRIPTED_REQUEST_ID: Final = "req_scripted"
"""The request ID of a response whose script does not name one."""
BY_ID: Final = {rule.id: rule for rule in RULES}
JOINED: Final = {rule.id: rule.description for rule in JOIN_RULES}
MOST_MOMENTS: Final = 40
"""Lines of a timeline. The middle of a longer one is left out, with a line that gives the number."""

ORIGINS: Final = {
    "anthropic": "the API",
    "intermediary": "something between the application and the API",
    "network": "the network",
    "client": "a timeout of the client",
    "caller": "the application itself",
}
GAPS: Final = {
    "first": "before the first token",
    "silent": "no bytes at all",
    "pings": "pings only",
    "caller": "the application was busy with earlier events",
    "seam": "until the seam was found",
}
NOTHING: Final = {
    Outcome.COMPLETED.value: "Nothing to change: the message is complete.",
    Outcome.CLOSED.value: "Nothing to change: the application ended the stream itself.",
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
TEXTS: Final = (
    ("exception", a.ABORT_EXCEPTION),
    ("error type", a.ERROR_TYPE),
    ("error reported in", a.ERROR_SOURCE),
    ("error body", a.ERROR_BODY),
    ("status", a.STATUS_CODE),
    ("intermediary", a.INTERMEDIARY),
    ("request id", a.REQUEST_ID),
)
"""The evidence: labels and the attributes that hold the values."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of the timeline, ``at`` seconds after the start of the call; ``kind`` is event, stall or end."""

    at: float
    what: str
    kind: str = "event"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One stream explained. ``timed`` is false for a recording, which has no times. Unknown texts are empty."""

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
    joined: str
    """The addition of the API's own span to the diagnosis; empty for a stream that did not fail."""


def explanation(view: StreamView, source: str = "", kind: Kind = "spans") -> Explanation:
    """Explain one stream of a source."""
    rule = _rule(view)
    timed = kind != "recording"
    recovered = next((attempt.advice for attempt in view.attempts[:-1] if attempt.limit), "")
    return Explanation(
        source=source,
        name=view.title or (view.key if kind == "spans" else ""),
        model=view.model,
        timed=timed,
        outcome=view.outcome,
        reason=view.reason,
        phase=view.phase,
        origin=view.origin,
        duration=view.duration,
        timeline=_shortened(tuple(_timeline(view, kind))),
        rule=rule,
        because=BY_ID[rule].description if rule in BY_ID else "",
        evidence=tuple(_evidence(view, kind)),
        also_possible=texts(view.attributes, a.ALSO_POSSIBLE),
        limit_match=view.limit_match,
        suspects=view.suspects,
        consistent=_consistent(view, rule) if timed else "",
        advice=view.advice or recovered or NOTHING.get(view.outcome, ""),
        joined=JOINED.get(view.join_rule, "") if view.outcome == Outcome.FAILED.value else "",
    )


def sections(one: Explanation) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return what follows the timeline: headings, each with its paragraphs."""
    known = f"{one.because} (rule {one.rule})" if one.because else f"(rule {one.rule or 'not known'})"
    others = ", ".join(formatting.readable(reason) for reason in one.also_possible)
    diagnosis = [known, one.joined, one.consistent, f"The same evidence fits: {others}." if others else ""]
    evidence = "Evidence: " + "; ".join(f"{label} {text}" for label, text in one.evidence) + "."
    return (
        ("Ending", (_ending(one),)),
        ("Diagnosis", (*filter(None, diagnosis), evidence)),
        ("Advice", (one.advice or "No advice.",)),
    )


def _ending(one: Explanation) -> str:
    after = f" after {formatting.seconds(one.duration)}" if one.timed and one.duration else ""
    if not one.reason:
        return f"Completed{after}."
    origin = f", caused by {ORIGINS[one.origin]}" if one.origin in ORIGINS else "; the evidence does not show the cause"
    outcome = {"failed": "Failed", "closed": "Closed"}.get(one.outcome, one.outcome)
    return f"{outcome}{after}, {formatting.readable(one.phase)}: {formatting.readable(one.reason)}{origin}."


def consistent_with(match: str, suspects: tuple[str, ...]) -> str:
    """Name the limits that the times fit, and the products that have them. A fit is no proof."""
    products = ", ".join(suspects) or "no known product by default"
    if match == AMBIGUOUS:
        return f"Consistent with an idle limit as well as with a limit on the whole response: {products}."
    kind, _, seconds = match.partition(":")
    if seconds:
        limit = "an idle limit" if kind == "idle" else "a limit on the whole response"
        return f"Consistent with {limit} of {seconds.removesuffix('s')} s: {products}."
    if match == NO_MATCH and suspects:
        return f"Consistent with no known time limit. The response names {', '.join(suspects)}."
    return "Consistent with no known time limit." if match == NO_MATCH else ""


def _consistent(view: StreamView, rule: str) -> str:
    """Name the limits that fit the end of the stream, and those that fit the ends of attempts before it."""
    own = consistent_with(view.limit_match, view.suspects) if _compared(view, rule) else ""
    cuts = recovered_cuts(view)
    return " ".join(part for part in (own, f"{cuts[:1].upper()}{cuts[1:]}." if cuts else "") if part)


def _compared(view: StreamView, rule: str) -> bool:
    """Whether the times of the ending were compared with limits: not if the caller or the API ended the stream."""
    if view.outcome != Outcome.FAILED.value:
        return False
    return rule not in BY_ID or BY_ID[rule].limit_check is not LimitCheck.NONE


def _rule(view: StreamView) -> str:
    """The rule that gave the verdict. Spans of complete streams do not carry it; two rules can complete a stream."""
    if view.outcome == Outcome.COMPLETED.value:
        return "only_stop_missing" if view.attributes.get(a.MISSING_MESSAGE_STOP.name) is True else "message_stop"
    return view.text(a.RULE)


# --- The timeline -----------------------------------------------------------------------------------------------------


def _timeline(view: StreamView, kind: Kind) -> Iterator[Moment]:
    moments = [Moment(0.0, "request sent")] if kind != "recording" else []
    moments += [Moment(attempt.end, _attempt(attempt)) for attempt in view.attempts[:-1]]
    if view.headers_at is not None and kind != "recording":
        moments.append(Moment(view.headers_at, _response(view)))
    gaps = [gap for gap in view.gaps if gap.labelled]
    moments += [Moment(mark.at, _mark(mark)) for mark in joined(view.marks) if mark.kind != "stall"]
    moments += [Moment(gap.start, _gap(gap), "stall") for gap in gaps]
    moments += [Moment(mark.at, _stall(mark), "stall") for mark in view.marks if _is_lone_stall(mark, gaps)]
    moments += [Moment(decision.at, decision_text(decision)) for decision in view.decisions]
    moments += [Moment(seam.at, seam_text(seam)) for seam in view.seams]
    moments += [Moment(side.end, side.text) for side in view.sides]
    moments.sort(key=lambda moment: moment.at)  # stable: of the same time, in the order above
    yield from moments
    yield Moment(view.duration, _end(view), "end")


def joined(marks: Sequence[Mark]) -> list[Mark]:
    """Join marks of the same kind and block that follow each other without a gap. Pings are joined across others."""
    found: list[Mark] = []
    for mark in marks:
        last = found[-1] if found else None
        if last is not None and _continues(last, mark):
            gap = max(last.gap or 0.0, mark.gap or 0.0)
            count, characters = last.count + mark.count, last.characters + mark.characters
            span = max(last.until, mark.until) - last.at
            found[-1] = Mark(last.at, last.kind, last.name, count, span, gap or None, characters, last.block)
        else:
            found.append(mark)
    return found


def _continues(last: Mark, mark: Mark) -> bool:
    alike = (last.name, last.kind, last.block) == (mark.name, mark.kind, mark.block)
    return alike and (mark.kind == "ping" or (mark.name == DELTA and mark.at - last.until < LABELLED_GAP))


def _is_lone_stall(mark: Mark, gaps: Sequence[Gap]) -> bool:
    """Whether a stall was recorded that no gap shows, since it lies between deltas that are one mark."""
    return mark.kind == "stall" and not any(gap.start <= mark.at <= gap.end for gap in gaps)


def _stall(mark: Mark) -> str:
    return f"stall: no content for {formatting.seconds(mark.gap)} so far"


def _attempt(attempt: Attempt) -> str:
    status = f", status {attempt.status}" if attempt.status is not None else ""
    delay = f"; next attempt after {formatting.seconds(attempt.delay)}" if attempt.delay is not None else ""
    limit = f", consistent with {attempt.limit}" if attempt.limit else ""
    return f"attempt {attempt.number} failed: {formatting.readable(attempt.reason)}{status}{limit}{delay}"


def _response(view: StreamView) -> str:
    found = [f"response {view.status}" if view.status is not None else "response"]
    found += [f"from {intermediary}" for intermediary in [view.text(a.INTERMEDIARY)] if intermediary]
    return ", ".join(found)


def _mark(mark: Mark) -> str:
    name = mark.name if mark.block is None else f"{mark.name} [{mark.block}]"
    kind = f" {formatting.readable(mark.kind)}" if mark.kind in ("text", "thinking", "tool_use") else ""
    size = f", {mark.characters} characters" if mark.characters else ""
    times = f" x{mark.count}" if mark.count > 1 else ""
    span = f", over {formatting.seconds(mark.span)}" if mark.span else ""
    gap = f", longest gap {formatting.seconds(mark.gap)}" if mark.gap and mark.count > 1 else ""
    return f"{name}{kind}{times}{size}{span}{gap}"


def _gap(gap: Gap) -> str:
    pings = f" ({gap.pings} pings)" if gap.kind == "pings" and gap.pings else ""
    return f"no content for {formatting.seconds(gap.seconds)}: {GAPS[gap.kind]}{pings}"


def _end(view: StreamView) -> str:
    exception = view.text(a.ABORT_EXCEPTION)
    if view.outcome == Outcome.COMPLETED.value:
        stop = f", stop reason {view.stop_reason}" if view.stop_reason else ""
        if view.attributes.get(a.FAULT_AFTER_STOP.name) is True:
            return f"end: completed{stop}; {exception or 'an exception'} came after message_stop, and nothing was lost"
        if view.attributes.get(a.MISSING_MESSAGE_STOP.name) is True:
            return f"end: completed{stop}; only message_stop was missing, and nothing was lost"
        return f"end: completed{stop}"
    raised = f"the SDK raised {exception}" if exception else "no exception was raised"
    return f"end: {formatting.readable(view.reason)}, {raised}"


def _shortened(moments: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """Leave out the middle of a long timeline, except for its stalls."""
    if len(moments) <= MOST_MOMENTS:
        return moments
    half = MOST_MOMENTS // 2
    middle = moments[half:-half]
    stalls = [moment for moment in middle if moment.kind == "stall"]
    left_out = Moment(middle[0].at, f"... {len(middle) - len(stalls)} more ...")
    return (*moments[:half], left_out, *stalls, *moments[-half:])


# --- The evidence -----------------------------------------------------------------------------------------------------


def _evidence(view: StreamView, kind: Kind) -> Iterator[tuple[str, str]]:
    """Yield the values that the classifier used, without those that a recording or a script does not have."""
    for label, attribute in CLOCKS if kind != "recording" else ():
        value = view.number(attribute)
        if value:
            yield label, formatting.seconds(value)
    for label, attribute in COUNTS:
        value = view.number(attribute)
        if value is not None:
            yield label, formatting.count(int(value))
    for label, attribute in TEXTS if kind != "recording" else TEXTS[:1]:
        text = view.text(attribute)
        if text and text not in (view.reason, SCRIPTED_REQUEST_ID):
            yield label, text
    if view.retries:
        yield "HTTP requests", formatting.count(view.requests)
    if view.api:
        yield "api", view.api
