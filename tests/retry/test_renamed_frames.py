"""Frames whose `event:` line a gateway renamed, dropped or emptied. The type in the data decides, as in the SDK."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
from tests.support.rig import API, WAYS, by, instrumented, read
from tests.support.scenes import RESUME, RETRY, STORY, paced_script, resuming_script

from otel_claude_stream.testing import CutMidChunk, Error, Event

RENAMED = {
    "every name is the same": rb"event: message\n",
    "upper case": lambda found: b"event: " + found[1].upper() + b"\n",
    "a prefix": rb"event: anthropic.\1\n",
    "a blank at the end": rb"event: \1 \n",
    "the name of a delta": b"event: content_block_delta\n",
    "no name": b"",
    "an empty name": b"event:\n",
}
DELIVERED = [name for name in RENAMED if name not in ("no name", "an empty name")]
"""Names of frames that the SDK delivers from 2.0 on."""
MODES = {"observe": {}, "retry": {"retry_policy": RETRY}, "resume": {"retry_policy": RESUME}}
WHOLE = paced_script(STORY)


class RenamingAPI(API):
    """An API behind a gateway that renames frames. Counts the chunks that it has sent when the caller gets a delta."""

    def __init__(self, scripts, renamed):
        super().__init__(scripts)
        self.sent = 0
        self.sent_at_first_delta = None

        def renaming(chunks):
            self.sent += len(chunks)
            return [re.sub(rb"^event: (\w+)\n", renamed, chunk) for chunk in chunks]

        self.chunks = renaming

    def each(self, event):
        """Note how much was sent before the first delta."""
        if event.type == "content_block_delta" and self.sent_at_first_delta is None:
            self.sent_at_first_delta = self.sent


def read_bare(monkeypatch, scripts, renamed, way):
    """Read a stream without this package."""
    api = RenamingAPI(scripts, renamed)
    with by(api.clock, monkeypatch):
        return read(api, way, each=api.each), api


def read_in(monkeypatch, mode, scripts, renamed, way):
    """Read a stream in a mode. Return also the span of the call."""
    api = RenamingAPI(scripts, renamed)
    with instrumented(monkeypatch, api.clock, **MODES[mode]) as capture:
        seen = read(api, way, each=api.each)
        (span,) = [span for span in capture.spans() if span["name"].startswith("chat")]
    return seen, api, span


def events_on(span):
    """Count the events of a span by name, without the events of this package."""
    found = Counter()
    for event in span["events"]:
        if event["name"].removeprefix("claude.stream.") not in ("abort", "retry", "resume"):
            found[event["name"]] += event["attributes"].get("claude.stream.event.coalesced", 1)
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("renamed", RENAMED.values(), ids=RENAMED)
def test_renamed_frames_reach_the_caller_as_without_this_package(monkeypatch, renamed, mode, way):
    """They come as early, by one request, and the span has the same events as with the right names.

    A ping with the name of a delta is not counted.
    """
    bare, bare_api = read_bare(monkeypatch, WHOLE, renamed, way)
    seen, api, span = read_in(monkeypatch, mode, WHOLE, renamed, way)
    assert seen == bare
    assert (api.requests, api.sent_at_first_delta) == (1, bare_api.sent_at_first_delta)
    expected = events_on(read_in(monkeypatch, "observe", WHOLE, rb"event: \1\n", way)[2])
    if any("Delta" in kind for kind, _ in bare.events):
        if renamed == RENAMED["the name of a delta"]:
            del expected["claude.stream.ping"]
        assert events_on(span) == expected
        assert span["attributes"]["claude.stream.outcome"] == "completed"
    else:  # the SDK drops such frames
        assert span["attributes"]["claude.stream.abort.reason"] == "truncated"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("renamed", [RENAMED[name] for name in DELIVERED], ids=DELIVERED)
@pytest.mark.parametrize("how", [CutMidChunk(), Error()], ids=["cut", "error event"])
def test_a_broken_stream_of_renamed_frames_is_retried_and_resumed(monkeypatch, renamed, how, way):
    """Before the first content it is retried, and after it resumed. The caller gets the whole answer once."""
    bare, _ = read_bare(monkeypatch, WHOLE, renamed, way)
    if not any("Delta" in kind for kind, _ in bare.events):
        pytest.skip("this release of the SDK drops such frames")
    for mode, scripts in (
        ("retry", (WHOLE.cut_after(2, how), WHOLE)),
        ("resume", (WHOLE.cut_after(11, how), resuming_script(STORY[:83]))),
    ):
        seen, api, span = read_in(monkeypatch, mode, scripts, renamed, way)
        texts = [data["delta"]["text"] for kind, data in seen.events if kind == "RawContentBlockDeltaEvent"]
        assert ("".join(texts), seen.error, api.requests) == (STORY, [], 2)
        assert span["attributes"]["claude.stream.outcome"] == "completed"


@pytest.mark.parametrize("way", ["create", "async create"])
@pytest.mark.parametrize("mode", ["retry", "resume"])
def test_an_event_of_an_unknown_type_is_delivered_at_once(monkeypatch, mode, way):
    """The events before it are delivered first. A retry would repeat it, so there is none."""
    unknown = {"type": "new_thing", "value": 1}
    script = replace(WHOLE, steps=(*WHOLE.steps[:2], Event("new_thing", unknown), *WHOLE.steps[2:]))
    bare, _ = read_bare(monkeypatch, script, rb"event: \1\n", way)
    seen, api, _ = read_in(monkeypatch, mode, script, rb"event: \1\n", way)
    assert (seen, api.requests) == (bare, 1)
    broken = script.cut_after(3, CutMidChunk())
    bare, _ = read_bare(monkeypatch, broken, rb"event: \1\n", way)
    seen, api, _ = read_in(monkeypatch, mode, (broken, WHOLE), rb"event: \1\n", way)
    if any(data.get("type") == "new_thing" for _, data in bare.events):
        assert (seen, api.requests) == (bare, 1)
    else:  # the SDK drops it
        assert (seen.error, api.requests) == ([], 2)
