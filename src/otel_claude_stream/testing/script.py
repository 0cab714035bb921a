"""``Script``: what one HTTP response of a fake API does, as pure data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal, get_args

from otel_claude_stream.testing import bodies
from otel_claude_stream.testing.codec import script_from_json, script_to_json
from otel_claude_stream.testing.steps import (
    ENDINGS,
    EVENTS,
    Comment,
    CutMidChunk,
    End,
    Ending,
    Error,
    Hang,
    Json,
    Pause,
    Ping,
    ScriptError,
    Send,
    Step,
    check_bytes,
    check_line,
    check_seconds,
    compact,
    error_body,
    sse_bytes,
    to_bytes,
)

Framing = Literal["chunked", "length", "close"]
Encoding = Literal["identity", "gzip"]
Wire = Literal["sse", "aws"]
Refusal = Literal["no", "fin", "rst"]
Chunking = Literal["event", "whole", "bytes"] | int
Newline = Literal["\n", "\r\n", "\r"]
Headers = tuple[tuple[str, str], ...]

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110: what a header may be called
CHOICES: Final[dict[str, tuple[object, ...]]] = {
    "framing": get_args(Framing),
    "encoding": get_args(Encoding),
    "wire": get_args(Wire),
    "refuse": get_args(Refusal),
    "newline": get_args(Newline),
}
NGINX_PAGE: Final = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
    "<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
# Where nginx's wording is not the one of Python's table of statuses.
NGINX_REASONS: Final = {
    408: "Request Time-out",
    413: "Request Entity Too Large",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
# The error type the API gives with each status (its documented error codes).
ERROR_TYPES: Final = {
    400: ("invalid_request_error", "Invalid request"),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Forbidden"),
    404: ("not_found_error", "Not found"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your account's rate limit"),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}


@dataclass(frozen=True, slots=True)
class Script:
    """What one response does: its head, then its steps. Values are checked here: ``ScriptError`` (a ValueError).

    ``headers`` are added to the defaults (content type, request id) and replace those of the same name.
    ``request_id`` is made up by the server when empty; ``None`` sends none, as intermediaries do.
    ``before_headers`` seconds pass before the head is sent; ``refuse`` closes the connection instead of it.
    ``chunking`` says what goes out in one write: each step (``"event"``), everything up to the next pause
    (``"whole"``), single bytes, or pieces of at most so many bytes. It never holds bytes back over a pause;
    ``buffered`` does.
    """

    name: str = ""
    status: int = 200
    headers: Headers = ()
    steps: tuple[Step, ...] = ()
    framing: Framing = "chunked"
    encoding: Encoding = "identity"
    wire: Wire = "sse"
    request_id: str | None = ""
    before_headers: float = 0.0
    refuse: Refusal = "no"
    chunking: Chunking = "event"
    newline: Newline = "\n"

    def __post_init__(self) -> None:
        check_bytes("name", self.name)
        check_seconds("before_headers", self.before_headers)
        _check_status(self.status)
        if self.request_id is not None:
            check_line("request_id", self.request_id)
        for field, allowed in CHOICES.items():
            _check_choice(field, getattr(self, field), allowed)
        _check_chunking(self.chunking)
        object.__setattr__(self, "headers", _checked_headers(self.headers))
        object.__setattr__(self, "steps", _checked_steps(self.steps))

    # -- whole responses -------------------------------------------------------------------------------------------

    @classmethod
    def message(
        cls,
        text: str | None = None,
        *,
        deltas: int | None = None,
        gap: float = 0.0,
        model: str = "claude-sonnet-4-5-20250929",
        thinking: str | None = None,
        tool: tuple[str, Json] | None = None,
        stop_reason: str | None = None,
        input_tokens: int = 25,
        output_tokens: int = 15,
        cache_read: int = 0,
        cache_creation: int = 0,
        pings: int = 1,
        first_token_after: float = 0.0,
        message_id: str = "msg_01XFDUDYJgAACzvnptvVoYEL",
        name: str = "",
    ) -> Script:
        """A complete answer as the API streams it.

        ``text`` goes out in ``deltas`` pieces (one a word when not said), ``gap`` seconds apart; filler words
        when ``None``, no text block when empty. ``thinking`` comes before it, ``tool`` (name and input) after.
        ``stop_reason`` is ``end_turn``, or ``tool_use`` with a tool. ``first_token_after`` seconds lie between
        ``message_start`` and the first block. Raises ``ScriptError`` for more deltas than characters.
        """
        blocks = [bodies.thinking_block(thinking)] if thinking is not None else []
        blocks += [bodies.text_block(text, deltas)] if text != "" else []
        blocks += [bodies.tool_block(*tool)] if tool is not None else []
        steps = bodies.message_steps(
            blocks=blocks,
            tokens=bodies.Tokens(input_tokens, output_tokens, cache_read, cache_creation),
            model=model,
            message_id=message_id,
            stop_reason=stop_reason or ("end_turn" if tool is None else "tool_use"),
            gap=gap,
            pings=pings,
            first_token_after=first_token_after,
        )
        return cls(name=name, steps=steps)

    @classmethod
    def from_sse(cls, body: bytes | Path, *, gap: float = 0.0, name: str = "") -> Script:
        """A recorded body (bytes, or a file's path), replayed byte for byte, ``gap`` seconds between events."""
        raw = body.read_bytes() if isinstance(body, Path) else body
        return cls(name=name, steps=bodies.recorded_steps(raw, gap))

    @classmethod
    def http_error(
        cls,
        status: int,
        type: str | None = None,
        message: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        *,
        name: str = "",
    ) -> Script:
        """An error response of the API itself: JSON body, request id; type and message follow from the status."""
        kind, words = ERROR_TYPES.get(status, ERROR_TYPES[500] if status >= 500 else ERROR_TYPES[400])
        step = Error(kind if type is None else type, words if message is None else message)
        json_type = ("content-type", "application/json")
        return cls(name=name, status=status, headers=(json_type, *headers), steps=(step,), framing="length")

    @classmethod
    def page(cls, status: int, body: str | bytes, headers: Iterable[tuple[str, str]] = (), *, name: str = "") -> Script:
        """A plain page as an intermediary sends: no request id; ``text/html`` unless ``headers`` say otherwise."""
        given = tuple(headers)
        typed = any(key.lower() == "content-type" for key, _ in given)
        step = Send(body) if isinstance(body, str) else Send.of(body)
        return cls(
            name=name,
            status=status,
            headers=given if typed else (("content-type", "text/html"), *given),
            steps=(step,),
            framing="length",
            request_id=None,
        )

    @classmethod
    def nginx(cls, status: int = 504) -> Script:
        """nginx's own error page for ``status``, in its exact words."""
        reason = NGINX_REASONS.get(status) or HTTPStatus(status).phrase
        return cls.page(status, NGINX_PAGE.format(title=f"{status} {reason}"), (("server", "nginx"),))

    @classmethod
    def refuse_head(cls, how: Literal["fin", "rst"] = "fin", *, after: float = 0.0, name: str = "") -> Script:
        """The request is read, then the connection closed without any response, ``after`` seconds later."""
        return cls(name=name, refuse=how, before_headers=after)

    # -- variations ------------------------------------------------------------------------------------------------

    def cut_after(self, n_events: int, how: Ending | Error | None = None) -> Script:
        """The first ``n_events`` events, then ``how`` (``CutMidChunk()`` when not said).

        Pings, errors and ``Send`` steps count as one event each, comments do not. Raises ``ScriptError`` when
        there are fewer events.
        """
        kept = self.steps[: self._position(n_events)]
        return replace(self, steps=(*kept, CutMidChunk() if how is None else how))

    def insert_pause(self, after_event: int, seconds: float, pings_every: float | None = None) -> Script:
        """``seconds`` of nothing (or of nothing but pings, ``pings_every`` seconds apart) after that many events."""
        at = self._position(after_event)
        return replace(self, steps=(*self.steps[:at], *_silence(seconds, pings_every), *self.steps[at:]))

    def scaled(self, factor: float) -> Script:
        """The same script with every duration multiplied by ``factor``."""
        check_seconds("factor", factor)
        steps = tuple(_scaled(step, factor) for step in self.steps)
        return replace(self, steps=steps, before_headers=self.before_headers * factor)

    def buffered(self, block: int | None = None) -> Script:
        """As seen through a proxy that passes bytes on only in full blocks of ``block``; ``None``: all at the end."""
        if self.wire == "aws" or self.newline != "\n":
            raise ScriptError("buffered", (self.wire, self.newline), "wire 'sse' with newline '\\n'")
        if block is not None:
            _check_chunking(block)
        ended = bool(self.steps) and isinstance(self.steps[-1], ENDINGS)
        *rest, ending = self.steps if ended else (*self.steps, End())
        held, steps, request_id = b"", list[Step](), self.request_id_or("")
        for step in rest:
            if isinstance(step, Pause):
                steps.append(step)
                continue
            held += self.render(step, request_id)
            while block is not None and len(held) >= block:
                steps.append(Send.of(held[:block]))
                held = held[block:]
        return replace(self, steps=(*steps, *([Send.of(held)] if held else []), ending))

    def on_aws(self) -> Script:
        """The same answer as Bedrock sends it; events in ``Send`` steps (``from_sse``) are translated too.

        A ``Send`` put on the ``aws`` wire directly is sent as raw bytes instead.
        """
        steps = (bodies.events_of(step) if isinstance(step, Send) else (step,) for step in self.steps)
        return replace(self, wire="aws", steps=tuple(step for some in steps for step in some))

    # -- what it comes to ------------------------------------------------------------------------------------------

    def body(self) -> bytes:
        """All bytes the steps send, before chunks and compression; pauses and the kind of end leave no trace."""
        request_id = self.request_id_or("")
        return b"".join(self.render(step, request_id) for step in self.steps)

    def render(self, step: Step, request_id: str | None) -> bytes:
        """What ``step`` adds to the body: server-sent events, or a JSON error body in a response that is no stream."""
        if isinstance(step, Error) and not self.is_stream:
            return to_bytes(compact(error_body(step.type, step.message, request_id)))
        return sse_bytes(step, request_id)

    @property
    def is_stream(self) -> bool:
        """Whether the response calls itself an event stream."""
        given = [value for key, value in self.headers if key.lower() == "content-type"]
        return not given or any("event-stream" in value or "eventstream" in value for value in given)

    def request_id_or(self, generated: str) -> str | None:
        """The request id this response carries, ``generated`` standing for one made up; ``None`` for none."""
        for key, value in self.headers:
            if key.lower() == "request-id":
                return value
        return generated if self.request_id == "" else self.request_id

    def to_json(self, indent: int | None = None) -> str:
        """The script as JSON text; ``from_json`` gives an equal script."""
        return script_to_json(self, indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> Script:
        """A script from JSON text. Raises ``ScriptError`` for what is unknown, missing or not usable."""
        return script_from_json(cls, text)

    def _position(self, n_events: int) -> int:
        """Index just behind the ``n_events``-th event."""
        ends = [0, *(at + 1 for at, step in enumerate(self.steps) if isinstance(step, EVENTS))]
        if not 0 <= n_events < len(ends):
            raise ScriptError("n_events", n_events, f"0 to {len(ends) - 1}, the events of this script")
        return ends[n_events]


def _silence(seconds: float, pings_every: float | None) -> list[Step]:
    check_seconds("seconds", seconds)
    if pings_every is None:
        return [Pause(seconds)]
    check_seconds("pings_every", pings_every)
    if pings_every == 0:
        raise ScriptError("pings_every", pings_every, "more than zero seconds, or None for no pings")
    count, rest = divmod(seconds, pings_every)
    pinging: list[Step] = [Pause(pings_every), Ping()]
    return [*pinging * int(count), *([Pause(rest)] if rest else [])]


def _scaled(step: Step, factor: float) -> Step:
    match step:
        case Pause():
            return Pause(step.seconds * factor)
        case Hang():
            return Hang(step.max_seconds * factor)
        case _:
            return step


def _check_status(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 599:
        raise ScriptError("status", value, "200 to 599")


def _check_choice(path: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ScriptError(path, value, ", ".join(map(repr, allowed)))


def _check_chunking(value: object) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return
    if value not in ("event", "whole", "bytes"):
        raise ScriptError("chunking", value, "'event', 'whole', 'bytes', or a number of bytes above zero")


def _checked_headers(value: object) -> Headers:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ScriptError("headers", value, "pairs of name and value")
    return tuple(_checked_header(f"headers[{n}]", pair) for n, pair in enumerate(value))


def _checked_header(path: str, pair: object) -> tuple[str, str]:
    match pair:
        case (str(key), str(value)) if TOKEN.fullmatch(key) and not re.search(r"[^\t\x20-\x7e\x80-\xff]", value):
            return key, value
        case _:
            raise ScriptError(path, pair, "a pair of header name and one-line Latin-1 value")


def _checked_steps(value: object) -> tuple[Step, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ScriptError("steps", value, "steps")
    steps = tuple(value)
    for n, step in enumerate(steps):
        if not isinstance(step, (*EVENTS, *ENDINGS, Comment, Pause)):
            raise ScriptError(f"steps[{n}]", step, "a step such as Send, Event, Pause or End")
        if isinstance(step, ENDINGS) and n + 1 < len(steps):
            raise ScriptError(f"steps[{n + 1}]", steps[n + 1], "nothing: the step before it ends the response")
    return steps
