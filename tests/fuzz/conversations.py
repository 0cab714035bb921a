"""Random conversations with an API that breaks off at random, and continues its answer in many ways on request.

The API knows its whole answer. The caller may get a beginning of it, and nothing else. Vocabularies have 2 to 1,000
words, so many answers are repetitive. The seam of a resumed text has to be refused wherever it is ambiguous.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.fuzz.transport import REQUEST, Body, Clients
from tests.support.continuing_api import continuation_request
from tests.support.received import assert_one_message, content_of, message_events, text_of
from tests.support.rig import HTTP, plain

from otel_claude_stream import _guard
from otel_claude_stream._core.retry.policy import (
    Backoff,
    Budget,
    Jitter,
    Mode,
    RetryLimits,
    RetryPolicy,
    Rule,
    SdkRetries,
    Strategy,
)
from otel_claude_stream._core.retry.resume.request import continue_body
from otel_claude_stream._core.retry.resume.seam import SeamFinder
from otel_claude_stream._core.retry.resume.splice import SeamMismatch, Splice
from otel_claude_stream._core.stream.delivered import Delivered
from otel_claude_stream._core.vocabulary import AbortReason

POLICY = RetryPolicy(
    mode=Mode.RESUME,
    sdk_retries=SdkRetries.REPLACE,
    limits=RetryLimits(max_attempts=5, max_resumes=3, max_requests=6),
    budget=Budget(ratio=1.0, min_per_window=10_000),
    rules=(Rule(frozenset(AbortReason), backoff=Backoff(type=Jitter.NONE, base=0.0, cap=0.0)),),
)
WAYS = ("create", "stream", "async create")
MODELS = ("claude-haiku-4-5-20251001", "claude-test")
"""A model that accepts a prefill, and one that does not."""
VOCABULARIES = (2, 3, 5, 10, 20, 100, 1000)
REMARKS = ("Sure, here it goes: ", "Continuing from there:\n\n", "Here is the rest.\n", "... ", '"')
STYLES = {
    "anchor": 50, "part of the anchor": 12, "more than the anchor": 6, "remark": 10, "restart": 4, "nothing": 10,
    "other words": 6, "unrelated": 2,
}  # fmt: skip
"""How a continuation begins, with the weight of each."""
SYLLABLES = ("a", "b", "ka", "lo", "mi", "tu", "é", "日本", "😀", "s", "-", "0", "ren")


@dataclass
class Answer:
    """The answer of the API, as blocks of a type and its content."""

    blocks: list[tuple[str, str]]

    @property
    def text(self) -> str:
        """The text of all blocks."""
        return "".join(content for kind, content in self.blocks if kind == "text")

    def content_of(self, wanted: str) -> str:
        """Return the content of the blocks of one type."""
        return "".join(content for kind, content in self.blocks if kind == wanted)


def random_answer(rng: random.Random) -> Answer:
    """Create an answer."""
    size = rng.choice(VOCABULARIES)
    vocabulary = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(size)]
    separators = [" "] * 12 + ["\n", "\n\n", ", ", ":\n"][: rng.randint(0, 4)]
    blocks = [("thinking", " ".join(rng.choices(vocabulary, k=9)))] if rng.random() < 0.2 else []
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = "".join(rng.choice(vocabulary) + rng.choice(separators) for _ in range(rng.randint(1, 150)))
        if rng.random() < 0.1:  # a table
            text += (text[-rng.randint(9, 90) :] + "\n") * rng.randint(1, 9)
        blocks.append(("text", text if rng.random() < 0.5 else text.strip() or "a"))
    if rng.random() < 0.2:
        blocks.append(("tool_use", json.dumps({"city": rng.choice(vocabulary)})))
    return Answer(blocks)


_STARTS: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    "tool_use": {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}},
}
_DELTAS = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking"),
           "tool_use": ("input_json_delta", "partial_json")}  # fmt: skip


OVERLOADED = {"type": "overloaded_error", "message": "Overloaded"}

Event = dict[str, Any]


def sse(event: Event) -> bytes:
    """Return the frame of an event."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


@dataclass
class API:
    """Answers the requests of one conversation."""

    rng: random.Random
    answer: Answer = field(init=False)
    requests: int = 0
    styles: Counter[str] = field(default_factory=Counter)
    wrong_partial: str = ""
    """A partial answer in a request that is no beginning of the answer."""

    def __post_init__(self) -> None:
        self.answer = random_answer(self.rng)
        self.breaks = self.rng.choice((0.3, 0.6, 0.9))
        """The share of responses that break off."""

    def __call__(self, request: Any) -> Any:
        """Answer a request."""
        if self.rng.random() < 0.05:
            self.requests += 1
            return HTTP.Response(529, json={"type": "error", "error": OVERLOADED}, request=request)
        events = self.events(json.loads(request.content))
        steps: list[bytes | Exception] = [sse(event) for event in events]
        if (not events or events[-1]["type"] != "message_stop") and self.rng.random() < 0.5:
            steps.append(HTTP.ReadError("cut"))
        headers = {"content-type": "text/event-stream", "request-id": f"req_{self.requests}"}
        return HTTP.Response(200, headers=headers, stream=Body(steps), request=request)

    def events(self, body: dict[str, Any]) -> list[Event]:
        """Return the events of a response, which may break off, with or without an `error` event."""
        self.requests += 1
        continuation = continuation_request(body)
        blocks = self.answer.blocks
        if continuation is not None:
            if not self.answer.text.startswith(continuation.partial):
                self.wrong_partial = continuation.partial
            blocks = self.continued(continuation.partial, continuation.anchor)
        found = self.message(blocks)
        if self.rng.random() < self.breaks:
            found = found[: self.rng.randrange(len(found))]
            if self.rng.random() < 0.3:
                found.append({"type": "error", "error": OVERLOADED})
        return found

    def continued(self, partial: str, anchor: str) -> list[tuple[str, str]]:
        """Return the blocks of a continuation. Without an anchor, it is the rest of a prefilled turn."""
        style = self.rng.choices([*STYLES], [*STYLES.values()])[0] if anchor else "nothing"
        self.styles[style] += 1
        if style == "restart":
            return [block for block in self.answer.blocks if block[0] != "thinking"]
        if style == "unrelated":
            return [("text", "I cannot see any previous response. What would you like to talk about?")]
        begin = {
            "anchor": anchor,
            "part of the anchor": anchor[self.rng.randrange(max(1, len(anchor))) :],
            "more than the anchor": partial[-len(anchor) - self.rng.randint(1, 99) :],
            "remark": self.rng.choice(REMARKS) + anchor,
            "nothing": "",
            "other words": "Something else entirely, a new beginning ",
        }[style]
        if anchor and self.rng.random() < 0.1:
            begin = "\n" + begin
        blocks, position = [], 0
        for kind, content in self.answer.blocks:
            if kind == "text":
                rest = content[max(0, len(partial) - position) :]
                position += len(content)
                if rest:
                    blocks.append((kind, rest))
            elif kind == "tool_use":
                blocks.append((kind, content))
        if begin and blocks and blocks[0][0] == "text" and self.rng.random() < 0.9:
            blocks[0] = ("text", begin + blocks[0][1])
        elif begin:
            blocks.insert(0, ("text", begin))
        return blocks

    def message(self, blocks: list[tuple[str, str]]) -> list[Event]:
        """Return the events of a message."""
        rng = self.rng
        start = {
            "id": f"msg_{self.requests}", "type": "message", "role": "assistant", "model": "claude-test",
            "content": [], "stop_reason": None, "stop_sequence": None,
            "usage": {"input_tokens": 9, "output_tokens": 1},
        }  # fmt: skip
        found: list[Event] = [{"type": "message_start", "message": start}]
        for index, (kind, content) in enumerate(blocks):
            found.append({"type": "content_block_start", "index": index, "content_block": _STARTS[kind]})
            delta, key = _DELTAS[kind]
            cuts = sorted({0, len(content), *(rng.randint(0, len(content)) for _ in range(rng.randint(0, 9)))})
            for begin, end in pairwise(cuts):
                piece = {"type": delta, key: content[begin:end]}
                found.append({"type": "content_block_delta", "index": index, "delta": piece})
            found.append({"type": "content_block_stop", "index": index})
        reason = "tool_use" if blocks and blocks[-1][0] == "tool_use" else "end_turn"
        stop = {"stop_reason": reason, "stop_sequence": None}
        return [
            *found,
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 9}},
            {"type": "message_stop"},
        ]


@dataclass
class Result:
    """One conversation."""

    violations: list[str]
    complete: bool
    styles: Counter[str]
    """The ways in which texts were continued."""


class Conversations:
    """Plays conversations. The SDK has to be instrumented with `POLICY`."""

    def __init__(self) -> None:
        self._clients = Clients()
        self.close = self._clients.close

    def play(self, seed: int) -> Result:
        """Play the conversation of a seed."""
        rng = random.Random(seed)
        api = self._clients.answer = API(rng)
        internal = _guard.counts()
        events: list[Any] = []
        final = error = None
        request = {**REQUEST, "model": rng.choice(MODELS)}
        way = WAYS[seed % len(WAYS)]
        try:
            if way == "create":
                events += self._clients.sync.messages.create(stream=True, **request)
            elif way == "stream":
                with self._clients.sync.messages.stream(**request) as stream:
                    for event in stream:
                        events.append(event)
                    final = stream.get_final_message()
            else:
                self._clients.loop.run_until_complete(self._read(events, request))
        except Exception as caught:  # noqa: BLE001 - any exception of the SDK
            error = caught
        found = check(api, [plain(event) for event in events], final, error)
        if _guard.counts() != internal:
            found.append("an internal error")
        return Result(found, error is None and any(event.type == "message_stop" for event in events), api.styles)

    async def _read(self, events: list[Any], request: dict[str, Any]) -> None:
        async for event in await self._clients.aio.messages.create(stream=True, **request):
            events.append(event)  # noqa: PERF401 - an exception leaves the events before it


class ConversationsWithoutSdk:
    """Plays conversations on the core alone: the request, the seam, the splice and the ledger. Ten times as fast."""

    def close(self) -> None:
        """Do nothing."""

    def play(self, seed: int) -> Result:
        """Play the conversation of a seed."""
        rng = random.Random(seed)
        api, ledger, events = API(rng), Delivered(pieces=[]), list[Any]()
        strategy = rng.choice((Strategy.PREFILL, Strategy.USER_CONTINUE))
        splice, body = Splice.for_retry(started=False), dict[str, Any](REQUEST)
        while api.requests < POLICY.limits.max_requests:
            try:
                for event in api.events(body):
                    if event["type"] != "error":
                        for _, ready in splice.take(event["type"], event):
                            events.append(ready)
                            enter(ledger, ready)
            except SeamMismatch:
                break
            if ledger.finished or ledger.tool or 0 < ledger.text < POLICY.resume.min_partial_chars:
                break
            if ledger.text:
                text = ledger.full_text
                body = continue_body(REQUEST, text, strategy, POLICY.resume)
                seam = SeamFinder(text, POLICY.resume, strategy)
                splice = Splice.for_resume(seam, next_index=ledger.next_index, open_index=ledger.open_text_index)
            elif ledger.thinking:
                break
            else:
                splice = Splice.for_retry(
                    started=ledger.started,
                    next_index=ledger.next_index,
                    open_index=ledger.open_index,
                    open_type=ledger.open_type,
                )
        complete = bool(events) and events[-1]["type"] == "message_stop"
        return Result(check(api, [("", event) for event in events], None, None), complete, api.styles)


def enter(ledger: Delivered, event: Event) -> None:
    """Enter an event into the ledger of what the caller has been handed."""
    kind, index = event["type"], event.get("index")
    if kind == "message_start":
        ledger.message_start(event["message"]["id"])
    elif kind == "content_block_start":
        ledger.block_start(index, event["content_block"]["type"])
    elif kind == "content_block_delta":
        ledger.block_delta(index, event["delta"]["type"], ledger.open_type)
        text = event["delta"].get("text", "")
        ledger.count_text(len(text))
        ledger.keep_text(text)
    elif kind == "content_block_stop":
        ledger.block_stop(index)
    elif kind == "message_delta":
        ledger.message_delta()


def check(api: API, events: list[Any], final: Any, error: Exception | None) -> list[str]:
    """Return what is wrong with a conversation."""
    found = []
    received, answer = message_events(events), api.answer
    try:
        assert_one_message(received)
    except AssertionError as broken:
        found.append(f"the events are not those of one message: {broken}")
    text = text_of(received)
    if not answer.text.startswith(text):
        found.append(f"the text is no beginning of the answer: {text!r} {answer.text!r}")
    if api.wrong_partial:
        found.append(f"a request has a wrong partial answer: {api.wrong_partial!r} {answer.text!r}")
    if api.requests > POLICY.limits.max_requests:
        found.append("more requests than allowed")
    tool = content_of(received, "input_json_delta", "partial_json")
    if not answer.content_of("tool_use").startswith(tool):
        found.append("the input of the tool is wrong")
    if error is None and received and received[-1]["type"] == "message_stop":
        if text != answer.text:
            found.append(f"text is missing in a complete message: {text!r} {answer.text!r}")
        if tool != answer.content_of("tool_use"):
            found.append("the tool is missing in a complete message")
        if final is not None and "".join(block.text for block in final.content if block.type == "text") != answer.text:
            found.append("the final message differs from the answer")
    return found
