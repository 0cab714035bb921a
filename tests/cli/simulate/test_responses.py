from __future__ import annotations

import pytest

from otel_claude_stream._core.diagnosis.classify import classify
from otel_claude_stream._core.diagnosis.facts import Facts, Fault
from otel_claude_stream._core.retry.clocks import Clock
from otel_claude_stream._core.retry.policy import Clocks, Watchdog
from otel_claude_stream._core.vocabulary import AbortReason, Phase, Stop
from otel_claude_stream.cli.simulate.responses import CLOCK_REASONS, Arriving, Ending, Reader, Response, Stretch

START = Stretch(Arriving.START, 1.0)
TEXT = Stretch(Arriving.TEXT, 0.5, 20)
ANSWER = Response(0.3, (START, TEXT))
ENDLESS_PINGS = Response(0.3, (START, Stretch(Arriving.PING, 15.0, 10_000)))
DRIPPING = Response(0.3, (START, Stretch(Arriving.TEXT, 20.0, 10_000)))
EMPTY = Response(0.3, (Stretch(Arriving.NOTHING, 10_000.0),))
THOUGHT = Response(0.3, (START, Stretch(Arriving.THOUGHT, 0.0), Stretch(Arriving.PING, 15.0, 6), TEXT))
RESET = Ending(AbortReason.CONNECTION_RESET)


def read(response, **clocks):
    return Reader(Watchdog(**clocks)).read(response)


def test_a_whole_answer_is_read_to_its_end():
    found = read(ANSWER)
    assert found == (11.0, None, Phase.STREAMING, 1.5, 20)
    assert read(ANSWER, first_event=1.5, first_content=2.0, silence=1.5, no_progress=1.5, lifetime=12.0) == found


@pytest.mark.parametrize(
    ("response", "clocks", "seconds", "reason", "deltas"),
    [
        (EMPTY, {"first_event": 30.0}, 30.0, AbortReason.FIRST_EVENT_TIMEOUT, 0),
        (EMPTY, {"silence": 40.0}, 40.0, AbortReason.FIRST_EVENT_TIMEOUT, 0),
        (EMPTY, {}, 600.0, AbortReason.FIRST_EVENT_TIMEOUT, 0),
        (ENDLESS_PINGS, {"first_content": 50.0}, 50.0, AbortReason.FIRST_CONTENT_TIMEOUT, 0),
        (ENDLESS_PINGS, {"no_progress": 50.0}, 51.0, AbortReason.NO_PROGRESS, 0),
        (ENDLESS_PINGS, {"silence": 14.0}, 15.0, AbortReason.SILENT, 0),
        (ENDLESS_PINGS, {"silence": 16.0, "lifetime": 100.0}, 100.0, AbortReason.LIFETIME_EXCEEDED, 0),
        (DRIPPING, {"no_progress": 21.0, "lifetime": 100.0}, 100.0, AbortReason.LIFETIME_EXCEEDED, 4),
        (DRIPPING, {"no_progress": 19.0}, 20.0, AbortReason.NO_PROGRESS, 0),
        (ANSWER, {"lifetime": 1.2}, 1.2, AbortReason.LIFETIME_EXCEEDED, 0),
        (ANSWER, {"lifetime": 3.1}, 3.1, AbortReason.LIFETIME_EXCEEDED, 4),
    ],
)
def test_the_first_clock_that_expires_ends_a_response(response, clocks, seconds, reason, deltas):
    found = read(response, **clocks)
    assert (found.seconds, found.ending, found.deltas) == (seconds, Ending(reason), deltas)


def test_a_thought_may_have_clocks_of_its_own():
    assert read(THOUGHT, first_content=60.0).ending == Ending(AbortReason.FIRST_CONTENT_TIMEOUT)
    found = read(THOUGHT, first_content=60.0, no_progress=60.0, thinking=Clocks(first_content=600.0, no_progress=600.0))
    assert (found.ending, found.first_content, found.deltas) == (None, 91.5, 20)


def test_clocks_have_the_reasons_of_the_classifier():
    for clock in Clock:
        name = clock.value.title().replace("_", "") + "Timeout"
        fault = Fault((name,), ("httpx",), (frozenset({name, "ReadTimeout", "TimeoutException"}),))
        found = classify(Facts(Stop.RAISED, Phase.STREAMING, fault=fault, status=200, events=3))
        assert CLOCK_REASONS[clock] is found.reason


@pytest.mark.parametrize(
    ("after", "seconds", "deltas", "phase"),
    [
        (0.0, 0.0, 0, Phase.AWAITING_FIRST_EVENT),
        (0.4, 0.4, 0, Phase.AWAITING_FIRST_EVENT),
        (1.2, 1.2, 0, Phase.AWAITING_FIRST_TOKEN),
        (4.2, 4.2, 6, Phase.STREAMING),
    ],
)
def test_a_cut_response_ends_at_the_cut(after, seconds, deltas, phase):
    found = read(ANSWER.cut(after, RESET))
    assert found.seconds == pytest.approx(seconds)
    assert (found.ending, found.deltas, found.phase) == (RESET, deltas, phase)


def test_a_cut_after_the_end_changes_nothing():
    assert ANSWER.cut(11.0, RESET) is ANSWER
