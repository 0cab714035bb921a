"""The rate limits that a response reports are on the spans of the stream and of its attempts."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from tests.support.rig import API, HTTP, by, instrumented, play, read, short
from tests.support.scenes import MESSAGE, SCENES

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy
from otel_claude_stream._core.stream.call import RateLimit
from otel_claude_stream._sdk.read.responses import reply_of
from otel_claude_stream.testing import Capture, Script

KIND = "claude.stream.rate_limit.kind"
DATE = ("date", "Sat, 28 Nov 2026 13:00:00 GMT")
REMAINING, RESET, LIMIT = (f"anthropic-ratelimit-input-tokens-{part}" for part in ("remaining", "reset", "limit"))

HEADERS = {
    "both": ([DATE, (REMAINING, "80000"), (RESET, "2026-11-28T13:00:21Z")], RateLimit(80_000, 21.0)),
    "another time zone": ([DATE, (RESET, "2026-11-28T14:00:21.5+01:00")], RateLimit(None, 21.5)),
    "in the past": ([DATE, (RESET, "2026-11-28T12:59:59Z")], RateLimit(None, 0.0)),
    "nothing remains": ([(REMAINING, "0")], RateLimit(0, None)),
    "without a date": ([(REMAINING, "5"), (RESET, "2026-11-28T13:00:21Z")], RateLimit(5, None)),
    "no time zone": ([DATE, (REMAINING, "5"), (RESET, "2026-11-28T13:00:21")], RateLimit(5, None)),
    "no time": ([DATE, (REMAINING, "5"), (RESET, "soon")], RateLimit(5, None)),
    "no number": ([DATE, (REMAINING, "-1"), (RESET, "2026-11-28T13:00:21Z")], RateLimit(None, 21.0)),
    "other digits": ([(REMAINING, "\u0665")], None),
    "a number of 100 digits": ([(REMAINING, "9" * 100)], None),
    "with its size": ([DATE, (REMAINING, "5"), (LIMIT, "80000")], RateLimit(5, None, 80_000)),
    "its size alone": ([(LIMIT, "80000")], RateLimit(None, None, 80_000)),
    "its size is no number": ([(REMAINING, "5"), (LIMIT, "many")], RateLimit(5, None)),
    "neither": ([(REMAINING, ""), (RESET, ""), (LIMIT, "")], None),
    "no header": ([DATE], None),
}


@pytest.mark.parametrize(("headers", "limit"), HEADERS.values(), ids=HEADERS)
def test_the_headers_of_a_rate_limit_are_read(headers, limit):
    reply = reply_of(HTTP.Response(200, headers=[(name, value.encode()) for name, value in headers]))
    assert reply.rate_limits == ({} if limit is None else {"input_tokens": limit})


def test_each_span_has_the_rate_limits_of_its_response(monkeypatch):
    """The span of the stream has those of the last response."""
    capture = play(monkeypatch, SCENES["rate limited"])
    found = {}
    for span in capture.spans():
        attributes = short(span["attributes"])
        names = [name for name in attributes if name.startswith((".rate_limit", ".retry.retry_after"))]
        found.setdefault(span["name"], []).append({name: attributes[name] for name in sorted(names)})
    refused = {
        ".rate_limit.remaining_requests": 0,
        ".rate_limit.requests_reset_after": 2.0,
        ".retry.retry_after": 2.0,
    }
    answered = {
        f".rate_limit.{name.format(kind)}": value
        for kind in ("requests", "tokens", "input_tokens", "output_tokens")
        for name, value in (("remaining_{}", 7), ("{}_reset_after", 30.0))
    } | {".retry.retry_after": 9.0}
    assert found == {"claude.stream.attempt": [refused, answered], "chat claude-test": [answered]}


def test_the_span_of_a_stream_has_the_retry_after_of_its_last_response(monkeypatch):
    (span,) = [span for span in play(monkeypatch, SCENES["gave up"]).spans() if span["name"].startswith("chat")]
    assert span["attributes"]["claude.stream.retry.retry_after"] == 0.25


def gauges(capture):
    """Return the values of the gauges of rate limits now, by their part, model and kind."""
    capture.clear()  # it keeps the values of gauges that are not observed any more
    return {
        (name.removeprefix("claude.stream.rate_limit."), labels["gen_ai.request.model"], labels[KIND]): point["value"]
        for name, metric in capture.metrics().items()
        if name.startswith("claude.stream.rate_limit.")
        for point in metric["points"]
        for labels in (point["attributes"],)
    }


def limited(*, remaining, kind="requests", status=200):
    """Return a response that reports a rate limit of 50, which is replenished in 30 s."""
    values = {"remaining": str(remaining), "limit": "50", "reset": "2026-11-28T13:00:30Z"}
    headers = (DATE, *((f"anthropic-ratelimit-{kind}-{part}", value) for part, value in values.items()))
    return Script.http_error(status, headers=headers) if status >= 400 else replace(MESSAGE, headers=headers)


def reported(remaining, *, reset_after=30.0, model="claude-test", kind="requests"):
    values = {"remaining": remaining, "limit": 50, "reset_after": reset_after}
    return {(part, model, kind): value for part, value in values.items()}


def test_gauges_have_the_rate_limits_that_the_api_reported_last(monkeypatch):
    api = API([limited(remaining=7), limited(remaining=6), MESSAGE, limited(remaining=5, kind="output-tokens")])
    with instrumented(monkeypatch, api.clock) as capture:
        read(api)
        assert gauges(capture) == reported(7, reset_after=pytest.approx(29.8, abs=0.3))
        read(api)
        read(api)  # reports nothing
        read(api, model="claude-other")
        found = gauges(capture)
        assert {key: value for key, value in found.items() if key[0] != "reset_after"} == {
            ("remaining", "claude-test", "requests"): 6,
            ("limit", "claude-test", "requests"): 50,
            ("remaining", "claude-other", "output_tokens"): 5,
            ("limit", "claude-other", "output_tokens"): 50,
        }


def test_a_refused_request_reports_its_rate_limits_before_the_retry(monkeypatch):
    api = API([limited(remaining=0, status=429), MESSAGE])
    with instrumented(monkeypatch, api.clock) as capture:
        read(api)
        assert gauges(capture)["remaining", "claude-test", "requests"] == 0


def test_a_gauge_vanishes_two_minutes_after_the_reset(monkeypatch):
    """A rest that was reported long ago would look like the rest of now."""
    api = API([limited(remaining=0), limited(remaining=49)])
    with instrumented(monkeypatch, api.clock) as capture:
        read(api)
        api.clock.advance(30.0 + 100.0)
        assert gauges(capture) == reported(0, reset_after=0.0)
        api.clock.advance(30.0)
        assert gauges(capture) == {}
        read(api)
        assert gauges(capture)["remaining", "claude-test", "requests"] == 49


def test_the_models_and_servers_of_the_gauges_are_bounded(monkeypatch):
    api = API([limited(remaining=number) for number in range(4)])
    with instrumented(monkeypatch, api.clock, max_models=2) as capture:
        for number in range(4):
            read(api, model=f"claude-{number}")
        found = {key[1]: value for key, value in gauges(capture).items() if key[0] == "remaining"}
    assert found == {"claude-0": 0, "claude-1": 1, "other": 3}


def test_a_second_instrumentation_with_the_same_provider_goes_on_with_the_gauges(monkeypatch):
    """OpenTelemetry keeps the callbacks of the first one."""
    api, instrumentor = API([limited(remaining=7), limited(remaining=6)]), ClaudeStreamInstrumentor()
    with by(api.clock, monkeypatch), Capture() as capture:
        found = []
        for _ in range(2):
            instrumentor.instrument(**capture.providers)
            try:
                found += [gauges(capture) if found else None]
                read(api)
                found += [gauges(capture)["remaining", "claude-test", "requests"]]
            finally:
                instrumentor.uninstrument()
    assert found == [None, 7, {}, 6]


def test_a_response_of_a_fallback_model_reports_the_limits_of_that_model(monkeypatch):
    policy = RetryPolicy(mode=Mode.RETRY, fallback=(("claude-opus-*", ("claude-sonnet-5",)),))
    api = API([replace(limited(remaining=0, status=529)), limited(remaining=9)])
    with instrumented(monkeypatch, api.clock, retry_policy=policy) as capture:
        read(api, options={"max_retries": 0}, model="claude-opus-5")
        found = {key[1]: value for key, value in gauges(capture).items() if key[0] == "remaining"}
    assert found == {"claude-opus-5": 0, "claude-sonnet-5": 9}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_reports_no_limits_of_its_parent(monkeypatch):
    api = API([limited(remaining=7), limited(remaining=6)])
    with instrumented(monkeypatch, api.clock) as capture:
        read(api)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                found = [len(gauges(capture))]
                read(api)
                found += [len(gauges(capture))]
                os.write(writing, json.dumps(found).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            assert json.loads(pipe.read()) == [0, 3]
        assert os.waitpid(child, 0)[1] == 0
        assert gauges(capture)["remaining", "claude-test", "requests"] == 7
