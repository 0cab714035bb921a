"""Frames are buffered before the first content up to a limit. Beyond it they are delivered, and a retry is spliced."""

from __future__ import annotations

import pytest
from tests.support.received import assert_one_message, message_events, text_of
from tests.support.rig import API, WAYS, by, instrumented, read
from tests.support.scenes import RETRY, STORY, after, paced_script

from otel_claude_stream._sdk.retry.gate import MAX_BUFFERED_FRAMES, MAX_BUFFERED_SIZE
from otel_claude_stream.testing import CutMidChunk, Event

WHOLE = paced_script(STORY)


def empty_delta(**more):
    """Return a delta without content."""
    return Event(
        "content_block_delta",
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ""}, **more},
    )


ENDLESS = {
    "frames": [empty_delta()] * (MAX_BUFFERED_FRAMES + 9),
    "size": [empty_delta(padding="x" * (MAX_BUFFERED_SIZE // 4))] * 9,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ENDLESS)
def test_beyond_the_limit_frames_are_delivered_before_the_first_content(monkeypatch, kind, way):
    """The caller gets all of them, as without this package. A retry continues the message that has begun."""
    broken = after(WHOLE, 2, *ENDLESS[kind], CutMidChunk())
    api = API([broken])
    with by(api.clock, monkeypatch):
        bare = read(api, way)
    sent = 0

    def count(chunks):
        nonlocal sent
        sent += len(chunks)
        return chunks

    seen_after = []
    api = API([broken, WHOLE])
    api.chunks = count
    with instrumented(monkeypatch, api.clock, retry_policy=RETRY):
        seen = read(api, way, each=lambda _: seen_after.append(sent))
    limit = {"frames": MAX_BUFFERED_FRAMES + 1, "size": 2 + 4}[kind]
    assert seen_after[0] == limit
    assert seen.events[: len(bare.events)] == bare.events
    events = message_events(seen.events)
    assert_one_message(events)
    assert (text_of(events), seen.error, api.requests) == (STORY, [], 2)


@pytest.mark.parametrize("way", ["create", "async create"])
def test_within_the_limit_nothing_is_delivered_before_the_first_content(monkeypatch, way):
    """A retry leaves no trace in the events."""
    broken = after(WHOLE, 2, *[empty_delta()] * (MAX_BUFFERED_FRAMES - 2), CutMidChunk())
    api, whole = API([broken, WHOLE]), API(WHOLE)
    with by(whole.clock, monkeypatch):
        bare = read(whole, way)
    with instrumented(monkeypatch, api.clock, retry_policy=RETRY):
        assert read(api, way) == bare
    assert api.requests == 2
