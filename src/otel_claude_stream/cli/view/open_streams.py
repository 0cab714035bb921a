"""Streams that are open now, as the processes of an application write them to a folder."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from otel_claude_stream.cli.process import POSIX
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.attribute_values import line

STALE: Final = 10.0  # seconds after which a file that is not replaced counts no longer
MOST_BYTES: Final = 4_000_000  # in one file; a stream takes some 300
HANGING: Final = 1.0  # seconds of silence from which on a stream is marked
PARTS: Final = {"tool_use": "a tool call", "finishing": "the end of the message"}


@dataclass(frozen=True, slots=True)
class OpenStream:
    """One open stream. ``started`` is in seconds since the epoch. ``hangs`` is for how long nothing has come.

    ``area`` is how a lane draws the last ``lasts`` seconds: ``asked``, ``backoff``, ``silent``, ``pings``, ``caller``,
    or empty while it receives. ``stall`` is the highest threshold that the wait has exceeded.
    """

    key: str
    title: str
    model: str
    port: int | None
    started: float
    age: float
    doing: str
    hangs: float
    request_id: str
    area: str = ""
    lasts: float = 0.0
    stall: str = ""

    @property
    def name(self) -> str:
        """The title of the stream, else its model."""
        return self.title or self.model


def live_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new private folder for the files, a context manager that removes it."""
    return tempfile.TemporaryDirectory(prefix="otel-claude-stream-", ignore_cleanup_errors=True)


class LiveFolder:
    """Reads the files of a folder, one for each process. ``label`` adds a title to a stream."""

    def __init__(
        self,
        folder: str,
        label: Callable[[OpenStream], OpenStream] = lambda stream: stream,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = Path(folder)
        self._label = label
        self._clock = clock
        self._paths: set[Path] = set()
        """All files so far. A listing of the folder may miss a file that is being replaced."""

    def read(self) -> tuple[OpenStream, ...] | None:
        """Return the open streams by start; None until a process has written its file."""
        self._paths.update(self._folder.glob("*.json"))
        if not self._paths:
            return None
        found = [self._label(one) for path in self._paths if _is_alive(path.stem) for one in self._streams(path)]
        return tuple(sorted(found, key=lambda one: (one.started, one.key)))

    def _streams(self, path: Path) -> Iterator[OpenStream]:
        try:
            with path.open("rb") as file:
                document = json.loads(file.read(MOST_BYTES))
            at, rows = float(document["at"]), document["streams"]
            now = self._clock()
            if now - at <= STALE:
                yield from [_stream(row, at, max(0.0, now - at)) for row in rows]  # all of them, or none
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return  # the process has just ended, or another program wrote the file


def _stream(row: dict[str, Any], at: float, since: float) -> OpenStream:
    age, seconds = _seconds(row["age"]), _seconds(row["seconds"])
    kind, attempt, port = row["doing"], row["attempt"], row["port"]
    again = f", attempt {int(attempt)}" if attempt > 1 else ""
    part = f", in {PARTS.get(row['part'], formatting.readable(line(row['part'])))}"
    if row["part"].startswith("awaiting"):
        part = f", {formatting.readable(line(row['part']))}"
    gap = _seconds(row.get("gap", 0.0)) + since
    hangs = 0.0 if kind == "caller" else gap if kind == "back_off" else seconds + since
    area = ""
    if kind == "back_off":
        area = "backoff"
        doing = f"back-off {formatting.seconds(max(0.0, seconds - since))}{again}"
        doing += f" after {formatting.readable(line(row['failed']))}" if row["failed"] else ""
    elif kind == "permit":
        area = "backoff"
        queue = formatting.plural(int(row["queued"]), "request")
        doing = f"no permit for {formatting.seconds(hangs)}{again}, {queue} in the queue"
    elif kind == "request":
        area = "asked"
        doing = f"no response for {formatting.seconds(hangs)}{again}"
    elif kind == "wait" and hangs >= HANGING:
        area = "silent"
        doing = f"silent for {formatting.seconds(hangs)}{part}{again}"
    elif kind == "wait" and gap >= HANGING:
        area, hangs, doing = "pings", gap, f"pings only for {formatting.seconds(gap)}{part}{again}"
    elif kind == "caller" and seconds + since >= HANGING:
        area = "caller"
        doing = f"not read for {formatting.seconds(seconds + since)}, the application is busy"
    else:
        doing = f"receiving{part}{again}"
    return OpenStream(
        key=str(row["key"]),
        title="",
        model=line(row["model"]),
        port=port if isinstance(port, int) else None,
        started=at - age,
        age=age + since,
        doing=doing,
        hangs=hangs,
        request_id=line(row["request_id"]),
        area=area,
        lasts=seconds + since if kind == "caller" else hangs,
        stall=line(row.get("stall", "")) if area in ("silent", "pings") else "",
    )


def _seconds(value: Any) -> float:
    number = float(value)
    return number if math.isfinite(number) else 0.0


def _is_alive(pid: str) -> bool:
    """Whether a process exists. Elsewhere than on POSIX the age of its file decides."""
    if not POSIX or not pid.isdecimal():
        return True
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # it belongs to another user
    return True
