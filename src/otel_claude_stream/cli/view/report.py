"""The report: one self-contained HTML file, built by ``web/``, into which the streams are inserted as compact data."""

from __future__ import annotations

import base64
import html
import json
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from otel_claude_stream._core.diagnosis.limits import NO_MATCH
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.errors import CommandError, UsageError
from otel_claude_stream.cli.files import open_private
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.attribute_values import line
from otel_claude_stream.cli.view.decisions import policy_summary, recovered_cuts, seam_text
from otel_claude_stream.cli.view.explanation import explanation, sections
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.printable import printable_line
from otel_claude_stream.cli.view.telemetry import Snapshot
from otel_claude_stream.cli.view.timeline import Attempt, Mark

DEFAULT_FILE: Final = "claude-streams.html"
MOST_SERVICES: Final = 5  # in a title
PLACES: Final = ("<!--title-->", "<!--description-->", "<!--data-->")
"""Comments in the built page, in this order, that the report replaces."""

TEXTS: Final[dict[str, Callable[[StreamView], str]]] = {
    "title": lambda view: view.title,
    "note": lambda view: view.note,
    "outcome": lambda view: view.outcome,
    "reason": lambda view: view.reason,
    "origin": lambda view: view.origin,
    "phase": lambda view: view.phase,
    "limit": lambda view: _cut(view).limit_match.replace(NO_MATCH, ""),
    "suspects": lambda view: ", ".join(_cut(view).suspects),
    "cuts": recovered_cuts,
    "advice": lambda view: view.advice or _cut(view).advice,
    "model": lambda view: view.model,
    "server": lambda view: view.server + (f":{view.port}" if view.server and view.port is not None else ""),
    "helper": lambda view: ".".join(part for part in (view.text(a.API), view.text(a.HELPER)) if part),
    "service": lambda view: view.service,
    "recovery": lambda view: view.policy_result or ("retried by the SDK" if view.retries else ""),
    "policy": policy_summary,
    "trace": lambda view: view.key,
    "requests_ids": lambda view: " ".join(
        dict.fromkeys(filter(None, (view.text(a.REQUEST_ID), *(one.request_id for one in view.attempts))))
    ),
}
"""Columns of text. The page filters by some of them and searches in others."""
FIGURES: Final[dict[str, Callable[[StreamView], float | None]]] = {
    "duration": lambda view: view.duration,
    "ttft": lambda view: view.ttft,
    "silence": lambda view: view.longest_silence,
    "requests": lambda view: view.requests,
    "input": lambda view: view.tokens.input,
    "output": lambda view: view.tokens.output,
}


def _cut(view: StreamView) -> StreamView | Attempt:
    """Return the stream if a known limit cut it, else the first attempt that one cut, else the stream."""
    ended: tuple[StreamView | Attempt, ...] = (view, *view.attempts[:-1])
    return next((one for one in ended if one.limit_match not in ("", NO_MATCH)), view)


def report_data(snapshot: Snapshot, title: str) -> str:
    """Return the data of a page as lines of JSON. The first has the columns, and each other one has a stream.

    The page reads the line of a stream when its lane becomes visible.
    """
    views = snapshot.views
    first = min((view.start for view in views), default=0)
    kinds: dict[tuple[str, str], int] = {}
    lanes = [_lane(view, kinds) for view in views]
    head = {
        "title": printable_line(title),
        "subtitle": subtitle(snapshot),
        "notes": _notes(snapshot),
        "first": first / 1e6,
        "start": [round((view.start - first) / 1e9, 4) for view in views],
        "texts": {name: _shared(text(view) for view in views) for name, text in TEXTS.items()},
        "figures": {name: [_rounded(value(view)) for view in views] for name, value in FIGURES.items()},
        "kinds": [[kind, printable_line(name)] for kind, name in kinds],
    }
    return "\n".join(json.dumps(one, separators=(",", ":")) for one in (head, *lanes))


def _shared(texts: Iterable[str]) -> list[list[Any]]:
    """Return the different texts, and for each stream the index of its own."""
    known: dict[str, int] = {}
    places = [known.setdefault(text, len(known)) for text in texts]
    return [[printable_line(text) for text in known], places]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _lane(view: StreamView, kinds: dict[tuple[str, str], int]) -> dict[str, Any]:
    """Return what a lane draws, and what it shows when it is opened. Times are seconds after the start of the call."""
    story = explanation(view)
    return {
        "headers": view.headers_at,
        "status": view.status,
        "marks": [_mark(mark, kinds) for mark in view.marks],
        "gaps": [[_rounded(gap.start), _rounded(gap.end), gap.kind] for gap in view.gaps],
        "attempts": [{**asdict(one), "reason": printable_line(one.reason)} for one in view.attempts],
        "sides": [[side.party, _rounded(side.start), _rounded(side.end), side.text] for side in view.sides],
        "seams": [[_rounded(seam.at), seam.fits, printable_line(seam_text(seam))] for seam in view.seams],
        "story": [[_rounded(moment.at), printable_line(moment.what), moment.kind] for moment in story.timeline],
        "sections": [[title, list(map(printable_line, texts))] for title, texts in sections(story)],
        "attributes": [[printable_line(name), line(value)] for name, value in sorted(view.attributes.items())],
    }


def _mark(mark: Mark, kinds: dict[tuple[str, str], int]) -> list[float | None]:
    """Return a mark as figures; its kind and name as an index."""
    kind = kinds.setdefault((mark.kind, mark.name), len(kinds))
    found = [round(mark.at, 4), kind, mark.characters, _rounded(mark.gap), mark.count, _rounded(mark.span)]
    return found if mark.count > 1 or mark.span else found[:4]


def subtitle(snapshot: Snapshot) -> str:
    """Return number, time, services and versions of the streams."""
    views, summary = snapshot.views, snapshot.summary
    services = sorted({view.service for view in views if view.service})
    versions = sorted({view.version for view in views if view.version})
    span = formatting.seconds((summary.end - summary.start) / 1e9)
    parts = [f"{formatting.plural(summary.streams, 'stream')} over {span}" if views else "No stream was seen"]
    parts += [", ".join(services)] if services else []
    parts += [_when(summary.start)] if summary.start else []
    parts += ["otel-claude-stream " + ", ".join(versions)] if versions else []
    return printable_line(" · ".join(parts))


def _when(nanoseconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(nanoseconds / 1e9, timezone.utc):%d %B %Y, %H:%M} UTC"
    except (OverflowError, OSError, ValueError):
        return "at a time beyond the calendar"


def _notes(snapshot: Snapshot) -> list[str]:
    notes = []
    if snapshot.dropped:
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in snapshot.summary.outcomes.items() if count)
        notes.append(
            f"{snapshot.dropped} of {snapshot.summary.streams} streams ({outcomes}) are left out, completed and old "
            "ones first, since the size of a report is limited. The figures below do not count them."
        )
    if snapshot.without_marks:
        notes.append(
            f"{snapshot.without_marks} older streams were kept without their events. "
            "Their lanes show neither ticks nor gaps."
        )
    if cut := sum(1 for view in snapshot.views if view.marks_dropped):
        notes.append(
            f"{formatting.plural(cut, 'stream')} had more events than OTEL_CLAUDE_STREAM_EVENT_BUDGET allows to "
            "record. Their ticks are incomplete, and their gaps are not drawn."
        )
    if snapshot.internal_errors:
        notes.append(f"The instrumentation counted {snapshot.internal_errors} internal errors. Please report them.")
    return notes


# --- The file ---------------------------------------------------------------------------------------------------------


def page(snapshot: Snapshot, title: str) -> str:
    """Return the whole file. Everything from telemetry is compressed and encoded, except for title and subtitle."""
    packed = base64.b64encode(zlib.compress(report_data(snapshot, title).encode(), 6)).decode()
    rest = files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    parts = []
    texts = (html.escape(printable_line(title)), html.escape(subtitle(snapshot)), packed)
    for place, text in zip(PLACES, texts, strict=True):
        before, _, rest = rest.partition(place)
        parts += [before, text]
    return "".join([*parts, rest])


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
    text = page(snapshot, title)
    try:
        with os.fdopen(open_private(path), "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
