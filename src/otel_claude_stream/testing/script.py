"""``Script``: the description of one HTTP response of a fake API, as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, Literal, get_args

from otel_claude_stream.testing import bodies
from otel_claude_stream.testing.checks import (
    Headers,
    ScriptError,
    check_choice,
    check_chunking,
    check_line,
    check_seconds,
    check_status,
    check_text,
    checked_headers,
)
from otel_claude_stream.testing.steps import (
    ENDINGS,
    EVENTS,
    CutMidChunk,
    End,
    Ending,
    Error,
    Json,
    Pause,
    Send,
    Step,
    checked_steps,
    compact,
    error_body,
    fields_from_json,
    fields_to_json,
    scaled_step,
    sse_bytes,
    to_bytes,
)

Framing = Literal["chunked", "length", "close"]
Encoding = Literal["identity", "gzip"]
EventFormat = Literal["sse", "aws"]
CloseBeforeHeaders = Literal["no", "fin", "rst"]
Chunking = Literal["event", "whole", "bytes"] | int
Newline = Literal["\n", "\r\n", "\r"]

CHOICES: Final[dict[str, tuple[object, ...]]] = {
    "framing": get_args(Framing),
    "encoding": get_args(Encoding),
    "event_format": get_args(EventFormat),
    "close_before_headers": get_args(CloseBeforeHeaders),
    "newline": get_args(Newline),
}


@dataclass(frozen=True, slots=True)
class Script:
    """The description of one HTTP response, with its status, its headers and the steps of its body.

    Build it with a class method such as ``message`` and vary it with methods such as ``cut_after``. Each returns a
    new script. The constructor raises ``ScriptError``, a ``ValueError``, for an invalid value.

    Args:
        name: A name for the script, as shown in ``Request.script_name``.
        status: The HTTP status, from 200 to 599.
        headers: Pairs of name and value. They are added to the default headers or replace those of the same name.
        steps: The steps of the body. An ending, if there is one, comes last; without one the body ends cleanly.
        framing: How the end of the body is marked: ``"chunked"`` transfer coding, a content-``"length"``, or the
            ``"close"`` of the connection.
        encoding: The content encoding, ``"identity"`` or ``"gzip"``.
        event_format: ``"sse"`` (server-sent events) or ``"aws"`` (the event stream encoding of Amazon Bedrock).
        request_id: The request id. If empty, the server generates one. ``None`` omits the header, as proxies do.
        header_delay: Seconds before the status line and the headers are sent.
        close_before_headers: Close the connection without a response, with a ``"fin"`` or an ``"rst"`` packet.
        chunking: The unit of one write: a step (``"event"``), everything up to the next pause (``"whole"``), one byte
            (``"bytes"``), or a maximum number of bytes. All bytes before a pause are sent before it; compare
            ``buffered``.
        newline: The line end within server-sent events.
    """

    name: str = ""
    status: int = 200
    headers: Headers = ()
    steps: tuple[Step, ...] = ()
    framing: Framing = "chunked"
    encoding: Encoding = "identity"
    event_format: EventFormat = "sse"
    request_id: str | None = ""
    header_delay: float = 0.0
    close_before_headers: CloseBeforeHeaders = "no"
    chunking: Chunking = "event"
    newline: Newline = "\n"

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_seconds("header_delay", self.header_delay)
        check_status(self.status)
        if self.request_id is not None:
            check_line("request_id", self.request_id)
        for field, allowed in CHOICES.items():
            check_choice(field, getattr(self, field), allowed)
        check_chunking("chunking", self.chunking)
        object.__setattr__(self, "headers", checked_headers(self.headers))
        object.__setattr__(self, "steps", checked_steps(self.steps))

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
        cache_read_input_tokens: int = 0,
        cache_creation_input_tokens: int = 0,
        pings: int = 1,
        first_token_delay: float = 0.0,
        message_id: str = "msg_01XFDUDYJgAACzvnptvVoYEL",
        name: str = "",
    ) -> Script:
        """Create a complete message, as the API streams it.

        Args:
            text: The text. ``None`` stands for filler words; an empty string for a message without a text block.
            deltas: The number of text deltas; by default one for each word.
            gap: Seconds between two deltas.
            model: The model in ``message_start``.
            thinking: The content of a thinking block before the text.
            tool: The name and the input of a tool call after the text.
            stop_reason: By default ``"end_turn"``, or ``"tool_use"`` with a tool.
            input_tokens: Input tokens that were neither read from nor written to the cache.
            output_tokens: Output tokens in ``message_delta``.
            cache_read_input_tokens: Input tokens read from the cache.
            cache_creation_input_tokens: Input tokens written to the cache.
            pings: The number of pings after the start of the first block.
            first_token_delay: Seconds between ``message_start`` and the start of the first block.
            message_id: The id of the message.
            name: The name of the script.

        Raises ``ScriptError`` for an invalid value, such as more deltas than characters.
        """
        blocks = [bodies.thinking_block(thinking)] if thinking is not None else []
        blocks += [bodies.text_block(text, deltas)] if text != "" else []
        blocks += [bodies.tool_block(*tool)] if tool is not None else []
        steps = bodies.message_steps(
            blocks=blocks,
            tokens=bodies.Tokens(input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens),
            model=model,
            message_id=message_id,
            stop_reason=stop_reason or ("end_turn" if tool is None else "tool_use"),
            gap=gap,
            pings=pings,
            first_token_delay=first_token_delay,
        )
        return cls(name=name, steps=steps)

    @classmethod
    def from_sse(cls, body: bytes | Path, *, gap: float = 0.0, name: str = "") -> Script:
        """Replay a recorded body, given as bytes or as the path of a file, byte for byte.

        ``gap`` is the number of seconds between two events. Raises ``OSError`` if the file cannot be read.
        """
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
        """Create an error response of the API, with a JSON body and a request id.

        By default ``type`` and ``message`` are those that the API documents for the status.
        """
        default_type, default_message = bodies.api_error(status)
        step = Error(default_type if type is None else type, default_message if message is None else message)
        json_type = ("content-type", "application/json")
        return cls(name=name, status=status, headers=(json_type, *headers), steps=(step,), framing="length")

    @classmethod
    def plain_response(
        cls, status: int, body: str | bytes, headers: Iterable[tuple[str, str]] = (), *, name: str = ""
    ) -> Script:
        """Create a response that is no stream and has no request id, such as a proxy's error page.

        The content type is ``text/html`` unless ``headers`` set another.
        """
        pairs = tuple(headers)
        has_type = any(key.lower() == "content-type" for key, _ in pairs)
        step = Send(body) if isinstance(body, str) else Send.from_bytes(body)
        return cls(
            name=name,
            status=status,
            headers=pairs if has_type else (("content-type", "text/html"), *pairs),
            steps=(step,),
            framing="length",
            request_id=None,
        )

    @classmethod
    def nginx_error(cls, status: int = 504) -> Script:
        """Create nginx's built-in error page for ``status``. Raises ``ValueError`` for an unknown status."""
        return cls.plain_response(status, bodies.nginx_page(status), (("server", "nginx"),))

    @classmethod
    def no_response(cls, how: Literal["fin", "rst"] = "fin", *, delay: float = 0.0, name: str = "") -> Script:
        """Read the request, then close the connection without a response after ``delay`` seconds.

        ``how`` is the TCP packet that closes it: ``"fin"`` (a clean close) or ``"rst"`` (a reset).
        """
        return cls(name=name, close_before_headers=how, header_delay=delay)

    # -- variations ------------------------------------------------------------------------------------------------

    def cut_after(self, n_events: int, ending: Ending | Error | None = None) -> Script:
        """Keep the first ``n_events`` events, then append ``ending`` (by default ``CutMidChunk()``).

        Pings, errors and ``Send`` steps count as one event each; comments and pauses do not count. Raises
        ``ScriptError`` if the script has fewer events.
        """
        kept = self.steps[: self._position(n_events)]
        return replace(self, steps=(*kept, CutMidChunk() if ending is None else ending))

    def insert_pause(self, after_event: int, seconds: float, ping_interval: float | None = None) -> Script:
        """Insert a pause of ``seconds`` after the first ``after_event`` events.

        With ``ping_interval``, a ping is sent each ``ping_interval`` seconds during the pause. Raises ``ScriptError``
        if the script has fewer events, or for an invalid duration.
        """
        at = self._position(after_event)
        return replace(self, steps=(*self.steps[:at], *bodies.pause_steps(seconds, ping_interval), *self.steps[at:]))

    def scaled(self, factor: float) -> Script:
        """Multiply every duration by ``factor``. Raises ``ScriptError`` if it is negative or not finite."""
        check_seconds("factor", factor)
        steps = tuple(scaled_step(step, factor) for step in self.steps)
        return replace(self, steps=steps, header_delay=self.header_delay * factor)

    def buffered(self, block_size: int | None = None) -> Script:
        """Send the body in full blocks of ``block_size`` bytes, as a buffering proxy does.

        ``None`` sends all of it at the end. Raises ``ScriptError`` for the format ``"aws"`` and for newlines other
        than the line feed.
        """
        if self.event_format == "aws" or self.newline != "\n":
            found = (self.event_format, self.newline)
            raise ScriptError("buffered", found, "event_format 'sse' with newline '\\n'")
        if block_size is not None:
            check_chunking("block_size", block_size)
        has_ending = bool(self.steps) and isinstance(self.steps[-1], ENDINGS)
        *rest, ending = self.steps if has_ending else (*self.steps, End())
        buffer, steps, request_id = b"", list[Step](), self.resolve_request_id("")
        for step in rest:
            if isinstance(step, Pause):
                steps.append(step)
                continue
            buffer += self.render(step, request_id)
            while block_size is not None and len(buffer) >= block_size:
                steps.append(Send.from_bytes(buffer[:block_size]))
                buffer = buffer[block_size:]
        return replace(self, steps=(*steps, *([Send.from_bytes(buffer)] if buffer else []), ending))

    def for_bedrock(self) -> Script:
        """Convert the response to Bedrock's event stream, including the events within ``Send`` steps.

        To send raw bytes with ``event_format="aws"``, add ``Send`` steps to the result.
        """
        steps = (bodies.events_of(step) if isinstance(step, Send) else (step,) for step in self.steps)
        return replace(self, event_format="aws", steps=tuple(step for group in steps for step in group))

    # -- the bytes of the response ---------------------------------------------------------------------------------

    def body(self) -> bytes:
        """Return the bytes of all steps as server-sent events, without transfer coding and compression."""
        request_id = self.resolve_request_id("")
        return b"".join(self.render(step, request_id) for step in self.steps)

    def render(self, step: Step, request_id: str | None) -> bytes:
        """Return the bytes of one step as server-sent events, or as a JSON body if the response is no stream."""
        if isinstance(step, Error) and not self.is_stream:
            return to_bytes(compact(error_body(step.type, step.message, request_id)))
        return sse_bytes(step, request_id)

    @property
    def is_stream(self) -> bool:
        """Whether the content type is that of an event stream."""
        types = [value for key, value in self.headers if key.lower() == "content-type"]
        return not types or any("event-stream" in value or "eventstream" in value for value in types)

    def resolve_request_id(self, generated: str) -> str | None:
        """Return the request id of the response: that of the script, else ``generated``; ``None`` for none."""
        for key, value in self.headers:
            if key.lower() == "request-id":
                return value
        return generated if self.request_id == "" else self.request_id

    def to_json(self, indent: int | None = None) -> str:
        """Return the script as JSON text, from which ``from_json`` creates an equal script."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed = {field.name: values[field.name] for field in fields(self) if values[field.name] != field.default}
        return fields_to_json(changed, indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> Script:
        """Create a script from JSON text. Raises ``ScriptError`` for an unknown, missing or invalid value."""
        return cls(**fields_from_json(text, {field.name for field in fields(cls)}))

    def _position(self, n_events: int) -> int:
        """Return the index of the step that follows the first ``n_events`` events."""
        ends = [0, *(at + 1 for at, step in enumerate(self.steps) if isinstance(step, EVENTS))]
        if not 0 <= n_events < len(ends):
            raise ScriptError("n_events", n_events, f"0 to {len(ends) - 1}, the number of events in this script")
        return ends[n_events]
