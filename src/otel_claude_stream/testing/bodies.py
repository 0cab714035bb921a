"""The steps of whole responses, generated as the API sends a message, or taken from a recorded body."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from otel_claude_stream.testing.checks import LINE_END, ScriptError, check_count, check_seconds
from otel_claude_stream.testing.steps import Event, Json, Pause, Ping, Send, Step, compact

WORDS: Final = ("Streams", "carry", "an", "answer", "piece", "by", "piece", "and", "may", "end", "early")
DEFAULT_DELTAS: Final = 8
# The error type and message that the API documents for each status.
API_ERRORS: Final = {
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
NGINX_PAGE: Final = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
    "<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
# Statuses whose reason phrase in nginx differs from that of Python's ``HTTPStatus``.
NGINX_REASONS: Final = {
    408: "Request Time-out",
    413: "Request Entity Too Large",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
SSE_EVENT: Final = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)|.+\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts of one message, as its usage objects report them."""

    input: int
    output: int
    cache_read: int
    cache_creation: int

    def __post_init__(self) -> None:
        for name in ("input", "output", "cache_read", "cache_creation"):
            check_count(f"{name} tokens", getattr(self, name))

    def at_start(self) -> Json:
        """Return the usage in ``message_start``, where the API reports 1 output token as a placeholder."""
        return {
            **self._prompt(),
            "cache_creation": {"ephemeral_5m_input_tokens": self.cache_creation, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 1,
            "service_tier": "standard",
        }

    def at_end(self) -> Json:
        """Return the usage in ``message_delta``, with the final counts."""
        return {**self._prompt(), "output_tokens": self.output}

    def _prompt(self) -> dict[str, Json]:
        return {
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.cache_creation,
            "cache_read_input_tokens": self.cache_read,
        }


@dataclass(frozen=True, slots=True)
class Block:
    """One content block: the object in ``content_block_start``, and the deltas."""

    start: dict[str, Json]
    deltas: tuple[dict[str, Json], ...]


def message_steps(
    *,
    blocks: Sequence[Block],
    tokens: Tokens,
    model: str,
    message_id: str,
    stop_reason: str,
    gap: float,
    pings: int,
    first_token_delay: float,
) -> tuple[Step, ...]:
    """Return the steps of a complete message.

    There are ``gap`` seconds before each delta except the first. The pings follow the start of the first block.
    """
    check_seconds("gap", gap)
    check_seconds("first_token_delay", first_token_delay)
    check_count("pings", pings)
    steps: list[Step] = [_message_start(model, message_id, tokens)]
    if first_token_delay:
        steps.append(Pause(first_token_delay))
    waits = _gaps(gap)
    for index, block in enumerate(blocks):
        steps.append(_event("content_block_start", index=index, content_block=block.start))
        if index == 0:
            steps += [Ping()] * pings
        for delta in block.deltas:
            steps += next(waits)
            steps.append(_event("content_block_delta", index=index, delta=delta))
        steps.append(_event("content_block_stop", index=index))
    ending: Json = {"stop_reason": stop_reason, "stop_sequence": None, "stop_details": None}
    steps += [_event("message_delta", delta=ending, usage=tokens.at_end()), _event("message_stop")]
    return tuple(steps)


def thinking_block(thinking: str) -> Block:
    """Return a thinking block with one delta for each word, then the signature."""
    words = [_delta("thinking_delta", "thinking", piece) for piece in _words(thinking)]
    signature = base64.b64encode(hashlib.sha512(thinking.encode()).digest()).decode()
    start: dict[str, Json] = {"type": "thinking", "thinking": "", "signature": ""}
    return Block(start, (*words, _delta("signature_delta", "signature", signature)))


def text_block(text: str | None, deltas: int | None) -> Block:
    """Return a text block with ``text`` (or filler words) in ``deltas`` deltas, by default one for each word."""
    if deltas is not None:
        check_count("deltas", deltas)
    if text is None:
        count = DEFAULT_DELTAS if deltas is None else deltas
        pieces = [("" if n == 0 else " ") + WORDS[n % len(WORDS)] for n in range(count)]
    else:
        pieces = _words(text) if deltas is None else _pieces(text, deltas)
    return Block({"type": "text", "text": ""}, tuple(_delta("text_delta", "text", piece) for piece in pieces))


def tool_block(name: str, tool_input: Json) -> Block:
    """Return a tool call, with an empty first delta (as the API sends) and the input's JSON in small pieces."""
    text = compact(tool_input)
    tool_id = "toolu_01" + hashlib.sha256((name + text).encode()).hexdigest()[:22]
    pieces = ["", *(text[at : at + 12] for at in range(0, len(text), 12))]
    start: dict[str, Json] = {"type": "tool_use", "id": tool_id, "name": name, "input": {}}
    return Block(start, tuple(_delta("input_json_delta", "partial_json", piece) for piece in pieces))


def recorded_steps(body: bytes, gap: float) -> tuple[Step, ...]:
    """Return the steps of a recorded body: one ``Send`` for each event, with ``gap`` seconds between them."""
    check_seconds("gap", gap)
    steps: list[Step] = []
    for match in SSE_EVENT.finditer(body):
        if steps and gap:
            steps.append(Pause(gap))
        steps.append(Send.from_bytes(match.group()))
    return tuple(steps)


def events_of(send: Send) -> tuple[Step, ...]:
    """Return the events in raw text as ``Event`` steps; ``send`` itself if there are none."""
    found: list[Step] = []
    for block in SSE_EVENT.findall(send.raw):
        lines = [line.partition(":") for line in LINE_END.split(Send.from_bytes(block).data)]
        values = {key: value.removeprefix(" ") for key, _, value in lines}
        if "data" in values:
            data = "\n".join(value.removeprefix(" ") for key, _, value in lines if key == "data")
            found.append(Event(values.get("event", ""), data))
    return tuple(found) or (send,)


def api_error(status: int) -> tuple[str, str]:
    """Return the API's error type and message for a status; a similar one for a status it does not document."""
    return API_ERRORS.get(status, API_ERRORS[500] if status >= 500 else API_ERRORS[400])


def nginx_page(status: int) -> str:
    """Return nginx's built-in error page for a status."""
    reason = NGINX_REASONS.get(status) or HTTPStatus(status).phrase
    return NGINX_PAGE.format(title=f"{status} {reason}")


def pause_steps(seconds: float, ping_interval: float | None) -> list[Step]:
    """Return the steps of a pause, with a ping each ``ping_interval`` seconds unless that is ``None``."""
    check_seconds("seconds", seconds)
    if ping_interval is None:
        return [Pause(seconds)]
    check_seconds("ping_interval", ping_interval)
    if ping_interval == 0:
        raise ScriptError("ping_interval", ping_interval, "more than zero seconds, or None for no pings")
    count, rest = divmod(seconds, ping_interval)
    pinging: list[Step] = [Pause(ping_interval), Ping()]
    return [*pinging * int(count), *([Pause(rest)] if rest else [])]


def _message_start(model: str, message_id: str, tokens: Tokens) -> Event:
    message: Json = {
        "model": model,
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": tokens.at_start(),
    }
    return _event("message_start", message=message)


def _event(kind: str, **data: Json) -> Event:
    return Event(kind, {"type": kind, **data})


def _delta(kind: str, key: str, piece: str) -> dict[str, Json]:
    return {"type": kind, key: piece}


def _gaps(gap: float) -> Iterator[list[Step]]:
    yield []  # ``first_token_delay`` precedes the first delta
    while True:
        yield [Pause(gap)] if gap else []


def _words(text: str) -> list[str]:
    """Split text into words, each with the blanks before it."""
    return re.findall(r"\s*\S+(?:\s+\Z)?|\s+", text)


def _pieces(text: str, count: int) -> list[str]:
    if count > len(text) or (count == 0 and text):
        raise ScriptError("deltas", count, f"1 to {len(text)}, as each delta has at least one character")
    return [text[len(text) * n // count : len(text) * (n + 1) // count] for n in range(count)]
