"""The open streams of this process in a file, for the command `run`. See record 0038."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from otel_claude_stream import _guard

if TYPE_CHECKING:
    from otel_claude_stream._session.session import StreamSession

VARIABLE = "_OTEL_CLAUDE_STREAM_LIVE"
"""The folder of the files. Only the command `run` sets it; it is no setting."""

PERIOD = 0.25
"""Seconds between two states of the file."""

_NS = 1_000_000_000


class LiveFile:
    """Writes what each open stream does to `PID.json` in a folder, which it replaces as a whole."""

    __slots__ = ("_folder", "_pid")

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._pid = 0
        """The process that wrote the file, which a forked child has not done."""

    @_guard.guarded("live", None)
    def write(self, sessions: Sequence[StreamSession]) -> None:
        """Write the open streams; without any, only if there was one before."""
        import json  # not in a process without such a file

        pid = os.getpid()
        if not sessions and self._pid != pid:
            return
        self._pid = pid
        rows = [describe(one) for one in sessions if not one.is_over and one.state.call.feed is None]
        path = self._path()
        with suppress(OSError):  # the command has ended, and its folder is gone
            with open(f"{path}~", "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slower to import
                json.dump({"at": time.time(), "streams": rows}, file)
            os.replace(f"{path}~", path)  # noqa: PTH105 - as above

    def close(self) -> None:
        """Remove the file, as the process ends."""
        with suppress(OSError):
            os.unlink(self._path())  # noqa: PTH108 - as above

    def _path(self) -> str:
        return os.path.join(self._folder, f"{os.getpid()}.json")  # noqa: PTH118 - as above


def live_file() -> LiveFile | None:
    """Return the file of this process if the command `run` has started it, else None."""
    folder = os.environ.get(VARIABLE)
    return LiveFile(folder) if folder else None


def describe(session: StreamSession) -> dict[str, Any]:
    """Return what an open stream does now, without content. Called in another thread than its reader's."""
    state, hot = session.state, session.hot
    attempts, timing, now = state.attempts, state.timing, hot.clock()
    context = session.span.get_span_context() if session.span is not None else None
    reply = attempts.last_reply
    last = attempts.over[-1] if attempts.over else None
    row = {
        "key": f"{context.trace_id:032x}/{context.span_id:016x}" if context is not None else "",
        "model": state.call.model,
        "port": state.call.server_port,
        "age": (now - timing.started) / _NS,
        "attempt": attempts.sent,
        "failed": last.diagnosis.reason.value if last is not None and last.diagnosis is not None else "",
        "request_id": (reply.request_id if reply is not None else None) or "",
        "part": state.message.open_block or state.message.phase.value,
    }
    if last is not None and now < attempts.started:
        left, since = attempts.started - now, max(0, now - last.ended)
        return {**row, "doing": "back_off", "seconds": left / _NS, "gap": since / _NS}
    permits = state.call_policy.permits
    if permits is not None and (waiting := permits.waiting) is not None:
        return {**row, "doing": "permit", "seconds": waiting, "queued": permits.queued}
    if attempts.is_unanswered:
        return {**row, "doing": "request", "seconds": (now - attempts.started) / _NS}
    if timing.is_waiting:
        silent, gap = now - hot.read_started_at, timing.gap_at(now)
        row["stall"] = session.stalls.exceeded
        return {**row, "doing": "wait", "seconds": max(0, silent) / _NS, "gap": max(0, gap) / _NS}
    return {**row, "doing": "caller", "seconds": max(0, now - hot.last_byte_at) / _NS}
