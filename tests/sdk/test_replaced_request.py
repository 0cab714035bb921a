"""Clients whose `request` another package replaced before the instrumentation, as Logfire does."""

from __future__ import annotations

import functools
import logging
from contextlib import contextmanager, nullcontext

import anthropic
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from tests.support.faults import WHOLE
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.ways import Seen, by_iteration

from otel_claude_stream import _guard
from otel_claude_stream._core.retry.policy import Budget, Mode, RetryPolicy
from otel_claude_stream._sdk.attach import hooks, sdk_hooks
from otel_claude_stream._sdk.attach import replaced as replaced_module
from otel_claude_stream.testing import Error, FakeAPI

CLASSES = (anthropic.Anthropic, anthropic.AsyncAnthropic)
RETRY = RetryPolicy(mode=Mode.RETRY, budget=Budget(min_per_window=1000))
LOGGER = "otel_claude_stream"


@pytest.fixture(autouse=True)
def _each_test_warns_anew():
    replaced_module._warn.cache_clear()


@contextmanager
def replaced(*targets, around=nullcontext):
    """Replace `request` of clients or classes in the block by functions that call what was there."""
    before = [(target, vars(target).get("request")) for target in targets]
    for target in targets:
        is_async = isinstance(target, anthropic.AsyncAnthropic) or target is anthropic.AsyncAnthropic
        target.request = (calling_async if is_async else calling)(target.request, around)
    try:
        yield
    finally:
        for target, request in before:
            if request is None:
                del target.request
            else:
                target.request = request


def calling(original, around):
    @functools.wraps(original)
    def request(*args, **kwargs):
        with around():
            return original(*args, **kwargs)

    return request


def calling_async(original, around):
    @functools.wraps(original)
    async def request(*args, **kwargs):
        with around():
            return await original(*args, **kwargs)

    return request


async def read_one(mode, client):
    """Read one stream to its end."""
    async with mode.entered(client.messages.stream(**ASK)) as stream:
        await by_iteration(mode, stream, seen := Seen())
    assert seen.events[-1].type == "message_stop"


async def read_with_a_new_client(mode, url):
    async with mode.entered(mode.client(url)) as client:
        await read_one(mode, client)


def test_a_class_replaced_before_the_instrumentation_is_recorded_once(mode, caplog):
    """It records nothing while the instrumentation is off, and once while it is on again."""
    with FakeAPI(WHOLE) as api, replaced(*CLASSES):
        for _ in range(2):
            with observed() as telemetry:
                mode.run(read_with_a_new_client, mode, api.url)
            mode.run(read_with_a_new_client, mode, api.url)
            telemetry.assert_recorded_once()
            assert telemetry.outcome_and_reason() == ("completed", None)
    assert caplog.records == []


def test_classes_replaced_twice_are_recorded_once(mode, caplog):
    with FakeAPI(WHOLE) as api, replaced(*CLASSES), replaced(*CLASSES), observed() as telemetry:
        mode.run(read_with_a_new_client, mode, api.url)
        telemetry.assert_recorded_once()
    assert caplog.records == []


def test_a_class_replaced_after_the_instrumentation_is_recorded_once(mode, caplog):
    with FakeAPI(WHOLE) as api, observed() as telemetry, replaced(*CLASSES):
        mode.run(read_with_a_new_client, mode, api.url)
        telemetry.assert_recorded_once()
    assert caplog.records == []


def test_a_subclass_that_calls_the_sdks_request_is_recorded_once(mode, monkeypatch):
    """It has a `request` of its own, which hides nothing."""

    def request(self, *args, **kwargs):
        return super(owner, self).request(*args, **kwargs)

    owner = CLASSES[mode.is_async]
    monkeypatch.setattr(owner, "request", request, raising=False)
    with FakeAPI(WHOLE) as api, observed() as telemetry:
        mode.run(read_with_a_new_client, mode, api.url)
        telemetry.assert_recorded_once()


def test_a_client_replaced_before_the_instrumentation_loses_its_first_stream(mode, caplog):
    """A warning names the client and the package."""

    async def body(url):
        async with mode.entered(mode.client(url)) as client:
            with replaced(client):
                with observed() as telemetry:
                    await read_one(mode, client)
                    assert telemetry.streams() == []
                    await read_one(mode, client)
                    telemetry.assert_recorded_once()
                await read_one(mode, client)
                telemetry.assert_recorded_once()

    with FakeAPI(WHOLE) as api, caplog.at_level(logging.WARNING, LOGGER):
        mode.run(body, api.url)
    (record,) = caplog.records
    name = CLASSES[mode.is_async].__name__
    assert record.getMessage() == (
        f"otel-claude-stream: tests replaced `request` of {name} before instrument() was called; "
        "the first stream of each such client is not recorded or retried. Call instrument() first"
    )


@pytest.mark.parametrize("when", ["before the instrumentation", "after it"])
def test_the_sdks_request_put_back_on_a_class_does_not_hide_streams(mode, when, caplog):
    """Logfire leaves it there when it is removed. After `instrument()`, the first stream is lost, with a warning."""
    owner = CLASSES[mode.is_async]
    owner.request = own = owner.request
    try:
        with FakeAPI(WHOLE) as api, observed() as telemetry, caplog.at_level(logging.WARNING, LOGGER):
            lost = when == "after it"
            if lost:
                owner.request = own
            for _ in range(2):
                mode.run(read_with_a_new_client, mode, api.url)
            telemetry.assert_recorded_once(streams=1 if lost else 2)
        assert ["another library replaced `request`" in record.getMessage() for record in caplog.records] == [
            True
        ] * lost
    finally:
        vars(owner).get("request") and delattr(owner, "request")


def test_a_client_whose_streams_cannot_be_recorded_is_named_in_one_warning(mode, caplog):
    """The replacement keeps the SDK's own in an attribute, not in a closure."""

    class Replacement:
        def __init__(self, request):
            self.__wrapped__ = request

        def __call__(self, *args, **kwargs):
            return self.__wrapped__(*args, **kwargs)

    async def body(url):
        async with mode.entered(mode.client(url)) as client:
            client.request = Replacement(client.request)
            with observed() as telemetry:
                await read_one(mode, client)
                await read_one(mode, client)
            assert telemetry.streams() == []

    with FakeAPI(WHOLE) as api, caplog.at_level(logging.WARNING, LOGGER):
        mode.run(body, api.url)
    (record,) = caplog.records
    assert "; its streams are not recorded or retried." in record.getMessage()


@pytest.mark.parametrize("broken", ["reroute_subclasses", "reroute_client"])
def test_a_failure_here_does_not_reach_the_caller(mode, broken, monkeypatch):
    """It is counted, and the stream is not recorded."""

    def fail(*_):
        raise RuntimeError("broken")

    async def body(url):
        async with mode.entered(mode.client(url)) as client:
            with replaced(client), observed() as telemetry:
                await read_one(mode, client)
                assert telemetry.streams() == []

    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(_guard, "_counts", {})
    for module in (hooks, sdk_hooks):
        monkeypatch.setattr(module, broken, fail, raising=False)
    with FakeAPI(WHOLE) as api:
        mode.run(body, api.url)
    assert list(_guard.counts()) == [{"reroute_subclasses": "instrument", "reroute_client": "process_response"}[broken]]


@pytest.mark.parametrize("order", ["before the instrumentation", "after it"])
def test_a_policy_acts_where_a_replacement_suppresses_telemetry(mode, order):
    """Nothing is recorded there."""
    suppressing = replaced(*CLASSES, around=suppress_instrumentation)
    instrumented = observed(retry_policy=RETRY)
    first, second = (suppressing, instrumented) if order.startswith("before") else (instrumented, suppressing)
    with FakeAPI([WHOLE.cut_after(1, Error()), WHOLE]) as api, first as one, second as other:
        mode.run(read_with_a_new_client, mode, api.url)
        assert len(api.requests) == 2
        assert (one or other).capture.spans() == []
