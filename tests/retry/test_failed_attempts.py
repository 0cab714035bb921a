"""Each attempt that failed shows why, also if the stream completed: on its span, as an event and as metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anthropic
import pytest
from tests.support.interrupted_text import BEFORE_BREAK, COMPLETE, CONTINUATION, RESUME_AT_ONCE
from tests.support.modes import ASK
from tests.support.observing import Telemetry
from tests.support.rig import API, instrumented, play
from tests.support.scenes import SCENES, after

from otel_claude_stream._core.diagnosis.evidence import PROVIDER_REASONS
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream._session import report
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Metric
from otel_claude_stream.testing import Capture, CutMidChunk, Error, Pause, Script

SILENCE = 60.0
LIMIT = "idle:60s=nginx"
CUT = (Pause(SILENCE), CutMidChunk())
RECOVERED: dict[str, tuple[RetryPolicy, tuple[Script, ...], str, str]] = {
    "retried": (RESUME_AT_ONCE, (after(COMPLETE, 2, *CUT), COMPLETE), "connection_closed", "awaiting_first_token"),
    "resumed": (RESUME_AT_ONCE, (after(BEFORE_BREAK, 13, *CUT), CONTINUATION), "connection_closed", "streaming"),
    "retried by the SDK": (
        RetryPolicy(mode=Mode.OBSERVE),
        (replace(Script.nginx_error(504), header_delay=SILENCE), COMPLETE),
        "gateway_error",
        "awaiting_response",
    ),
}
"""For each kind of recovery the policy, the scripts of the requests, and the verdict on the first one."""


def verdict_in(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the verdict among the attributes of a span, an event or a point."""
    names = (a.REASON, a.ORIGIN, a.PHASE, a.LIMIT_MATCH, a.SUSPECTS)
    return {name.name: attributes[name.name] for name in names if name.name in attributes}


def client_of(mode, api: API) -> Any:
    """Return a client of this half of the SDK, which retries once."""
    return api.async_client(max_retries=1) if mode.is_async else api.client(max_retries=1)


def without_suspects(verdict: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a verdict that is also the labels of a metric."""
    return {name: value for name, value in verdict.items() if name != a.SUSPECTS.name}


def nonzero_points(capture: Capture, metric: Metric) -> list[dict[str, Any]]:
    """Return the points of a metric that counted something."""
    points = capture.metrics().get(metric.name, {"points": []})["points"]
    return [point for point in points if point.get("value") or point.get("count")]


@pytest.mark.parametrize("case", RECOVERED)
def test_an_attempt_that_was_recovered_names_the_limit_that_cut_it(monkeypatch, mode, case):
    """A gateway with an idle limit cuts the first request, and the second one saves the stream."""
    policy, scripts, reason, phase = RECOVERED[case]
    api = API(scripts)

    async def body() -> None:
        async with mode.entered(client_of(mode, api)) as client:
            stream = await mode.do(client.messages.create(stream=True, **ASK))
            assert [event.type async for event in mode.each(stream)][-1] == "message_stop"

    with instrumented(monkeypatch, api.clock, retry_policy=policy, known_limits=LIMIT) as capture:
        mode.run(body)
    telemetry = Telemetry(capture)
    assert telemetry.outcome_and_reason() == ("completed", None)
    (broken,) = [
        span
        for span in telemetry.capture.spans()
        if span["name"] == schema.ATTEMPT_SPAN.name and span["status"]["code"] == "ERROR"
    ]
    (event,) = [found for found in telemetry.stream()["events"] if found["name"] == schema.RETRY.name]
    expected = {
        a.REASON.name: reason,
        a.ORIGIN.name: "intermediary",
        a.PHASE.name: phase,
        a.LIMIT_MATCH.name: "idle:60s",
        a.SUSPECTS.name: ["nginx"],
    }
    assert verdict_in(broken["attributes"]) == verdict_in(event["attributes"]) == expected
    assert (broken["end_ns"] - broken["start_ns"]) / 1e9 == SILENCE
    for attributes in (broken["attributes"], event["attributes"]):
        assert (attributes[a.ABORT_IDLE.name], attributes[a.ABORT_ELAPSED.name]) == (SILENCE, SILENCE)
    (point,) = nonzero_points(telemetry.capture, schema.ATTEMPT_ABORTS)
    assert (point["value"], verdict_in(point["attributes"])) == (1, without_suspects(expected))
    assert nonzero_points(telemetry.capture, schema.ABORTS) == []
    (idle,) = nonzero_points(telemetry.capture, schema.ABORT_IDLE)
    assert (idle["count"], idle["sum"]) == (1, broken["attributes"][a.ABORT_IDLE.name])


@pytest.mark.parametrize(
    ("scene", "failures"),
    [("text", 0), ("closed", 0), ("sse error", 1), ("resumed", 1), ("not resumed", 1), ("replayed", 1), ("gave up", 3)],
)
def test_each_failed_attempt_is_classified_and_counted_once(monkeypatch, scene, failures):
    """A stream that completes without a failure is classified once, at its end."""
    classified = []

    def classify(facts, limits):
        classified.append(facts)
        return real(facts, limits)

    real = report.classify
    monkeypatch.setattr(report, "classify", classify)
    capture = play(monkeypatch, SCENES[scene])
    (stream,) = [span for span in capture.spans() if span["name"].startswith("chat")]
    completed = stream["attributes"][a.OUTCOME.name] != "failed"
    assert len(classified) == failures + completed
    assert sum(point["value"] for point in nonzero_points(capture, schema.ATTEMPT_ABORTS)) == failures


INVENTED = (
    Script.http_error(500, type="invented_by_a_server"),
    Script.http_error(429, type="OVERLOADED_ERROR"),
    Script.http_error(599, type="x" * 200),
    BEFORE_BREAK.cut_after(5, Error("invented_in_the_stream", "no")),
    BEFORE_BREAK.cut_after(2, Error("x" * 200, "no")),
    BEFORE_BREAK.cut_after(5, Error("Overloaded_Error", "no")),
)
"""Failures whose error types no provider documents, or writes in another way."""


@pytest.mark.parametrize(
    "policy", [RetryPolicy(mode=Mode.OBSERVE), RESUME_AT_ONCE], ids=lambda policy: policy.mode.value
)
def test_error_types_and_reasons_on_metrics_are_from_closed_sets(monkeypatch, mode, policy):
    """A server could create any number of series otherwise. Spans and events have the reported type, shortened."""

    async def body(api: API) -> None:
        async with mode.entered(client_of(mode, api)) as client:
            with pytest.raises(anthropic.APIStatusError):
                async for _ in mode.each(await mode.do(client.messages.create(stream=True, **ASK))):
                    pass

    allowed = {*PROVIDER_REASONS, *(reason.value for reason in AbortReason)}
    reported = set()
    for script in INVENTED:
        api = API(script)
        with instrumented(monkeypatch, api.clock, retry_policy=policy) as capture:
            mode.run(body, api)
        telemetry = Telemetry(capture)
        reported.add(telemetry.attributes("error.type"))
        measured = telemetry.capture.metrics()
        for metric in schema.METRICS:
            for point in measured.get(metric.name, {"points": ()})["points"]:
                for attribute in metric.attributes:
                    value = point["attributes"].get(attribute.name)
                    if attribute is a.ERROR_TYPE:
                        assert value in allowed
                    elif attribute.values and value is not None:
                        assert value in attribute.values, (metric.name, attribute.name)
    assert ("invented_in_the_stream",) in reported
    assert max(len(name) for (name,) in reported) == 128
