"""The picture: each stream a lane on a time axis. Pure functions from views to HTML; every text is escaped here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Final

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream.cli.view import formatting as words
from otel_claude_stream.cli.view.decisions import recovery, seam_words
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.timeline import Attempt, Gap, Mark, MarkKind, Seam, nearest, within

UNITS: Final = 10_000  # width of the drawing, whatever it is on the screen
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
"""From where to where a tick goes: kinds differ in place as well as in colour. Drawn in this order."""
LABEL_ROOM: Final = 0.82  # share of the axis after which there is no room for the reason behind the end
FAR_APART: Final = 20  # times the longest stream: on one axis it would be less than 5 % of the width
BOX: Final = 27  # pixels that the box of an attempt is wide at least, as report.css has it
EDGE: Final = 0.95  # share of the axis after which such a box would stick out
TIP_MARKS: Final = 1500  # marks of one lane that can be pointed at
STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
GAP_WORDS: Final = {
    "first": "waiting for the first token",
    "silent": "nothing came",
    "pings": "nothing but pings",
    "caller": "the caller was busy",
    "seam": "waiting for the seam",
}
ERROR_STATUS: Final = 400
SIGNS: Final = {
    Outcome.COMPLETED.value: '<circle cx="8" cy="8" r="7"/><path d="M4.6 8.3l2.4 2.4 4.4-5"/>',
    Outcome.FAILED.value: '<path class="f" d="M8 .6L15.4 8 8 15.4.6 8z"/><path d="M5.7 5.7l4.6 4.6m0-4.6l-4.6 4.6"/>',
    Outcome.CLOSED.value: '<rect x="1.5" y="1.5" width="13" height="13" rx="2"/><path d="M5.5 8h5"/>',
}
UNKNOWN_SIGN: Final = '<circle cx="8" cy="8" r="7"/><path d="M8 8v.1"/>'


@dataclass(frozen=True, slots=True)
class Axis:
    """The time that is shown, in seconds: from ``start``, for ``length``. ``own``: each stream begins at zero."""

    start: float
    length: float
    own: bool = False

    def share(self, at: float) -> float:
        """Where on the axis a time is, 0 to 1."""
        return min(1.0, max(0.0, (at - self.start) / self.length)) if self.length > 0 else 0.0

    def place(self, start: float, end: float) -> str:
        """CSS: the part of the axis between two times."""
        left = self.share(start)
        return f"left:{left:.4%};width:{max(0.0, self.share(end) - left):.4%}"


def axis_over(views: Sequence[StreamView]) -> Axis:
    """One axis for all streams: seconds since the first began; where they would be mere dots, since each one's own."""
    first, last = min((view.start for view in views), default=0), max((view.end for view in views), default=0)
    longest = max((view.duration for view in views), default=0.0)
    over = max(0.001, (last - first) / 1e9)
    return Axis(0.0, max(0.001, longest), own=True) if over > FAR_APART * longest else Axis(0.0, over)


def axis_labels(axis: Axis) -> list[tuple[float, str]]:
    """Where the axis has its lines, and what stands there; five to twelve of them."""
    step = next(
        (step for step in STEPS if axis.length / step <= 12), STEPS[-1] * math.ceil(axis.length / STEPS[-1] / 12)
    )
    count = int(axis.length / step + 1e-9)
    return [(n * step, _at(n * step)) for n in range(count + 1)]


def axis_html(axis: Axis) -> str:
    """The scale above the lanes."""
    marks = "".join(f'<span style="left:{axis.share(at):.4%}">{escape(text)}</span>' for at, text in axis_labels(axis))
    return f'<div class="axis" aria-hidden="true">{marks}</div>'


def track(view: StreamView, axis: Axis, begin: float) -> str:
    """The lane of one stream that begins at ``begin`` on ``axis``."""
    parts = [_grid(axis), *_bands(view, axis, begin), *_before(view, axis, begin)]
    parts += [_gap(gap, axis, begin) for gap in view.gaps]
    parts.append(_drawing(view.marks, axis, begin))
    parts += [_seam(seam, axis, begin) for seam in view.seams]
    parts.append(_ending(view, axis, begin))
    tips = escape(json.dumps([[round(mark.at, 4), mark_words(mark)] for mark in nearest(view.marks, TIP_MARKS)]))
    place = f'data-begin="{begin:.6f}" data-from="{axis.start:.6f}" data-length="{axis.length:.6f}"'
    return f'<div class="track" {place} data-tips="{tips}">{"".join(parts)}</div>'


def in_words(view: StreamView) -> str:
    """What the lane shows, as a sentence: the text alternative of the picture."""
    parts = [f"{view.name}: {view.outcome}"]
    parts[0] += f" ({words.words(view.reason)})" if view.reason else ""
    if view.retries:
        parts.append(f"{view.requests} HTTP requests")
    if did := recovery(view):
        parts.append(did)
    if view.ttft is not None:
        parts.append(f"first token after {words.seconds(view.ttft)}")
    parts += [f"{GAP_WORDS[gap.kind]} for {words.seconds(gap.seconds)}" for gap in view.gaps if gap.labelled]
    return f"{', '.join(parts)}; {words.seconds(view.duration)} in all."


def sign(outcome: str) -> str:
    """The marker of an outcome."""
    drawn = SIGNS.get(outcome, UNKNOWN_SIGN)
    return f'<svg class="sign {_class(outcome)}" viewBox="0 0 16 16" aria-hidden="true">{drawn}</svg>'


def mark_words(mark: Mark) -> str:
    """One mark in words."""
    many = f"{mark.count} times " if mark.count > 1 else ""
    kind = f"{words.words(mark.kind)} delta" if mark.name == "content_block_delta" else words.words(mark.name)
    parts = [many + kind]
    if mark.characters:
        parts.append(f"{words.count(mark.characters)} characters")
    if mark.span:
        parts.append(f"within {words.seconds(mark.span)}")
    if mark.gap is not None:
        parts.append(f"after {words.seconds(mark.gap)}")
    return ", ".join(parts)


def attempt_words(attempt: Attempt) -> str:
    """One attempt in words."""
    parts = [f"request {attempt.number}: {attempt.status or 'no response'}"]
    parts += [words.words(attempt.reason)] if attempt.reason else []
    parts.append(words.seconds(attempt.end - attempt.start))
    if attempt.retry_after is not None:
        parts.append(f"retry-after {words.seconds(attempt.retry_after)}")
    if attempt.delay:
        parts.append(f"then {words.seconds(attempt.delay)} of back-off")
    return ", ".join(parts)


def _class(outcome: str) -> str:
    return outcome if outcome in SIGNS else "unknown"


def _grid(axis: Axis) -> str:
    lines = "".join(f"M{axis.share(at) * UNITS:.0f} 0V{HEIGHT}" for at, _ in axis_labels(axis))
    return _svg(f'<path class="grid" d="{lines}"/>', "lines")


def _before(view: StreamView, axis: Axis, begin: float) -> Iterator[str]:
    """What precedes the answer: failed requests, back-off, the wait for the response."""
    for this, following in zip(view.attempts, view.attempts[1:], strict=False):
        if this.streamed and within(view.marks, this):
            yield from _asked_again(view, this, axis, begin)
            yield _broken(this, axis, begin)
        else:
            yield _attempt(this, axis, begin)
        place = axis.place(begin + this.end, begin + following.start)
        wait = words.seconds(following.start - this.end)
        yield f'<div class="backoff" style="{place}" title="back-off of {escape(wait)}"></div>'
    if refused := _refused(view):
        yield _attempt(refused, axis, begin)
        return
    last = _last_attempt(view)
    if view.headers_at is not None and last.start > view.headers_at:
        yield from _asked_again(view, last, axis, begin)
        return
    answered = min(view.headers_at, view.duration) if view.headers_at is not None else view.duration
    if answered > last.start:
        place, wait = axis.place(begin + last.start, begin + answered), words.seconds(answered - last.start)
        yield f'<div class="asked" style="{place}" title="{escape(wait)} without a response"></div>'


def _last_attempt(view: StreamView) -> Attempt:
    return view.attempts[-1] if view.attempts else Attempt(1, 0.0, view.duration, None, "", "", None, None)


def _refused(view: StreamView) -> Attempt | None:
    """The last request, if the answer to it was an error and the stream never began."""
    last = _last_attempt(view)
    status = last.status or view.status
    return replace(last, status=status) if status is not None and status >= ERROR_STATUS else None


def _attempt(attempt: Attempt, axis: Axis, begin: float) -> str:
    text = str(attempt.status or words.NONE)
    place = axis.place(begin + attempt.start, begin + max(attempt.end, attempt.start))
    end = axis.share(begin + attempt.end)
    if end > EDGE:  # its box, which is as wide as its text at least, grows to the left there
        place = f"right:{1 - end:.4%};{place.partition(';')[2]}"
    return f'<div class="attempt" style="{place}" title="{escape(attempt_words(attempt))}"><b>{text}</b></div>'


def _asked_again(view: StreamView, attempt: Attempt, axis: Axis, begin: float) -> Iterator[str]:
    """The wait for what a later attempt brings; when its response came nobody has told."""
    if view.headers_at is None or attempt.start <= view.headers_at:
        return
    first = next((mark.at for mark in within(view.marks, attempt)), attempt.end)
    place, wait = axis.place(begin + attempt.start, begin + first), words.seconds(first - attempt.start)
    told = f"{wait} until request {attempt.number} brought something"
    yield f'<div class="asked" style="{place}" title="{escape(told)}"></div>'


def _broken(attempt: Attempt, axis: Axis, begin: float) -> str:
    """Where an attempt broke of which the application has a part."""
    left = f"{axis.share(begin + attempt.end):.4%}"
    return f'<div class="broken" style="left:{left}" title="{escape(attempt_words(attempt))}"></div>'


def _seam(seam: Seam, axis: Axis, begin: float) -> str:
    """Where a continuation met the text."""
    left, kind = f"{axis.share(begin + seam.at):.4%}", "fits" if seam.fits else "misfits"
    return f'<div class="joint {kind}" style="left:{left}" title="{escape(seam_words(seam))}"></div>'


def _bands(view: StreamView, axis: Axis, begin: float) -> Iterator[str]:
    """The times in which an answer was open: one for each attempt that brought something."""
    spans = [(attempt.number, within(view.marks, attempt), attempt.end) for attempt in view.attempts]
    for number, marks, end in spans or [(1, list(view.marks), view.duration)]:
        content = [mark.at for mark in marks if mark.kind not in ("ping", "stall")]
        if content:
            later = " later" if number > 1 and view.seams else ""
            yield f'<div class="band{later}" style="{axis.place(begin + content[0], begin + end)}"></div>'


def _gap(gap: Gap, axis: Axis, begin: float) -> str:
    text = f"{GAP_WORDS[gap.kind]} for {words.seconds(gap.seconds)}"
    shown = f"<i>{escape(words.seconds(gap.seconds))}</i>" if gap.labelled else ""
    place = axis.place(begin + gap.start, begin + gap.end)
    return f'<div class="gap {gap.kind}" style="{place}" title="{escape(text)}">{shown}</div>'


def _drawing(marks: Iterable[Mark], axis: Axis, begin: float) -> str:
    """All ticks: a path for each kind; two on the same spot are one."""
    spots: dict[MarkKind, dict[int, None]] = {}
    runs: dict[MarkKind, list[str]] = {}
    for mark in marks:
        if mark.kind not in TICKS:
            continue
        at = round(axis.share(begin + mark.at) * UNITS)
        spots.setdefault(mark.kind, {})[at] = None
        if mark.span and mark.count > 1:
            top, bottom = TICKS[mark.kind]
            end = round(axis.share(begin + mark.until) * UNITS)
            runs.setdefault(mark.kind, []).append(f"M{at} {top}H{end}V{bottom}H{at}z")
    paths = [f'<path class="run {kind}" d="{"".join(found)}"/>' for kind, found in runs.items()]
    for kind, (top, bottom) in TICKS.items():
        if kind in spots:
            lines = "".join(f"M{at} {top}V{bottom}" for at in spots[kind])
            paths.append(f'<path class="{kind}" d="{lines}"/>')
    return _svg("".join(paths), "ticks")


def _ending(view: StreamView, axis: Axis, begin: float) -> str:
    """The marker, and behind it the reason, unless the column of results, which says it too, is as near."""
    at = axis.share(begin + view.duration)
    why = f"<em>{escape(words.words(view.reason))}</em>" if view.reason and at <= LABEL_ROOM else ""
    left, behind = f"{at:.4%}", ""
    if refused := _refused(view):  # the marker stands behind the box of that request, not on it
        left, behind = f"{at:.4%}" if at > EDGE else f"max({at:.4%},{_box_end(refused, axis, begin)})", " behind"
    return f'<div class="end {_class(view.outcome)}{behind}" style="left:{left}">{sign(view.outcome)}{why}</div>'


def _box_end(attempt: Attempt, axis: Axis, begin: float) -> str:
    """CSS: where the box of an attempt ends at the least."""
    return f"{axis.share(begin + attempt.start):.4%} + {BOX}px"


def _svg(inner: str, name: str) -> str:
    box = f'viewBox="0 0 {UNITS} {HEIGHT}" preserveAspectRatio="none"'
    return f'<svg class="{name}" {box} aria-hidden="true">{inner}</svg>'


def _at(seconds: float) -> str:
    if seconds >= 120 and seconds % 60 == 0:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:g} s"
