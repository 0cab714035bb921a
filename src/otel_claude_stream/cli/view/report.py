"""The report: one self-contained HTML file with a chart, figures and a table, in which all text is escaped."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Final

from otel_claude_stream._core.vocabulary import CALLER_REASONS, Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.errors import CommandError, UsageError
from otel_claude_stream.cli.files import open_private
from otel_claude_stream.cli.view import decisions, details, formatting, lanes
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.printable import escape
from otel_claude_stream.cli.view.summary import Summary, summarise
from otel_claude_stream.cli.view.telemetry import Snapshot
from otel_claude_stream.cli.view.timeline import Attempt

DEFAULT_FILE: Final = "claude-streams.html"
PACKAGE: Final = "otel_claude_stream.cli.view"
PLACEHOLDER: Final = re.compile(r"\{\{(\w+)\}\}")
MOST_SERVICES: Final = 5  # in a title
MOST_LANES: Final = 500
"""Streams that get a lane. More lanes make the chart unreadable and browsers slow."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures over all streams of a run, of which a report may contain only a part."""

    summary: Summary
    internal_errors: int = 0
    dropped: int = 0
    without_marks: int = 0


CALLER_REASON_VALUES: Final = frozenset(reason.value for reason in CALLER_REASONS)
SHARED_AXIS: Final = "It begins at the start of the call, on the time axis that all streams share"
RELATIVE_AXIS: Final = "It begins at zero, at the start of the call, since these streams lie far apart"


POLICY_LEGEND: Final = """\
<li><span class="sample broken"></span> broken attempt</li>
<li><span class="sample joint fits"></span> the text continues</li>
<li><span class="sample joint misfits"></span> no seam</li>
<li><span class="sample gap seam"></span> until the seam</li>
<li><span class="sample band later"></span> resumed text</li>
"""
POLICY_EXPLANATION: Final = """\
<dt>Retried, continued, given up.</dt>
<dd>Each request of a stream is drawn at its time, with the backoff between two requests. A stream was <i>retried</i> \
if it began again before any content was delivered. It was <i>continued</i> if a further request resumed the text at \
the seam. If it was <i>given up</i>, the application received the first error. Open a lane to see every decision.</dd>
"""


def page(views: Sequence[StreamView], *, title: str, totals: Totals | None = None) -> str:
    """Return the whole file. ``views`` are in the order of the lanes; ``totals`` are by default theirs."""
    totals = totals or Totals(summarise(views))
    charted = views[-MOST_LANES:]
    summary, axis = totals.summary, lanes.axis_over(charted)
    first = None if axis.relative else min((view.start for view in charted), default=0)
    script = _asset("report.js")
    return _filled(
        _asset("report.html"),
        {
            "title": escape(title),
            "subtitle": escape(_subtitle(views, summary)),
            "style": _asset("report.css"),
            "script": script,
            "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            "notes": _notes(views, charted, totals),
            "cards": _cards(summary),
            "axis": lanes.axis_html(axis),
            "recovered": POLICY_LEGEND if any(map(decisions.policy_summary, charted)) else "",
            "policy": POLICY_EXPLANATION if any(map(decisions.policy_summary, charted)) else "",
            "lanes": "".join(_lane(view, axis, first) for view in charted),
            "begins": RELATIVE_AXIS if axis.relative else SHARED_AXIS,
            "head": "".join(_heading(column) for column in details.COLUMNS),
            "rows": "".join(_row(view) for view in views),
            "signs": "".join(_sign_legend(outcome.value) for outcome in Outcome),
        },
    )


def _subtitle(views: Sequence[StreamView], summary: Summary) -> str:
    services = sorted({view.service for view in views if view.service})
    versions = sorted({view.version for view in views if view.version})
    span = formatting.seconds((summary.end - summary.start) / 1e9)
    parts = [f"{formatting.plural(summary.streams, 'stream')} over {span}" if views else "No stream was seen"]
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


def _notes(views: Sequence[StreamView], charted: Sequence[StreamView], totals: Totals) -> str:
    notes = []
    if totals.dropped:
        notes.append(
            f"{totals.dropped} of {totals.summary.streams} streams are left out below, completed and old ones first, "
            "since the size of a report is limited. The figures count all streams."
        )
    if totals.without_marks:
        notes.append(
            f"{totals.without_marks} older streams were kept without their events. "
            "Their lanes show neither ticks nor gaps."
        )
    if len(charted) < len(views):
        notes.append(f"The chart shows the last {len(charted)} of {len(views)} streams. The table contains them all.")
    if dropped := sum(1 for view in views if view.marks_dropped):
        notes.append(
            f"{dropped} streams had more events than OTEL_CLAUDE_STREAM_EVENT_BUDGET allows to record. "
            "Their ticks are incomplete, and their gaps are not drawn."
        )
    if totals.internal_errors:
        notes.append(f"The instrumentation counted {totals.internal_errors} internal errors. Please report them.")
    return "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


# --- Cards ------------------------------------------------------------------------------------------------------------


def _cards(summary: Summary) -> str:
    cards = [
        _card("Streams", formatting.count(summary.streams), _outcomes(summary)),
        _card(
            "Time to first token",
            formatting.seconds(summary.ttft_p50),
            f"<p>median; 95th percentile <b>{escape(formatting.seconds(summary.ttft_p95))}</b></p>",
        ),
        _card(
            "Longest silence",
            formatting.seconds(summary.longest_silence),
            "<p>the longest of all streams, without a byte</p>",
        ),
        _card("HTTP requests", formatting.count(summary.requests), _requests(summary)),
        _reasons(summary),
    ]
    return "".join(cards)


def _requests(summary: Summary) -> str:
    results = ((count, escape(result).replace(" ", "&nbsp;")) for result, count in summary.policy_results)
    policy = ", ".join(f"<b>{count}</b>&nbsp;{result}" for count, result in results)
    return f"<p>for {formatting.plural(summary.streams, 'stream')}</p>" + (f"<p>{policy}</p>" if policy else "")


def _card(title: str, figure: str, below: str) -> str:
    return f'<section class="card"><h3>{escape(title)}</h3><p class="figure">{escape(figure)}</p>{below}</section>'


def _outcomes(summary: Summary) -> str:
    shares = [(outcome, count) for outcome, count in summary.outcomes.items() if count]
    bar = "".join(f'<span class="{_class(outcome)}" style="flex:{count}"></span>' for outcome, count in shares)
    items = "".join(
        f"<li>{lanes.sign(outcome)}<b>{count}</b> {escape(formatting.readable(outcome))}</li>"
        for outcome, count in shares
    )
    return f'<div class="bar" aria-hidden="true">{bar}</div><ul class="outcomes">{items}</ul>'


def _reasons(summary: Summary) -> str:
    most = max((count for _, count in summary.reasons), default=1)
    rows = "".join(
        f'<li><span>{escape(formatting.readable(reason))}</span><i class="{_class_of_reason(reason)}" '
        f'style="width:{count / most:.1%}"></i><b>{count}</b></li>'
        for reason, count in summary.reasons
    )
    body = f'<ul class="reasons">{rows}</ul>' if rows else "<p>Every stream completed.</p>"
    return f'<section class="card wide"><h3>Reasons of early endings</h3>{body}</section>'


# --- Lanes ------------------------------------------------------------------------------------------------------------


def _lane(view: StreamView, axis: lanes.Axis, first: int | None) -> str:
    begin = 0.0 if first is None else (view.start - first) / 1e9
    below = view.note or (view.model if view.title else _start_and_call(view))
    return (
        f'<li><details><summary aria-label="{escape(lanes.text_alternative(view))}">'
        f'<span class="title"><b>{escape(view.name)}</b><small>{escape(below)}</small></span>'
        f"{lanes.track(view, axis, begin)}"
        f'<span class="result"><b class="{_class(view.outcome)}">{escape(_result(view))}</b>'
        f"<small>{escape(_times(view))}</small></span>"
        f"</summary>{_more(view)}</details></li>"
    )


def _start_and_call(view: StreamView) -> str:
    """Return the start time and the SDK method, which distinguish streams of the same model."""
    call = ".".join(part for part in (view.text(a.API), view.text(a.HELPER)) if part)
    return " · ".join(part for part in (_clock(view.start), call) if part)


def _result(view: StreamView) -> str:
    return formatting.readable(view.reason or view.outcome)


def _times(view: StreamView) -> str:
    first = decisions.policy_summary(view)
    if not first and view.ttft is not None:
        first = f"first token {formatting.seconds(view.ttft)}"
    return " · ".join(part for part in (first, formatting.seconds(view.duration)) if part)


def _more(view: StreamView) -> str:
    """Return the part below an opened lane, with the stream on a separate axis, the advice, and all details."""
    axis = lanes.Axis(0.0, max(0.001, view.duration))
    advice = f'<p class="advice">{escape(view.advice)}</p>' if view.advice else ""
    requests = "".join(f"<li>{escape(_request(attempt))}</li>" for attempt in view.attempts)
    attempts = f'<section class="requests"><h4>HTTP requests</h4><ol>{requests}</ol></section>' if requests else ""
    log = "".join(f"<li>{escape(text)}</li>" for text in decisions.policy_log(view))
    policy = f'<section class="requests wide"><h4>Retry policy</h4><ol>{log}</ol></section>' if log else ""
    groups = "".join(
        f"<section><h4>{escape(title)}</h4><dl>{_pairs(rows)}</dl></section>" for title, rows in details.groups(view)
    )
    every = _pairs(details.every_attribute(view))
    raw = f"<details><summary>All attributes of the span</summary><dl>{every}</dl></details>"
    return (
        f'<div class="more"><div class="close-up">{lanes.axis_html(axis)}{lanes.track(view, axis, 0.0)}</div>'
        f'<p class="description">{escape(lanes.text_alternative(view))}</p>{advice}'
        f'<div class="groups">{groups}{attempts}{policy}</div>{raw}</div>'
    )


def _request(attempt: Attempt) -> str:
    """Describe one HTTP request, with the request ID for Anthropic's support."""
    text = lanes.attempt_text(attempt)
    return f"{text} ({attempt.request_id})" if attempt.request_id else text


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


def _class_of_reason(reason: str) -> str:
    return "closed" if reason in CALLER_REASON_VALUES else "failed"


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders of the template in one pass, so that the values are not searched."""
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def _asset(name: str) -> str:
    return files(PACKAGE).joinpath(name).read_text(encoding="utf-8")


# --- The file ---------------------------------------------------------------------------------------------------------


def checked_path(path: str, option: str) -> Path:
    """Check before anything runs that a file can be created at ``path``. Raises ``UsageError``."""
    found = Path(path)
    if found.is_dir():
        raise UsageError(f"{option} {path}: is a folder; name a file")
    if not found.parent.is_dir():
        raise UsageError(f"{option} {path}: the folder {found.parent} does not exist")
    return found


def title_of(views: Sequence[StreamView], otherwise: str) -> str:
    """Return the title of a report: the services in the telemetry, or ``otherwise`` without any.

    A command line is never a title, since its arguments may be secrets.
    """
    services = sorted({view.service for view in views if view.service})
    named = ", ".join(services[:MOST_SERVICES]) + (", ..." if len(services) > MOST_SERVICES else "")
    return f"Claude streams of {named or otherwise}"


def write_report(path: Path, snapshot: Snapshot, title: str) -> None:
    """Write the report, which only the user may read. Raises ``CommandError``."""
    totals = Totals(snapshot.summary, snapshot.internal_errors, snapshot.dropped, snapshot.without_marks)
    text = page(snapshot.views, title=title, totals=totals)
    try:
        with os.fdopen(open_private(path), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
