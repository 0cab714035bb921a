"""Where a policy and the telemetry meet: a watchdog that only observes, and a policy that nobody hears of."""

from __future__ import annotations

from dataclasses import replace

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider
from tests.support.rig import API, by, instrumented, points, read
from tests.support.scenes import MESSAGE, RESUME, RETRY, STORY, goes_on, told

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._core.retry.policy import RetryPolicy, Watchdog
from otel_claude_stream._sdk.retry import driver_sync as sync_driver
from otel_claude_stream.testing import CutMidChunk, Error


def test_a_watchdog_that_observes_tells_a_stall(monkeypatch):
    """At the time at which it would have given the stream up; the stream itself goes on."""
    policy = RetryPolicy(watchdog=Watchdog(silence=20.0))
    api = API(MESSAGE.insert_pause(5, 35.0))
    with instrumented(monkeypatch, api.clock, retry_policy=policy, stall_thresholds="30s") as capture:
        assert read(api).error == []
        (span,) = capture.spans()
    told = [event["attributes"] for event in span["events"] if event["name"] == "claude.stream.stall"]
    assert [attributes["claude.stream.stall.threshold"] for attributes in told] == ["20s", "30s"]


def test_a_policy_acts_where_no_telemetry_is(monkeypatch):
    """The application asked for retries: that nobody listens is no reason to leave them out."""
    api = API((MESSAGE.cut_after(1, Error()), MESSAGE))
    instrumentor = ClaudeStreamInstrumentor()
    with by(api.clock, monkeypatch):
        instrumentor.instrument(
            tracer_provider=NoOpTracerProvider(), meter_provider=NoOpMeterProvider(), retry_policy=replace(RETRY)
        )
        try:
            seen = read(api)
        finally:
            instrumentor.uninstrument()
    assert (seen.error, api.requests) == ([], 2)


def test_the_silence_before_a_break_is_told_of_a_stream_that_went_on(monkeypatch):
    """It is what cut the stream, though no read returned after it."""
    cut = told(STORY).cut_after(11, CutMidChunk()).insert_pause(11, 60.0)
    api = API((cut, goes_on(STORY[:83])))
    with instrumented(monkeypatch, api.clock, retry_policy=RESUME) as capture:
        assert read(api).error == []
        (span,) = (span for span in capture.spans() if span["name"] != "claude.stream.attempt")
    assert span["attributes"]["claude.stream.outcome"] == "completed"
    assert span["attributes"]["claude.stream.longest_silence"] == 60.0


def test_an_attempt_that_was_never_sent_is_not_counted(monkeypatch):
    """The caller leaves during the back-off."""
    api = API((MESSAGE.cut_after(1, Error()), MESSAGE))

    def leave(recovery, seconds):
        api.clock.advance(seconds / 2)
        recovery.leave()
        return False

    # Undone before what `instrumented` put in the same place: else that would stay there for the tests to come.
    with instrumented(monkeypatch, api.clock, retry_policy=RETRY) as capture, monkeypatch.context() as patch:
        patch.setattr(sync_driver, "sleep", leave)
        assert read(api).error != []
        (span,) = capture.spans()
        assert [count for _, count in points(capture)[".requests"]] == [1]
    assert api.requests == span["attributes"]["claude.stream.attempt.count"] == 1
