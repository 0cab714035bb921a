"""No further request is sent after the caller left, after the deadline, or beyond the budget and `max_requests`."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import anthropic
import pytest
from tests.support.continuing_api import REFUSES_PREFILL
from tests.support.interrupted_text import COMPLETE, CONTINUATION, RECOVERIES, RESUME_AT_ONCE
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.rig import API, by, instrumented, read
from tests.support.scenes import RESUME, STORY, paced_script, resuming_script

from otel_claude_stream._core.retry.policy import Budget, Resume, RetryLimits, SdkRetries, Strategy
from otel_claude_stream._sdk.retry import driver_async, driver_sync
from otel_claude_stream._sdk.retry.sdk_retries import SdkRetryCaps
from otel_claude_stream.testing import CutMidChunk, FakeAPI, Script

WAYS = ["create", "async create"]
REFUSED = Script.http_error(400, message=REFUSES_PREFILL[0])
PREFILL = replace(RESUME, resume=Resume(strategy=Strategy.PREFILL))
PREFILL_AT_ONCE = replace(RESUME_AT_ONCE, resume=Resume(strategy=Strategy.PREFILL))
BROKEN = paced_script(STORY).cut_after(11, CutMidChunk())
LIMITS = {
    "deadline": (replace(PREFILL, limits=RetryLimits(deadline=5.0)), 10.0),
    "max_requests": (replace(PREFILL, limits=RetryLimits(max_requests=2)), 0.0),
    "budget": (replace(PREFILL, budget=Budget(ratio=0.0, min_per_window=1)), 0.0),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("limit", LIMITS)
def test_after_a_refused_prefill_the_prompt_is_sent_within_the_limits(monkeypatch, limit, way):
    """Otherwise the caller gets the original error, and the refusal is the last attempt."""
    policy, delay = LIMITS[limit]
    scripts = [BROKEN, replace(REFUSED, header_delay=delay), resuming_script(STORY[:83])]
    api = API(BROKEN)
    with by(api.clock, monkeypatch):
        bare = read(api, way)
    api = API(scripts)
    with instrumented(monkeypatch, api.clock, retry_policy=policy) as capture:
        assert read(api, way) == bare
        (span,) = [span for span in capture.spans() if span["name"].startswith("chat")]
    assert api.requests == 2
    assert span["attributes"]["claude.stream.attempt.count"] == 2
    assert span["attributes"]["claude.stream.abort.reason"] == "connection_closed"
    api = API(scripts)  # without that limit
    with instrumented(monkeypatch, api.clock, retry_policy=PREFILL):
        assert read(api, way).error == []
    assert api.requests == 3


SLOW_REFUSAL = replace(REFUSED, header_delay=0.4)


def test_left_while_a_prefill_is_refused():
    """The prompt is not sent. The reading thread gets the original error."""
    raised = []

    def reading(stream):
        try:
            for _ in stream:
                pass
        except anthropic.APIError as error:
            raised.append(error)
        except Exception as error:  # noqa: BLE001 - an error of the HTTP library, before SDK 1.0
            raised.append(error)

    with FakeAPI([RECOVERIES["resumed"][0], SLOW_REFUSAL, CONTINUATION]) as api:
        with (
            observed(retry_policy=PREFILL_AT_ONCE) as telemetry,
            anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0) as client,
        ):
            stream = client.messages.create(**ASK, stream=True)
            thread = threading.Thread(target=reading, args=(stream,))
            thread.start()
            api.wait_for_requests(2)
            stream.close()
            thread.join(5.0)
            assert not thread.is_alive()
        assert len(api.requests) == 2
    assert "incomplete chunked read" in str(raised[0])
    assert telemetry.outcome_and_reason() == ("closed", "caller_closed")


async def leave(api, *, max_retries=0):
    """Read a stream in a task, and close it in another one during the second request."""
    async with anthropic.AsyncAnthropic(api_key="none", base_url=api.url, max_retries=max_retries) as client:
        stream = await client.messages.create(**ASK, stream=True)

        async def reading():
            async for _ in stream:
                pass

        task = asyncio.create_task(reading())
        await asyncio.to_thread(api.wait_for_requests, 2)
        await stream.close()
        with pytest.raises(Exception, match="incomplete chunked read"):
            await task


def test_left_by_another_task_while_a_prefill_is_refused():
    """As above, with the asynchronous client."""
    with FakeAPI([RECOVERIES["resumed"][0], SLOW_REFUSAL, CONTINUATION]) as api:
        with observed(retry_policy=PREFILL_AT_ONCE) as telemetry:
            asyncio.run(leave(api))
        assert len(api.requests) == 2
    assert telemetry.outcome_and_reason() == ("closed", "caller_closed")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("broken", [COMPLETE.cut_after(2, CutMidChunk()), BROKEN, Script.http_error(529)])
def test_a_backoff_that_lasts_beyond_the_deadline_is_the_end(monkeypatch, broken, way):
    """A process that was suspended wakes up late. The attempt is not sent, and does not count."""
    policy = replace(RESUME, limits=RetryLimits(deadline=60.0), sdk_retries=SdkRetries.REPLACE)
    bare_api, api = API(broken), API([broken, paced_script(STORY)])
    with by(bare_api.clock, monkeypatch):
        bare = read(bare_api, way, options={"max_retries": 0})

    def late(*_):
        api.clock.advance(61.0)

    async def late_async(*_):
        late()

    # The patches end before those of the rig, which they replace.
    with (
        instrumented(monkeypatch, api.clock, retry_policy=policy) as capture,
        monkeypatch.context() as patch,
    ):
        patch.setattr(driver_sync, "sleep", late)
        patch.setattr(driver_async, "sleep", late_async)
        assert read(api, way, options={"max_retries": 0}) == bare
        (span,) = [span for span in capture.spans() if span["name"].startswith("chat")]
    assert api.requests == 1
    assert span["attributes"]["claude.stream.attempt.count"] == 1
    last = [event["attributes"] for event in span["events"] if event["name"] == "claude.stream.retry"][-1]
    assert last["claude.stream.retry.decision"] == "give_up"
    assert last["claude.stream.retry.blocked_by"] == "deadline"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("failure", ["status", "connection"])
def test_the_sdk_does_not_retry_a_further_request_after_the_caller_left(monkeypatch, failure, is_async):
    """The SDK asks before each of its own retries."""
    stops = []
    original = SdkRetryCaps.stop, SdkRetryCaps.error_instead_of_retry
    answer = replace(Script.http_error(529), header_delay=0.4)
    if failure == "connection":
        answer = Script.no_response("fin", delay=0.4)
    scripts = [RECOVERIES["resumed"][0], answer, answer]

    def stop(caps, client, response):
        stops.append(original[0](caps, client, response))
        return stops[-1]

    def error(caps, delay):
        stops.append(original[1](caps, delay))
        return stops[-1]

    monkeypatch.setattr(SdkRetryCaps, "stop", stop)
    monkeypatch.setattr(SdkRetryCaps, "error_instead_of_retry", error)

    def sync_body(api):
        with anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=2) as client:
            stream = client.messages.create(**ASK, stream=True)

            def close():
                api.wait_for_requests(2)
                stream.close()

            thread = threading.Thread(target=close)
            thread.start()
            with pytest.raises(Exception, match="incomplete chunked read"):
                for _ in stream:
                    pass
            thread.join()

    with FakeAPI(scripts) as api, observed(retry_policy=RESUME_AT_ONCE):
        if is_async:
            asyncio.run(leave(api, max_retries=2))
        else:
            sync_body(api)
        assert len(api.requests) == 2
    assert stops[-1]
