"""Streams that stall, given up on both clocks: over real sockets, by real and short times."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from tests.retry.test_ways import AT, POLICY, WHOLE, assert_whole, told
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.scenes import STORY
from tests.support.ways import Seen, by_iteration

from otel_claude_stream._core.retry.policy import Mode, Watchdog
from otel_claude_stream.testing import Comment, FakeAPI, Hang, Pause, Ping, Script

LIMIT = 0.3
STALL = 20.0
SOON = 5.0
"""Seconds within which it is over, on a machine that is busy; the stall alone would take longer."""


def stalled(at: int, *steps) -> Script:
    """The story, and so many events later nothing but these steps."""
    return replace(WHOLE, steps=(*WHOLE.cut_after(at, Hang(STALL)).steps[:-1], *steps))


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
}


def read(mode, api, seen, **options):
    async def body():
        async with mode.entered(mode.client(api.url, timeout=10.0, **options)) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), seen)

    mode.run(body)


@pytest.mark.parametrize("name", STALLS)
def test_a_stall_is_given_up_and_the_stream_told_again(mode, name):
    """In time; the span says which of the clocks it was."""
    watchdog, script, reason = STALLS[name]
    seen = Seen()
    with FakeAPI([script, WHOLE]) as api, observed(retry_policy=replace(POLICY, watchdog=watchdog)) as telemetry:
        before = time.monotonic()
        read(mode, api, seen)
        assert LIMIT <= time.monotonic() - before < SOON
        assert len(api.requests) == 2
    assert_whole(seen)
    telemetry.assert_recorded_once()
    assert telemetry.outcome_and_reason() == ("completed", None)
    first = next(span for span in telemetry.capture.spans() if span["name"] == "claude.stream.attempt")
    assert first["attributes"]["error.type"] == reason


def test_a_stall_in_the_text_is_gone_on_after(mode):
    """The continuation is watched as well: by the same limit."""
    broken = replace(told(STORY[:AT]), steps=(*told(STORY[:AT]).cut_after(13, Hang(STALL)).steps,))
    again = told(STORY[AT - 48 :]).cut_after(8, Hang(STALL))
    policy = replace(POLICY, watchdog=Watchdog(silence=LIMIT))
    seen = Seen()
    with FakeAPI([broken, told(STORY[AT - 48 :])]) as api, observed(retry_policy=policy):
        read(mode, api, seen)
        assert len(api.requests) == 2
    assert_whole(seen)
    with FakeAPI([broken, again]) as api, observed(retry_policy=policy) as telemetry:
        before = time.monotonic()
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of the HTTP library in use
            read(mode, api, Seen())
        assert time.monotonic() - before < SOON
        assert type(caught.value).__name__ == "ReadTimeout"
        assert len(api.requests) == 2
    assert telemetry.outcome_and_reason() == ("failed", "silent")


def test_a_time_out_of_ours_is_one_of_the_http_library(mode):
    """Who handles `ReadTimeout` handles it, and sees which clock it was."""
    policy = replace(POLICY, watchdog=Watchdog(no_progress=LIMIT))
    with FakeAPI(stalled(5, *PINGING, Hang(STALL))) as api, observed(retry_policy=policy) as telemetry:
        with pytest.raises(Exception, match="no event of the message within") as caught:
            read(mode, api, Seen())
        assert "ReadTimeout" in [kind.__name__ for kind in type(caught.value).__mro__]
        assert caught.value.request.url.host == "127.0.0.1"
    assert telemetry.outcome_and_reason() == ("failed", "no_progress")


def test_the_headers_may_take_their_time(mode):
    """The limit is that of the body's reads: a response may be long in coming."""
    slow = replace(WHOLE, header_delay=3 * LIMIT)
    policy = replace(POLICY, watchdog=Watchdog(silence=LIMIT, first_event=2 * LIMIT))
    seen = Seen()
    with FakeAPI(slow) as api, observed(retry_policy=policy):
        read(mode, api, seen)
        assert len(api.requests) == 1
    assert_whole(seen)


def test_the_callers_own_limit_stays(mode):
    """A time-out of the client that is shorter than the watchdog's is not made longer."""
    policy = replace(POLICY, mode=Mode.RETRY, watchdog=Watchdog(silence=SOON))
    seen = Seen()

    async def body():
        async with mode.entered(mode.client(api.url, timeout=LIMIT)) as client:
            await by_iteration(mode, await mode.do(client.messages.create(**ASK, stream=True)), seen)

    with FakeAPI([stalled(2, Hang(STALL)), WHOLE]) as api, observed(retry_policy=policy):
        before = time.monotonic()
        mode.run(body)
        assert time.monotonic() - before < SOON
    assert_whole(seen)


@pytest.mark.parametrize(
    "policy",
    [POLICY, replace(POLICY, mode=Mode.OBSERVE, watchdog=Watchdog(first_event=0.1, silence=0.1, no_progress=0.2))],
    ids=["not configured", "only observed"],
)
@pytest.mark.parametrize("at", [0, 2, 6])
def test_nothing_is_given_up_unasked(mode, policy, at):
    """Neither without a watchdog, nor where it only observes."""
    quiet = WHOLE.insert_pause(at, 0.5, ping_interval=0.2 if at == 6 else None)
    seen = Seen()
    with FakeAPI(quiet) as api, observed(retry_policy=policy) as telemetry:
        read(mode, api, seen)
        assert len(api.requests) == 1
    assert_whole(seen)
    assert telemetry.outcome_and_reason() == ("completed", None)
