"""The report: one self-contained HTML file with a picture, figures and a table. Pure functions; all text is escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from importlib.resources import files
from typing import Final

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.view import decisions, details, lanes
from otel_claude_stream.cli.view import formatting as words
from otel_claude_stream.cli.view.model import StreamView, Summary, by_caller, summarise
from otel_claude_stream.cli.view.timeline import Attempt

PACKAGE: Final = "otel_claude_stream.cli.view"
PLACE: Final = re.compile(r"\{\{(\w+)\}\}")
PAINTED: Final = 500
"""Streams that get a lane; of more than that a picture shows nothing any more, and browsers get slow."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a report says beside its streams: figures over more streams than it has, and what is missing in it."""

    summary: Summary
    internal_errors: int = 0
    left_out: int = 0
    without_marks: int = 0


ONE_AXIS: Final = "It begins where the application asked, on the time axis that all streams share"
OWN_AXIS: Final = "It begins at zero, when the application asked, since these streams lie far apart"


RECOVERED_LEGEND: Final = """\
<li><span class="sample broken"></span> it broke</li>
<li><span class="sample joint fits"></span> the text goes on</li>
<li><span class="sample joint misfits"></span> no seam</li>
<li><span class="sample gap seam"></span> until the seam</li>
<li><span class="sample band later"></span> by a further request</li>
"""
POLICY_READING: Final = """\
<dt>Retried, continued.</dt>
<dd>Each request of a stream is drawn where it was made, the back-off before the next between them. <i>Retried</i>: \
begun again, as the application held nothing yet. <i>Continued</i>: the text went on in a further request, from the \
seam. <i>Given up</i>: the application got the first error. Open a lane to see every decision.</dd>
"""


def page(views: Sequence[StreamView], *, title: str, known: Known | None = None) -> str:
    """The whole file. ``views`` come in the order of the lanes; ``known`` is by default what they themselves tell."""
    known = known or Known(summarise(views))
    painted = views[-PAINTED:]
    summary, axis = known.summary, lanes.axis_over(painted)
    first = None if axis.own else min((view.start for view in painted), default=0)
    script = _asset("report.js")
    return _filled(
        _asset("report.html"),
        {
            "title": escape(title),
            "subtitle": escape(_subtitle(views, summary)),
            "style": _asset("report.css"),
            "script": script,
            "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            "notes": _notes(views, painted, known),
            "cards": _cards(summary),
            "axis": lanes.axis_html(axis),
            "recovered": RECOVERED_LEGEND if any(map(decisions.recovery, painted)) else "",
            "policy": POLICY_READING if any(map(decisions.recovery, painted)) else "",
            "lanes": "".join(_lane(view, axis, first) for view in painted),
            "begins": OWN_AXIS if axis.own else ONE_AXIS,
            "head": "".join(_heading(column) for column in details.COLUMNS),
            "rows": "".join(_row(view) for view in views),
            "signs": "".join(_sign_legend(outcome.value) for outcome in Outcome),
        },
    )


def _subtitle(views: Sequence[StreamView], summary: Summary) -> str:
    services = sorted({view.service for view in views if view.service})
    versions = sorted({view.version for view in views if view.version})
    span = words.seconds((summary.end - summary.start) / 1e9)
    parts = [f"{words.plural(summary.streams, 'stream')} over {span}" if views else "No stream was seen"]
    parts += [", ".join(services)] if services else []
    parts += [_when(summary.start)] if summary.start else []
    parts += ["otel-claude-stream " + ", ".join(versions)] if versions else []
    return " · ".join(parts)


def _when(nanoseconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(nanoseconds / 1e9, timezone.utc):%d %B %Y, %H:%M} UTC"
    except (OverflowError, OSError, ValueError):
        return "at a time beyond the calendar"


def _clock(nanoseconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(nanoseconds / 1e9, timezone.utc):%H:%M:%S.%f}"[:-5] + " UTC"
    except (OverflowError, OSError, ValueError):
        return ""


def _notes(views: Sequence[StreamView], painted: Sequence[StreamView], known: Known) -> str:
    notes = []
    if known.left_out:
        notes.append(
            f"{known.left_out} of {known.summary.streams} streams are left out below, completed ones and old ones "
            "first, since a report is of limited size. The figures count them all."
        )
    if known.without_marks:
        notes.append(
            f"Of {known.without_marks} older streams the single events were not kept: "
            "their lanes show no ticks and no gaps."
        )
    if len(painted) < len(views):
        notes.append(f"The picture shows the last {len(painted)} of {len(views)} streams; the table has them all.")
    if dropped := sum(1 for view in views if view.marks_dropped):
        notes.append(
            f"{dropped} streams have more events than were recorded (OTEL_CLAUDE_STREAM_EVENT_BUDGET): "
            "their ticks are incomplete, and no gaps are drawn for them."
        )
    if known.internal_errors:
        notes.append(f"The instrumentation counted {known.internal_errors} failures of its own; please report them.")
    return "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


# --- Cards ------------------------------------------------------------------------------------------------------------


def _cards(summary: Summary) -> str:
    cards = [
        _card("Streams", words.count(summary.streams), _outcomes(summary)),
        _card(
            "Time to first token",
            words.seconds(summary.ttft_p50),
            f"<p>median; 95 % within <b>{escape(words.seconds(summary.ttft_p95))}</b></p>",
        ),
        _card("Longest silence", words.seconds(summary.longest_silence), "<p>without a byte, of any stream</p>"),
        _card("HTTP requests", words.count(summary.requests), _requests(summary)),
        _reasons(summary),
    ]
    return "".join(cards)


def _requests(summary: Summary) -> str:
    told = ((count, escape(what).replace(" ", "&nbsp;")) for what, count in summary.handled)
    handled = ", ".join(f"<b>{count}</b>&nbsp;{what}" for count, what in told)
    return f"<p>for {words.plural(summary.streams, 'stream')}</p>" + (f"<p>{handled}</p>" if handled else "")


def _card(title: str, figure: str, below: str) -> str:
    return f'<section class="card"><h3>{escape(title)}</h3><p class="figure">{escape(figure)}</p>{below}</section>'


def _outcomes(summary: Summary) -> str:
    shares = [(outcome, count) for outcome, count in summary.outcomes.items() if count]
    bar = "".join(f'<span class="{_class(outcome)}" style="flex:{count}"></span>' for outcome, count in shares)
    told = "".join(
        f"<li>{lanes.sign(outcome)}<b>{count}</b> {escape(words.words(outcome))}</li>" for outcome, count in shares
    )
    return f'<div class="bar" aria-hidden="true">{bar}</div><ul class="outcomes">{told}</ul>'


def _reasons(summary: Summary) -> str:
    most = max((count for _, count in summary.reasons), default=1)
    rows = "".join(
        f'<li><span>{escape(words.words(reason))}</span><i class="{"closed" if by_caller(reason) else "failed"}" '
        f'style="width:{count / most:.1%}"></i><b>{count}</b></li>'
        for reason, count in summary.reasons
    )
    body = f'<ul class="reasons">{rows}</ul>' if rows else "<p>Every stream completed.</p>"
    return f'<section class="card wide"><h3>Why streams ended early</h3>{body}</section>'


# --- Lanes ------------------------------------------------------------------------------------------------------------


def _lane(view: StreamView, axis: lanes.Axis, first: int | None) -> str:
    begin = 0.0 if first is None else (view.start - first) / 1e9
    below = view.note or (view.model if view.title else _asked(view))
    return (
        f'<li><details><summary aria-label="{escape(lanes.in_words(view))}">'
        f'<span class="who"><b>{escape(view.name)}</b><small>{escape(below)}</small></span>'
        f"{lanes.track(view, axis, begin)}"
        f'<span class="what"><b class="{_class(view.outcome)}">{escape(_result(view))}</b>'
        f"<small>{escape(_times(view))}</small></span>"
        f"</summary>{_more(view)}</details></li>"
    )


def _asked(view: StreamView) -> str:
    """When it was asked, and by which call: what tells streams of the same model apart."""
    call = ".".join(part for part in (view.text(a.API), view.text(a.HELPER)) if part)
    return " · ".join(part for part in (_clock(view.start), call) if part)


def _result(view: StreamView) -> str:
    return words.words(view.reason or view.outcome)


def _times(view: StreamView) -> str:
    told = decisions.recovery(view)
    if not told and view.ttft is not None:
        told = f"first token {words.seconds(view.ttft)}"
    return " · ".join(part for part in (told, words.seconds(view.duration)) if part)


def _more(view: StreamView) -> str:
    """What opens below a lane: the stream on its own time axis, what to do, and everything that is known."""
    axis = lanes.Axis(0.0, max(0.001, view.duration))
    advice = f'<p class="advice">{escape(view.advice)}</p>' if view.advice else ""
    tries = "".join(f"<li>{escape(_tried(attempt))}</li>" for attempt in view.attempts)
    attempts = f'<section class="tries"><h4>HTTP requests</h4><ol>{tries}</ol></section>' if tries else ""
    told = "".join(f"<li>{escape(text)}</li>" for text in decisions.story(view))
    policy = f'<section class="tries wide"><h4>Retry policy</h4><ol>{told}</ol></section>' if told else ""
    groups = "".join(
        f"<section><h4>{escape(title)}</h4><dl>{_pairs(rows)}</dl></section>" for title, rows in details.groups(view)
    )
    every = _pairs(details.every_attribute(view))
    raw = f"<details><summary>All attributes of the span</summary><dl>{every}</dl></details>"
    return (
        f'<div class="more"><div class="close-up">{lanes.axis_html(axis)}{lanes.track(view, axis, 0.0)}</div>'
        f'<p class="told">{escape(lanes.in_words(view))}</p>{advice}'
        f'<div class="groups">{groups}{attempts}{policy}</div>{raw}</div>'
    )


def _tried(attempt: Attempt) -> str:
    """One HTTP request, with what Anthropic's support asks for."""
    said = lanes.attempt_words(attempt)
    return f"{said} ({attempt.request_id})" if attempt.request_id else said


def _pairs(rows: Sequence[tuple[str, str]]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows)


# --- Table ------------------------------------------------------------------------------------------------------------


def _heading(column: details.Column) -> str:
    kind = ' class="figure"' if column.figure else ""
    help_text = f' title="{escape(column.help)}"' if column.help else ""
    return f'<th scope="col"{kind}><button type="button"{help_text}>{escape(column.title)}</button></th>'


def _row(view: StreamView) -> str:
    cells = []
    for position, column in enumerate(details.COLUMNS):
        value = column.sort(view)
        sort = "" if value is None or value == "" else f' data-v="{escape(str(value))}"'
        kind = ' class="figure"' if column.figure else ' class="prose"' if column.title == "Advice" else ""
        shown = escape(column.text(view))
        if column.title == "Outcome":
            shown = lanes.sign(view.outcome) + shown
        cells.append(f'<th scope="row"{sort}>{shown}</th>' if position == 0 else f"<td{kind}{sort}>{shown}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _sign_legend(outcome: str) -> str:
    return f"<li>{lanes.sign(outcome)} {escape(outcome)}</li>"


def _class(outcome: str) -> str:
    return outcome if outcome in lanes.SIGNS else "unknown"


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its places filled, in one pass: what is filled in is not looked at again."""
    return PLACE.sub(lambda match: values[match[1]], template)


def _asset(name: str) -> str:
    return files(PACKAGE).joinpath(name).read_text(encoding="utf-8")
