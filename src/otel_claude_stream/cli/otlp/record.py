"""Telemetry in a file: OTLP JSON, one request a line, as the Collector's file exporter writes it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final

from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.otlp import decode as otlp
from otel_claude_stream.cli.otlp.decode import BadTelemetry, Document, Signal
from otel_claude_stream.cli.otlp.receive import Message

if TYPE_CHECKING:
    from typing_extensions import Self

KINDS: Final[dict[str, Signal]] = {"resourceSpans": "traces", "resourceMetrics": "metrics", "resourceLogs": "logs"}
MAX_LINE: Final = 64 * 1024 * 1024  # bytes; as for a request of the receiver


class Recorder:
    """Writes messages to ``path``, which is replaced. A context manager; raises ``CommandError`` on entry.

    A file that cannot be written any more is told to ``warn`` once; whoever calls ``write`` notices nothing.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("wb", buffering=0)
        except OSError as error:
            raise CommandError(f"cannot write {self._path}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._close()

    def write(self, message: Message) -> None:
        """One line: at once, so that a recording can be read while it grows, and whatever ends us."""
        line = memoryview(json.dumps(message.document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        with self._lock:
            if self._file is None:
                return
            try:
                while line:
                    line = line[self._file.write(line) :]
            except OSError as error:
                self._close()
                self._warn(f"cannot write {self._path}: {error.strerror}. The rest goes on without it.")

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A line that holds no OTLP request, and why."""

    line: int
    why: str


def read(path: Path) -> Iterator[tuple[Signal, Document] | Unread]:
    """The requests of a recording, one after the other. Raises ``CommandError`` if the file cannot be read.

    A file that is one JSON document over many lines is read as well.
    """
    try:
        with path.open("rb") as file:
            if _indented(file):
                yield _request(file.read(MAX_LINE), 1)
                return
            number = 0
            while line := file.readline(MAX_LINE):
                number += 1
                if line.strip():
                    yield _request(line, number)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error


def _indented(file: BinaryIO) -> bool:
    """Whether the first line is the beginning of a longer document."""
    first = file.readline(MAX_LINE).strip()
    file.seek(0)
    return first in (b"{", b"[")


def _request(line: bytes, number: int) -> tuple[Signal, Document] | Unread:
    try:
        document = json.loads(line)
        if not isinstance(document, dict):
            return Unread(number, "it is no JSON object")
        signal = next((signal for key, signal in KINDS.items() if key in document), None)
        if signal is None:
            return Unread(number, f"it has none of {', '.join(KINDS)}")
        return signal, otlp.read(signal, line, otlp.JSON)
    except BadTelemetry as error:
        return Unread(number, str(error))
    except (ValueError, RecursionError) as error:
        return Unread(number, f"it is no JSON: {getattr(error, 'msg', error)}")
