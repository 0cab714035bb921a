"""The clocks of the watchdog, and endings, over HTTP/2 and aiohttp, by real sockets."""

from __future__ import annotations

from dataclasses import replace

import anthropic
import pytest
from tests.support.http2_server import Http2API
from tests.support.interrupted_text import COMPLETE, RESUME_AT_ONCE, assert_complete
from tests.support.memory_api import HTTP
from tests.support.modes import ASK, MODES
from tests.support.observing import observed
from tests.support.ways import Seen, by_iteration

from otel_claude_stream._core.retry.policy import Clocks, Mode, Rule, Watchdog
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream.testing import CutMidChunk, End, FakeAPI, Hang, Pause, Ping, Reset

LIMIT = 0.1
LONG = 10.0
"""Seconds of a stall, and limit of the clocks that are not to expire. No test waits for it."""
SYNC, ASYNC = MODES
RETRY = replace(RESUME_AT_ONCE, mode=Mode.RETRY)
GIVE_UP = replace(RETRY, rules=(Rule(frozenset(AbortReason), retry=False),))
PINGING = (Pause(LIMIT / 5), Ping()) * 200
CLOCKS = {
    "first_event": (0, (), "first_event_timeout"),
    "first_content": (2, PINGING, "first_content_timeout"),
    "silence": (2, (), "silent"),
    "no_progress": (2, PINGING, "no_progress"),
    "lifetime": (2, PINGING, "lifetime_exceeded"),
}
"""For each clock the events before a stall, the steps before silence, and the reason of the abort."""


class Transport:
    """A server, and the HTTP client that connects to it."""

    def __init__(self, name, mode):
        self.name, self.mode = name, mode

    def __repr__(self):
        return f"{self.name}-{self.mode}"

    def api(self, scripts):
        return FakeAPI(scripts) if self.name == "aiohttp" else Http2API(scripts)

    def client(self, api, **options):
        if self.name == "HTTP/2":
            http = HTTP.AsyncClient if self.mode.is_async else HTTP.Client
            return self.mode.client(api.url, http_client=http(http1=False, http2=True, verify=False), **options)
        if not hasattr(anthropic, "DefaultAioHttpClient"):
            pytest.skip("this release of the SDK has no client over aiohttp")
        try:
            http = anthropic.DefaultAioHttpClient(verify=False)
        except RuntimeError as missing:
            pytest.skip(str(missing))
        return self.mode.client(api.url, http_client=http, **options)


HTTP_2 = (Transport("HTTP/2", SYNC), Transport("HTTP/2", ASYNC))
TRANSPORTS = (*HTTP_2, Transport("aiohttp", ASYNC))


@pytest.fixture(params=TRANSPORTS, ids=repr)
def transport(request):
    return request.param


def stalled(at, *steps):
    """Return the complete script with `steps` and silence in place of all that follows the first `at` events."""
    return replace(COMPLETE, steps=(*COMPLETE.cut_after(at, Hang(LONG)).steps[:-1], *steps, Hang(LONG)))


def read(transport, api, **options):
    """Read a stream, and return what the caller received."""
    mode, seen = transport.mode, Seen()

    async def body():
        async with mode.entered(transport.client(api, **options)) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), seen)

    mode.run(body)
    return seen


def fail_beside(transport, api, seen):
    """Read the first event of a stream, then another stream of the connection, which fails. Return its exception.

    With `seen`, read the rest of the first stream, too, and return its exception as well.
    """
    mode, errors = transport.mode, []

    async def body():
        async with mode.entered(transport.client(api, timeout=2 * LONG)) as client:
            other = await mode.do(client.messages.create(**ASK, stream=True))
            events = mode.each(other)
            first = await anext(events)
            with pytest.raises(HTTP.ReadTimeout) as caught:
                await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), Seen())
            errors.append(caught.value)
            if seen is not None:
                seen.events.append(first)
                try:
                    seen.events += [event async for event in events]
                except HTTP.ReadTimeout as error:
                    errors.append(error)
            await mode.close(other)
            assert [request.connection for request in api.requests] == [1, 1]

    mode.run(body)
    return errors


@pytest.mark.parametrize("clock", CLOCKS)
def test_each_clock_ends_a_stalled_stream(transport, clock):
    """Pings reset no clock but `silence`."""
    at, steps, reason = CLOCKS[clock]
    # On a busy machine the first event may be late.
    watchdog = Watchdog(**{clock: LIMIT}, awaiting_first_event=Clocks(silence=LONG))
    policy = replace(GIVE_UP, watchdog=watchdog)
    with transport.api([stalled(at, *steps)]) as api, observed(retry_policy=policy) as telemetry:
        with pytest.raises(HTTP.ReadTimeout, match=rf"watchdog\.{clock} \(100ms\)"):
            read(transport, api)
        assert not api.requests[0].completed
    assert telemetry.outcome_and_reason() == ("failed", reason)


def test_the_read_time_out_of_the_client_stays_its_own(transport):
    """It is shorter than the clock, and is raised as without a policy."""
    policy = replace(GIVE_UP, watchdog=Watchdog(silence=LONG, no_progress=LONG))
    with transport.api([stalled(5)]) as api, observed(retry_policy=policy) as telemetry:
        with pytest.raises(HTTP.ReadTimeout) as caught:
            read(transport, api, timeout=HTTP.Timeout(LONG, read=3 * LIMIT), max_retries=3)
        assert type(caught.value) is HTTP.ReadTimeout
    assert telemetry.outcome_and_reason() == ("failed", "silent")


@pytest.mark.parametrize("http_2", HTTP_2, ids=repr)
def test_a_clock_ends_other_streams_of_an_http_2_connection_in_synchronous_code_only(http_2):
    """They get the time-out of the HTTP library, which does not name one of their own clocks."""
    other, seen = COMPLETE.insert_pause(5, LIMIT if http_2.mode.is_async else LONG), Seen()
    policy = replace(GIVE_UP, watchdog=Watchdog(first_content=LIMIT, no_progress=LONG))
    with http_2.api([other, stalled(2)]) as api, observed(retry_policy=policy):
        clock, *further = fail_beside(http_2, api, seen)
    assert "watchdog.first_content" in str(clock)
    if http_2.mode.is_async:
        assert_complete(seen)
    assert [type(error) for error in further] == ([] if http_2.mode.is_async else [HTTP.ReadTimeout])


@pytest.mark.parametrize("http_2", HTTP_2, ids=repr)
def test_frames_of_other_streams_reset_no_clock_over_http_2(http_2):
    """The stalled stream ends while the other one still gets pings."""
    policy = replace(GIVE_UP, watchdog=Watchdog(first_content=LIMIT))
    other = replace(COMPLETE, steps=(*COMPLETE.steps[:4], *PINGING))
    with http_2.api([other, stalled(2)]) as api, observed(retry_policy=policy):
        (clock,) = fail_beside(http_2, api, None)
        assert not api.requests[0].completed
    assert "watchdog.first_content" in str(clock)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [(End(), "truncated"), (CutMidChunk(), "connection_closed"), (Reset(), "connection_closed")],
    ids=["end", "cut", "reset"],
)
def test_an_ending_inside_the_message_has_its_reason(transport, ending, reason):
    """`Reset` resets the stream over HTTP/2. aiohttp does not distinguish a reset from a close."""
    policy = replace(RETRY, watchdog=Watchdog(silence=LONG), raise_on_truncation=True)
    with transport.api([COMPLETE.cut_after(2, ending), COMPLETE]) as api, observed(retry_policy=policy) as telemetry:
        assert_complete(read(transport, api))
    spans = [span["attributes"] for span in telemetry.capture.spans() if span["name"] == "claude.stream.attempt"]
    assert [attributes["error.type"] for attributes in spans if "error.type" in attributes] == [reason]
