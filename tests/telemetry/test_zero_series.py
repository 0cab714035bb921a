"""The counter series that alerts use exist before their first event."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import Any

import anthropic
import pytest

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._telemetry import zero_series
from otel_claude_stream._telemetry.metrics import Counter
from otel_claude_stream.testing import Capture, End, Error, FakeAPI, Hang, Reset, Script

ANSWER = Script.message(text="one two three four five six")
BEFORE_TOKEN, MID_ANSWER = 2, 5

COMMON_FAULTS = {
    "overloaded before the answer": ANSWER.cut_after(BEFORE_TOKEN, ending=Error()),
    "overloaded in mid-answer": ANSWER.cut_after(MID_ANSWER, ending=Error()),
    "529": Script.http_error(529),
    "429": Script.http_error(429),
    "500": Script.http_error(500),
    "api_error in mid-answer": ANSWER.cut_after(MID_ANSWER, ending=Error("api_error", "internal")),
    "504 from the API": Script.http_error(504, type="timeout_error"),
    "504 from nginx": Script.nginx_error(504),
    "an HTML page": Script.plain_response(200, "<html>sign in</html>"),
    "cut before the answer": ANSWER.cut_after(BEFORE_TOKEN),
    "cut in mid-answer": ANSWER.cut_after(MID_ANSWER),
    "reset before the answer": ANSWER.cut_after(BEFORE_TOKEN, ending=Reset()),
    "reset in mid-answer": ANSWER.cut_after(MID_ANSWER, ending=Reset()),
    "truncated before the answer": ANSWER.cut_after(BEFORE_TOKEN, ending=End()),
    "truncated in mid-answer": ANSWER.cut_after(MID_ANSWER, ending=End()),
    "silent before the answer": ANSWER.cut_after(BEFORE_TOKEN, ending=Hang(5)),
    "silent in mid-answer": ANSWER.cut_after(MID_ANSWER, ending=Hang(5)),
    "no response": replace(ANSWER, header_delay=5.0),
    "closed without a response": Script.no_response("fin"),
    "reset without a response": Script.no_response("rst"),
}


def read_stream(url: str, model: str = "claude-sonnet-5") -> None:
    """Read the stream of a route until it ends or fails."""
    messages = [{"role": "user", "content": "go on"}]
    with (
        anthropic.Anthropic(api_key="none", base_url=url, max_retries=0, timeout=0.4) as client,
        contextlib.suppress(Exception),  # other tests cover which one it is
    ):
        for _ in client.messages.create(model=model, max_tokens=9, messages=messages, stream=True):
            pass


def series(capture: Capture, name: str) -> dict[tuple[tuple[str, object], ...], object]:
    """The values of a counter by their labels."""
    points = capture.metrics()[name]["points"]
    return {tuple(sorted(point["attributes"].items())): point["value"] for point in points}


def test_the_first_stream_creates_the_series_with_the_value_zero() -> None:
    with Capture() as capture, FakeAPI(ANSWER) as api:
        ClaudeStreamInstrumentor().instrument(**capture.providers)
        try:
            read_stream(api.url)
        finally:
            ClaudeStreamInstrumentor().uninstrument()
        aborts = series(capture, "claude.stream.aborts")
        assert len(aborts) == len(list(zero_series.aborts()))
        assert set(aborts.values()) == {0}
        assert set(series(capture, "claude.stream.retries").values()) == {0}
        assert set(series(capture, "claude.stream.stalls").values()) == {0}
        requests = series(capture, "claude.stream.requests")
        assert sorted(requests.values()) == [0, 0, 0, 1]


def test_common_faults_are_counted_on_series_that_exist() -> None:
    with Capture() as capture, FakeAPI({"healthy": ANSWER, **COMMON_FAULTS}) as api:
        ClaudeStreamInstrumentor().instrument(**capture.providers)
        try:
            read_stream(api.url_for("healthy"))
            before = set(series(capture, "claude.stream.aborts"))
            for name in COMMON_FAULTS:
                read_stream(api.url_for(name))
        finally:
            ClaudeStreamInstrumentor().uninstrument()
        after = series(capture, "claude.stream.aborts")
        assert sum(after.values()) == len(COMMON_FAULTS)
        assert set(after) == before


@pytest.mark.parametrize(("models", "expected"), [(1, 1), (3, 2)])
def test_the_number_of_series_is_bounded(models: int, expected: int) -> None:
    """Models beyond the limit share the series of `other`."""
    with Capture() as capture, FakeAPI(ANSWER) as api:
        ClaudeStreamInstrumentor().instrument(max_models=1, **capture.providers)
        try:
            for number in range(models):
                read_stream(api.url, f"claude-{number}")
        finally:
            ClaudeStreamInstrumentor().uninstrument()
        assert len(series(capture, "claude.stream.aborts")) == expected * len(list(zero_series.aborts()))


def test_the_first_event_does_not_wait_for_the_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffer holds them until metrics are collected. The thread that looks for stalls may record them earlier."""
    recorded: list[object] = []
    before = Counter.record_now

    def record_now(counter: Counter, value: float, *rest: Any) -> None:
        recorded.append(threading.current_thread())
        before(counter, value, *rest)

    monkeypatch.setattr(Counter, "record_now", record_now)
    with Capture() as capture, FakeAPI(ANSWER) as api:
        ClaudeStreamInstrumentor().instrument(**capture.providers)
        try:
            with anthropic.Anthropic(api_key="none", base_url=api.url) as client:
                messages = [{"role": "user", "content": "go on"}]
                stream = client.messages.create(model="claude-sonnet-5", max_tokens=9, messages=messages, stream=True)
                next(iter(stream))
                assert threading.current_thread() not in recorded
                assert set(series(capture, "claude.stream.aborts").values()) == {0}
                assert recorded
                stream.close()
        finally:
            ClaudeStreamInstrumentor().uninstrument()
