"""Telemetry in a file of OTLP JSON lines, one request each, as the Collector's file exporter writes them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.files import open_private
from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.otlp.decode import BadTelemetry, Document, Signal, SpanData

if TYPE_CHECKING:
    from typing_extensions import Self

    from otel_claude_stream.cli.otlp.receive import Message

SIGNAL_KEYS: Final[dict[str, Signal]] = {
    "resourceSpans": "traces",
    "resourceMetrics": "metrics",
    "resourceLogs": "logs",
}
MAX_LINE: Final = 64 * 1024 * 1024  # bytes; a request has up to 20 MiB, and its JSON more


class Recorder:
    """Writes messages to ``path``, which it replaces and makes private.

    A context manager that raises ``CommandError`` on entry. If the file can no longer be written, ``warn`` is
    called once; ``write`` never raises.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            self._file = os.fdopen(open_private(self._path), "wb", buffering=0)
        except OSError as error:
            raise CommandError(f"cannot write {self._path}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._close()

    def write(self, message: Message) -> None:
        """Write one line, unbuffered, so that the recording can be read at any time and survives a crash."""
        line = memoryview(json.dumps(message.document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        with self._lock:
            if self._file is None:
                return
            try:
                while line:
                    line = line[self._file.write(line) :]
            except OSError as error:
                self._close()
                self._warn(
                    f"cannot write {self._path}: {error.strerror}. The recording ends here; everything else continues."
                )

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """A line that is not an OTLP request."""

    line: int
    reason: str


def read(path: Path) -> Iterator[tuple[Signal, Document | list[SpanData]] | UnreadableLine]:
    """Yield the requests of a recording, traces as spans. Raises ``CommandError`` if the file cannot be read.

    The file may also be one JSON document over many lines.
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
    """Whether the file is one document over many lines."""
    first = file.readline(MAX_LINE).strip()
    file.seek(0)
    return first in (b"{", b"[")


def _request(line: bytes, number: int) -> tuple[Signal, Document | list[SpanData]] | UnreadableLine:
    try:
        document = json.loads(line)
        if not isinstance(document, dict):
            return UnreadableLine(number, "it is not a JSON object")
        signal = next((signal for key, signal in SIGNAL_KEYS.items() if key in document), None)
        if signal is None:
            return UnreadableLine(number, f"it has none of {', '.join(SIGNAL_KEYS)}")
        return signal, decode.read_spans(document) if signal == "traces" else decode.read(signal, line, decode.JSON)
    except BadTelemetry as error:
        return UnreadableLine(number, str(error))
    except (ValueError, RecursionError) as error:
        return not_json(number, error)


def not_json(line: int, error: Exception) -> UnreadableLine:
    """Return a line that ``json.loads`` refused."""
    return UnreadableLine(line, f"it is not JSON: {json_fault(error)}")


def json_fault(error: Exception) -> str:
    """Return what is wrong with a text according to an error of ``json.loads``, without the position."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg.removesuffix(" at")  # which some of its messages end with
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
