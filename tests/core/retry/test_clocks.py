"""The clocks of the watchdog: which one expires first, and in which phases and blocks."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.clocks import (
    Clock,
    ClockLimits,
    Due,
    Progress,
    limits_for,
    longest_silence,
    next_due,
)
from otel_claude_stream._core.retry.policy import PLACES, Clocks, Watchdog
from otel_claude_stream._core.stream.hot_path import HotPath
from otel_claude_stream._core.stream.message_state import MessageState, block_kind
from otel_claude_stream._core.vocabulary import Phase

NONE = ClockLimits(None, None, None, None, None)
TIMES = st.integers(0, 10**12)
LIMITS = st.builds(ClockLimits, *[st.none() | st.integers(1, 10**12)] * 5)


@st.composite
def streams(draw):
    """Draw the times of a response before a read. Content is an event, and a gap is a part of the waits."""
    event = draw(st.booleans())
    waited = draw(TIMES)
    gap = draw(st.integers(0, waited))
    return {
        "age": waited + draw(TIMES),
        "waited": waited,
        "gap": gap,
        "event": event,
        "content": event and draw(st.booleans()),
    }


def later(stream, wait):
    """Return the times after a read that blocked for `wait` and brought no event."""
    return {**stream, **{name: stream[name] + wait for name in ("age", "waited", "gap")}}


# --- Which clock expires ----------------------------------------------------------------------------------------------
ONE_OF_EACH = ClockLimits(first_event=60, first_content=70, silence=80, no_progress=90, lifetime=100)
BEFORE = {"age": 0, "waited": 0, "gap": 0, "event": False, "content": False}


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, Due(60, Clock.FIRST_EVENT)),
        ({"age": 70, "waited": 70, "gap": 70}, Due(-10, Clock.FIRST_EVENT)),
        ({"event": True}, Due(70, Clock.FIRST_CONTENT)),
        ({"event": True, "waited": 80}, Due(-10, Clock.FIRST_CONTENT)),
        ({"event": True, "content": True}, Due(80, Clock.SILENCE)),
        ({"event": True, "content": True, "waited": 11, "gap": 11}, Due(79, Clock.NO_PROGRESS)),
        ({"event": True, "content": True, "age": 21}, Due(79, Clock.LIFETIME)),
        ({"event": True, "content": True, "age": 200, "gap": 100}, Due(-100, Clock.LIFETIME)),
    ],
)
def test_the_clock_that_expires_first_limits_the_read(changes, due):
    assert next_due(ONE_OF_EACH, **{**BEFORE, **changes}) == due


@pytest.mark.parametrize("clock", list(Clock))
def test_each_clock_alone(clock):
    """A clock that has stopped, and one that is off, limit nothing."""
    limits = NONE._replace(**{clock.value: 30})
    assert next_due(limits, **BEFORE) == Due(30, clock)
    assert next_due(NONE, **BEFORE) is None
    arrived = next_due(limits, **{**BEFORE, "event": True, "content": True})
    assert arrived == (None if clock in (Clock.FIRST_EVENT, Clock.FIRST_CONTENT) else Due(30, clock))


def test_of_clocks_that_expire_together_the_first_in_order_is_reported():
    found = []
    limits = ClockLimits(9, 9, 9, 9, 9)
    for clock in Clock:
        due = next_due(limits, **BEFORE)
        found.append(due.clock)
        limits = limits._replace(**{clock.value: None})
    assert found == list(Clock)


@given(LIMITS, streams())
def test_a_read_is_limited_by_the_nearest_of_the_clocks_that_run(limits, stream):
    """Each clock alone allows at least as much, and one of them exactly that."""
    alone = [next_due(NONE._replace(**{clock.value: getattr(limits, clock.value)}), **stream) for clock in Clock]
    running = [due for due in alone if due is not None]
    due = next_due(limits, **stream)
    assert due == min(running, key=lambda one: one.left, default=None)


@given(LIMITS, streams(), TIMES)
def test_without_events_only_silence_is_renewed(limits, stream, wait):
    """A read that brings bytes and no event takes its time from all other clocks."""
    limits = limits._replace(silence=None)
    before, after = next_due(limits, **stream), next_due(limits, **later(stream, wait))
    assert after == (before if before is None else Due(before.left - wait, before.clock))


@given(st.integers(1, 10**6), st.lists(st.tuples(st.integers(0, 10**6), st.booleans(), st.booleans()), max_size=50))
def test_nothing_that_arrives_renews_the_lifetime(lifetime, arrivals):
    """The reads of a response last for the lifetime at most, if each of them ends when it is due."""
    limits, now = ClockLimits(None, None, None, None, lifetime), 0
    for wait, event, content in arrivals:
        due = next_due(limits, age=now, waited=now, gap=0, event=event, content=event and content)
        assume(due.left > 0)
        now += min(wait, due.left)
        assert now <= lifetime


@given(LIMITS, streams(), TIMES)
def test_the_time_of_the_caller_expires_no_clock_but_lifetime(limits, stream, pause):
    limits = limits._replace(lifetime=None)
    assert next_due(limits, **stream) == next_due(limits, **{**stream, "age": stream["age"] + pause})


@given(LIMITS, streams())
def test_no_clock_expires_before_its_limit(limits, stream):
    due = next_due(limits, **stream)
    if due is not None:
        started = {"silence": 0, "no_progress": stream["gap"], "lifetime": stream["age"]}
        assert due.left + started.get(due.clock.value, stream["waited"]) == getattr(limits, due.clock.value)


# --- Values for phases and blocks -------------------------------------------------------------------------------------
def test_a_value_for_the_block_precedes_one_for_the_phase_and_the_general_one():
    watchdog = Watchdog(
        first_event=1.0,
        silence=2.0,
        no_progress=3.0,
        lifetime=4.0,
        streaming=Clocks(silence=5.0, no_progress=6.0),
        thinking=Clocks(no_progress=7.0),
    )
    second = 10**9
    assert limits_for(watchdog, Phase.STREAMING, "thinking") == (second, None, 5 * second, 7 * second, 4 * second)
    assert limits_for(watchdog, Phase.STREAMING, "text") == (second, None, 5 * second, 6 * second, 4 * second)
    assert limits_for(watchdog, Phase.FINISHING, "") == (second, None, 2 * second, 3 * second, 4 * second)
    assert limits_for(Watchdog(), Phase.CONNECTING, "") == NONE


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("clock", ["first_content", "silence", "no_progress", "lifetime"])
def test_each_clock_may_have_a_value_for_each_phase_and_type_of_block(place, clock):
    watchdog = Watchdog(**{place: Clocks(**{clock: 2.0})})
    is_phase = place in [phase.value for phase in Phase]
    there = limits_for(watchdog, Phase(place) if is_phase else Phase.STREAMING, "" if is_phase else place)
    assert there == NONE._replace(**{clock: 2 * 10**9})
    assert limits_for(watchdog, Phase.CONNECTING, "") == NONE
    assert watchdog.is_set


@pytest.mark.parametrize(
    ("watchdog", "seconds"),
    [
        (Watchdog(), None),
        (Watchdog(thinking=Clocks(silence=9.0)), None),
        (Watchdog(silence=5.0), 5.0),
        (Watchdog(silence=5.0, text=Clocks(silence=3.0), thinking=Clocks(silence=9.0)), 9.0),
    ],
)
def test_the_longest_silence_that_is_allowed_anywhere(watchdog, seconds):
    """Without a general limit some phase has none."""
    assert longest_silence(watchdog) == seconds


# --- The progress of a response ---------------------------------------------------------------------------------------
def test_the_progress_of_a_response():
    """Pings and starts are no content, and a ping is no progress."""
    progress = Progress(waited=1)
    seen = [(progress.phase.value, progress.block, progress.waited)]
    for waited, (kind, data) in enumerate(
        [
            ("ping", {}),
            ("message_start", {}),
            ("content_block_start", {"content_block": {"type": "thinking", "thinking": ""}}),
            ("ping", {}),
            ("content_block_delta", {"delta": {"type": "thinking_delta", "thinking": "a"}}),
            ("content_block_stop", {}),
            ("content_block_start", {"content_block": {"type": "server_tool_use", "id": "1"}}),
            ("content_block_stop", {}),
            ("content_block_start", {"content_block": 1}),
            ("message_delta", {"delta": {"stop_reason": "end_turn"}}),
        ],
        2,
    ):
        progress.frame(kind, data, waited)
        seen.append((progress.phase.value, progress.block, progress.waited))
    assert seen == [
        ("awaiting_first_event", "", 1),
        ("awaiting_first_token", "", 1),
        ("awaiting_first_token", "", 3),
        ("awaiting_first_token", "thinking", 4),
        ("awaiting_first_token", "thinking", 4),
        ("streaming", "thinking", 6),
        ("streaming", "", 7),
        ("streaming", "tool_use", 8),
        ("streaming", "", 9),
        ("streaming", "other", 10),
        ("finishing", "other", 11),
    ]


def test_an_end_without_a_stop_reason_is_content_and_not_the_end():
    progress = Progress()
    progress.frame("message_delta", {"delta": {}}, 5)
    assert progress.phase is Phase.STREAMING


@pytest.mark.parametrize("thinking", [False, True])
def test_the_progress_of_a_message_whose_frames_are_not_recorded(thinking):
    """A block that begins with thinking has content, and one that begins empty has none."""
    message = MessageState(HotPath(lambda: 0, 0))
    progress = Progress()
    progress.follow(message)
    assert progress == Progress()
    message.message_start(None, None, 0, 0)
    message.block_start(0, "thinking", 0, 0, thinking=thinking)
    progress.follow(message)
    assert progress == Progress(event=True, content=thinking, block="thinking")
    message.block_delta(0, "thinking_delta", 3, 0, 0)
    message.block_stop(0, 0, 0)
    message.message_delta("end_turn", 0, 0)
    progress.follow(message)
    assert progress == Progress(event=True, content=True, finished=True)


def test_each_type_of_block_and_each_phase_of_a_response_has_a_place():
    types = ("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "compaction", "fallback")
    phases = set(Phase) - {Phase.QUEUED, Phase.CONNECTING, Phase.AWAITING_RESPONSE}
    assert {*map(block_kind, types), *(phase.value for phase in phases)} == set(PLACES)
