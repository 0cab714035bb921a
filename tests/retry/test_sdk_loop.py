"""The SDK's own retries, before the response headers, under the caps of a policy."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.rig import by, instrumented, read
from tests.support.story import WHOLE, Storyteller, Tale, Turn, broken, status

from otel_claude_stream._core.retry.policy import (
    Mode,
    OnExceed,
    RetryAfter,
    RetryLimits,
    RetryPolicy,
    SdkRetries,
)

ACTING = RetryPolicy(mode=Mode.RETRY)
TALE = Tale(("Once upon a time.",))
DAY = 86_400
WAYS = ["create", "async create"]


def played(monkeypatch, api, way="create", policy=ACTING, retries=5, **settings):
    with instrumented(monkeypatch, api.clock, retry_policy=policy, **settings) as capture:
        seen = read(api, way, options={"max_retries": retries})
    return seen, capture


def bare(monkeypatch, api, way="create", retries=0):
    with by(api.clock, monkeypatch):
        return read(api, way, options={"max_retries": retries})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sent", [1, 2, 4])
def test_connections_that_fail_are_not_tried_past_the_deadline(monkeypatch, way, sent):
    """Nobody asks the SDK whether to retry those: the error is the one that it raises with no retries left."""
    turns = [Turn("refused", how="fin", after=20.0)]
    policy = replace(ACTING, limits=RetryLimits(deadline=20.0 * sent))
    api = Storyteller(TALE, turns)
    seen, capture = played(monkeypatch, api, way, policy)
    assert api.requests == sent
    assert seen == bare(monkeypatch, Storyteller(TALE, turns), way)
    assert capture.spans()[-1]["attributes"]["claude.stream.attempt.count"] == sent


def test_an_error_that_the_caller_handles_is_not_taken_for_one_of_the_sdk(monkeypatch):
    """Called in an `except` block, the SDK finds an exception there that has nothing to do with its own retries."""
    api = Storyteller(TALE, [replace(status(529), after=3.0), replace(WHOLE, after=3.0)])
    policy = replace(ACTING, limits=RetryLimits(deadline=3.1))
    with instrumented(monkeypatch, api.clock, retry_policy=policy):
        try:
            int("the caller's own")
        except ValueError:
            assert read(api).error == []
    assert api.requests == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("retry_after", [DAY, "inf", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_day_is_not_waited_for(monkeypatch, way, retry_after):
    """The caller gets the error at once. From 1.6 on the SDK sleeps for as long as it is told."""
    api = Storyteller(TALE, [status(529, retry_after), WHOLE])
    seen, _ = played(monkeypatch, api, way)
    assert api.times == [0.0]
    assert seen == bare(monkeypatch, Storyteller(TALE, [status(529, retry_after)]), way)


@pytest.mark.parametrize("way", WAYS)
def test_a_day_is_cut_down_to_the_cap(monkeypatch, way):
    """`on_exceed: cap`: the SDK sleeps, at most for as long as allowed."""
    api = Storyteller(TALE, [status(529, DAY), WHOLE])
    seen, _ = played(monkeypatch, api, way, replace(ACTING, retry_after=RetryAfter(max=7.0, on_exceed=OnExceed.CAP)))
    assert seen.error == []
    assert api.times[1:] in ([7.0], [0.5])  # before 1.6 the SDK does not believe in days, and waits as it likes


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("on_exceed", OnExceed)
@pytest.mark.parametrize("retry_after", [9, 70])
def test_no_sleep_reaches_past_the_deadline(monkeypatch, way, on_exceed, retry_after):
    """The wait that the server asks for, or what the cap leaves of it, ends after the deadline: no retry."""
    api = Storyteller(TALE, [status(529, retry_after), WHOLE])
    allowed = RetryAfter(max=30.0, on_exceed=on_exceed)
    seen, _ = played(monkeypatch, api, way, replace(ACTING, retry_after=allowed, limits=RetryLimits(deadline=8.0)))
    assert api.times == [0.0]
    assert seen.error


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("retries", "sent"), [(0, 1), (2, 3), (5, 4)])
def test_the_sdk_keeps_its_retries_within_the_requests(monkeypatch, way, retries, sent):
    """`sdk_retries: keep`: as many as the client says, and never more than `max_requests`."""
    api = Storyteller(TALE, [status(529)])
    policy = replace(ACTING, limits=RetryLimits(max_requests=4, max_attempts=5))
    seen, _ = played(monkeypatch, api, way, policy, retries)
    assert api.requests == sent
    assert seen == bare(monkeypatch, Storyteller(TALE, [status(529)]), way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("retries", [0, 2, 5])
@pytest.mark.parametrize("turn", [status(529), status(500, 0.2), Turn("refused", how="rst")])
def test_owned_the_retries_are_the_policys(monkeypatch, way, retries, turn):
    """`sdk_retries: replace`: the client's number means nothing, and each request is a first one to the SDK."""
    api = Storyteller(TALE, [turn])
    policy = replace(ACTING, sdk_retries=SdkRetries.REPLACE)
    seen, capture = played(monkeypatch, api, way, policy, retries)
    assert api.requests == 3
    assert {headers["x-stainless-retry-count"] for headers in api.headers} == {"0"}
    assert seen == bare(monkeypatch, Storyteller(TALE, [turn]), way)
    layers = {
        point["attributes"]["claude.stream.retry.layer"]
        for point in capture.metrics()["claude.stream.retries"]["points"]
        if point["value"]
    }
    assert layers == {"policy"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", [1, 13])
def test_the_requests_of_both_add_up(monkeypatch, way, at):
    """A stream that broke, and an API that is busy from then on: the SDK's retries of the later attempt count too."""
    api = Storyteller(
        Tale(("Once upon a time there was a story that was long enough to be gone on with. " * 2,)),
        [broken(at), status(529)],
    )
    policy = replace(ACTING, mode=Mode.RESUME, limits=RetryLimits(max_requests=3))
    seen, _ = played(monkeypatch, api, way, policy)
    assert seen.error
    assert api.requests == 3
