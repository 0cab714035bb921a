"""Policies for the calls within a block, and decorators."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from dataclasses import replace

import pytest

from otel_claude_stream import RetryPolicy, no_retry, retry_policy
from otel_claude_stream._config.policy import loading, override, policy_source
from otel_claude_stream._config.policy.loading import PolicyError
from otel_claude_stream._config.policy.override import current_override
from otel_claude_stream._core.retry.policy import Mode, RetryLimits

PROCESS = {
    "OTEL_CLAUDE_STREAM_MODE": "retry",
    "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "4",
}


@pytest.fixture
def process():
    """Set the policy of the process: mode retry, 4 attempts."""
    override.set_process_policy(policy_source(PROCESS))
    yield
    override.set_process_policy(None)


@pytest.fixture(autouse=True)
def _nothing_logged(monkeypatch):
    monkeypatch.setattr(override, "_logged", set())


def attempts():
    policy = current_override()
    return policy and policy.limits.max_attempts


def test_a_partial_policy_overrides_the_policy_of_the_process(process):
    with retry_policy({"limits": {"max_attempts": 2}}):
        assert current_override() == RetryPolicy(mode=Mode.RETRY, limits=RetryLimits(max_attempts=2))
    assert current_override() is None


def test_outside_of_a_block_there_is_no_override():
    assert current_override() is None


def test_without_a_policy_of_the_process_it_overrides_the_default():
    with retry_policy({"mode": "resume"}):
        assert current_override() == RetryPolicy(mode=Mode.RESUME)


def test_an_invalid_policy_of_the_process_counts_as_the_default():
    override.set_process_policy(policy_source({"OTEL_CLAUDE_STREAM_MODE": "retri"}))
    with retry_policy({"limits": {"max_attempts": 2}}):
        assert current_override() == RetryPolicy(limits=RetryLimits(max_attempts=2))
    override.set_process_policy(None)


@pytest.mark.parametrize(
    ("argument", "mode"),
    [("observe", Mode.OBSERVE), ("unattended", Mode.RESUME), ({"preset": "observe"}, Mode.OBSERVE),
     (RetryPolicy(mode=Mode.RESUME), Mode.RESUME)],
)  # fmt: skip
def test_a_whole_policy_replaces_the_policy_of_the_process(process, argument, mode):
    with retry_policy(argument):
        found = current_override()
    assert found.mode is mode
    if not isinstance(argument, str):
        assert found == RetryPolicy(mode=mode)


def test_a_file_overrides_the_policy_of_the_process(process, tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"version": 1, "limits": {"deadline": "1m"}}')
    with retry_policy(path):
        assert current_override().limits == RetryLimits(max_attempts=4, deadline=60.0)


def test_no_retry_keeps_the_policy_of_the_process_as_a_dry_run(process):
    with no_retry():
        assert current_override() == RetryPolicy(limits=RetryLimits(max_attempts=4))
    override.set_process_policy(policy_source({}, {"mode": "retry", "models": {"a*": {"mode": "resume"}}}))
    with no_retry():
        found = current_override()
    assert (found.mode, found.for_model("abc").mode) == (Mode.OBSERVE, Mode.OBSERVE)


def test_blocks_may_be_nested(process):
    with retry_policy({"limits": {"max_attempts": 2}}):
        with retry_policy({"limits": {"max_attempts": 3}}):
            assert attempts() == 3
        assert attempts() == 2
        with no_retry():
            assert current_override().mode is Mode.OBSERVE
        assert attempts() == 2


def test_one_object_may_be_entered_several_times(process):
    again = retry_policy({"limits": {"max_attempts": 2}})
    with again, again:
        assert attempts() == 2
    with again:
        assert attempts() == 2
    assert current_override() is None


def test_an_exception_ends_the_block(process):
    with pytest.raises(KeyError), no_retry():
        raise KeyError
    assert current_override() is None


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ({"mode": "retri"}, ("retry_policy(): mode='retri' is not valid: allowed is observe, retry or resume; "
         "did you mean retry?")),
        ({"limits": {"deadline": 30}}, "retry_policy(): limits.deadline='30' is not valid: a number without its "),
        ("bach", "retry_policy(): retry_policy='bach' is not valid: allowed is a preset ("),
        ("/no/such.yaml", "/no/such.yaml: the file cannot be read: No such file or directory"),
        (None, "retry_policy(): retry_policy='null' is not valid: allowed is a RetryPolicy, "),
        (RetryPolicy(limits=RetryLimits(max_attempts=9)), "retry_policy(): limits.max_attempts='9' is not valid: "),
    ],
)  # fmt: skip
def test_an_invalid_policy_raises_at_once(argument, error):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        retry_policy(argument)
    assert isinstance(caught.value, PolicyError)
    assert str(caught.value).startswith(error)


def test_a_contradiction_to_the_policy_of_the_process_is_one_log_and_observes(process, caplog):
    """It does not raise, since the code that calls did not configure the process."""
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    override.set_process_policy(
        policy_source({"OTEL_CLAUDE_STREAM_MODE": "retry", "OTEL_CLAUDE_STREAM_BACKOFF__CAP": "1s"})
    )
    for _ in range(3):
        with retry_policy({"backoff": {"base": "2s"}}):
            assert current_override() == RetryPolicy()
    (record,) = caplog.records
    assert record.getMessage() == (
        "otel-claude-stream: retry_policy(): backoff.base='2s' is not valid: backoff.base (2s) must not be more than "
        "backoff.cap (1s); these calls are only observed, nothing is retried"
    )


def test_an_internal_error_means_observe(process, monkeypatch):
    block = retry_policy({"mode": "resume"})
    monkeypatch.setattr(loading, "policy_of", None)
    with pytest.raises(TypeError), block:
        current_override()  # raised in tests of this package
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    with block:
        assert current_override() == RetryPolicy()


def test_an_override_follows_changes_of_the_policy_of_the_process(process):
    """The object may exist before the instrumentation, and outlive it."""
    block = retry_policy({"limits": {"max_requests": 2}})
    with block:
        assert attempts() == 4
        override.set_process_policy(policy_source({"OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "5"}))
        assert attempts() == 5
        assert current_override() is current_override()  # computed once


def test_functions_and_coroutine_functions_may_be_decorated(process):
    @retry_policy({"limits": {"max_attempts": 2}})
    def calling(number, *, more):
        """Doc."""
        return attempts(), number, more

    @no_retry()
    async def waiting(number):
        before = current_override().mode
        await asyncio.sleep(0)
        return before, current_override().mode, number

    assert (calling(1, more=2), calling.__doc__, calling.__name__) == ((2, 1, 2), "Doc.", "calling")
    assert asyncio.run(waiting(3)) == (Mode.OBSERVE, Mode.OBSERVE, 3)
    assert current_override() is None


def test_decorating_a_generator_function_raises():
    def reading():
        yield 1

    async def waiting():
        yield 1

    for function in (reading, waiting):
        with pytest.raises(TypeError, match="Put the `with` block around the call inside the generator"):
            no_retry()(function)


def test_other_tasks_and_threads_are_not_affected(process):
    block = retry_policy({"limits": {"max_attempts": 2}})

    async def inside():
        with block:
            await asyncio.sleep(0.01)
            return attempts()

    async def outside():
        await asyncio.sleep(0.005)
        return attempts()

    async def both():
        return await asyncio.gather(inside(), outside(), inside())

    assert asyncio.run(both()) == [2, None, 2]
    seen = []
    with block:
        thread = threading.Thread(target=lambda: seen.append(current_override()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_leaving_a_block_in_another_context_does_not_raise():
    """This happens when an async generator is closed before its end."""
    block = no_retry()
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert current_override() is None


def test_a_partial_policy_overrides_the_policy_passed_to_instrument(process):
    whole = replace(RetryPolicy(), limits=RetryLimits(max_attempts=5, max_requests=9))
    override.set_process_policy(policy_source(PROCESS, whole))
    with retry_policy({"mode": "retry"}):
        assert current_override() == replace(whole, mode=Mode.RETRY)
