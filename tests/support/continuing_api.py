"""An API in memory that streams one answer, breaks off at a set place, and continues the text on request.

It is independent of the code under test. Like the real API, it decides from the body of a request what to send.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.rig import API, REQUEST

from otel_claude_stream.testing import CutMidChunk, End, Error, Hang, ManualClock, Reset, Script
from otel_claude_stream.testing.bodies import Block, Tokens, message_steps, thinking_block, tool_block

QUOTED = re.compile(r"which are:\n\n(.*)\n\nThen go on", re.DOTALL)
"""Finds the anchor, the end of the partial answer that the built-in prompt quotes."""

REFUSES_PREFILL = (
    "Prefilling assistant messages is not supported for this model.",
    "This model does not support assistant message prefill. The conversation must end with a user message.",
)
"""The known error messages of models that do not support prefill."""


@dataclass(frozen=True)
class Answer:
    """The answer that the API streams."""

    texts: tuple[str, ...]
    thinking: str = ""
    tool: bool = False
    deltas: int = 10
    """The number of deltas of each text. A short text has one for each character."""
    model: str = "claude-test"
    """The model that the message names."""

    @property
    def text(self) -> str:
        """The text of all blocks."""
        return "".join(self.texts)

    def full_script(self, *, message_id: str) -> Script:
        """Return the script of the whole answer."""
        blocks = [thinking_block(self.thinking)] if self.thinking else []
        return self._message([*blocks, *map(self._text, self.texts)], message_id)

    def continuation_script(self, *texts: str, message_id: str) -> Script:
        """Return the script of a message that continues the answer with these texts."""
        return self._message([self._text(text) for text in texts if text], message_id)

    def _message(self, blocks: list[Block], message_id: str) -> Script:
        return Script(
            steps=message_steps(
                blocks=[*blocks, *([tool_block("get_weather", {"city": "Paris"})] if self.tool else [])],
                tokens=Tokens(25, 15, 0, 0),
                model=self.model,
                message_id=message_id,
                stop_reason="tool_use" if self.tool else "end_turn",
                gap=0.02,
                pings=1,
                first_token_delay=0.3,
            )
        )

    def _text(self, text: str) -> Block:
        count = min(self.deltas, len(text))
        pieces = [text[len(text) * n // count : len(text) * (n + 1) // count] for n in range(count)]
        return Block({"type": "text", "text": ""}, tuple({"type": "text_delta", "text": piece} for piece in pieces))


@dataclass(frozen=True)
class ContinuationRequest:
    """A request that continues a partial answer."""

    partial: str
    """The partial answer that the request contains."""
    anchor: str
    """The text that the continuation has to repeat. Empty for a prefill."""


def continuation_request(body: dict[str, Any]) -> ContinuationRequest | None:
    """Parse the body of a request. Return None if it asks for the whole answer."""
    more = body["messages"][len(REQUEST["messages"]) :]
    if not more:
        return None
    partial = more[0]["content"]
    if len(more) == 1:
        return ContinuationRequest(partial, "")
    quoted = QUOTED.search(more[1]["content"])
    assert quoted is not None, more[1]
    return ContinuationRequest(partial, quoted[1])


Style = Callable[["Answer", ContinuationRequest], "tuple[str, ...]"]
"""A function that writes a continuation, as the texts of its blocks."""


def anchored(answer: Answer, request: ContinuationRequest) -> tuple[str, ...]:
    """Repeat the anchor, as requested, and go on."""
    return (request.anchor + answer.text[len(request.partial.rstrip()) :],)


def overlapping(answer: Answer, request: ContinuationRequest) -> tuple[str, ...]:
    """Repeat only the end of the anchor, and go on."""
    return (request.anchor[-20:] + answer.text[len(request.partial.rstrip()) :],)


def introduced(answer: Answer, request: ContinuationRequest) -> tuple[str, ...]:
    """Begin with a preamble, unless the request is a prefill."""
    preamble = "Sure, here it is: " if request.anchor else ""
    return (preamble + request.anchor + answer.text[len(request.partial.rstrip()) :],)


def restarted(answer: Answer, request: ContinuationRequest) -> tuple[str, ...]:
    """Write the whole answer again, unless the request is a prefill."""
    return (answer.text,) if request.anchor else anchored(answer, request)


def unrelated(answer: Answer, request: ContinuationRequest) -> tuple[str, ...]:
    """Write something else, unless the request is a prefill."""
    return ("Of course! What would you like to talk about today?",) if request.anchor else anchored(answer, request)


STYLES: dict[str, Style] = {
    style.__name__: style for style in (anchored, overlapping, introduced, restarted, unrelated)
}


@dataclass(frozen=True)
class Response:
    """How the API responds to one request."""

    kind: str = "complete"
    """`complete`, `broken`, `status` or `refused`."""
    at: int = 0
    """The number of events before the break, or the status code."""
    how: Any = field(default_factory=End)
    """How the stream breaks, the value of `retry-after`, or how the connection is refused."""
    header_delay: float = 0.0
    """Seconds before the headers."""

    def script(self, complete: Script) -> Script:
        """Return the script of this response, based on that of a complete one."""
        script = complete
        if self.kind == "broken":
            events = sum(type(step).__name__ in ("Event", "Ping") for step in script.steps)
            script = script.cut_after(min(self.at, events), self.how)
        elif self.kind == "status":
            headers = [] if self.how is None else [("retry-after", str(self.how))]
            script = Script.http_error(self.at, headers=headers)
        elif self.kind == "refused":
            script = Script.no_response(self.how)
        return replace(script, header_delay=self.header_delay)


COMPLETE = Response()


def broken(at: int, how: Any = None) -> Response:
    """Create a response that breaks off after `at` events."""
    return Response("broken", at, CutMidChunk() if how is None else how)


def status(code: int, retry_after: float | None = None) -> Response:
    """Create an error response."""
    return Response("status", code, retry_after)


ENDINGS = (CutMidChunk(), Reset(), End(), Hang(5.0), Error(), Error("api_error", "Internal server error"))


class ContinuingAPI(API):
    """Streams one answer, with one `Response` for each request. The last response repeats."""

    def __init__(
        self,
        answer: Answer,
        responses: Sequence[Response],
        style: Style = anchored,
        clock: ManualClock | None = None,
    ) -> None:
        super().__init__(Script(), clock)
        self._full_answer = answer
        self._responses = responses
        self._style = style
        self.request_bodies: list[dict[str, Any]] = []
        """The body of each request."""
        self.request_headers: list[dict[str, str]] = []
        """The headers of each request."""
        self.times: list[float] = []
        """The time of each request, in seconds since the start."""
        self._started_at = self.clock.monotonic_ns()

    def _answer(self, request: Any) -> Any:
        body = json.loads(request.content)
        self.request_bodies.append(body)
        self.request_headers.append(dict(request.headers))
        self.times.append((self.clock.monotonic_ns() - self._started_at) / 1e9)
        message_id = f"msg_{len(self.request_bodies)}"
        answer, continuation = replace(self._full_answer, model=body["model"]), continuation_request(body)
        if continuation is None:
            complete = answer.full_script(message_id=message_id)
        else:
            complete = answer.continuation_script(*self._style(answer, continuation), message_id=message_id)
        self._scripts = [self._responses[min(self.requests, len(self._responses) - 1)].script(complete)]
        return super()._answer(request)
