"""The summary of a call, and the diagnosis of its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_claude_stream._core.diagnosis.classify import Diagnosis, Verdict
from otel_claude_stream._core.diagnosis.facts import Facts, Fault
from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._core.stream.hot_path import HotPath, ReadMode
from otel_claude_stream._core.stream.message_state import MessageState
from otel_claude_stream._core.stream.usage import Usage
from otel_claude_stream._core.summary import RetryOutcome, Summary
from otel_claude_stream._core.vocabulary import CALLER_REASONS, AbortReason, Origin, Outcome, Phase, Stop

COMPLETED = Verdict(Outcome.COMPLETED, None, None)


def summary(message):
    return Summary(
        call=Call("m", "anthropic", "messages", "create", "host", 443, "self"),
        diagnosis=Diagnosis(Facts(Stop.EXHAUSTED, Phase.FINISHING), COMPLETED),
        message=message,
        entries=[],
        attempts=(),
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


def message(*usages):
    found = MessageState(HotPath(int, 0))
    for usage in usages:
        found.record_usage(Usage(**usage))
    return found


@pytest.mark.parametrize(
    ("usages", "total", "complete"),
    [
        ([], None, False),
        ([{"input_tokens": 25}], 25, False),
        ([{"input_tokens": 25, "cache_read": 100, "cache_write": 7}], 132, False),
        ([{"input_tokens": 25, "cache_write": 7}], 32, False),
        ([{"cache_read": 100}], None, False),
        ([{"input_tokens": 25}, {"output_tokens": 90}], 25, True),
        ([{"input_tokens": 25}, {"input_tokens": 26, "output_tokens": 0}], 26, True),
        ([{"input_tokens": 25}, {"output_tokens": 9, "compaction": Usage(3, 4, 20, 1)}], 49, True),
    ],
)
def test_input_tokens_include_the_cache_and_the_end_completes_the_usage(usages, total, complete):
    """The semantic conventions count cached tokens as input, and those that are billed."""
    found = summary(message(*usages))
    assert (found.message.usage.billed.prompt, found.usage_complete) == (total, complete)


@pytest.mark.parametrize(
    ("by_api", "outcome", "started", "served"),
    [
        (False, RetryOutcome(), True, False),
        (True, RetryOutcome(), True, True),
        (False, RetryOutcome("fallback", model="m2", served=True), True, True),
        (False, RetryOutcome("fallback", model="m2", served=True), False, False),
        (False, RetryOutcome("fallback", model="m2"), True, False),
    ],
)
def test_a_fallback_served_if_the_caller_has_the_start_of_its_message(by_api, outcome, started, served):
    """The model is one of the API's or of the retry policy's."""
    found = message()
    found.ledger.started = started
    found.record_usage(Usage(fallback=by_api))
    assert replace(summary(found), retries=outcome).fallback_served is served


@pytest.mark.parametrize(
    ("reason", "error_type", "shown", "label"),
    [
        (AbortReason.OVERLOADED, "overloaded_error", "overloaded_error", "overloaded_error"),
        (AbortReason.RATE_LIMITED, "ThrottlingException", "ThrottlingException", "throttlingexception"),
        (AbortReason.STREAM_ERROR, "made_up_by_a_server", "made_up_by_a_server", "stream_error"),
        (AbortReason.TRUNCATED, None, "truncated", "truncated"),
        (None, None, "stream_error", "stream_error"),
    ],
)
def test_the_error_type_is_that_of_the_provider_or_the_abort_reason(reason, error_type, shown, label):
    """As a label of metrics it is from a closed set."""
    facts = Facts(Stop.RAISED, Phase.STREAMING, error_type=error_type)
    found = Diagnosis(facts, Verdict(Outcome.FAILED, reason, Origin.UNKNOWN))
    assert (found.error_type, found.known_error_type) == (shown, label)


@pytest.mark.parametrize(("attempt_elapsed", "age"), [(None, 9.0), (2.0, 2.0), (0.0, 0.0)])
def test_the_age_of_the_only_attempt_is_that_of_the_call(attempt_elapsed, age):
    assert Facts(Stop.RAISED, Phase.STREAMING, elapsed=9.0, attempt_elapsed=attempt_elapsed).age_of_attempt == age


FAULT = Fault(
    kinds=("ReadError", "ConnectionResetError"),
    modules=("httpx2", "builtins"),
    bases=(frozenset({"ReadError", "NetworkError"}), frozenset({"ConnectionResetError", "OSError"})),
    errno=104,
)


@pytest.mark.parametrize(
    ("fault", "names", "outermost", "anywhere"),
    [
        (FAULT, ("NetworkError",), True, True),
        (FAULT, ("OSError",), False, True),
        (FAULT, ("OSError", "ReadError"), True, True),
        (FAULT, ("ValueError",), False, False),
        (FAULT, (), False, False),
        (Fault((), (), ()), ("ReadError",), False, False),
    ],
)
def test_a_fault_matches_the_classes_of_its_exception_chain(fault, names, outermost, anywhere):
    assert (fault.outermost_is(*names), fault.has(*names)) == (outermost, anywhere)


def test_five_abort_reasons_are_those_of_the_caller():
    """A stream that ends with another reason has failed."""
    assert sorted(reason.value for reason in CALLER_REASONS) == [
        "abandoned", "caller_closed", "caller_error", "cancelled", "interpreter_exit",
    ]  # fmt: skip
    assert len(AbortReason) == 25
