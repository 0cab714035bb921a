"""The retry budget and the kill switch, which apply to all streams of a process."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import anthropic
import pytest
from tests.support.interrupted_text import NO_BACKOFF
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.rig import API, instrumented, read
from tests.support.scenes import STORY, paced_script

from otel_claude_stream import stream_labels
from otel_claude_stream._core.retry.budget import MAX_KEYS
from otel_claude_stream._core.retry.policy import Budget, Mode, RetryLimits, RetryPolicy, Rule, Scope, SdkRetries
from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream._session.policy_resolver import PolicyResolver
from otel_claude_stream.testing import FakeAPI

COMPLETE = paced_script(STORY)
BROKEN = COMPLETE.cut_after(1)
SMALL_BUDGET = RetryPolicy(
    mode=Mode.RETRY,
    budget=Budget(ratio=0.0, min_per_window=3),
    rules=(Rule(frozenset(AbortReason), backoff=NO_BACKOFF),),
    limits=RetryLimits(max_attempts=2),
)
KILL_SWITCH = "OTEL_CLAUDE_STREAM_KILL_SWITCH"


def blockers(capture):
    """Return the blocker of each decision to give up."""
    return [
        event["attributes"]["claude.stream.retry.blocked_by"]
        for span in capture.spans()
        for event in span["events"]
        if event["name"] == "claude.stream.retry" and event["attributes"]["claude.stream.retry.decision"] == "give_up"
    ]


@pytest.mark.parametrize("way", ["create", "async create"])
def test_an_empty_budget_blocks_retries_but_no_first_attempt(monkeypatch, way):
    """The budget is a sliding window, so retries are possible again later."""
    api = API(BROKEN)
    with instrumented(monkeypatch, api.clock, retry_policy=SMALL_BUDGET) as capture:
        for call in range(8):
            assert read(api, way).error
            assert api.requests == 1 + call + min(3, call + 1)
        assert blockers(capture) == ["attempts"] * 3 + ["budget"] * 5
        api.clock.advance(70.0)
        read(api, way)
        assert api.requests == 8 + 3 + 2


def test_each_host_and_model_has_a_separate_budget(monkeypatch):
    """An overloaded model does not use up the budget of another one, unless the scope is `process`."""
    for scope, sent in ((Scope.HOST_MODEL, 4 + 2), (Scope.PROCESS, 4 + 1)):
        api = API(BROKEN)
        policy = replace(SMALL_BUDGET, budget=replace(SMALL_BUDGET.budget, scope=scope, min_per_window=1))
        with instrumented(monkeypatch, api.clock, retry_policy=policy):
            for model in ("claude-test", "claude-test", "claude-other", "claude-other"):
                read(api, model=model)
        assert api.requests == sent


@pytest.mark.parametrize(
    ("scope", "sent"),
    [
        (Scope.PROCESS, 1),
        (Scope.HOST, 1),
        (Scope.MODEL, 2),
        (Scope.HOST_MODEL, 2),
        (Scope.LABEL, 3),
        (Scope.HOST_MODEL_LABEL, 5),
    ],
)
def test_a_budget_may_belong_to_a_host_a_model_or_the_labels_of_the_caller(monkeypatch, scope, sent):
    """Two models, and two tenants besides a caller without labels. Each budget allows one retry."""
    calls = [("claude-a", "one"), ("claude-b", "one"), ("claude-a", "two"), ("claude-b", "two"), ("claude-a", None)]
    api = API(BROKEN)
    policy = replace(SMALL_BUDGET, budget=replace(SMALL_BUDGET.budget, scope=scope, min_per_window=1))
    with instrumented(monkeypatch, api.clock, retry_policy=policy) as capture:
        for model, tenant in calls * 2:
            with stream_labels(tenant=tenant):
                read(api, model=model)
        found = capture.metrics()["claude.stream.retry.budget"]["points"]
    assert api.requests == 2 * len(calls) + sent
    expected = {
        tuple(
            (name, value)
            for name, part, value in (
                ("claude.stream.label.tenant", "label", tenant),
                ("gen_ai.request.model", "model", model),
                ("server.address", "host", "api.example.com"),
            )
            if part in scope.value.split("_") and value is not None
        )
        for model, tenant in calls
    }
    assert {tuple(sorted(point["attributes"].items())) for point in found} == expected
    assert [point["value"] for point in found] == [0.0] * sent


def test_labels_with_many_values_share_the_budget_of_other(monkeypatch):
    """A thousand values of a label make no thousand budgets, which would each allow retries."""
    api = API(BROKEN)
    budget = replace(SMALL_BUDGET.budget, scope=Scope.LABEL, min_per_window=1)
    settings = {"retry_policy": replace(SMALL_BUDGET, budget=budget), "max_label_values": 2}
    with instrumented(monkeypatch, api.clock, **settings):
        for number in range(20):
            with stream_labels(tenant=str(number)):
                read(api)
    assert api.requests == 20 + 3


def test_the_labels_of_budgets_are_bounded():
    """Models come from requests. Their budgets are bounded too."""
    resolver = PolicyResolver(SMALL_BUDGET, clock=lambda: 0)
    for number in range(2 * MAX_KEYS):
        call = Call(f"claude-{number}", "anthropic", "messages", "create", "api", 443, "self")
        resolver.call_policy(call, {"gen_ai.request.model": "other", "server.address": "api"}, lambda _: None)
    assert len(resolver._labels) == MAX_KEYS


def test_threads_share_the_budget():
    """Forty calls that break at once get three retries in total."""
    with FakeAPI(BROKEN) as api, observed(retry_policy=SMALL_BUDGET) as telemetry:
        client = anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0)

        def call(_):
            try:
                for _event in client.messages.create(**ASK, stream=True):
                    pass
            except Exception as error:  # noqa: BLE001 - each call fails
                return type(error).__name__

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(call, range(40))) == {"RemoteProtocolError"}
        assert len(api.requests) == 43
    telemetry.assert_recorded_once(streams=40)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_starts_with_a_full_budget(monkeypatch):
    """The calls of the parent do not count in the child."""
    api = API(BROKEN)
    with instrumented(monkeypatch, api.clock, retry_policy=SMALL_BUDGET):
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
    """While it is on, the SDK retries as in mode `observe`, and decisions are marked as dry runs."""
    api = API([BROKEN, COMPLETE, BROKEN, BROKEN, COMPLETE])
    policy = replace(SMALL_BUDGET, sdk_retries=SdkRetries.REPLACE)
    with instrumented(monkeypatch, api.clock, retry_policy=policy) as capture:
        assert read(api, way).error == []
        monkeypatch.setenv(KILL_SWITCH, "true")
        assert read(api, way).error
        monkeypatch.setenv(KILL_SWITCH, "false")
        assert read(api, way).error == []
    assert api.requests == 5
    dry_runs = [
        event["attributes"]["claude.stream.retry.dry_run"]
        for span in capture.spans()
        for event in span["events"]
        if event["name"] == "claude.stream.retry"
    ]
    assert dry_runs == [False, True, False]
