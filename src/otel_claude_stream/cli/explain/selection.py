"""Select streams by outcome, reason, ID and time."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Final

from otel_claude_stream._core.durations import parse_duration
from otel_claude_stream._core.vocabulary import AbortReason, Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.errors import UsageError
from otel_claude_stream.cli.view.model import NANO, StreamView

REASONS: Final = tuple(reason.value for reason in AbortReason)
HEX_ID: Final = re.compile(r"[0-9a-f]{1,32}(/[0-9a-f]{0,16})?")
REQUEST_ID: Final = re.compile(r"req_\w{1,200}")
TIME: Final = "use a time (14:05, 2026-11-28T14:05, 2026-11-28T14:05:00Z) or an age (90s, 15m, 2h)"


@dataclass(frozen=True, slots=True)
class Selection:
    """The streams that are wanted. ``since`` is in nanoseconds since the epoch; ``text`` is what the user wrote."""

    failed: bool = False
    reasons: frozenset[str] = frozenset()
    ids: tuple[str, ...] = ()
    since: int | None = None
    text: str = ""

    @property
    def needs_spans(self) -> bool:
        """Whether a recording or a script cannot match, since it has neither IDs nor a time of day."""
        return bool(self.ids) or self.since is not None

    def matches(self, view: StreamView) -> bool:
        """Whether a stream is wanted."""
        return (
            (not self.failed or view.outcome == Outcome.FAILED.value)
            and (not self.reasons or view.reason in self.reasons)
            and (self.since is None or view.end >= self.since)
            and (not self.ids or any(_has_id(view, one) for one in self.ids))
        )


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options = parser.add_argument_group("which streams to explain (all of them by default)")
    options.add_argument("--failed", action="store_true", help="streams that failed")
    options.add_argument(
        "--reason", metavar="R", action="append", default=[], help="streams that ended for this reason; may be repeated"
    )
    options.add_argument(
        "--trace",
        metavar="ID",
        action="append",
        default=[],
        help="the streams of a trace, TRACE/SPAN of the index, or a request ID; may be cut short and repeated",
    )
    options.add_argument("--since", metavar="T", help="streams that ended at or after a time, or in the last 15m")


def selection(args: argparse.Namespace, now: datetime | None = None) -> Selection:
    """Return the selection of the options. Raises ``UsageError``."""
    reasons = [_reason(text) for given in args.reason for text in given.split(",")]
    ids = [_id(text) for text in args.trace]
    since = None if args.since is None else since_time(args.since, now or datetime.now().astimezone())
    words = ["--failed"] * args.failed + [f"--reason {one}" for one in reasons] + [f"--trace {one}" for one in ids]
    if since is not None:
        words.append(f"--since {since.isoformat(timespec='seconds')}")
    nanoseconds = None if since is None else int(since.timestamp() * NANO)
    return Selection(args.failed, frozenset(reasons), tuple(ids), nanoseconds, " ".join(words))


def since_time(text: str, now: datetime) -> datetime:
    """Return the moment that ``text`` names. A time of day is the last one before ``now``, in its time zone.

    Raises ``UsageError``.
    """
    text = text.strip()
    try:
        return now - timedelta(seconds=parse_duration(text))
    except OverflowError:
        raise UsageError(f"--since: {text!r} is too long ago; {TIME}") from None
    except ValueError:
        pass  # not an age
    try:
        if re.fullmatch(r"\d?\d:\d\d(:\d\d)?", text):
            found = datetime.fromisoformat(f"{now:%Y-%m-%d}T{text.zfill(5 if text.count(':') == 1 else 8)}")
            moment = found.replace(tzinfo=now.tzinfo)
            return moment if moment <= now else moment - timedelta(days=1)
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError):
        raise UsageError(f"--since: {text!r} is not a time; {TIME}") from None


def _reason(text: str) -> str:
    reason = re.sub(r"[\s-]+", "_", text.strip().lower())
    if reason in REASONS:
        return reason
    near = get_close_matches(reason, REASONS, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UsageError(f"--reason: {text!r} is not a reason{hint}; the reasons are {', '.join(REASONS)}")


def _id(text: str) -> str:
    stripped = text.strip()
    if REQUEST_ID.fullmatch(stripped):
        return stripped
    if HEX_ID.fullmatch(stripped.lower()):
        return stripped.lower()
    raise UsageError(
        f"--trace: {text!r} is not an ID; use a trace ID, TRACE/SPAN, or a request ID (req_...), each may be cut short"
    )


def _has_id(view: StreamView, wanted: str) -> bool:
    if wanted.startswith("req_"):
        requests = (view.text(a.REQUEST_ID), *(attempt.request_id for attempt in view.attempts))
        return any(one.startswith(wanted) for one in requests)
    trace, _, span = view.key.partition("/")
    wanted_trace, _, wanted_span = wanted.partition("/")
    return trace.startswith(wanted_trace) and span.startswith(wanted_span)


def nothing_found(selection: Selection, views: Sequence[StreamView]) -> str:
    """Return the message for a selection that matches none of ``views``."""
    reasons = sorted({view.reason for view in views if view.reason})
    known = f"their reasons are {', '.join(reasons)}" if reasons else "all of them are complete"
    first, last = (datetime.fromtimestamp(at(view.end for view in views) / NANO).astimezone() for at in (min, max))
    times = f"they ended from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S}"
    return f"none of {len(views)} streams matches {selection.text}; {known}; {times}"
