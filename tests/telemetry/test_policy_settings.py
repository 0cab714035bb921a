"""How retry policies and telemetry work together."""

from __future__ import annotations

from dataclasses import replace

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider
from tests.support.rig import API, by, instrumented, points, read
from tests.support.scenes import MESSAGE, RESUME, RETRY, STORY, paced_script, resuming_script

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._core.retry.policy import RetryPolicy, Watchdog
from otel_claude_stream._sdk.retry import driver_sync as sync_driver
from otel_claude_stream.testing import CutMidChunk, Error


def test_a_watchdog_that_only_observes_reports_a_stall(monkeypatch):
    """It reports the stall when it would have aborted the stream, which continues."""
    policy = RetryPolicy(watchdog=Watchdog(silence=20.0))
    api = API(MESSAGE.insert_pause(5, 35.0))
    with instrumented(monkeypatch, api.clock, retry_policy=policy, stall_thresholds="30s") as capture:
        assert read(api).error == []
        (span,) = capture.spans()
    stalls = [event["attributes"] for event in span["events"] if event["name"] == "claude.stream.stall"]
    assert [attributes["claude.stream.stall.threshold"] for attributes in stalls] == ["20s", "30s"]


def test_a_policy_retries_without_any_telemetry(monkeypatch):
    """Without a provider, streams are not observed, but the policy still applies."""
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


def test_the_silence_before_a_break_is_recorded_for_a_resumed_stream(monkeypatch):
    """The read that waited for 60 s failed, but it counts as the longest silence."""
    cut = paced_script(STORY).cut_after(11, CutMidChunk()).insert_pause(11, 60.0)
    api = API((cut, resuming_script(STORY[:83])))
    with instrumented(monkeypatch, api.clock, retry_policy=RESUME) as capture:
        assert read(api).error == []
        (span,) = (span for span in capture.spans() if span["name"] != "claude.stream.attempt")
    assert span["attributes"]["claude.stream.outcome"] == "completed"
    assert span["attributes"]["claude.stream.longest_silence"] == 60.0


def test_an_attempt_that_was_never_sent_is_not_counted(monkeypatch):
    """The caller closes the stream during the back-off."""
    api = API((MESSAGE.cut_after(1, Error()), MESSAGE))

    def close_during_back_off(recovery, seconds):
        api.clock.advance(seconds / 2)
        recovery.leave()
        return False

    # This patch is undone before that of `instrumented`, which replaces the same function.
    with instrumented(monkeypatch, api.clock, retry_policy=RETRY) as capture, monkeypatch.context() as patch:
        patch.setattr(sync_driver, "sleep", close_during_back_off)
        assert read(api).error != []
        (span,) = capture.spans()
        assert [count for _, count in points(capture)[".requests"]] == [1]
    assert api.requests == span["attributes"]["claude.stream.attempt.count"] == 1
