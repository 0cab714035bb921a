"""Streams while they are open and when they have just ended, in columns that stay where they are."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.decisions import policy_summary
from otel_claude_stream.cli.view.model import NANO, StreamView
from otel_claude_stream.cli.view.open_streams import HANGING, OpenStream
from otel_claude_stream.cli.view.printable import printable_line
from otel_claude_stream.cli.view.terminal import GUTTER, SIGNS, Progress, limit_text

OPEN: Final = "open"
HANGS: Final = "hangs"
HEAD: Final = "head"
DETAIL: Final = "detail"
CLOCK, STATE, NAME, TOOK, ID = 8, 11, 20, 11, 28
"""Columns of the time of day, the state, the name, the duration and the request ID."""
LEAST, MOST = 20, 60
"""Bounds of the column for the reason, or for what an open stream does. It takes the rest of the width."""
WITH_ID: Final = 120  # columns of a terminal that has room for request IDs beside the reason


class LiveLine(NamedTuple):
    """One line; ``style`` is an outcome, or one of ``open``, ``hangs``, ``head`` and ``detail``."""

    text: str
    style: str


class Row(NamedTuple):
    """One stream. ``detail`` are texts that have a line of their own where the row has no room."""

    style: str
    state: str
    clock: str
    what: str
    name: str
    took: str
    request_id: str
    detail: tuple[str, ...] = ()


def live_lines(progress: Progress, width: int, rows: int) -> list[LiveLine]:
    """Return at most ``rows`` lines: titles, the open streams, and those that ended last, the last one first.

    A stream with a reason has lines for its limit and its advice. Complete streams get the room that is left.
    """
    if not (progress.views or progress.open_streams):
        return []
    found = [LiveLine(_line(Row(HEAD, "state", "time", "now / reason", "stream", "took", "request id"), width), HEAD)]
    room = rows - len(found)
    if progress.open_streams:
        found += _open_lines(progress.open_streams, width, (room + 1) // 2 if progress.views else room)
    return [*found, *_ended_lines(progress.views, width, rows - len(found))][:rows]


def _open_lines(streams: Sequence[OpenStream], width: int, room: int) -> list[LiveLine]:
    """Return the lines of open streams, those that hang first, in at most ``room`` lines."""
    found: list[LiveLine] = []
    ordered = [*hanging(streams, HANGING), *(one for one in streams if one.hangs < HANGING)]
    for number, one in enumerate(ordered):
        block = list(_block(open_row(one), width))
        last = number == len(ordered) - 1
        if len(found) + len(block) + (not last) > max(room, 1):
            found.append(LiveLine(f"{'':{CLOCK + GUTTER}}… {len(ordered) - number} more open", DETAIL))
            break
        found += block
    return found


def _ended_lines(views: Sequence[StreamView], width: int, room: int) -> list[LiveLine]:
    """Return the lines of streams that ended, the last one first, in at most ``room`` lines."""
    latest = sorted(views, key=lambda view: view.end, reverse=True)[: max(room, 0)]
    blocks: dict[int, list[LiveLine]] = {}
    for number in sorted(range(len(latest)), key=lambda number: not latest[number].reason):
        block = list(_block(ended_row(latest[number]), width))
        if len(block) > room and blocks:
            continue
        blocks[number] = block[: max(room, 0)]
        room -= len(blocks[number])
    return [line for number in sorted(blocks) for line in blocks[number]]


def open_row(one: OpenStream) -> Row:
    """Return the row of an open stream. Its time is the present one, as the time of an ended stream is its end."""
    style = HANGS if one.hangs >= HANGING else OPEN
    clock, took = _clock(one.started + one.age), formatting.seconds(one.age)
    return Row(style, "… open", clock, one.doing, one.name, took, one.request_id)


def ended_row(view: StreamView) -> Row:
    """Return the row of a stream that has ended."""
    state = f"{SIGNS.get(view.outcome, '?')} {view.outcome}"
    known = [formatting.readable(view.reason)] if view.reason else []
    known += [text for text in (policy_summary(view),) if text]
    if view.outcome == Outcome.COMPLETED.value:
        known += [f"TTFT {formatting.seconds(view.ttft)}"] if view.ttft is not None else []
        known += [f"{view.rate:.0f} tok/s"] if view.rate is not None else []
    detail = tuple(text for text in (limit_text(view), view.advice) if text)
    clock, took = _clock(view.end / NANO), formatting.seconds(view.duration)
    return Row(view.outcome, state, clock, ", ".join(known), view.name, took, view.text(a.REQUEST_ID), detail)


def plain_line(row: Row) -> str:
    """Return a row as a line without columns, for output that is no terminal."""
    parts = (row.clock, f"{row.state:<{STATE}}", row.what, row.name, f"took {row.took}", row.request_id, *row.detail)
    return printable_line("  ".join(part for part in parts if part))


def _block(row: Row, width: int) -> Iterator[LiveLine]:
    """Yield the line of a stream, and lines with its details."""
    detail = row.detail
    if row.style in (OPEN, HANGS) and len(row.what) > _reason_width(width):
        what, _, rest = row.what.partition(", ")
        row, detail = row._replace(what=what), (rest, *detail)
    if row.request_id and width < WITH_ID and (detail or row.style == HANGS):
        detail = (*detail, row.request_id)
    yield LiveLine(_line(row, width), row.style)
    indent = " " * min(CLOCK + GUTTER, width // 4)
    text = printable_line(" · ".join(detail))
    for line in textwrap.wrap(text, max(width, LEAST), initial_indent=indent, subsequent_indent=indent):
        yield LiveLine(line, DETAIL)


def _reason_width(width: int) -> int:
    fixed = [CLOCK, STATE, NAME, TOOK, *([ID] if width >= WITH_ID else [])]
    return min(MOST, max(LEAST, width - sum(fixed) - GUTTER * len(fixed)))


def _line(row: Row, width: int) -> str:
    """Return a row in columns whose places depend on ``width`` alone. The reason is among the first ones."""
    shows_id = width >= WITH_ID
    cells = [(row.clock, CLOCK), (row.state, STATE), (row.what, _reason_width(width)), (row.name, NAME)]
    cells.append((row.took.rjust(TOOK), TOOK))
    cells += [(row.request_id, ID)] if shows_id else []
    if width < CLOCK + STATE + LEAST + 2 * GUTTER:
        cells = cells[1:]
    texts = (f"{formatting.truncate(printable_line(text), size):<{size}}" for text, size in cells)
    return (" " * GUTTER).join(texts)[:width].rstrip()


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%H:%M:%S}"


def hanging(streams: Sequence[OpenStream], least: float) -> list[OpenStream]:
    """Return the streams from which nothing has come for ``least`` seconds, the longest silence first."""
    return sorted((one for one in streams if one.hangs >= least), key=lambda one: -one.hangs)
