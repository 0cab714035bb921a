"""The inputs of ``explain``, recognised by their content as a recorded body, a script, or spans in OTLP/JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Final

from otel_claude_stream.cli.errors import check_installed
from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.otlp.decode import BadTelemetry, SpanData
from otel_claude_stream.cli.view.explanation import Kind
from otel_claude_stream.cli.view.model import StreamView, stream_view, streams
from otel_claude_stream.testing import Script, ScriptError

EXPECTED: Final = (
    "a recorded stream (lines 'event: ...' and 'data: ...'), a script of the test kit (JSON with 'version'), "
    "or spans in OTLP/JSON ('resourceSpans', one document or one on each line)"
)
SSE_STARTS: Final = (b"event:", b"data:", b"id:", b"retry:", b":")
SCRIPT_KEYS: Final = frozenset({"version", "steps"})
OTHER_SIGNALS: Final = frozenset({"resourceMetrics", "resourceLogs", "resourceProfiles"})
COMPRESSED: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
BOM: Final = b"\xef\xbb\xbf"
EXCERPT: Final = 60  # characters of unexpected content that an error quotes


class BadInput(ValueError):
    """An input that cannot be explained; the message names what was expected, and the position of the fault."""


@dataclass(frozen=True, slots=True)
class Input:
    """The streams of one source, or a ``script`` that must be played first. A recording has no times."""

    source: str
    kind: Kind
    views: tuple[StreamView, ...] = ()
    script: Script | None = None

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
        return Input(source, "recording", script=Script.from_sse(raw))
    line = raw[: len(raw) - len(text)].count(b"\n") + 1
    raise BadInput(f"line {line}: {_excerpt(text)} is not the beginning of {EXPECTED}")


def _json(source: str, raw: bytes) -> Input:
    documents = _documents(raw)
    if len(documents) == 1 and documents[0][1].keys() & SCRIPT_KEYS:
        try:
            return Input(source, "script", script=Script.from_json(json.dumps(documents[0][1])))
        except ScriptError as error:
            raise BadInput(f"not a script: {error}") from error
    found = [span for line, document in documents for span in _spans(line, document)]
    views = streams(found)
    if not views:
        scopes = ", ".join(sorted({span.scope or "no scope" for span in found})) or "no spans at all"
        raise BadInput(f"it has no span of otel-claude-stream (found: {scopes})")
    return Input(source, "spans", views)


def _documents(raw: bytes) -> list[tuple[int, dict[str, Any]]]:
    """Return the JSON objects and the line on which each starts: one document, or one on each line."""
    try:
        return [(1, _object(1, json.loads(raw)))]
    except (ValueError, RecursionError) as error:
        whole = error
    lines = [(number, line) for number, line in enumerate(raw.splitlines(), 1) if line.strip()]
    documents = []
    for number, line in lines:
        try:
            documents.append((number, _object(number, json.loads(line))))
        except (ValueError, RecursionError) as error:
            if isinstance(error, BadInput):
                raise
            if len(documents) == 0:  # not JSON lines, so the error of the whole document is the useful one
                raise BadInput(f"not JSON: {_fault(whole)}") from whole
            raise BadInput(f"line {number}: not JSON: {_fault(error)}") from error
    return documents


def _object(line: int, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"line {line}: JSON, but {type(value).__name__} where an object was expected: {EXPECTED}")
    return value


def _fault(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _spans(line: int, document: dict[str, Any]) -> list[SpanData]:
    if "resourceSpans" not in document:
        if OTHER_SIGNALS & document.keys():
            return []  # a Collector may write all signals into one file
        keys = ", ".join(sorted(document)[:5]) or "none"
        raise BadInput(f"line {line}: a JSON object with the keys {keys}; expected {EXPECTED}")
    check_installed((("google.protobuf", "otlp"), ("opentelemetry.proto", "otlp")))
    try:
        return decode.read_spans(document)
    except BadTelemetry as error:
        raise BadInput(f"line {line}: {error}") from error


def _excerpt(text: bytes) -> str:
    return repr(text.splitlines()[0][:EXCERPT].decode("utf-8", "replace"))
