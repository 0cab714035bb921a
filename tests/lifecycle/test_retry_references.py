"""The references to a call that may be retried, which keep its messages alive until its end."""

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
    "retried": (MESSAGE.cut_after(1, Error()), MESSAGE),
    "resumed": (told(STORY).cut_after(11, CutMidChunk()), goes_on(STORY[:83])),
    "given up": (MESSAGE.cut_after(6, CutMidChunk()),),
    "not resumed": (told(STORY).cut_after(11, CutMidChunk()), told("Of course!")),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", STREAMS)
def test_the_state_of_a_call_is_freed_without_garbage_collection(monkeypatch, stream, way):
    """No reference cycle goes through the session, the frames of the drivers or a traceback."""
    flows: list[weakref.ref[flow.RetryFlow]] = []
    original = flow.RetryFlow.__init__

    def init(self, *arguments):
        original(self, *arguments)
        flows.append(weakref.ref(self))

    monkeypatch.setattr(flow.RetryFlow, "__init__", init)
    api = API(STREAMS[stream])
    gc.collect()
    gc.disable()
    try:
        with instrumented(monkeypatch, api.clock, retry_policy=RESUME):
            read(api, way)
    finally:
        gc.enable()
    assert [reference() for reference in flows] == [None]
