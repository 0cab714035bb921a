"""The steps of a script, which are the parts of a response body and its ending, as plain data.

Steps validate their values and have a form as server-sent events (``sse_bytes``). Chunks and compression are the
concern of ``response_plan.py``, sockets that of ``connection.py``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Final, NoReturn

from otel_claude_stream.testing.checks import LINE_END, ScriptError, check_line, check_seconds, check_text

Json = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

PING_DATA: Final = '{"type": "ping"}'  # with a blank, unlike the API's other events


@dataclass(frozen=True, slots=True)
class Send:
    """Raw text of the body, sent without changes.

    Bytes that are not UTF-8 are written as surrogate escapes: ``from_bytes`` creates a step from any bytes.
    """

    data: str

    def __post_init__(self) -> None:
        check_text("data", self.data)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Send:
        """Create a step that sends exactly ``raw``, which need not be valid UTF-8."""
        return cls(raw.decode("utf-8", "surrogateescape"))

    @property
    def raw(self) -> bytes:
        """The bytes that the step sends."""
        return to_bytes(self.data)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event.

    ``data`` is a JSON value, which is sent without blanks, or a string, which is sent line by line. If ``type`` is
    empty, the ``event:`` line is omitted.
    """

    type: str
    data: Json

    def __post_init__(self) -> None:
        check_line("type", self.type)
        if isinstance(self.data, str):
            check_text("data", self.data)
        else:
            object.__setattr__(self, "data", _plain_json("data", self.data))


@dataclass(frozen=True, slots=True)
class Ping:
    """A ``ping`` event, the API's keep-alive."""


@dataclass(frozen=True, slots=True)
class Comment:
    """An SSE comment line, as some proxies send to keep a connection alive. Clients ignore it."""

    text: str = ""

    def __post_init__(self) -> None:
        check_line("text", self.text)


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of ``seconds`` without any bytes. It ends early if the client disconnects or the server stops."""

    seconds: float

    def __post_init__(self) -> None:
        check_seconds("seconds", self.seconds)


@dataclass(frozen=True, slots=True)
class Error:
    """An ``error`` event in an open stream (for Bedrock an exception frame). The stream goes on after it."""

    type: str = "overloaded_error"
    message: str = "Overloaded"

    def __post_init__(self) -> None:
        check_line("type", self.type)
        check_text("message", self.message)


@dataclass(frozen=True, slots=True)
class End:
    """A clean end of the body, with the last chunk, at the full length, or by a close (see ``Script.framing``)."""


@dataclass(frozen=True, slots=True)
class CutMidChunk:
    """A close of the connection (FIN) inside a chunk, or before the full content-length.

    ``partial`` is sent as the beginning of that chunk. With ``framing="close"`` the client cannot distinguish this
    from a clean end.
    """

    partial: str = ""

    def __post_init__(self) -> None:
        check_text("partial", self.partial)


@dataclass(frozen=True, slots=True)
class Reset:
    """A reset of the connection (RST), after the bytes sent before it have reached the client's kernel."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence until the client disconnects, but at most ``max_seconds``; then a close of the connection."""

    max_seconds: float = 60.0

    def __post_init__(self) -> None:
        check_seconds("max_seconds", self.max_seconds)


Ending = End | CutMidChunk | Reset | Hang
Step = Send | Event | Ping | Comment | Pause | Error | End | CutMidChunk | Reset | Hang

KINDS: Final[dict[str, type[Step]]] = {
    "send": Send,
    "event": Event,
    "ping": Ping,
    "comment": Comment,
    "pause": Pause,
    "error": Error,
    "end": End,
    "cut_mid_chunk": CutMidChunk,
    "reset": Reset,
    "hang": Hang,
}
NAMES: Final[dict[type[Step], str]] = {kind: name for name, kind in KINDS.items()}
VERSION: Final = 1
STEP_KEY: Final = "do"  # {"do": "pause", "seconds": 0.5}
ENDINGS: Final = (End, CutMidChunk, Reset, Hang)
EVENTS: Final = (Send, Event, Ping, Error)  # counted by ``Script.cut_after``


def sse_bytes(step: Step, request_id: str | None) -> bytes:
    """Return the bytes of a step as server-sent events; none for pauses and endings."""
    match step:
        case Send():
            return step.raw
        case Event():
            return sse_event(step.type, event_text(step))
        case Ping():
            return sse_event("ping", PING_DATA)
        case Error():
            return sse_event("error", compact(error_body(step.type, step.message, request_id)))
        case Comment():
            return to_bytes(f": {step.text}".rstrip(" ") + "\n\n")
        case Pause() | End() | CutMidChunk() | Reset() | Hang():
            return b""
        case _:
            assert_never(step)


def sse_event(kind: str, data: str) -> bytes:
    """Return one event in the layout of the API, with an ``event:`` line, ``data:`` lines and a blank line."""
    name = f"event: {kind}\n" if kind else ""
    return to_bytes(name + "".join(f"data: {line}\n" for line in LINE_END.split(data)) + "\n")


def event_text(step: Event) -> str:
    """Return the text after ``data:``."""
    return step.data if isinstance(step.data, str) else compact(step.data)


def error_body(kind: str, message: str, request_id: str | None) -> Json:
    """Return the API's error object, as used in streams and in error responses."""
    body: dict[str, Json] = {"type": "error", "error": {"type": kind, "message": message}}
    return body if request_id is None else {**body, "request_id": request_id}


def compact(value: Json) -> str:
    """Return JSON as the API writes it, without blanks and without escapes for non-ASCII characters."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def to_bytes(text: str) -> bytes:
    """Encode text; surrogate escapes become the bytes they stand for."""
    return text.encode("utf-8", "surrogateescape")


def assert_never(value: NoReturn) -> NoReturn:
    """Assert to the type checker that no case is left. ``typing.assert_never`` needs Python 3.11."""
    raise AssertionError(f"unexpected {value!r}")


def scaled_step(step: Step, factor: float) -> Step:
    """Return the step with its duration multiplied by ``factor``."""
    match step:
        case Pause():
            return Pause(step.seconds * factor)
        case Hang():
            return Hang(step.max_seconds * factor)
        case _:
            return step


def checked_steps(value: object) -> tuple[Step, ...]:
    """Return steps as a tuple. Raises ``ScriptError`` for anything that is no step, and for steps after an ending."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ScriptError("steps", value, "steps")
    steps = tuple(value)
    for n, step in enumerate(steps):
        if not isinstance(step, (*EVENTS, *ENDINGS, Comment, Pause)):
            raise ScriptError(f"steps[{n}]", step, "a step such as Send, Event, Pause or End")
        if isinstance(step, ENDINGS) and n + 1 < len(steps):
            raise ScriptError(f"steps[{n + 1}]", steps[n + 1], "nothing: the step before it ends the response")
    return steps


def _plain_json(path: str, value: object) -> Json:
    """Return a deep copy of ``value``, so that a frozen step cannot change through its data."""
    try:
        plain: Json = json.loads(json.dumps(value, allow_nan=False))
        to_bytes(compact(plain))
    except (TypeError, ValueError, RecursionError):
        raise ScriptError(path, value, "a JSON value (no NaN, no lone surrogates) or text") from None
    return plain


# --- JSON text: unknown keys are errors, since a misspelt key would silently test something else ---------------------
def fields_to_json(values: Mapping[str, object], indent: int | None) -> str:
    """Return the fields of a script, of which `steps` holds steps, as ASCII JSON text."""
    document: dict[str, Any] = {"version": VERSION, **values}
    if "steps" in document:
        document["steps"] = [{STEP_KEY: NAMES[type(step)], **asdict(step)} for step in document["steps"]]
    return json.dumps(document, indent=indent)


def fields_from_json(text: str | bytes, known: Collection[str]) -> dict[str, Any]:
    """Parse the fields of a script from JSON text. Raises ``ScriptError`` with the path of the first invalid value."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ScriptError("script", text, f"JSON text ({error})") from error
    values = _object("script", document, {*known, "version"})
    version = values.pop("version", MISSING)
    if version != VERSION or isinstance(version, bool):
        raise ScriptError("version", None if version is MISSING else version, str(VERSION))
    steps = values.get("steps", [])
    if not isinstance(steps, list):
        raise ScriptError("steps", steps, "a list of steps")
    return {**values, "steps": tuple(_step_from_json(f"steps[{n}]", item) for n, item in enumerate(steps))}


def _step_from_json(path: str, value: object) -> Step:
    if not isinstance(value, dict) or STEP_KEY not in value:
        raise ScriptError(path, value, f"an object with the key {STEP_KEY!r}")
    name = value[STEP_KEY]
    if not isinstance(name, str) or name not in KINDS:
        raise ScriptError(f"{path}.{STEP_KEY}", name, ", ".join(KINDS))
    kind = KINDS[name]
    values = _object(path, value, {STEP_KEY, *(field.name for field in fields(kind))})
    del values[STEP_KEY]
    for field in fields(kind):
        if field.default is MISSING and field.name not in values:
            raise ScriptError(f"{path}.{field.name}", None, f"a value; it is required by the step {name!r}")
    try:
        return kind(**values)
    except ScriptError as error:
        raise error.with_prefix(path) from None


def _object(path: str, value: object, known: Collection[str]) -> dict[str, Any]:
    """Return a copy of ``value``; raises ``ScriptError`` unless it is an object with known keys only."""
    if not isinstance(value, dict):
        raise ScriptError(path, value, "an object")
    for key in value:
        if key not in known:
            raise ScriptError(f"{path}.{key}", value[key], "one of the keys " + ", ".join(sorted(known)))
    return dict(value)
