"""The watchdog over real sockets, with real but short times."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from tests.support.interrupted_text import BEFORE_BREAK, COMPLETE, CONTINUATION, RESUME_AT_ONCE, assert_complete
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.ways import Seen, by_iteration

from otel_claude_stream._core.retry.policy import Mode, Watchdog
from otel_claude_stream.testing import Comment, FakeAPI, Hang, Pause, Ping, Script

LIMIT = 0.3
STALL = 20.0
SOON = 5.0
"""Seconds within which a stalled stream ends, even on a busy machine. The stall alone would take longer."""


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
}


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
        FakeAPI([script, COMPLETE]) as api,
        observed(retry_policy=replace(RESUME_AT_ONCE, watchdog=watchdog)) as telemetry,
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
        assert type(caught.value).__name__ == "ReadTimeout"
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
    slow = replace(COMPLETE, header_delay=3 * LIMIT)
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
        replace(RESUME_AT_ONCE, mode=Mode.OBSERVE, watchdog=Watchdog(first_event=0.1, silence=0.1, no_progress=0.2)),
    ],
    ids=["not configured", "mode observe"],
)
@pytest.mark.parametrize("at", [0, 2, 6])
def test_without_an_active_watchdog_no_stream_is_ended(mode, policy, at):
    """Neither without a watchdog, nor in mode `observe`."""
    quiet = COMPLETE.insert_pause(at, 0.5, ping_interval=0.2 if at == 6 else None)
    seen = Seen()
    with FakeAPI(quiet) as api, observed(retry_policy=policy) as telemetry:
        read(mode, api, seen)
        assert len(api.requests) == 1
    assert_complete(seen)
    assert telemetry.outcome_and_reason() == ("completed", None)
