"""What an HTTP library and the SDK do with a scripted response, without either: frames, events, and exceptions.

The exceptions are stand-ins with the names and chains of the real ones (``httpx2`` and ``anthropic``), as that is all
the classifier looks at; the same faults over real sockets are in the tests of the instrumentation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from otel_claude_stream._core.stream.message_state import CORE_TYPES

FRAME_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
LINE_END: Final = re.compile("\r\n|\n|\r")

INCOMPLETE: Final = "peer closed connection without sending complete message body (incomplete chunked read)"
SHORT: Final = "peer closed connection without sending complete message body (received {} bytes, expected more)"
NO_RESPONSE: Final = "Server disconnected without sending a response."
E = TypeVar("E", bound=Exception)

ECONNRESET: Final = 104
FIRST_ERROR: Final = 300  # redirections are followed by the HTTP library; one that comes this far is an error


class TransportError(Exception):
    """As in httpx."""

    __module__ = "httpx2"


class ReadError(TransportError):
    """The connection broke while bytes were awaited."""

    __module__ = "httpx2"


class RemoteProtocolError(TransportError):
    """The body is shorter than announced."""

    __module__ = "httpx2"


class TimeoutException(TransportError):
    """As in httpx."""

    __module__ = "httpx2"


class ReadTimeout(TimeoutException):
    """Nothing came for the whole read time-out."""

    __module__ = "httpx2"


class APIConnectionError(Exception):
    """The SDK's, around an error of the transport before the response's headers."""

    __module__ = "anthropic"


class APITimeoutError(APIConnectionError):
    """The SDK's, around a time-out before the response's headers."""

    __module__ = "anthropic"


class APIStatusError(Exception):
    """The SDK's, for an error status and for an error event."""

    __module__ = "anthropic"

    def __init__(self, response: Response, body: object) -> None:
        super().__init__(f"Error code: {response.status_code}")
        self.response = response
        self.status_code = response.status_code
        self.body = body
        error = body.get("error") if isinstance(body, dict) else None
        self.type = error.get("type") if isinstance(error, dict) else None


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response."""

    status_code: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event; ``event`` is None if it has no name."""

    event: str | None
    data: str


def frames(chunks: Iterable[bytes]) -> Iterator[Frame]:
    """The frames in a body, each as soon as it is whole. Raises ``UnicodeDecodeError`` as the SDK does."""
    rest = b""
    for chunk in chunks:
        *whole, rest = FRAME_END.split(rest + chunk)
        for raw in whole:
            frame = _frame(raw.decode())
            if frame is not None:
                yield frame


def _frame(text: str) -> Frame | None:
    event: str | None = None
    data: list[str] = []
    for line in LINE_END.split(text.removeprefix("\ufeff")):
        name, _, value = line.partition(":")
        if name == "event":
            event = value.removeprefix(" ")
        elif name == "data":
            data.append(value.removeprefix(" "))
    return Frame(event, "\n".join(data)) if event is not None or data else None


def events(found: Iterable[Frame], response: Response) -> Iterator[Any]:
    """The events that the SDK makes of frames: those of a message; an error event raises, others are left out."""
    for frame in found:
        if frame.event in CORE_TYPES:
            event = json.loads(frame.data, object_hook=lambda fields: SimpleNamespace(**fields))
            yield event if isinstance(event, SimpleNamespace) else SimpleNamespace(type=frame.event)
        elif frame.event == "error":
            raise APIStatusError(response, _json_or_text(frame.data))


def status_error(response: Response, body: bytes) -> APIStatusError:
    """What the SDK raises for an error status."""
    return APIStatusError(response, _json_or_text(body.decode("utf-8", "replace").strip()))


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def no_response(how: str) -> APIConnectionError:
    """What the SDK raises when the connection ends before a response: ``fin``, ``rst`` or ``timeout``."""
    if how == "timeout":
        return _caused(APITimeoutError("Request timed out."), ReadTimeout("timed out"))
    inner = reset() if how == "rst" else RemoteProtocolError(NO_RESPONSE)
    return _caused(APIConnectionError("Connection error."), inner)


def reset() -> ReadError:
    """What a reset in the middle of a body raises."""
    return _caused(ReadError("[Errno 104] Connection reset by peer"), ConnectionResetError(ECONNRESET, "reset"))


def _caused(error: E, cause: BaseException) -> E:
    error.__cause__ = cause
    return error
