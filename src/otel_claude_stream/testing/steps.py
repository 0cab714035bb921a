"""The steps of a script: what a server does after the head of a response, one small value each.

Steps are data. They know how they look as server-sent events (``sse_bytes``) and what values they
accept; they do not know about sockets, chunks or compression (``wire.py``, ``server.py``).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, fields
from typing import Final, NoReturn

Json = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

DATA_LINES: Final = re.compile("\r\n|\r|\n")  # the three line ends the SSE specification knows
PING_DATA: Final = '{"type": "ping"}'  # with this one blank: the API's own ping, unlike all its other events


class ScriptError(ValueError):
    """A script is not usable: says where (``path``), what was found (``value``), what is ``allowed``."""

    def __init__(self, path: str, value: object, allowed: str) -> None:
        shown = repr(value)
        shown = shown if len(shown) <= 120 else shown[:117] + "..."
        super().__init__(f"{path}: {shown} is not usable here; allowed: {allowed}")
        self.path = path
        self.value = value
        self.allowed = allowed

    def under(self, prefix: str) -> ScriptError:
        """The same error, seen from further out: ``seconds`` becomes ``steps[3].seconds``."""
        return ScriptError(f"{prefix}.{self.path}", self.value, self.allowed)


@dataclass(frozen=True, slots=True)
class Send:
    """Raw body text, sent as it is. Bytes that are not UTF-8 are written as surrogate escapes (see ``of``)."""

    data: str

    def __post_init__(self) -> None:
        check_bytes("data", self.data)

    @classmethod
    def of(cls, raw: bytes) -> Send:
        """A step sending exactly ``raw``, valid UTF-8 or not."""
        return cls(raw.decode("utf-8", "surrogateescape"))

    @property
    def raw(self) -> bytes:
        """The bytes this step sends."""
        return to_bytes(self.data)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event. ``data`` is a JSON value (sent compact) or a string (sent as it is, line by line).

    An empty ``type`` leaves the ``event:`` line out.
    """

    type: str
    data: Json

    def __post_init__(self) -> None:
        check_line("type", self.type)
        if isinstance(self.data, str):
            check_bytes("data", self.data)
        else:
            object.__setattr__(self, "data", _plain_json("data", self.data))


@dataclass(frozen=True, slots=True)
class Ping:
    """The API's keep-alive event."""


@dataclass(frozen=True, slots=True)
class Comment:
    """An SSE comment line, as proxies send to keep a connection warm; no event for the client."""

    text: str = ""

    def __post_init__(self) -> None:
        check_line("text", self.text)


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent for ``seconds``; ends early when the client leaves or the server stops."""

    seconds: float

    def __post_init__(self) -> None:
        check_seconds("seconds", self.seconds)


@dataclass(frozen=True, slots=True)
class Error:
    """The API's error event in an open stream (Bedrock: an exception frame). Does not end the stream by itself."""

    type: str = "overloaded_error"
    message: str = "Overloaded"

    def __post_init__(self) -> None:
        check_line("type", self.type)
        check_bytes("message", self.message)


@dataclass(frozen=True, slots=True)
class End:
    """A clean end: the terminating chunk, the full length, or the close of a close-delimited body."""


@dataclass(frozen=True, slots=True)
class CutMidChunk:
    """The connection is closed (FIN) inside a chunk, or short of the content-length.

    ``partial`` is sent within that last chunk first. With close-delimited framing the client cannot tell this
    from a clean end, as in life.
    """

    partial: str = ""

    def __post_init__(self) -> None:
        check_bytes("partial", self.partial)


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset (RST), after everything sent before has reached the client's kernel."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence until the client leaves, the server stops, or ``max_seconds`` are over; then the connection closes."""

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
ENDINGS: Final = (End, CutMidChunk, Reset, Hang)
EVENTS: Final = (Send, Event, Ping, Error)  # what ``Script.cut_after`` counts


def sse_bytes(step: Step, request_id: str | None) -> bytes:
    """The step as server-sent events; empty for pauses and endings."""
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
    """One event in the API's layout: ``event:`` line, ``data:`` lines, blank line."""
    name = f"event: {kind}\n" if kind else ""
    return to_bytes(name + "".join(f"data: {line}\n" for line in DATA_LINES.split(data)) + "\n")


def event_text(step: Event) -> str:
    """What stands after ``data:``."""
    return step.data if isinstance(step.data, str) else compact(step.data)


def error_body(kind: str, message: str, request_id: str | None) -> Json:
    """The API's error object, in streams and in error responses."""
    body: dict[str, Json] = {"type": "error", "error": {"type": kind, "message": message}}
    return body if request_id is None else {**body, "request_id": request_id}


def compact(value: Json) -> str:
    """JSON as the API writes it: no blanks, characters beyond ASCII as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def to_bytes(text: str) -> bytes:
    """Text to the bytes on the wire; escaped surrogates become the bytes they stand for."""
    return text.encode("utf-8", "surrogateescape")


def step_fields(kind: type[Step]) -> tuple[str, ...]:
    """The names of a step kind's values, in order."""
    return tuple(field.name for field in fields(kind))


def assert_never(value: NoReturn) -> NoReturn:
    """For the type checker: no kind of step is left over (``typing.assert_never`` needs Python 3.11)."""
    raise AssertionError(f"unexpected {value!r}")


def check_seconds(path: str, value: object) -> None:
    """Raise ``ScriptError`` unless ``value`` is a finite number, zero or more."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ScriptError(path, value, "a finite number of seconds, zero or more")


def check_bytes(path: str, value: object) -> None:
    """Raise ``ScriptError`` unless ``value`` is text with a form in bytes."""
    if not isinstance(value, str):
        raise ScriptError(path, value, "text")
    try:
        to_bytes(value)
    except UnicodeEncodeError:
        raise ScriptError(path, value, "text without lone surrogates (bytes that are not UTF-8: Send.of)") from None


def check_line(path: str, value: object) -> None:
    """Raise ``ScriptError`` unless ``value`` is text on one line."""
    check_bytes(path, value)
    if DATA_LINES.search(str(value)):
        raise ScriptError(path, value, "text on one line")


def _plain_json(path: str, value: object) -> Json:
    """A private copy of ``value`` as JSON reads it back, so that a frozen step is frozen all through."""
    try:
        plain: Json = json.loads(json.dumps(value, allow_nan=False))
        to_bytes(compact(plain))
    except (TypeError, ValueError, RecursionError):
        raise ScriptError(path, value, "a JSON value (no NaN, no lone surrogates) or text") from None
    return plain
