"""The clocks of one stream: what a read, an event and a failure change, and the figures derived from them."""

from __future__ import annotations

from otel_claude_stream._core.stream.hot_path import HotPath
from otel_claude_stream._core.stream.timing import Timing

STARTED = 1_000
WALL = 50_000


class Clock:
    """A monotonic clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = STARTED

    def __call__(self) -> int:
        return self.now


def clocks():
    """Create the clocks of a call that began at `STARTED`, with the fields of the hot path and the clock itself."""
    clock = Clock()
    hot = HotPath(clock, STARTED)
    return Timing(hot, STARTED, WALL), hot, clock


def open_at(timing, clock, now):
    """Record a response that arrives at `now`."""
    clock.now = now
    timing.opened()


def read(timing, hot, began, ended, n=10):
    """Record a read that blocks from `began` until `ended`."""
    hot.read_started_at = began
    timing.bytes_read(n, ended - began, ended)


def test_a_stream_is_timed_from_the_call_to_its_last_event():
    timing, hot, clock = clocks()
    open_at(timing, clock, 1_300)
    read(timing, hot, 1_300, 1_500)
    timing.note_event(hot.waited)
    hot.wait_at_last_event = hot.waited
    read(timing, hot, 1_600, 1_900)
    assert timing.gap == 300
    assert timing.note_first_token(hot.waited, hot.last_byte_at) == 800
    hot.wait_at_last_event = hot.waited
    read(timing, hot, 2_000, 2_100)
    hot.wait_at_last_event = hot.waited
    clock.now = 2_400
    assert (timing.head_wait, timing.opened_at, timing.first_event, timing.first_token) == (300, 1_300, 500, 800)
    assert (hot.reads, hot.bytes, hot.waited, timing.longest_read) == (3, 30, 600, 300)
    assert timing.age == 1_400
    assert timing.writing_time() == 100
    assert timing.caller_time(2_400) == 1_400 - 300 - 600
    assert timing.wall(2_400) == WALL + 1_400


def test_before_a_response_there_is_neither_caller_time_nor_writing_time():
    timing, _, clock = clocks()
    clock.now = 9_000
    assert timing.caller_time(9_000) == 0
    assert timing.writing_time() is None
    open_at(timing, clock, 9_000)
    assert timing.caller_time(9_500) == 0  # no read returned: the caller may not have begun to read


def test_only_the_first_event_sets_the_time_to_it():
    timing, _, clock = clocks()
    open_at(timing, clock, 1_300)
    timing.note_event(100)
    timing.note_event(200)
    assert timing.first_event == 400
    assert timing.note_first_token(250, 9_000) == 550
    assert timing.first_event == 400


def test_the_first_token_is_the_first_event_if_none_came_before():
    timing, _, clock = clocks()
    open_at(timing, clock, 1_300)
    timing.note_first_token(100, 9_000)
    assert timing.first_event == timing.first_token == 400


def test_one_time_work_of_the_sdk_counts_as_the_time_to_the_first_token():
    """The read of the second event found its bytes there, because the SDK had worked for 700 ns after the first one."""
    timing, hot, clock = clocks()
    open_at(timing, clock, 1_300)
    assert timing.time_to_first_token is None
    clock.now = 1_400
    timing.began_to_read()
    read(timing, hot, 1_450, 1_500)
    timing.note_event(hot.waited)
    assert timing.first_event == 300 + 100
    hot.reads += 1
    hot.last_byte_at = 2_200
    assert timing.note_first_token(hot.waited, hot.last_byte_at) == timing.time_to_first_token == 300 + 800
    assert timing.caller_time(2_600) == (1_400 - 1_300) + (2_600 - 2_200)


def test_the_work_of_an_attempt_that_failed_is_no_one_time_work():
    timing, hot, clock = clocks()
    open_at(timing, clock, 1_300)
    clock.now = 1_400
    timing.began_to_read()
    timing.attempt_failed(1_500)
    open_at(timing, clock, 1_900)
    assert timing.note_first_token(hot.waited, 2_500) == 300 + 400


def test_a_read_that_blocks_counts_as_gap_and_silence_while_it_lasts():
    timing, hot, clock = clocks()
    open_at(timing, clock, 1_300)
    read(timing, hot, 1_300, 1_400)
    assert not timing.is_waiting
    assert timing.silence(1_700) == 0
    hot.read_started_at = 1_500
    assert timing.is_waiting
    assert timing.silence(1_700) == 200
    assert timing.gap_at(1_700) == 100 + 200


def test_the_read_at_the_end_of_the_body_is_the_last_silence():
    timing, hot, clock = clocks()
    open_at(timing, clock, 1_300)
    read(timing, hot, 1_300, 1_350)
    hot.read_started_at = 1_400
    clock.now = 1_900
    hot.read_ended()
    assert not timing.is_waiting
    assert timing.silence(9_999) == hot.last_wait == 500
    assert timing.longest_silence == 500
    assert timing.longest_read == 50
    assert hot.waited == 550


def test_the_time_between_two_attempts_is_a_wait_for_the_network():
    timing, hot, clock = clocks()
    open_at(timing, clock, 1_300)
    hot.read_started_at = 1_400
    clock.now = 2_000
    hot.read_ended()
    timing.attempt_failed(2_000)
    open_at(timing, clock, 2_700)
    assert timing.head_wait == 300  # that of the first response
    assert hot.waited == 600 + 700
    assert (hot.last_wait, hot.read_started_at, hot.last_byte_at) == (0, 0, 2_700)
    assert timing.longest_silence == 600


def test_a_read_that_blocks_ends_the_burst_of_deltas_before_it():
    timing, hot, clock = clocks()
    open_at(timing, clock, 1_300)
    read(timing, hot, 1_300, 1_400)
    hot.in_burst = True
    read(timing, hot, 1_500, 1_800)
    assert not hot.in_burst
    assert hot.last_delta_at == 1_400
