"""A thread reports stalls while the stream is still open."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import anthropic
import pytest

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import Capture, FakeAPI, Hang, Script

ANSWER = Script.message(text="one two three four")
STALLED = ANSWER.cut_after(4, ending=Hang(30))
THRESHOLDS = "50ms,100ms"


def client_of(api: FakeAPI) -> anthropic.Anthropic:
    """Return a client without retries. Close it: a garbage collection that finds an open socket warns about it."""
    return anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0)


def stall_points(capture: Capture) -> list[dict[str, Any]]:
    """The points of the counter of stalls, without those that are 0."""
    found = capture.metrics().get("claude.stream.stalls", {"points": []})["points"]
    return [point for point in found if point["value"]]


def wait_for_stalls(capture: Capture, number: int) -> list[dict[str, Any]]:
    """Wait until there are `number` points and return them. Fails after ten seconds."""
    tick = threading.Event()
    for _ in range(1000):
        if len(found := stall_points(capture)) >= number:
            return found
        tick.wait(0.01)
    raise AssertionError(f"{stall_points(capture)} after ten seconds")


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        pytest.param(STALLED, "silent", id="silent"),
        pytest.param(ANSWER.insert_pause(4, 30.0, ping_interval=0.02), "pings_only", id="pings only"),
    ],
)
def test_a_stall_is_reported_while_it_lasts(script: Script, kind: str) -> None:
    """The reader is blocked and the stream is open. The counter has each threshold once."""
    with Capture() as capture, FakeAPI(script) as api, client_of(api) as client:
        ClaudeStreamInstrumentor().instrument(stall_thresholds=THRESHOLDS, **capture.providers)
        stream = client.messages.create(
            model="claude-sonnet-5", max_tokens=9, messages=[{"role": "user", "content": "go on"}], stream=True
        )
        reader = threading.Thread(target=read_all, args=(stream,), daemon=True)
        reader.start()
        try:
            found = wait_for_stalls(capture, 2)
            assert capture.spans() == []
            active = capture.metrics()["claude.stream.active"]["points"]
            assert [point["value"] for point in active] == [1]
        finally:
            api.stop()
            reader.join(timeout=10)
            ClaudeStreamInstrumentor().uninstrument()
        stalls_counted = {
            (p["attributes"]["claude.stream.stall.threshold"], p["attributes"]["claude.stream.stall.kind"], p["value"])
            for p in found
        }
        assert stalls_counted == {("0.05s", kind, 1), ("0.1s", kind, 1)}
        (span,) = capture.spans()
        stalls = [event for event in span["events"] if event["name"] == "claude.stream.stall"]
        assert [event["attributes"]["claude.stream.stall.threshold"] for event in stalls] == ["0.05s", "0.1s"]
        assert all(event["attributes"]["claude.stream.block.type"] == "text" for event in stalls)


def read_all(stream: Any) -> None:
    with contextlib.suppress(Exception):  # the server was stopped; other tests cover how that ends
        for _ in stream:
            pass


def test_without_thresholds_no_thread_is_started() -> None:
    before = set(threading.enumerate())
    with Capture() as capture, FakeAPI(ANSWER) as api, client_of(api) as client:
        ClaudeStreamInstrumentor().instrument(stall_thresholds="none", **capture.providers)
        ClaudeStreamInstrumentor().uninstrument()
        ClaudeStreamInstrumentor().instrument(stall_thresholds=(), **capture.providers)
        read_all(
            client.messages.create(
                model="claude-sonnet-5", max_tokens=9, messages=[{"role": "user", "content": "go on"}], stream=True
            )
        )
        ClaudeStreamInstrumentor().uninstrument()
        started = {thread.name for thread in set(threading.enumerate()) - before if "otel-claude" in thread.name}
    assert started == set()


def test_a_slow_caller_causes_no_stall() -> None:
    """The bytes have arrived, and the caller pauses between events."""
    pause = threading.Event()
    with Capture() as capture, FakeAPI(ANSWER) as api, client_of(api) as client:
        ClaudeStreamInstrumentor().instrument(stall_thresholds=THRESHOLDS, **capture.providers)
        for _ in client.messages.create(
            model="claude-sonnet-5", max_tokens=9, messages=[{"role": "user", "content": "go on"}], stream=True
        ):
            pause.wait(0.06)
        ClaudeStreamInstrumentor().uninstrument()
    assert stall_points(capture) == []
