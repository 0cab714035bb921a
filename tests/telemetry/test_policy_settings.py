"""Where a policy and the telemetry meet: a watchdog that only observes, and a policy that nobody hears of."""

from __future__ import annotations

from dataclasses import replace

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider
from tests.telemetry.rig import API, by, instrumented, read
from tests.telemetry.scenes import MESSAGE, RETRY

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._core.recovery.policy import RetryPolicy, Watchdog
from otel_claude_stream.testing import Error


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
