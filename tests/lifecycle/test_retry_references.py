"""The references to a call that may be retried, which keep its messages alive until its end."""

from __future__ import annotations

import gc
import weakref

import pytest
from tests.support.rig import API, HTTP, WAYS, instrumented, read
from tests.support.scenes import MESSAGE, RESUME, STORY, paced_script, resuming_script

from otel_claude_stream._sdk.retry import flow
from otel_claude_stream.testing import CutMidChunk, Error

STREAMS = {
    "healthy": (MESSAGE,),
    "retried": (MESSAGE.cut_after(1, Error()), MESSAGE),
    "resumed": (paced_script(STORY).cut_after(11, CutMidChunk()), resuming_script(STORY[:83])),
    "given up": (MESSAGE.cut_after(6, CutMidChunk()),),
    "not resumed": (paced_script(STORY).cut_after(11, CutMidChunk()), paced_script("Of course!")),
}


def without_cycle(stream):
    """Break the SDK's own cycle. A stream of the helper holds the generator of its texts, which holds the stream."""
    if hasattr(stream, "text_stream"):
        stream.text_stream = None


@pytest.mark.skipif(HTTP.__name__ == "httpx", reason="a response of httpx and its body hold each other")
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
            read(api, way, before=without_cycle)
        assert [reference() for reference in flows] == [None]
    finally:
        gc.enable()
