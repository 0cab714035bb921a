"""The streams of a command as server-sent events, for the page that follows it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream.cli.view.live import hanging
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.open_streams import HANGING, OpenStream
from otel_claude_stream.cli.view.printable import printable_line
from otel_claude_stream.cli.view.report import head_of, stream_row
from otel_claude_stream.cli.view.telemetry import Snapshot

PERIOD: Final = 0.25  # seconds between two states that one reader gets
HEARTBEAT: Final = 5.0  # seconds without a change until a comment shows whether the reader is still there
RETRY: Final = b"retry: 1000\n\n"  # milliseconds until a page connects again
MOST_OPEN: Final = 50  # open streams that a page lists; it counts all of them
BLOCK: Final = 64 * 1024  # bytes that are written at once


@dataclass(frozen=True, slots=True)
class State:
    """The data of the page at one moment. ``code`` is the exit code of the application after its end."""

    snapshot: Snapshot
    title: str
    code: int | None


class Feed:
    """The newest state, which any number of threads follow. Nothing is queued, so a slow reader misses states.

    A stream is sent once, and again if its view has changed. Its event is made once for all readers.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._state: State | None = None
        self._number = 0
        self._closed = threading.Event()
        self._rows: dict[str, tuple[StreamView, bytes]] = {}
        self._rows_lock = threading.Lock()

    def publish(self, snapshot: Snapshot, title: str, code: int | None = None) -> None:
        """Replace the state."""
        with self._changed:
            if self._state is not None and self._state.snapshot.views is not snapshot.views:
                self._forget({view.key for view in snapshot.views})
            state = State(snapshot, title, code)
            if state != self._state:
                self._state = state
                self._number += 1
                self._changed.notify_all()

    def close(self) -> None:
        """Let the readers get the last state and end."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()

    def follow(self) -> Iterator[bytes]:
        """Yield the events for one reader: all streams and the state first, later what has changed, until the end."""
        sent: dict[str, StreamView] = {}
        number = 0
        yield RETRY
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._number != number or self._closed.is_set(), HEARTBEAT)  # noqa: B023
                closed, state, fresh = self._closed.is_set(), self._state, self._number != number
                first, number = number == 0, self._number
            if state is not None and fresh:
                yield from self._events(state, sent, first=first)
            elif not closed:
                yield b":\n\n"
            if closed or (state is not None and state.code is not None):
                return
            self._closed.wait(PERIOD)

    def _events(self, state: State, sent: dict[str, StreamView], *, first: bool) -> Iterator[bytes]:
        """Yield the streams that are new or have changed, and the state, which makes the page show them."""
        views = {view.key: view for view in state.snapshot.views}
        block: list[bytes] = []
        for view in views.values():
            if sent.get(view.key) is not view:
                block.append(self._row(view))
                if sum(map(len, block)) > BLOCK:
                    yield b"".join(block)
                    block.clear()
        gone = [key for key in sent if key not in views]
        sent.clear()
        sent.update(views)
        block.append(event("state", {**state_of(state), "first": first, "gone": gone}))
        yield b"".join(block)

    def _row(self, view: StreamView) -> bytes:
        with self._rows_lock:
            known = self._rows.get(view.key)
            if known is None or known[0] is not view:
                known = self._rows[view.key] = view, event("stream", stream_row(view))
            return known[1]

    def _forget(self, kept: set[str]) -> None:
        with self._rows_lock:
            for key in [key for key in self._rows if key not in kept]:
                del self._rows[key]


def state_of(state: State) -> dict[str, Any]:
    """Return the figures, all from one snapshot, and the open streams, those that hang first."""
    found = state.snapshot
    hang = hanging(found.open_streams, HANGING)
    shown = [*hang, *(one for one in found.open_streams if one.hangs < HANGING)][:MOST_OPEN]
    return {
        **head_of(found, state.title),
        "open": [_open(one) for one in shown],
        "count": found.open or 0,
        "hanging": len(hang),
        "ended": found.summary.streams,
        "failed": found.summary.outcomes[Outcome.FAILED.value],
        "code": state.code,
    }


def event(name: str, data: Any) -> bytes:
    """Return a server-sent event. JSON in ASCII has no line break that would end it."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode("ascii")


def _open(one: OpenStream) -> dict[str, Any]:
    model = one.model if one.title else ""
    texts = {"key": one.key, "name": one.name, "model": model, "doing": one.doing, "stall": one.stall}
    return {
        **{name: printable_line(text) for name, text in texts.items()},
        "request_id": printable_line(one.request_id),
        "started": round(one.started * 1000),
        "age": round(one.age, 2),
        "area": one.area,
        "lasts": round(one.lasts, 2),
        "hangs": one.hangs >= HANGING,
    }
