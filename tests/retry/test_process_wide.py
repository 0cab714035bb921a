"""What holds for all streams of a process: the retry budget, and the kill switch."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import anthropic
import pytest
from tests.retry.test_ways import QUICK
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.rig import API, instrumented, read
from tests.support.scenes import STORY, told

from otel_claude_stream._core.retry.policy import Budget, Mode, RetryLimits, RetryPolicy, Rule, Scope, SdkRetries
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream._sdk.attach.lazy_hooks import LazyHooks
from otel_claude_stream.testing import FakeAPI

WHOLE = told(STORY)
BROKEN = WHOLE.cut_after(1)
TIGHT = RetryPolicy(
    mode=Mode.RETRY,
    budget=Budget(ratio=0.0, min_per_window=3),
    rules=(Rule(frozenset(AbortReason), backoff=QUICK),),
    limits=RetryLimits(max_attempts=2),
)
KILL_SWITCH = "OTEL_CLAUDE_STREAM_KILL_SWITCH"


def blocked(capture):
    """What stood in the way of each retry that did not happen."""
    return [
        event["attributes"]["claude.stream.retry.blocked_by"]
        for span in capture.spans()
        for event in span["events"]
        if event["name"] == "claude.stream.retry" and event["attributes"]["claude.stream.retry.decision"] == "give_up"
    ]


@pytest.mark.parametrize("way", ["create", "async create"])
def test_an_empty_budget_holds_back_retries_alone(monkeypatch, way):
    """First attempts go on; the budget is a sliding window, and comes back."""
    api = API(BROKEN)
    with instrumented(monkeypatch, api.clock, retry_policy=TIGHT) as capture:
        for call in range(8):
            assert read(api, way).error
            assert api.requests == 1 + call + min(3, call + 1)
        assert blocked(capture) == ["attempts"] * 3 + ["budget"] * 5
        api.clock.advance(70.0)
        read(api, way)
        assert api.requests == 8 + 3 + 2


def test_each_host_and_model_has_its_own(monkeypatch):
    """One model that is overloaded does not use up what is another's; with `scope: process` it does."""
    for scope, sent in ((Scope.HOST_MODEL, 4 + 2), (Scope.PROCESS, 4 + 1)):
        api = API(BROKEN)
        policy = replace(TIGHT, budget=replace(TIGHT.budget, scope=scope, min_per_window=1))
        with instrumented(monkeypatch, api.clock, retry_policy=policy):
            for model in ("claude-test", "claude-test", "claude-other", "claude-other"):
                read(api, model=model)
        assert api.requests == sent


def test_threads_share_it():
    """Forty calls at once, each of which breaks: three retries in all."""
    with FakeAPI(BROKEN) as api, observed(retry_policy=TIGHT) as telemetry:
        client = anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0)

        def call(_):
            try:
                for _event in client.messages.create(**ASK, stream=True):
                    pass
            except Exception as error:  # noqa: BLE001 - each of them ends so
                return type(error).__name__

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(call, range(40))) == {"RemoteProtocolError"}
        assert len(api.requests) == 43
    telemetry.assert_recorded_once(streams=40)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_has_its_own(monkeypatch):
    """It has made no calls: the parent's are not its own, nor is a lock that a thread of the parent held."""
    api = API(BROKEN)
    with instrumented(monkeypatch, api.clock, retry_policy=TIGHT):
        for _ in range(5):
            read(api)
        before = api.requests
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                for _ in range(5):
                    read(api)
                os.write(writing, json.dumps(api.requests - before).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            assert json.loads(pipe.read()) == 5 + 3
        assert os.waitpid(child, 0)[1] == 0
        read(api)
        assert api.requests == before + 1


@pytest.mark.parametrize("way", ["create", "async create"])
def test_the_kill_switch_is_read_at_each_stream(monkeypatch, way):
    """On: as in `observe`, the SDK's loop included, and what would have been done is told. Off again: as before."""
    api = API([BROKEN, WHOLE, BROKEN, BROKEN, WHOLE])
    policy = replace(TIGHT, sdk_retries=SdkRetries.REPLACE)
    with instrumented(monkeypatch, api.clock, retry_policy=policy) as capture:
        assert read(api, way).error == []
        monkeypatch.setenv(KILL_SWITCH, "true")
        assert read(api, way).error
        monkeypatch.setenv(KILL_SWITCH, "false")
        assert read(api, way).error == []
    assert api.requests == 5
    told_dry = [
        event["attributes"]["claude.stream.retry.dry_run"]
        for span in capture.spans()
        for event in span["events"]
        if event["name"] == "claude.stream.retry"
    ]
    assert told_dry == [False, True, False]


def test_a_stream_may_be_closed_while_the_watch_is_made():
    """By a garbage collection in the middle of it, which waits for nobody; what comes later is watched as ever."""
    closed = []

    def make():
        closed.append(lazy.get())
        return "hooks"

    lazy = LazyHooks(make)
    assert (lazy.get(), closed) == ("hooks", [None])
