"""The inputs of ``explain``, recognised by their content as a recorded body, a script, or spans in OTLP/JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from otel_claude_stream.cli.errors import check_installed
from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.otlp.decode import BadTelemetry, LogData, SpanData
from otel_claude_stream.cli.otlp.record import UnreadableLine, json_fault, not_json
from otel_claude_stream.cli.view.explanation import Kind
from otel_claude_stream.cli.view.model import StreamView, feeds, stream_view, streams
from otel_claude_stream.cli.view.sides import PRODUCT, is_api_request

if TYPE_CHECKING:
    from otel_claude_stream.testing import Script

EXPECTED: Final = (
    "a recorded stream (lines 'event: ...' and 'data: ...'), a script of the test kit (JSON with 'version'), "
    "or spans in OTLP/JSON ('resourceSpans', one document or one on each line)"
)
SSE_STARTS: Final = (b"event:", b"data:", b"id:", b"retry:", b":")
SCRIPT_KEYS: Final = frozenset({"version", "steps"})
OTHER_SIGNALS: Final = frozenset({"resourceMetrics", "resourceLogs", "resourceProfiles"})
OTHER_LINE: Final = re.compile(rb'\s*\{\s*"resource(?:Metrics|Logs|Profiles)"')
"""The beginning of a line of another signal, which is not parsed. ``run --save`` writes mostly metrics."""
PROXY_LINE: Final = f'"{PRODUCT}"'.encode()
COMPRESSED: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
NEEDED: Final = (("google.protobuf", "otlp"), ("opentelemetry.proto", "otlp"))
LINE_ENDS: Final = (b"\n", b"\r")
BOM: Final = b"\xef\xbb\xbf"
EXCERPT: Final = 60  # characters of unexpected content that an error quotes


class BadInput(ValueError):
    """An input that cannot be explained; the message names what was expected, and the position of the fault."""


@dataclass(frozen=True, slots=True)
class Input:
    """The streams of one source, or a ``script`` that must be played first. A recording has no times.

    ``api_spans`` and ``proxy_lines`` are what other parties recorded, of the streams of any source.
    """

    source: str
    kind: Kind
    views: tuple[StreamView, ...] = ()
    script: Script | None = None
    api_spans: tuple[SpanData, ...] = ()
    proxy_lines: tuple[LogData, ...] = ()
    feeds: tuple[StreamView, ...] = ()
    """The connections to feeds of agent sessions."""
    left_out: UnreadableLine | None = None
    """The last line, if it is cut."""

    def played(self, span: SpanData) -> Input:
        """Return the input with the stream of its script, of which ``span`` was recorded."""
        name = "" if self.script is None else self.script.name
        return replace(self, views=(replace(stream_view(span), title=name),), script=None)


def read(source: str, raw: bytes) -> Input:
    """Parse ``raw``. Raises ``BadInput``, and ``CommandError`` if a package is missing."""
    raw = raw.removeprefix(BOM)
    for magic, name in COMPRESSED:
        if raw.startswith(magic):
            raise BadInput(f"it is compressed ({name}): decompress it first")
    text = raw.lstrip()
    if not text:
        raise BadInput(f"it is empty; expected {EXPECTED}")
    if text.startswith((b"{", b"[")):
        return _json(source, raw)
    if text.startswith(SSE_STARTS):
        from otel_claude_stream.testing import Script

        return Input(source, "recording", script=Script.from_sse(raw))
    line = raw[: len(raw) - len(text)].count(b"\n") + 1
    raise BadInput(f"line {line}: {_excerpt(text)} is not the beginning of {EXPECTED}")


def _json(source: str, raw: bytes) -> Input:
    documents: Iterable[tuple[int, dict[str, Any] | UnreadableLine]]
    try:
        whole = _object(1, json.loads(raw))
        documents = [(1, whole)]
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        whole, documents = {}, _documents(raw, error)
    if whole.keys() & SCRIPT_KEYS:
        from otel_claude_stream.testing import Script, ScriptError

        try:
            return Input(source, "script", script=Script.from_json(json.dumps(whole)))
        except ScriptError as error:
            raise BadInput(f"not a script: {error}") from error
    check_installed(NEEDED)
    found: list[SpanData] = []
    lines: list[LogData] = []
    cut: UnreadableLine | None = None
    for line, document in documents:
        if isinstance(document, UnreadableLine):
            cut = document
            continue
        found += _spans(line, document)
        lines += _proxy_lines(line, document)
    views, connections = streams(found), feeds(found)
    api_spans = tuple(span for span in found if is_api_request(span))
    if not views and not connections and not api_spans and not lines:
        scopes = ", ".join(sorted({span.scope or "no scope" for span in found})) or "no spans at all"
        rest = f"; line {cut.line} is left out: {cut.reason}" if cut else ""
        raise BadInput(f"it has no span of otel-claude-stream (found: {scopes}){rest}")
    return Input(
        source,
        "spans",
        views,
        api_spans=api_spans,
        proxy_lines=tuple(lines),
        feeds=connections,
        left_out=cut,
    )


def _documents(raw: bytes, whole: Exception) -> Iterator[tuple[int, dict[str, Any] | UnreadableLine]]:
    """Yield the JSON objects of the lines that may have spans or lines of proxies.

    The last one may be cut, as its program is still writing or was killed. ``whole`` is the error of all lines
    together.
    """
    first = True
    lines = raw.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if not OTHER_LINE.match(line) or b'"resourceSpans"' in line or PROXY_LINE in line:
                yield number, _object(number, json.loads(line.rstrip()))
        except (ValueError, RecursionError) as error:
            if isinstance(error, BadInput):
                raise
            if first:  # not JSON lines, so the error of the whole document is the useful one
                raise BadInput(f"not JSON: {_fault(whole)}") from whole
            if number == len(lines) and not line.endswith(LINE_ENDS):
                yield number, not_json(number, error)
                return
            raise BadInput(f"line {number}: not JSON: {_fault(error, in_line=True)}") from error
        first = False


def _object(line: int, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"line {line}: JSON, but {type(value).__name__} where an object was expected: {EXPECTED}")
    return value


def _fault(error: Exception, *, in_line: bool = False) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return json_fault(error)
    return f"{json_fault(error)} at {'' if in_line else f'line {error.lineno}, '}column {error.colno}"


def _spans(line: int, document: dict[str, Any]) -> list[SpanData]:
    if "resourceSpans" not in document:
        if OTHER_SIGNALS & document.keys():
            return []  # a Collector may write all signals into one file
        keys = ", ".join(sorted(document)[:5]) or "none"
        raise BadInput(f"line {line}: a JSON object with the keys {keys}; expected {EXPECTED}")
    try:
        return decode.read_spans(document)
    except BadTelemetry as error:
        raise BadInput(f"line {line}: {error}") from error


def _proxy_lines(line: int, document: dict[str, Any]) -> list[LogData]:
    if "resourceLogs" not in document:
        return []
    try:
        logs = decode.logs(decode.read("logs", json.dumps(document).encode(), decode.JSON))
        return [one for one in logs if PRODUCT in one.attributes]
    except BadTelemetry as error:
        raise BadInput(f"line {line}: {error}") from error


def _excerpt(text: bytes) -> str:
    return repr(text.splitlines()[0][:EXCERPT].decode("utf-8", "replace"))
