"""The clocks of the watchdog over real sockets, with real but short times.

A healthy attempt must not stall on a busy machine, so its body is sent at once.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import anthropic
import pytest
from tests.support import memory_api
from tests.support.interrupted_text import (
    BEFORE_BREAK,
    COMPLETE,
    CONTINUATION,
    NO_BACKOFF,
    RESUME_AT_ONCE,
    assert_complete,
)
from tests.support.modes import ASK, Each
from tests.support.observing import observed
from tests.support.received import message_events, text_of
from tests.support.scenes import STORY
from tests.support.ways import Seen, by_iteration

from otel_claude_stream._core.retry.policy import Clocks, Mode, RetryPolicy, Rule, Watchdog
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream.testing import Comment, FakeAPI, Hang, Pause, Ping, Script

LIMIT = 0.15
STALL = 20.0
SOON = 5.0
"""Seconds within which a stalled stream ends, even on a busy machine. The stall alone would take longer."""


AT_ONCE = replace(COMPLETE, chunking="whole")


def stalled(at: int, *steps) -> Script:
    """Return the complete script with `steps` in place of all that follows the first `at` events."""
    return replace(COMPLETE, steps=(*COMPLETE.cut_after(at, Hang(STALL)).steps[:-1], *steps))


PINGING = (Pause(0.05), Ping()) * 100
COMMENTING = (Pause(0.05), Comment("keep-alive")) * 100
STALLS = {
    "silence": (Watchdog(silence=LIMIT), stalled(2, Hang(STALL)), "silent"),
    "silence before the first event": (Watchdog(silence=LIMIT), stalled(0, Hang(STALL)), "first_event_timeout"),
    "pings, and nothing else": (Watchdog(no_progress=LIMIT), stalled(2, *PINGING, Hang(STALL)), "no_progress"),
    "comments, and nothing else": (Watchdog(no_progress=LIMIT), stalled(2, *COMMENTING, Hang(STALL)), "no_progress"),
    "comments before the first event": (
        Watchdog(first_event=LIMIT),
        stalled(0, *COMMENTING, Hang(STALL)),
        "first_event_timeout",
    ),
    "nothing after the headers": (Watchdog(first_event=LIMIT), stalled(0, Hang(STALL)), "first_event_timeout"),
    "pings before the content": (
        Watchdog(first_content=LIMIT),
        stalled(0, *PINGING, Hang(STALL)),
        "first_content_timeout",
    ),
    "an empty start, and pings": (
        Watchdog(first_content=LIMIT),
        stalled(2, *PINGING, Hang(STALL)),
        "first_content_timeout",
    ),
    "an empty start, and nothing": (Watchdog(first_content=LIMIT), stalled(2, Hang(STALL)), "first_content_timeout"),
    "no progress in silence": (Watchdog(no_progress=LIMIT), stalled(2, Hang(STALL)), "no_progress"),
    "a phase with a shorter silence": (
        Watchdog(silence=STALL, awaiting_first_token=Clocks(silence=LIMIT)),
        stalled(1, Hang(STALL)),
        "silent",
    ),
    "a block with a shorter silence": (
        Watchdog(silence=STALL, awaiting_first_token=Clocks(silence=STALL), text=Clocks(silence=LIMIT)),
        stalled(2, Hang(STALL)),
        "silent",
    ),
    "a lifetime, by a rule": (Watchdog(lifetime=LIMIT), stalled(2, *PINGING, Hang(STALL)), "lifetime_exceeded"),
}
RETRY_LIFETIME = Rule(frozenset({AbortReason.LIFETIME_EXCEEDED}), retry=True, backoff=NO_BACKOFF)


def read(mode, api, seen, **options):
    async def body():
        async with mode.entered(mode.client(api.url, timeout=10.0, **options)) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), seen)

    mode.run(body)


@pytest.mark.parametrize("name", STALLS)
def test_a_stalled_stream_is_retried(mode, name):
    """The attempt ends in time, and its span has the reason of the limit that was exceeded."""
    watchdog, script, reason = STALLS[name]
    seen = Seen()
    with (
        FakeAPI([script, AT_ONCE]) as api,
        observed(
            retry_policy=replace(RESUME_AT_ONCE, watchdog=watchdog, rules=(RETRY_LIFETIME, *RESUME_AT_ONCE.rules))
        ) as telemetry,
    ):
        before = time.monotonic()
        read(mode, api, seen)
        assert LIMIT <= time.monotonic() - before < SOON
        assert len(api.requests) == 2
    assert_complete(seen)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("completed", None)
    first = next(span for span in telemetry.capture.spans() if span["name"] == "claude.stream.attempt")
    assert first["attributes"]["error.type"] == reason


def test_a_stall_inside_the_text_is_resumed(mode):
    """The watchdog applies to the continuation as well."""
    stalls = BEFORE_BREAK.cut_after(13, Hang(STALL))
    stalls_again = CONTINUATION.cut_after(8, Hang(STALL))
    policy = replace(RESUME_AT_ONCE, watchdog=Watchdog(silence=LIMIT))
    seen = Seen()
    with FakeAPI([stalls, CONTINUATION]) as api, observed(retry_policy=policy):
        read(mode, api, seen)
        assert len(api.requests) == 2
    assert_complete(seen)
    with FakeAPI([stalls, stalls_again]) as api, observed(retry_policy=policy) as telemetry:
        before = time.monotonic()
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class depends on the HTTP library
            read(mode, api, Seen())
        assert time.monotonic() - before < SOON
        assert "ReadTimeout" in [kind.__name__ for kind in type(caught.value).__mro__]
        assert "watchdog.silence (150ms)" in str(caught.value)
        assert len(api.requests) == 2
    assert telemetry.outcome_and_reason() == ("failed", "silent")


def test_the_watchdog_raises_the_read_timeout_of_the_http_library(mode):
    """Its message names the limit that was exceeded."""
    policy = replace(RESUME_AT_ONCE, watchdog=Watchdog(no_progress=LIMIT))
    with FakeAPI(stalled(5, *PINGING, Hang(STALL))) as api, observed(retry_policy=policy) as telemetry:
        with pytest.raises(Exception, match="no event of the message within") as caught:
            read(mode, api, Seen())
        assert "ReadTimeout" in [kind.__name__ for kind in type(caught.value).__mro__]
        assert caught.value.request.url.host == "127.0.0.1"
    assert telemetry.outcome_and_reason() == ("failed", "no_progress")


def test_the_limits_do_not_apply_to_the_headers(mode):
    """They are limits of the reads of the body, so a response may take longer to arrive."""
    slow = replace(AT_ONCE, header_delay=3 * LIMIT)
    policy = replace(RESUME_AT_ONCE, watchdog=Watchdog(silence=LIMIT, first_event=2 * LIMIT))
    seen = Seen()
    with FakeAPI(slow) as api, observed(retry_policy=policy):
        read(mode, api, seen)
        assert len(api.requests) == 1
    assert_complete(seen)


def test_a_shorter_timeout_of_the_client_stays_in_force(mode):
    """The watchdog never makes a time-out longer."""
    policy = replace(RESUME_AT_ONCE, mode=Mode.RETRY, watchdog=Watchdog(silence=SOON))
    seen = Seen()

    async def body():
        async with mode.entered(mode.client(api.url, timeout=LIMIT)) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), seen)

    with FakeAPI([stalled(2, Hang(STALL)), COMPLETE]) as api, observed(retry_policy=policy):
        before = time.monotonic()
        mode.run(body)
        assert time.monotonic() - before < SOON
    assert_complete(seen)


@pytest.mark.parametrize(
    "policy",
    [
        RESUME_AT_ONCE,
        replace(
            RESUME_AT_ONCE,
            mode=Mode.OBSERVE,
            watchdog=Watchdog(first_event=0.05, first_content=0.05, silence=0.05, no_progress=0.1, lifetime=0.1),
        ),
    ],
    ids=["not configured", "mode observe"],
)
@pytest.mark.parametrize("at", [0, 2, 6])
def test_without_an_active_watchdog_no_stream_is_ended(mode, policy, at):
    """Neither without a watchdog, nor in mode `observe`."""
    quiet = COMPLETE.insert_pause(at, 0.25, ping_interval=0.1 if at == 6 else None)
    seen = Seen()
    with FakeAPI(quiet) as api, observed(retry_policy=policy) as telemetry:
        read(mode, api, seen)
        assert len(api.requests) == 1
    assert_complete(seen)
    assert telemetry.outcome_and_reason() == ("completed", None)


# --- Healthy streams -------------------------------------------------------------------------------------------------
THOUGHT = replace(Script.message(STORY, thinking="Let me think about it.", deltas=10, pings=0), chunking="whole")
SLOW_THOUGHT = THOUGHT.insert_pause(2, 3 * LIMIT)
"""The block of thinking begins, and its first content comes late."""


@pytest.mark.parametrize("clock", ["first_content", "silence", "no_progress", "lifetime"])
def test_thinking_may_take_longer_than_text(mode, clock):
    """The clock would abort the stream, and does not while a block of thinking is open."""
    general = {clock: LIMIT if clock != "lifetime" else 2 * LIMIT}
    seen = Seen()
    with FakeAPI(SLOW_THOUGHT) as api:
        with observed(retry_policy=replace(RESUME_AT_ONCE, watchdog=Watchdog(**general))) as telemetry:
            with pytest.raises(Exception, match=f"watchdog.{clock} "):
                read(mode, api, Seen())
            assert telemetry.outcome_and_reason()[0] == "failed"
        places = {name: Clocks(**{clock: SOON}) for name in ("thinking", "streaming", "text", "finishing")}
        before = len(api.requests)
        with observed(retry_policy=replace(RESUME_AT_ONCE, watchdog=Watchdog(**general, **places))) as telemetry:
            read(mode, api, seen)
            assert telemetry.outcome_and_reason() == ("completed", None)
        assert len(api.requests) == before + 1
    assert text_of(message_events([(type(event).__name__, event.model_dump()) for event in seen.events])) == STORY


def work(seconds):
    """Keep the thread busy, as the body of the caller's loop does."""
    time.sleep(seconds)


def test_the_time_of_the_caller_expires_no_clock_but_lifetime(mode):
    watchdog = Watchdog(first_event=LIMIT, first_content=LIMIT, silence=LIMIT, no_progress=1.5 * LIMIT)
    policies = [replace(RESUME_AT_ONCE, watchdog=found) for found in (watchdog, Watchdog(lifetime=LIMIT))]
    script = COMPLETE.insert_pause(5, 0.05)
    seen = Seen()

    async def body():
        async with mode.entered(mode.client(api.url, timeout=10.0)) as client:
            stream = await mode.do(client.messages.create(**ASK, stream=True))
            work(2 * LIMIT)
            async for event in Each(mode, stream):
                seen.events.append(event)
                if event.type in {"message_start", "content_block_start", "message_delta"}:
                    work(2 * LIMIT)

    with FakeAPI(script) as api, observed(retry_policy=policies[0]) as telemetry:
        mode.run(body)
        assert len(api.requests) == 1
        assert_complete(seen)
        assert telemetry.stream()["attributes"]["claude.stream.outcome"] == "completed"
    with (
        FakeAPI(script) as api,
        observed(retry_policy=policies[1]),
        pytest.raises(Exception, match=r"watchdog\.lifetime"),
    ):
        mode.run(body)


def test_each_attempt_has_its_own_clocks(mode):
    """A ping is the first event of the later attempt, which began when the clocks of the first had expired."""
    pings = (Pause(0.05), Ping())
    later = replace(AT_ONCE, steps=(*pings, *pings, *COMPLETE.steps))
    watchdog = Watchdog(first_content=2 * LIMIT, no_progress=LIMIT)
    seen = Seen()
    with (
        FakeAPI([stalled(2, *PINGING, Hang(STALL)), later]) as api,
        observed(retry_policy=replace(RESUME_AT_ONCE, watchdog=watchdog)),
    ):
        read(mode, api, seen)
        assert len(api.requests) == 2
    assert_complete(seen)


# --- Streams that drip -----------------------------------------------------------------------------------------------
DRIP = replace(COMPLETE, steps=tuple(part for step in COMPLETE.steps for part in (Pause(0.05), step)))


def test_no_chunk_resets_the_lifetime(mode):
    """The built-in rule gives up, since another attempt would take as long."""
    policy = replace(RESUME_AT_ONCE, watchdog=Watchdog(silence=SOON, no_progress=SOON + 1, lifetime=2 * LIMIT))
    seen = Seen()
    with FakeAPI(DRIP) as api, observed(retry_policy=policy) as telemetry:
        with pytest.raises(Exception, match=r"watchdog\.lifetime \(300ms\)"):
            read(mode, api, seen)
        assert len(api.requests) == 1
    assert seen.events
    assert telemetry.outcome_and_reason() == ("failed", "lifetime_exceeded")
    span = telemetry.stream()
    assert 2 * LIMIT <= (span["end_ns"] - span["start_ns"]) / 1e9 < SOON


# --- Bodies that the caller reads ------------------------------------------------------------------------------------
def test_the_clocks_end_a_body_that_is_read_as_bytes(mode):
    """Its span has the reason, too."""
    policy = replace(RESUME_AT_ONCE, watchdog=Watchdog(no_progress=LIMIT))

    async def body():
        async with mode.entered(mode.client(api.url, timeout=10.0)) as client:
            manager = client.messages.with_streaming_response.create(**ASK, stream=True)
            async with mode.entered(manager) as response:
                async for _ in Each(mode, response.iter_bytes()):
                    pass

    script = stalled(5, *PINGING, Hang(STALL))
    with (
        FakeAPI(script) as api,
        observed(retry_policy=policy) as telemetry,
        pytest.raises(Exception, match=r"watchdog\.no_progress"),
    ):
        mode.run(body)
    assert telemetry.outcome_and_reason() == ("failed", "no_progress")


# --- The caller's own time-outs, and its connections -----------------------------------------------------------------
@pytest.mark.parametrize("hides_connections", [False, True], ids=["network stream", "other transport"])
def test_the_time_out_of_the_client_stays_its_own(mode, hides_connections):
    policy = replace(RESUME_AT_ONCE, mode=Mode.RETRY, watchdog=Watchdog(silence=SOON, no_progress=STALL))
    options = {"http_client": without_network_stream(mode)} if hides_connections else {}

    async def body():
        async with mode.entered(mode.client(api.url, timeout=LIMIT, **options)) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), Seen())

    with FakeAPI(stalled(5, Hang(STALL))) as api, observed(retry_policy=policy) as telemetry:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class depends on the HTTP library
            mode.run(body)
        assert type(caught.value).__name__ == "ReadTimeout"
    assert telemetry.outcome_and_reason() == ("failed", "silent")


def test_the_next_request_of_a_connection_has_the_time_out_of_the_client(mode):
    """The connection is used again, and its network stream is as before."""
    policy = replace(RESUME_AT_ONCE, watchdog=Watchdog(silence=LIMIT, lifetime=2.0))
    slow = replace(AT_ONCE, header_delay=3 * LIMIT)
    seen = Seen()

    async def body():
        async with mode.entered(mode.client(api.url, timeout=10.0)) as client:
            for _ in range(2):
                stream = await mode.do(client.messages.create(**ASK, stream=True))
                network = stream.response.extensions["network_stream"]
                await by_iteration(mode, stream, seen)
                assert "read" not in vars(network)

    with FakeAPI([AT_ONCE, slow]) as api, observed(retry_policy=policy):
        mode.run(body)
        assert len({request.connection for request in api.requests}) == 1


# --- Other transports ------------------------------------------------------------------------------------------------
def without_network_stream(mode):
    """Return a client of the HTTP library whose transport hides its connections, as those of other libraries do."""
    http = sys.modules[anthropic.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]]

    def hidden(response):
        response.extensions.pop("network_stream")
        return response

    class SyncTransport(http.HTTPTransport):
        def handle_request(self, request):
            return hidden(super().handle_request(request))

    class AsyncTransport(http.AsyncHTTPTransport):
        async def handle_async_request(self, request):
            return hidden(await super().handle_async_request(request))

    return http.AsyncClient(transport=AsyncTransport()) if mode.is_async else http.Client(transport=SyncTransport())


@pytest.mark.parametrize("clock", ["first_event", "first_content", "silence", "no_progress", "lifetime"])
def test_other_transports_of_asynchronous_clients_are_limited_as_well(mode, clock):
    """In synchronous ones only the silence is, while nothing arrives."""
    policy = replace(RESUME_AT_ONCE, watchdog=Watchdog(**{clock: LIMIT}), rules=(RETRY_LIFETIME, *RESUME_AT_ONCE.rules))
    seen = Seen()
    at_once, wakes = mode.is_async or clock == "silence", 4 * LIMIT
    with (
        FakeAPI([stalled(0, Pause(wakes), Comment("wakes"), Hang(STALL)), AT_ONCE]) as api,
        observed(retry_policy=policy),
    ):
        read(mode, api, seen, http_client=without_network_stream(mode))
        first, second = api.requests
        assert (second.received_at - first.received_at < wakes) is at_once
    assert_complete(seen)


@pytest.mark.parametrize("own", [10.0, 90.0])
def test_each_read_over_http_2_takes_the_shorter_time_out(own):
    """The library takes the time-out from the request at each read. A clock runs out later than one of 10 s."""
    parts, given = memory_api.chunks(3), []

    class Body(memory_api.HTTP.SyncByteStream):
        def __init__(self, request):
            self.request = request

        def __iter__(self):
            for part in parts:
                given.append(self.request.extensions["timeout"].get("read"))
                yield part

    class Transport(memory_api.HTTP.BaseTransport):
        def handle_request(self, request):
            found = {"http_version": b"HTTP/2", "network_stream": object()}
            headers = {"content-type": "text/event-stream"}
            return memory_api.HTTP.Response(200, headers=headers, stream=Body(request), extensions=found)

    with (
        observed(retry_policy=replace(RESUME_AT_ONCE, watchdog=Watchdog(silence=60.0, lifetime=40.0))),
        anthropic.Anthropic(
            api_key="none", timeout=own, http_client=memory_api.HTTP.Client(transport=Transport())
        ) as client,
    ):
        list(client.messages.create(**ASK, stream=True))
    assert len(given) == len(parts)
    assert all(timeout == own if own < 40.0 else 39.0 < timeout <= 40.0 for timeout in given)


# --- In mode `observe` -----------------------------------------------------------------------------------------------
DRY_RUNS = {
    "first_event": ("first_event_timeout", 0, Pause(2 * LIMIT)),
    "first_content": ("first_content_timeout", 2, Pause(2 * LIMIT)),
    "silence": ("silent", 2, Pause(2 * LIMIT)),
    "no_progress": ("no_progress", 2, *PINGING[: 2 * 6]),
    "lifetime": ("lifetime_exceeded", 2, Pause(2 * LIMIT)),
}


@pytest.mark.parametrize("clock", DRY_RUNS)
def test_mode_observe_reports_the_abort_that_would_have_happened(mode, clock):
    """The stream goes on. The decision is reported once, with the time at which the clock expired."""
    reason, at, *steps = DRY_RUNS[clock]
    quiet = replace(COMPLETE, steps=(*COMPLETE.steps[:at], *steps, *COMPLETE.steps[at:], Pause(LIMIT)))
    seen = Seen()
    with (
        FakeAPI(quiet) as api,
        observed(retry_policy=RetryPolicy(watchdog=Watchdog(**{clock: LIMIT}))) as telemetry,
    ):
        read(mode, api, seen)
        assert len(api.requests) == 1
    assert_complete(seen)
    assert telemetry.outcome_and_reason() == ("completed", None)
    span = telemetry.stream()
    (event,) = (event for event in span["events"] if event["name"] == "claude.stream.retry")
    found = event["attributes"]
    assert found["claude.stream.retry.dry_run"] is True
    assert found["claude.stream.retry.reason"] == reason
    assert found["claude.stream.retry.decision"] == ("give_up" if clock == "lifetime" else "retry")
    (stop,) = (event for event in span["events"] if event["name"] == "claude.stream.message_stop")
    assert (event["time_ns"] - span["start_ns"]) / 1e9 >= LIMIT
    assert (stop["time_ns"] - event["time_ns"]) / 1e9 >= 0.5 * LIMIT
    assert telemetry.value("claude.stream.retry.decisions") == 1


def test_a_failure_after_the_clock_is_no_second_decision(mode):
    """The policy would have aborted the stream before."""
    policy = RetryPolicy(watchdog=Watchdog(first_event=LIMIT))

    async def body():
        async with mode.entered(mode.client(api.url, timeout=3 * LIMIT)) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), Seen())

    with FakeAPI(stalled(0, Hang(STALL))) as api, observed(retry_policy=policy) as telemetry:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class depends on the HTTP library
            mode.run(body)
        assert type(caught.value).__name__ == "ReadTimeout"
        assert telemetry.value("claude.stream.retry.decisions") == 1
    assert telemetry.outcome_and_reason() == ("failed", "first_event_timeout")
    (event,) = (event for event in telemetry.stream()["events"] if event["name"] == "claude.stream.retry")
    assert event["attributes"]["claude.stream.retry.decision"] == "retry"
    assert (event["time_ns"] - telemetry.stream()["start_ns"]) / 1e9 < 2.5 * LIMIT
