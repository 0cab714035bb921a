"""The retries of the SDK, which happen before the response headers, within the limits of a policy."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.continuing_api import COMPLETE, Answer, ContinuingAPI, Response, broken, status
from tests.support.rig import by, instrumented, read

from otel_claude_stream._core.retry.policy import (
    Mode,
    OnExceed,
    RetryAfter,
    RetryLimits,
    RetryPolicy,
    SdkRetries,
)

RETRY = RetryPolicy(mode=Mode.RETRY)
ANSWER = Answer(("Once upon a time.",))
DAY = 86_400
WAYS = ["create", "async create"]


def with_policy(monkeypatch, api, way="create", policy=RETRY, retries=5, **settings):
    """Return what the caller sees with a policy, and the telemetry."""
    with instrumented(monkeypatch, api.clock, retry_policy=policy, **settings) as capture:
        seen = read(api, way, options={"max_retries": retries})
    return seen, capture


def bare(monkeypatch, api, way="create", retries=0):
    """Return what the caller sees without this package."""
    with by(api.clock, monkeypatch):
        return read(api, way, options={"max_retries": retries})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("retries", "sent"), [(0, 1), (2, 3), (5, 4)])
def test_the_sdk_retries_within_max_requests(monkeypatch, way, retries, sent):
    """With `sdk_retries: keep`, the client's `max_retries` applies up to that limit."""
    api = ContinuingAPI(ANSWER, [status(529)])
    policy = replace(RETRY, limits=RetryLimits(max_requests=4, max_attempts=5))
    seen, _ = with_policy(monkeypatch, api, way, policy, retries)
    assert api.requests == sent
    assert seen == bare(monkeypatch, ContinuingAPI(ANSWER, [status(529)]), way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sent", [1, 2, 4])
def test_failed_connections_are_not_retried_after_the_deadline(monkeypatch, way, sent):
    """The caller gets the error that the SDK raises without retries."""
    responses = [Response("refused", how="fin", header_delay=20.0)]
    policy = replace(RETRY, limits=RetryLimits(deadline=20.0 * sent))
    api = ContinuingAPI(ANSWER, responses)
    seen, capture = with_policy(monkeypatch, api, way, policy)
    assert api.requests == sent
    assert seen == bare(monkeypatch, ContinuingAPI(ANSWER, responses), way)
    assert capture.spans()[-1]["attributes"]["claude.stream.attempt.count"] == sent


def test_an_error_that_the_caller_handles_is_not_mistaken_for_one_of_the_sdk(monkeypatch):
    """In an `except` block, the exception of the caller is current during the call."""
    api = ContinuingAPI(ANSWER, [replace(status(529), header_delay=3.0), replace(COMPLETE, header_delay=3.0)])
    policy = replace(RETRY, limits=RetryLimits(deadline=3.1))
    with instrumented(monkeypatch, api.clock, retry_policy=policy):
        try:
            int("an error of the caller")
        except ValueError:
            assert read(api).error == []
    assert api.requests == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("retry_after", [DAY, "inf", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_long_retry_after_fails_the_call_at_once(monkeypatch, way, retry_after):
    """From 1.6 on, the SDK itself would sleep for the whole time."""
    api = ContinuingAPI(ANSWER, [status(529, retry_after), COMPLETE])
    seen, _ = with_policy(monkeypatch, api, way)
    assert api.times == [0.0]
    assert seen == bare(monkeypatch, ContinuingAPI(ANSWER, [status(529, retry_after)]), way)


@pytest.mark.parametrize("way", WAYS)
def test_a_long_retry_after_is_capped_on_request(monkeypatch, way):
    """With `on_exceed: cap`, the SDK sleeps for the maximum."""
    api = ContinuingAPI(ANSWER, [status(529, DAY), COMPLETE])
    seen, _ = with_policy(
        monkeypatch, api, way, replace(RETRY, retry_after=RetryAfter(max=7.0, on_exceed=OnExceed.CAP))
    )
    assert seen.error == []
    assert api.times[1:] in ([7.0], [0.5])  # before 1.6, the SDK ignores a retry-after of a day


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("on_exceed", OnExceed)
@pytest.mark.parametrize("retry_after", [9, 70])
def test_a_wait_that_ends_after_the_deadline_prevents_the_retry(monkeypatch, way, on_exceed, retry_after):
    """It is the wait that the server requests, or the cap if that is shorter."""
    api = ContinuingAPI(ANSWER, [status(529, retry_after), COMPLETE])
    allowed = RetryAfter(max=30.0, on_exceed=on_exceed)
    seen, _ = with_policy(monkeypatch, api, way, replace(RETRY, retry_after=allowed, limits=RetryLimits(deadline=8.0)))
    assert api.times == [0.0]
    assert seen.error


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("retries", [0, 2, 5])
@pytest.mark.parametrize("response", [status(529), status(500, 0.2), Response("refused", how="rst")])
def test_the_policy_can_replace_the_retries_of_the_sdk(monkeypatch, way, retries, response):
    """With `sdk_retries: replace`, `max_retries` has no effect, and each request is the first one of the SDK."""
    api = ContinuingAPI(ANSWER, [response])
    policy = replace(RETRY, sdk_retries=SdkRetries.REPLACE)
    seen, capture = with_policy(monkeypatch, api, way, policy, retries)
    assert api.requests == 3
    assert {headers["x-stainless-retry-count"] for headers in api.request_headers} == {"0"}
    assert seen == bare(monkeypatch, ContinuingAPI(ANSWER, [response]), way)
    layers = {
        point["attributes"]["claude.stream.retry.layer"]
        for point in capture.metrics()["claude.stream.retries"]["points"]
        if point["value"]
    }
    assert layers == {"policy"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", [1, 13])
def test_max_requests_counts_the_requests_of_sdk_and_policy(monkeypatch, way, at):
    """The stream breaks, and the SDK retries the next attempt of the policy on an overloaded API."""
    api = ContinuingAPI(
        Answer(("Once upon a time there was a story that was long enough to be resumed after. " * 2,)),
        [broken(at), status(529)],
    )
    policy = replace(RETRY, mode=Mode.RESUME, limits=RetryLimits(max_requests=3))
    seen, _ = with_policy(monkeypatch, api, way, policy)
    assert seen.error
    assert api.requests == 3
