"""The chart of the report, in which each stream is a lane on a time axis. All text is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.decisions import policy_summary, seam_text
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.printable import escape, printable
from otel_claude_stream.cli.view.timeline import ERROR_STATUS, Attempt, Gap, Mark, MarkKind, Seam, sample, within

UNITS: Final = 10_000  # width of the drawing, which is scaled to the screen
HEIGHT: Final = 32
TICKS: Final[dict[MarkKind, tuple[float, float]]] = {
    "structure": (10, 22),
    "text": (7, 25),
    "thinking": (7, 16),
    "tool_use": (16, 25),
    "other": (11, 21),
    "unknown": (11, 21),
    "ping": (26.5, 31),
    "error": (4, 28),
}
"""Top and bottom of a tick, in drawing order. Kinds differ in position as well as in colour."""
LABEL_ROOM: Final = 0.82  # share of the axis beyond which the reason does not fit behind the end marker
FAR_APART: Final = 20  # times the longest stream, which would be less than 5 % of a shared axis
BOX: Final = 27  # minimum width of an attempt's box in pixels, as in report.css
EDGE: Final = 0.95  # share of the axis beyond which such a box would not fit
TIP_MARKS: Final = 1500  # marks of one lane that have a tooltip
STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
GAP_TEXTS: Final = {
    "first": "waiting for the first token",
    "silent": "silence",
    "pings": "pings only",
    "caller": "the caller was busy",
    "seam": "waiting for the seam",
}
SIGNS: Final = {
    Outcome.COMPLETED.value: '<circle cx="8" cy="8" r="7"/><path d="M4.6 8.3l2.4 2.4 4.4-5"/>',
    Outcome.FAILED.value: '<path class="f" d="M8 .6L15.4 8 8 15.4.6 8z"/><path d="M5.7 5.7l4.6 4.6m0-4.6l-4.6 4.6"/>',
    Outcome.CLOSED.value: '<rect x="1.5" y="1.5" width="13" height="13" rx="2"/><path d="M5.5 8h5"/>',
}
UNKNOWN_SIGN: Final = '<circle cx="8" cy="8" r="7"/><path d="M8 8v.1"/>'


@dataclass(frozen=True, slots=True)
class Axis:
    """The time axis in seconds, from ``start`` for ``length``. With ``relative``, each stream begins at zero."""

    start: float
    length: float
    relative: bool = False

    def share(self, at: float) -> float:
        """Return the position of a time on the axis, from 0 to 1."""
        return min(1.0, max(0.0, (at - self.start) / self.length)) if self.length > 0 else 0.0

    def place(self, start: float, end: float) -> str:
        """Return CSS for the part of the axis between two times."""
        left = self.share(start)
        return f"left:{left:.4%};width:{max(0.0, self.share(end) - left):.4%}"


def axis_over(views: Sequence[StreamView]) -> Axis:
    """Return an axis from the start of the first stream; streams that lie far apart each begin at zero."""
    first, last = min((view.start for view in views), default=0), max((view.end for view in views), default=0)
    longest = max((view.duration for view in views), default=0.0)
    span = max(0.001, (last - first) / 1e9)
    return Axis(0.0, max(0.001, longest), relative=True) if span > FAR_APART * longest else Axis(0.0, span)


def axis_labels(axis: Axis) -> list[tuple[float, str]]:
    """Return positions and labels of the axis lines; there are five to twelve."""
    step = next(
        (step for step in STEPS if axis.length / step <= 12), STEPS[-1] * math.ceil(axis.length / STEPS[-1] / 12)
    )
    count = int(axis.length / step + 1e-9)
    return [(n * step, _at(n * step)) for n in range(count + 1)]


def axis_html(axis: Axis) -> str:
    """Return the scale above the lanes."""
    marks = "".join(f'<span style="left:{axis.share(at):.4%}">{escape(text)}</span>' for at, text in axis_labels(axis))
    return f'<div class="axis" aria-hidden="true">{marks}</div>'


def track(view: StreamView, axis: Axis, begin: float) -> str:
    """Return the lane of one stream that begins at ``begin`` on ``axis``."""
    parts = [_grid(axis), *_bands(view, axis, begin), *_before(view, axis, begin)]
    parts += [_gap(gap, axis, begin) for gap in view.gaps]
    parts.append(_drawing(view.marks, axis, begin))
    parts += [_seam(seam, axis, begin) for seam in view.seams]
    parts.append(_ending(view, axis, begin))
    tips = [[round(mark.at, 4), printable(mark_text(mark))] for mark in sample(view.marks, TIP_MARKS)]
    place = f'data-begin="{begin:.6f}" data-from="{axis.start:.6f}" data-length="{axis.length:.6f}"'
    return f'<div class="track" {place} data-tips="{escape(json.dumps(tips))}">{"".join(parts)}</div>'


def text_alternative(view: StreamView) -> str:
    """Describe a lane in a sentence, for readers who do not see the chart."""
    parts = [f"{view.name}: {view.outcome}"]
    parts[0] += f" ({formatting.readable(view.reason)})" if view.reason else ""
    if view.retries:
        parts.append(f"{view.requests} HTTP requests")
    if policy := policy_summary(view):
        parts.append(policy)
    if view.ttft is not None:
        parts.append(f"first token after {formatting.seconds(view.ttft)}")
    parts += [f"{GAP_TEXTS[gap.kind]} for {formatting.seconds(gap.seconds)}" for gap in view.gaps if gap.labelled]
    return f"{', '.join(parts)}; {formatting.seconds(view.duration)} in all."


def sign(outcome: str) -> str:
    """Return the marker of an outcome."""
    drawn = SIGNS.get(outcome, UNKNOWN_SIGN)
    return f'<svg class="sign {_class(outcome)}" viewBox="0 0 16 16" aria-hidden="true">{drawn}</svg>'


def mark_text(mark: Mark) -> str:
    """Describe one mark."""
    many = f"{mark.count} times " if mark.count > 1 else ""
    kind = (
        f"{formatting.readable(mark.kind)} delta"
        if mark.name == "content_block_delta"
        else formatting.readable(mark.name)
    )
    parts = [many + kind]
    if mark.characters:
        parts.append(f"{formatting.count(mark.characters)} characters")
    if mark.span:
        parts.append(f"within {formatting.seconds(mark.span)}")
    if mark.gap is not None:
        parts.append(f"after {formatting.seconds(mark.gap)}")
    return ", ".join(parts)


def attempt_text(attempt: Attempt) -> str:
    """Describe one attempt."""
    parts = [f"request {attempt.number}: {attempt.status or 'no response'}"]
    parts += [formatting.readable(attempt.reason)] if attempt.reason else []
    parts += [f"consistent with {attempt.limit}"] if attempt.limit else []
    parts.append(formatting.seconds(attempt.end - attempt.start))
    if attempt.retry_after is not None:
        parts.append(f"retry-after {formatting.seconds(attempt.retry_after)}")
    if attempt.delay:
        parts.append(f"then {formatting.seconds(attempt.delay)} of backoff")
    return ", ".join(parts)


def _class(outcome: str) -> str:
    return outcome if outcome in SIGNS else "unknown"


def _grid(axis: Axis) -> str:
    lines = "".join(f"M{axis.share(at) * UNITS:.0f} 0V{HEIGHT}" for at, _ in axis_labels(axis))
    return _svg(f'<path class="grid" d="{lines}"/>', "lines")


def _before(view: StreamView, axis: Axis, begin: float) -> Iterator[str]:
    """Yield the failed requests, the backoffs, and the wait for the response."""
    for this, following in zip(view.attempts, view.attempts[1:], strict=False):
        if this.streamed and within(view.marks, this):
            yield from _wait_of_later_attempt(view, this, axis, begin)
            yield _broken(this, axis, begin)
        else:
            yield _attempt(this, axis, begin)
        place = axis.place(begin + this.end, begin + following.start)
        wait = formatting.seconds(following.start - this.end)
        yield f'<div class="backoff" style="{place}" title="backoff of {escape(wait)}"></div>'
    if refused := _refused(view):
        yield _attempt(refused, axis, begin)
        return
    last = _last_attempt(view)
    if view.headers_at is not None and last.start > view.headers_at:
        yield from _wait_of_later_attempt(view, last, axis, begin)
        return
    answered = min(view.headers_at, view.duration) if view.headers_at is not None else view.duration
    if answered > last.start:
        place, wait = axis.place(begin + last.start, begin + answered), formatting.seconds(answered - last.start)
        yield f'<div class="asked" style="{place}" title="{escape(wait)} without a response"></div>'


def _last_attempt(view: StreamView) -> Attempt:
    return view.attempts[-1] if view.attempts else Attempt(1, 0.0, view.duration, None, "", "", None, None)


def _refused(view: StreamView) -> Attempt | None:
    """Return the last request, if its response was an error and the stream never began."""
    last = _last_attempt(view)
    status = last.status or view.status
    return replace(last, status=status) if status is not None and status >= ERROR_STATUS else None


def _attempt(attempt: Attempt, axis: Axis, begin: float) -> str:
    text = str(attempt.status or formatting.DASH)
    place = axis.place(begin + attempt.start, begin + max(attempt.end, attempt.start))
    end = axis.share(begin + attempt.end)
    if end > EDGE:  # the box, at least as wide as its text, grows to the left there
        place = f"right:{1 - end:.4%};{place.partition(';')[2]}"
    return f'<div class="attempt" style="{place}" title="{escape(attempt_text(attempt))}"><b>{text}</b></div>'


def _wait_of_later_attempt(view: StreamView, attempt: Attempt, axis: Axis, begin: float) -> Iterator[str]:
    """Yield the wait for the first mark of a later attempt, whose time to the response is not recorded."""
    if view.headers_at is None or attempt.start <= view.headers_at:
        return
    first = next((mark.at for mark in within(view.marks, attempt)), attempt.end)
    place, wait = axis.place(begin + attempt.start, begin + first), formatting.seconds(first - attempt.start)
    title = f"{wait} until the first event of request {attempt.number}"
    yield f'<div class="asked" style="{place}" title="{escape(title)}"></div>'


def _broken(attempt: Attempt, axis: Axis, begin: float) -> str:
    """Return the marker at which an attempt broke after a part of its text was delivered."""
    left = f"{axis.share(begin + attempt.end):.4%}"
    return f'<div class="broken" style="left:{left}" title="{escape(attempt_text(attempt))}"></div>'


def _seam(seam: Seam, axis: Axis, begin: float) -> str:
    """Return the marker of a seam."""
    left, kind = f"{axis.share(begin + seam.at):.4%}", "fits" if seam.fits else "misfits"
    return f'<div class="joint {kind}" style="left:{left}" title="{escape(seam_text(seam))}"></div>'


def _bands(view: StreamView, axis: Axis, begin: float) -> Iterator[str]:
    """Yield a band for each attempt with content, from its first content to its end."""
    spans = [(attempt.number, within(view.marks, attempt), attempt.end) for attempt in view.attempts]
    for number, marks, end in spans or [(1, list(view.marks), view.duration)]:
        content = [mark.at for mark in marks if mark.kind not in ("ping", "stall")]
        if content:
            later = " later" if number > 1 and view.seams else ""
            yield f'<div class="band{later}" style="{axis.place(begin + content[0], begin + end)}"></div>'


def _gap(gap: Gap, axis: Axis, begin: float) -> str:
    text = f"{GAP_TEXTS[gap.kind]} for {formatting.seconds(gap.seconds)}"
    shown = f"<i>{escape(formatting.seconds(gap.seconds))}</i>" if gap.labelled else ""
    place = axis.place(begin + gap.start, begin + gap.end)
    return f'<div class="gap {gap.kind}" style="{place}" title="{escape(text)}">{shown}</div>'


def _drawing(marks: Iterable[Mark], axis: Axis, begin: float) -> str:
    """Draw all ticks, in one path for each kind; ticks at the same position are one."""
    spots: dict[MarkKind, dict[int, None]] = {}
    ranges: dict[MarkKind, list[str]] = {}
    for mark in marks:
        if mark.kind not in TICKS:
            continue
        at = round(axis.share(begin + mark.at) * UNITS)
        spots.setdefault(mark.kind, {})[at] = None
        if mark.span and mark.count > 1:
            top, bottom = TICKS[mark.kind]
            end = round(axis.share(begin + mark.until) * UNITS)
            ranges.setdefault(mark.kind, []).append(f"M{at} {top}H{end}V{bottom}H{at}z")
    paths = [f'<path class="run {kind}" d="{"".join(found)}"/>' for kind, found in ranges.items()]
    for kind, (top, bottom) in TICKS.items():
        if kind in spots:
            lines = "".join(f"M{at} {top}V{bottom}" for at in spots[kind])
            paths.append(f'<path class="{kind}" d="{lines}"/>')
    return _svg("".join(paths), "ticks")


def _ending(view: StreamView, axis: Axis, begin: float) -> str:
    """Return the end marker, with the reason behind it unless the column of results, which has it too, is near."""
    at = axis.share(begin + view.duration)
    why = f"<em>{escape(formatting.readable(view.reason))}</em>" if view.reason and at <= LABEL_ROOM else ""
    left, behind = f"{at:.4%}", ""
    if refused := _refused(view):  # the marker is placed behind the box of that request, not on it
        left, behind = f"{at:.4%}" if at > EDGE else f"max({at:.4%},{_box_end(refused, axis, begin)})", " behind"
    return f'<div class="end {_class(view.outcome)}{behind}" style="left:{left}">{sign(view.outcome)}{why}</div>'


def _box_end(attempt: Attempt, axis: Axis, begin: float) -> str:
    """Return CSS for the least position at which the box of an attempt ends."""
    return f"{axis.share(begin + attempt.start):.4%} + {BOX}px"


def _svg(inner: str, name: str) -> str:
    box = f'viewBox="0 0 {UNITS} {HEIGHT}" preserveAspectRatio="none"'
    return f'<svg class="{name}" {box} aria-hidden="true">{inner}</svg>'


def _at(seconds: float) -> str:
    if seconds >= 120 and seconds % 60 == 0:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:g} s"
