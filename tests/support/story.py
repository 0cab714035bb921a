"""An API in memory that streams one answer, breaks off at a set place, and continues the text on request.

It knows nothing of the code under test: what a request asks for, it reads from the request's body, as the API does.
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
"""The end of the partial answer, as the built-in prompt quotes it."""

REFUSES_PREFILL = (
    "Prefilling assistant messages is not supported for this model.",
    "This model does not support assistant message prefill. The conversation must end with a user message.",
)
"""The two texts that are known."""


@dataclass(frozen=True)
class Tale:
    """The answer that the API has to give."""

    texts: tuple[str, ...]
    thinking: str = ""
    tool: bool = False
    deltas: int = 10
    """Pieces that a text comes in, if it is long enough."""

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(self.texts)

    def told(self, *, message_id: str) -> Script:
        """The answer from its start."""
        blocks = [thinking_block(self.thinking)] if self.thinking else []
        return self._message([*blocks, *map(self._text, self.texts)], message_id)

    def rest(self, *texts: str, message_id: str) -> Script:
        """Return the answer that continues it with these texts."""
        return self._message([self._text(text) for text in texts if text], message_id)

    def _message(self, blocks: list[Block], message_id: str) -> Script:
        return Script(
            steps=message_steps(
                blocks=[*blocks, *([tool_block("get_weather", {"city": "Paris"})] if self.tool else [])],
                tokens=Tokens(25, 15, 0, 0),
                model="claude-test",
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
class Asked:
    """The request of a continuation."""

    partial: str
    """The answer so far, as it was sent back."""
    anchor: str
    """The text that has to be repeated; empty for a prefill."""


def asked_of(body: dict[str, Any]) -> Asked | None:
    """Return the continuation that a request asks for; None for the whole answer."""
    more = body["messages"][len(REQUEST["messages"]) :]
    if not more:
        return None
    partial = more[0]["content"]
    if len(more) == 1:
        return Asked(partial, "")
    quoted = QUOTED.search(more[1]["content"])
    assert quoted is not None, more[1]
    return Asked(partial, quoted[1])


Manner = Callable[["Tale", Asked], "tuple[str, ...]"]
"""Returns the texts of a continuation."""


def anchored(tale: Tale, asked: Asked) -> tuple[str, ...]:
    """As asked: the anchor, and the rest."""
    return (asked.anchor + tale.text[len(asked.partial.rstrip()) :],)


def overlapping(tale: Tale, asked: Asked) -> tuple[str, ...]:
    """Only the last words of the anchor are repeated."""
    return (asked.anchor[-20:] + tale.text[len(asked.partial.rstrip()) :],)


def introduced(tale: Tale, asked: Asked) -> tuple[str, ...]:
    """A remark comes first, if anything has to be repeated."""
    return ((f"Sure, here it is: {asked.anchor}" if asked.anchor else "") + tale.text[len(asked.partial.rstrip()) :],)


def again(tale: Tale, asked: Asked) -> tuple[str, ...]:
    """All from the start, though asked to go on."""
    return (tale.text,) if asked.anchor else anchored(tale, asked)


def elsewhere(tale: Tale, asked: Asked) -> tuple[str, ...]:
    """Something else, though asked to go on."""
    return ("Of course! What would you like to talk about today?",) if asked.anchor else anchored(tale, asked)


MANNERS: dict[str, Manner] = {
    manner.__name__: manner for manner in (anchored, overlapping, introduced, again, elsewhere)
}


@dataclass(frozen=True)
class Turn:
    """How one request is answered: whole, broken off, with an error, or not at all."""

    kind: str = "whole"
    """`whole`, `broken`, `status` or `refused`."""
    at: int = 0
    """Events before it breaks; the status."""
    how: Any = field(default_factory=End)
    """The end; the value of `retry-after`; how the connection is refused."""
    after: float = 0.0
    """Seconds before the headers."""

    def of(self, whole: Script) -> Script:
        """The script of this turn, where all would be `whole`."""
        if self.kind == "broken":
            events = sum(type(step).__name__ in ("Event", "Ping") for step in whole.steps)
            whole = whole.cut_after(min(self.at, events), self.how)
        elif self.kind == "status":
            headers = [] if self.how is None else [("retry-after", str(self.how))]
            whole = Script.http_error(self.at, headers=headers)
        elif self.kind == "refused":
            whole = Script.no_response(self.how)
        return replace(whole, header_delay=self.after)


WHOLE = Turn()


def broken(at: int, how: Any = None) -> Turn:
    """Break off after so many events."""
    return Turn("broken", at, CutMidChunk() if how is None else how)


def status(code: int, retry_after: float | None = None) -> Turn:
    """Answer with an error."""
    return Turn("status", code, retry_after)


ENDINGS = (CutMidChunk(), Reset(), End(), Hang(5.0), Error(), Error("api_error", "Internal server error"))


class Storyteller(API):
    """Streams an answer, with one turn for each request. The last turn repeats."""

    def __init__(
        self, tale: Tale, turns: Sequence[Turn], manner: Manner = anchored, clock: ManualClock | None = None
    ) -> None:
        super().__init__(Script(), clock)
        self.tale = tale
        self._turns = turns
        self._manner = manner
        self.asked: list[dict[str, Any]] = []
        """The body of each request."""
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        """When each came, in seconds of the clock."""
        self._begun = self.clock.monotonic_ns()

    def _answer(self, request: Any) -> Any:
        body = json.loads(request.content)
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        self.times.append((self.clock.monotonic_ns() - self._begun) / 1e9)
        asked, message_id = asked_of(body), f"msg_{len(self.asked)}"
        tale = self.tale
        whole = (
            tale.told(message_id=message_id)
            if asked is None
            else tale.rest(*self._manner(tale, asked), message_id=message_id)
        )
        self._scripts = [self._turns[min(self.requests, len(self._turns) - 1)].of(whole)]
        return super()._answer(request)
