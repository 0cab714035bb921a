"""Recorded streams reach the caller unchanged and are recorded completely."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from tests.support.fixtures import mode
from tests.support.modes import ASK
from tests.support.observing import events_of, observed
from tests.support.paths import RECORDINGS
from tests.support.ways import Seen, by_iteration

from otel_claude_stream.testing import FakeAPI, Script

__all__ = ["mode"]
pytestmark = pytest.mark.recordings

NAMES = sorted(path.name for path in RECORDINGS.glob("*.sse"))
SMALL = 20_000
"""Bytes. To send a larger body byte by byte would take seconds."""
PIECE = 61
"""Bytes in a packet for larger bodies; a prime, so that the packets match no structure in the body."""

CHUNKINGS = {
    "whole": {"chunking": "whole"},
    "byte by byte": {"chunking": "bytes"},
    "CRLF": {"newline": "\r\n", "chunking": 500},
    "an event in each packet": {"chunking": "event"},
}
SIZES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


@dataclass
class Recorded:
    """The contents of a body, decoded without the SDK."""

    types: Counter[str]
    data: list[dict]

    @classmethod
    def from_body(cls, body: bytes) -> Recorded:
        events = [dict(re.findall(rb"^(event|data): (.*)$", event, re.MULTILINE)) for event in body.split(b"\n\n")]
        events = [event for event in events if event]
        return cls(
            Counter(event[b"event"].decode() for event in events), [json.loads(event[b"data"]) for event in events]
        )

    def usage(self) -> dict[str, int]:
        """Return the usage of `message_start`, updated by that of the last `message_delta`."""
        start = next(data["message"]["usage"] for data in self.data if data["type"] == "message_start")
        return {**start, **[data["usage"] for data in self.data if data["type"] == "message_delta"][-1]}

    def characters(self) -> int:
        """Count the characters of text, thinking and tool input."""
        deltas = [data["delta"] for data in self.data if data["type"] == "content_block_delta"]
        return sum(len(delta[SIZES[delta["type"]]]) for delta in deltas if delta["type"] in SIZES)


@pytest.fixture(params=NAMES or ["none"])
def body(request, recordings):
    """A recorded body."""
    return next(path for path in recordings if path.name == request.param).read_bytes()


def replay(mode, script):
    """Stream a script with the SDK; return the events, final message, texts and exception as plain data."""
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
        warnings.simplefilter("ignore")  # older models are deprecated, and older releases do not know all blocks
        try:
            mode.run(read)
        except Exception as error:  # noqa: BLE001 - an exception must be the same with and without instrumentation
            seen.error = error
        events = [(type(event).__name__, event.model_dump()) for event in seen.events]
        message = seen.message.model_dump() if seen.message is not None else None
    return events, message, seen.texts, (type(seen.error), str(seen.error))


BARE = {}


@pytest.fixture
def bare(mode, body):
    """The results without instrumentation. They are cached, as they do not depend on the size of the packets."""
    if (mode, body) not in BARE:
        BARE[mode, body] = replay(mode, Script.from_sse(body))
    return BARE[mode, body]


def kinds(message) -> set[str]:
    """Return the types of the blocks of a message."""
    return {block.type for block in message.content}


@pytest.mark.parametrize("chunking", CHUNKINGS)
def test_a_recorded_stream_reaches_the_caller_unchanged_with_a_complete_span(mode, body, bare, chunking):
    """Events, characters and usage on the span are those of the body."""
    script = replace(Script.from_sse(body), **CHUNKINGS[chunking])
    if chunking == "byte by byte" and len(body) > SMALL:
        script = replace(script, chunking=PIECE)
    with observed() as telemetry:
        ours = replay(mode, script)
        telemetry.assert_recorded_once()
    assert ours == bare
    recorded = Recorded.from_body(body)
    recorded_events, dropped = events_of(telemetry.stream()), telemetry.attributes("event.dropped")[0] or 0
    missing = recorded.types - recorded_events
    assert recorded_events + missing == recorded.types
    assert missing.total() == dropped
    usage = recorded.usage()
    cached = (usage.get(f"cache_{name}_input_tokens", 0) for name in ("read", "creation"))
    assert telemetry.attributes("outcome", "event.count", "content.characters", "usage.complete", "stop_reason") == (
        "completed",
        recorded.types.total(),
        recorded.characters(),
        True,
        [data["delta"]["stop_reason"] for data in recorded.data if data["type"] == "message_delta"][-1],
    )
    assert telemetry.attributes("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens") == (
        usage["input_tokens"] + sum(cached),
        usage["output_tokens"],
    )
