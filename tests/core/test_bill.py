"""The bill of a call has the tokens of each request, how they are known, and those that bought nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_claude_stream._core.bill import Item, bill_of, has_extra_tokens
from otel_claude_stream._core.diagnosis.classify import Diagnosis, Verdict
from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._core.stream.hot_path import HotPath, ReadMode
from otel_claude_stream._core.stream.message_state import MessageState
from otel_claude_stream._core.stream.usage import NO_USAGE, Usage
from otel_claude_stream._core.summary import Attempt, Summary
from otel_claude_stream._core.vocabulary import AbortReason, Origin, Outcome, Phase, Stop

STARTED = Usage(input_tokens=25, cache_read=100, cache_write=7)
WHOLE = STARTED._replace(output_tokens=60)

COMPLETED = Verdict(Outcome.COMPLETED, None, None)
FAILED = Verdict(Outcome.FAILED, AbortReason.CONNECTION_CLOSED, Origin.UNKNOWN)
CLOSED = Verdict(Outcome.CLOSED, AbortReason.CALLER_CLOSED, Origin.CALLER)


def summary(verdict, *attempts):
    """Return a call whose requests wrote some characters and reported some usage."""
    message = MessageState(HotPath(int, 0))
    for _, usage in attempts:
        message.record_usage(usage)
    return Summary(
        call=Call("m", "anthropic", "messages", "create", "host", 443, "self"),
        diagnosis=Diagnosis(Facts(Stop.EXHAUSTED, Phase.STREAMING), verdict),
        message=message,
        entries=[],
        attempts=tuple(
            Attempt(number, 0, 1, "policy", characters=characters, usage=usage)
            for number, (characters, usage) in enumerate(attempts, 1)
        ),
        reply=None,
        ended=0,
        read_mode=ReadMode.EVENTS,
        reads=1,
        longest_silence=0.0,
        caller_time=0.0,
        exception=None,
        time_to_headers=None,
        time_to_first_event=None,
        time_to_first_token=None,
        writing_time=None,
    )


def prompt(use="delivered", *, extra=True):
    """The items of `STARTED`."""
    kinds = {"input": 25, "cache_read": 100, "cache_write": 7}
    return [Item(kind, tokens, use=use, extra=extra) for kind, tokens in kinds.items()]


def output(tokens, source="estimated", use="delivered", *, extra=True):
    return Item("output", tokens, source, use, extra)


ANSWER = [*prompt(extra=False), output(60, "reported", extra=False)]

BILLS = {
    "completed": (COMPLETED, [(240, WHOLE)], ANSWER),
    "retried before the headers": (COMPLETED, [(0, NO_USAGE), (240, WHOLE)], ANSWER),
    "retried before the first token": (COMPLETED, [(0, STARTED), (240, WHOLE)], [*prompt("wasted"), *ANSWER]),
    "resumed": (COMPLETED, [(84, STARTED), (160, WHOLE)], [*prompt(), output(21), *ANSWER]),
    "resumed after a refused prefill": (
        COMPLETED,
        [(84, STARTED), (0, NO_USAGE), (160, WHOLE)],
        [*prompt(), output(21), *ANSWER],
    ),
    "continuation that did not fit": (
        FAILED,
        [(84, STARTED), (0, STARTED)],
        [*prompt("wasted"), output(21, use="wasted"), *prompt("wasted")],
    ),
    "cut in the text": (FAILED, [(84, STARTED)], [*prompt("wasted"), output(21, use="wasted")]),
    "cut before message_start": (FAILED, [(0, NO_USAGE)], []),
    "cut after the usage": (
        FAILED,
        [(240, WHOLE)],
        [*prompt("wasted", extra=False), output(60, "reported", "wasted", extra=False)],
    ),
    "closed in the text": (CLOSED, [(84, STARTED)], [*prompt(), output(21)]),
    "closed before the text": (CLOSED, [(0, STARTED)], prompt("wasted")),
    "completed without text": (COMPLETED, [(0, WHOLE)], ANSWER),
    "cut after one character": (FAILED, [(1, STARTED)], prompt("wasted")),
    "not sent": (CLOSED, [], []),
}


@pytest.mark.parametrize("name", BILLS)
def test_each_request_is_billed_by_what_it_reported_or_wrote(name):
    verdict, attempts, expected = BILLS[name]
    call = summary(verdict, *attempts)
    assert list(bill_of(call)) == expected
    assert has_extra_tokens(call) or not any(item.extra for item in expected)


def test_models_that_declined_are_billed_and_wasted():
    call = summary(COMPLETED, (240, WHOLE._replace(declined=Usage(11, 2))))
    declined = [Item("input", 11, use="wasted"), Item("output", 2, use="wasted")]
    assert list(bill_of(call)) == [*ANSWER, *declined]
    assert has_extra_tokens(call)


def test_each_item_has_the_model_of_its_request():
    call = summary(COMPLETED, (0, STARTED), (84, STARTED._replace(declined=Usage(11))))
    first, second = call.attempts
    call = replace(call, attempts=(first, replace(second, model="other")))
    assert [(item.tokens, item.model) for item in bill_of(call)] == [
        (25, ""), (100, ""), (7, ""), (25, "other"), (100, "other"), (7, "other"), (21, "other"), (11, "other"),
    ]  # fmt: skip


def test_compactions_are_a_part_of_the_usage():
    call = summary(COMPLETED, (240, Usage(5, 9, compaction=Usage(10, 6))))
    assert list(bill_of(call)) == [Item("input", 15, extra=False), output(15, "reported", extra=False)]


@pytest.mark.parametrize(("verdict", "attempts"), [(COMPLETED, [(240, WHOLE)]), (CLOSED, [(240, WHOLE)])])
def test_a_call_with_one_request_and_its_usage_has_no_extra_tokens(verdict, attempts):
    assert not has_extra_tokens(summary(verdict, *attempts))
