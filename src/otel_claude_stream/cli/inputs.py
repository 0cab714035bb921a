"""What can be explained: a recorded body, a Script, or spans in OTLP/JSON; told apart by their content."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from otel_claude_stream._core.diagnosis.limits import Limit
from otel_claude_stream.cli import otlp
from otel_claude_stream.cli._replay import replay
from otel_claude_stream.cli.errors import check_installed
from otel_claude_stream.cli.model import StreamView, stream_view, streams
from otel_claude_stream.cli.otlp import BadTelemetry, SpanData
from otel_claude_stream.testing import Script, ScriptError

Kind = Literal["recording", "script", "spans"]

EXPECTED: Final = (
    "a recorded stream (lines 'event: ...' and 'data: ...'), a Script of the test kit (JSON with 'version'), "
    "or spans in OTLP/JSON ('resourceSpans', one document or one a line)"
)
SSE_STARTS: Final = (b"event:", b"data:", b"id:", b"retry:", b":")
SCRIPT_KEYS: Final = frozenset({"version", "steps"})
OTHER_SIGNALS: Final = frozenset({"resourceMetrics", "resourceLogs", "resourceProfiles"})
COMPRESSED: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
BOM: Final = b"\xef\xbb\xbf"
SHOWN: Final = 60  # characters of something unexpected


class BadInput(ValueError):
    """An input that cannot be explained; says what was expected, and where it went wrong."""


@dataclass(frozen=True, slots=True)
class Input:
    """What was found in one source. Times of a recording mean nothing."""

    source: str
    kind: Kind
    views: tuple[StreamView, ...]


def read(source: str, raw: bytes, limits: Sequence[Limit]) -> Input:
    """The streams in ``raw``. Raises ``BadInput``, and ``CommandError`` where a package is missing."""
    raw = raw.removeprefix(BOM)
    for magic, name in COMPRESSED:
        if raw.startswith(magic):
            raise BadInput(f"it is compressed ({name}): unpack it first")
    text = raw.lstrip()
    if not text:
        raise BadInput(f"it is empty; expected {EXPECTED}")
    if text.startswith((b"{", b"[")):
        return _json(source, raw, limits)
    if text.startswith(SSE_STARTS):
        return _played(source, "recording", Script.from_sse(raw), limits)
    line = raw[: len(raw) - len(text)].count(b"\n") + 1
    raise BadInput(f"line {line}: {_start(text)} is not the beginning of {EXPECTED}")


def _json(source: str, raw: bytes, limits: Sequence[Limit]) -> Input:
    documents = _documents(raw)
    if len(documents) == 1 and documents[0][1].keys() & SCRIPT_KEYS:
        try:
            script = Script.from_json(json.dumps(documents[0][1]))
        except ScriptError as error:
            raise BadInput(f"not a Script: {error}") from error
        return _played(source, "script", script, limits)
    found = [span for line, document in documents for span in _spans(line, document)]
    views = streams(found)
    if not views:
        seen = ", ".join(sorted({span.scope or "without a scope" for span in found})) or "no spans at all"
        raise BadInput(f"it has no span of otel-claude-stream (found: {seen})")
    return Input(source, "spans", views)


def _documents(raw: bytes) -> list[tuple[int, dict[str, Any]]]:
    """The JSON objects with the line on which each starts: one over all lines, or one a line."""
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
            if len(documents) == 0:  # not one a line: the error of the whole document tells more
                raise BadInput(f"not JSON: {_where(whole)}") from whole
            raise BadInput(f"line {number}: not JSON: {_where(error)}") from error
    return documents


def _object(line: int, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"line {line}: JSON, but {type(value).__name__} where an object was expected: {EXPECTED}")
    return value


def _where(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _spans(line: int, document: dict[str, Any]) -> list[SpanData]:
    if "resourceSpans" not in document:
        if OTHER_SIGNALS & document.keys():
            return []  # a Collector that writes all signals into one file
        keys = ", ".join(sorted(document)[:5]) or "none"
        raise BadInput(f"line {line}: a JSON object with the keys {keys}; expected {EXPECTED}")
    check_installed((("google.protobuf", "otlp"), ("opentelemetry.proto", "otlp")))
    try:
        return list(otlp.spans(otlp.read("traces", json.dumps(document).encode(), otlp.JSON)))
    except BadTelemetry as error:
        raise BadInput(f"line {line}: {error}") from error


def _played(source: str, kind: Kind, script: Script, limits: Sequence[Limit]) -> Input:
    view = stream_view(replay(script, limits))
    return Input(source, kind, (replace(view, title=script.name),))


def _start(text: bytes) -> str:
    return repr(text.splitlines()[0][:SHOWN].decode("utf-8", "replace"))
