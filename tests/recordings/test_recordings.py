from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from tests.conftest import RECORDINGS
from tests.support.modes import ASK, MODES
from tests.support.observing import events_of, observed
from tests.support.ways import Seen, by_iteration

from otel_claude_stream.testing import FakeAPI, Script

pytestmark = pytest.mark.recordings

NAMES = sorted(path.name for path in RECORDINGS.glob("*.sse"))
SMALL = 20_000
"""Bytes: a packet for each byte of a larger body would take seconds."""
PIECE = 61
"""Bytes in a packet then: no multiple or fraction of anything."""

CHUNKINGS = {
    "whole": {"chunking": "whole"},
    "byte by byte": {"chunking": "bytes"},
    "CRLF": {"newline": "\r\n", "chunking": 500},
    "an event a packet": {"chunking": "event"},
}
SIZES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


@dataclass
class Recorded:
    """What a body holds, read without the SDK."""

    types: Counter[str]
    data: list[dict]

    @classmethod
    def of(cls, body: bytes) -> Recorded:
        events = [dict(re.findall(rb"^(event|data): (.*)$", event, re.MULTILINE)) for event in body.split(b"\n\n")]
        events = [event for event in events if event]
        return cls(
            Counter(event[b"event"].decode() for event in events), [json.loads(event[b"data"]) for event in events]
        )

    def usage(self) -> dict[str, int]:
        """What `message_start` says, and `message_delta` in its stead."""
        start = next(data["message"]["usage"] for data in self.data if data["type"] == "message_start")
        return {**start, **[data["usage"] for data in self.data if data["type"] == "message_delta"][-1]}

    def characters(self) -> int:
        """Characters of text, thinking and tool input."""
        deltas = [data["delta"] for data in self.data if data["type"] == "content_block_delta"]
        return sum(len(delta[SIZES[delta["type"]]]) for delta in deltas if delta["type"] in SIZES)


@pytest.fixture(params=MODES, ids=repr)
def mode(request):
    """Sync and async."""
    return request.param


@pytest.fixture(params=NAMES or ["none"])
def body(request, recordings):
    """One recorded body."""
    return next(path for path in recordings if path.name == request.param).read_bytes()


def replayed(mode, script):
    """The events and the final message that the SDK makes of a body, as plain data; its exception if it raises."""
    seen = Seen()

    async def read():
        async with (
            mode.entered(mode.client(api.url)) as client,
            mode.entered(client.beta.messages.stream(**ASK)) as stream,
        ):
            await by_iteration(mode, stream, seen)
            seen.message = await mode.do(stream.get_final_message())
            seen.texts.append(await mode.do(stream.get_final_text()) if "text" in kinds(seen.message) else "")

    with FakeAPI(script) as api, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older models are deprecated, new blocks unknown to older releases
        try:
            mode.run(read)
        except Exception as error:  # noqa: BLE001 - a release that chokes on a body has to do so with us, too
            seen.error = error
        events = [(type(event).__name__, event.model_dump()) for event in seen.events]
        message = seen.message.model_dump() if seen.message is not None else None
    return events, message, seen.texts, (type(seen.error), str(seen.error))


BARE = {}


@pytest.fixture
def bare(mode, body):
    """What the SDK makes of the body without us: asked once, as how it is divided into packets makes no difference."""
    if (mode, body) not in BARE:
        BARE[mode, body] = replayed(mode, Script.from_sse(body))
    return BARE[mode, body]


def kinds(message) -> set[str]:
    """The types of a message's blocks."""
    return {block.type for block in message.content}


@pytest.mark.parametrize("chunking", CHUNKINGS)
def test_a_recorded_stream_reaches_the_caller_unchanged_and_is_told_whole(mode, body, bare, chunking):
    """Text, tool input, thinking, citations as without us; events, characters, usage on the span as in the body."""
    script = replace(Script.from_sse(body), **CHUNKINGS[chunking])
    if chunking == "byte by byte" and len(body) > SMALL:
        script = replace(script, chunking=PIECE)
    with observed() as telemetry:
        ours = replayed(mode, script)
        telemetry.told_once()
    assert ours == bare
    recorded = Recorded.of(body)
    told, dropped = events_of(telemetry.stream()), telemetry.of("event.dropped")[0] or 0
    assert told + (recorded.types - told) == recorded.types
    assert (recorded.types - told).total() == dropped
    usage = recorded.usage()
    cached = (usage.get(f"cache_{name}_input_tokens", 0) for name in ("read", "creation"))
    assert telemetry.of("outcome", "event.count", "content.characters", "usage.complete", "stop_reason") == (
        "completed",
        recorded.types.total(),
        recorded.characters(),
        True,
        [data["delta"]["stop_reason"] for data in recorded.data if data["type"] == "message_delta"][-1],
    )
    assert telemetry.of("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens") == (
        usage["input_tokens"] + sum(cached),
        usage["output_tokens"],
    )
