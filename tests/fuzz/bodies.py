"""Random bodies, read in mode `observe` and by the bare SDK. The caller may see no difference.

Most are damaged messages. They have fields of a wrong type, and events that are missing or repeated. Frames have other
names, and bytes are flipped or cut. An odd body is no defect of this package, so it may cause no internal error.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.fuzz.transport import REQUEST, Body, Clients
from tests.support.rig import HTTP, Seen, chain, plain

from otel_claude_stream import ClaudeStreamInstrumentor, _guard

WAYS = ("create", "stream", "async create", "bytes")
BATCH = 100
"""Cases that are read without this package, and then with it."""

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 10**30, 1.5, 1e308, "", "x", "text_delta", "\ud83d", "é" * 300, "message_stop",
    [], [1, None], {}, {"type": "text"}, {"text": "x"}, {"type": None}, {"type": ["text"]},
)  # fmt: skip
"""Values where others belong."""
LINES = (
    b"",
    b"\n",
    b":\n",
    b"data\n",
    b"data: {}\n\n",
    b"event\n",
    b"event: ping\ndata: []\n\n",
    b"\r\r",
    b"\xff\xfe\n",
    b"id: 1\n",
)
BLOCKS: tuple[dict[str, Any], ...] = (
    {"type": "text", "text": ""},
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "redacted_thinking", "data": "x"},
    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}},
    {"type": "web_search_tool_result", "tool_use_id": "t", "content": []},
    {"type": "new_block"},
)
DELTAS: tuple[dict[str, Any], ...] = (
    {"type": "text_delta", "text": "All well. "},
    {"type": "thinking_delta", "thinking": "Hm."},
    {"type": "signature_delta", "signature": "s"},
    {"type": "input_json_delta", "partial_json": "{}"},
    {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "x"}},
    {"type": "new_delta", "new": 1},
)


def random_events(rng: random.Random) -> list[Any]:
    """Return the events of a message."""
    usage = {"input_tokens": 9, "output_tokens": 1, "cache_read_input_tokens": 0}
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-test", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    events: list[Any] = [{"type": "message_start", "message": message}]
    for index in range(rng.randint(0, 3)):
        events.append({"type": "content_block_start", "index": index, "content_block": rng.choice(BLOCKS)})
        delta = rng.choice(DELTAS)
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for _ in range(rng.randint(0, 4))]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    events += [{"type": "message_delta", "delta": stop, "usage": {"output_tokens": 9}}, {"type": "message_stop"}]
    if rng.random() < 0.1:
        events.insert(rng.randrange(len(events)), {"type": "error", "error": {"type": "api_error", "message": "x"}})
    if rng.random() < 0.1:
        events.insert(rng.randrange(len(events)), {"type": "ping"})
    return events


def damage(rng: random.Random, value: Any) -> Any:
    """Return a value with one field, at any depth, of a wrong type or missing."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            return {name: field for name, field in value.items() if name != key}
        return {**value, key: damage(rng, value[key])}
    return copy.deepcopy(rng.choice(ODD))


def random_body(rng: random.Random) -> list[bytes | Exception]:
    """Return the steps of a body."""
    events = random_events(rng)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(len(events))
        how = rng.random()
        if how < 0.7:
            events[at] = damage(rng, events[at])
        elif how < 0.8:
            del events[at]
        elif how < 0.9:
            events.insert(rng.randrange(len(events)), events[at])
        else:
            rng.shuffle(events)
        events = events or [{"type": "ping"}]
    frames = []
    for event in events:
        name = event.get("type") if isinstance(event, dict) else "ping"
        if not isinstance(name, str) or rng.random() < 0.03:
            name = rng.choice(("message", "ping", "", "content_block_delta", "message_start", "completion", "x" * 200))
        field = f"event: {name}\n" if rng.random() < 0.97 else ""
        frames.append(f"{field}data: {json.dumps(event)}\n\n".encode("utf-8", "replace"))
        if rng.random() < 0.03:
            frames.append(rng.choice(LINES))
    body = b"".join(frames)
    for _ in range(rng.choice((0, 0, 0, 1, 3))):
        at = rng.randrange(len(body) + 1)
        body = body[:at] + rng.randbytes(rng.randint(0, 3)) + body[at + rng.randint(0, 3) :]
    if rng.random() < 0.2:
        body = body[: rng.randrange(len(body) + 1)]
    size = rng.choice((7, 100, 10_000))
    steps: list[bytes | Exception] = [body[at : at + size] for at in range(0, len(body), size)]
    return [*steps, HTTP.ReadError("cut")] if rng.random() < 0.2 else steps


class Bodies:
    """Reads bodies, with or without this package."""

    def __init__(self) -> None:
        self._clients = Clients()
        self.close = self._clients.close

    def read(self, seed: int) -> Seen:
        """Read the body of a seed, and return what the caller sees."""
        headers = {"content-type": "text/event-stream", "request-id": "req_1"}
        steps = random_body(random.Random(seed))
        self._clients.answer = lambda request: HTTP.Response(200, headers=headers, stream=Body(steps), request=request)
        seen, way, messages = Seen(), WAYS[seed % len(WAYS)], self._clients.sync.messages
        try:
            if way == "create":
                for event in messages.create(stream=True, **REQUEST):
                    seen.events.append(_plain(event))
            elif way == "stream":
                with messages.stream(**REQUEST) as stream:
                    for event in stream:
                        seen.events.append(_plain(event))
                    seen.result = _plain(stream.get_final_message())
            elif way == "bytes":
                with messages.with_streaming_response.create(stream=True, **REQUEST) as response:
                    seen.events += response.iter_bytes()
            else:
                self._clients.loop.run_until_complete(self._read(seen))
        except Exception as error:  # noqa: BLE001 - any exception of the SDK
            seen.error = chain(error)
        return seen

    async def _read(self, seen: Seen) -> None:
        async for event in await self._clients.aio.messages.create(stream=True, **REQUEST):
            seen.events.append(_plain(event))

    def differences(self, seeds: range, **providers: Any) -> Iterator[tuple[int, str]]:
        """Yield each seed whose body is read differently with this package, or causes an internal error."""
        bare = {seed: self.read(seed) for seed in seeds}
        with _instrumented(**providers):
            for seed in seeds:
                before = _guard.counts()
                seen = self.read(seed)
                failed = {where: n for where, n in _guard.counts().items() if n != before.get(where)}
                if failed:
                    yield seed, f"an internal error in {', '.join(failed)}"
                if repr(seen) != repr(bare[seed]):  # NaN is not equal to itself
                    yield seed, f"the caller sees\n  {seen} instead of\n  {bare[seed]}"


def _plain(event: Any) -> Any:
    """Return an event as data, or its representation if it cannot be dumped."""
    try:
        return plain(event)
    except Exception:  # noqa: BLE001 - any exception of pydantic
        return repr(event)


@contextmanager
def _instrumented(**providers: Any) -> Iterator[None]:
    instrumentor = ClaudeStreamInstrumentor()
    instrumentor.instrument(**providers)
    try:
        yield
    finally:
        instrumentor.uninstrument()
