"""What is kept of a call that may be sent again: its messages among it, so nothing after its end."""

from __future__ import annotations

import gc
import weakref

import pytest
from tests.support.rig import API, WAYS, instrumented, read
from tests.support.scenes import MESSAGE, RESUME, STORY, goes_on, told

from otel_claude_stream._sdk.retry import flow
from otel_claude_stream.testing import CutMidChunk, Error

STREAMS = {
    "healthy": (MESSAGE,),
    "replayed": (MESSAGE.cut_after(1, Error()), MESSAGE),
    "resumed": (told(STORY).cut_after(11, CutMidChunk()), goes_on(STORY[:83])),
    "given up": (MESSAGE.cut_after(6, CutMidChunk()),),
    "not resumed": (told(STORY).cut_after(11, CutMidChunk()), told("Of course!")),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", STREAMS)
def test_nothing_of_the_call_waits_for_the_garbage_collector(monkeypatch, stream, way):
    """No cycle through the session, the drivers' frames or a traceback: the last reference to it is the stream's."""
    kept: list[weakref.ref[flow.RetryFlow]] = []
    original = flow.RetryFlow.__init__

    def init(self, *arguments):
        original(self, *arguments)
        kept.append(weakref.ref(self))

    monkeypatch.setattr(flow.RetryFlow, "__init__", init)
    api = API(STREAMS[stream])
    gc.collect()
    gc.disable()
    try:
        with instrumented(monkeypatch, api.clock, retry_policy=RESUME):
            read(api, way)
    finally:
        gc.enable()
    assert [found() for found in kept] == [None]
