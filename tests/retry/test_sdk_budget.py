"""The retries of the SDK use the budget too, as they would cause a retry storm in an incident."""

from __future__ import annotations

import pytest
from tests.support.rig import API, WAYS, instrumented, read
from tests.support.scenes import MESSAGE

from otel_claude_stream._core.retry.policy import Budget, Mode, RetryPolicy
from otel_claude_stream.testing import Script

ONE_RETRY = RetryPolicy(mode=Mode.RETRY, budget=Budget(ratio=0.0, min_per_window=1))
"""Allows one retry in a minute."""
FAULTS = {"529": Script.http_error(529), "refused": Script.no_response()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_retries_of_the_sdk_end_with_the_budget(monkeypatch, fault, way):
    """The SDK sends one of its two retries, and then raises its usual error."""
    script = FAULTS[fault]
    expected = read(API(script), way, options={"max_retries": 0})
    api = API(script)
    with instrumented(monkeypatch, api.clock, retry_policy=ONE_RETRY) as capture:
        seen = read(api, way, options={"max_retries": 2})
        (span,) = [span for span in capture.spans() if span["name"].startswith("chat")]
    assert api.requests == 2
    assert [name for name, _ in seen.error] == [name for name, _ in expected.error]
    decisions = [event["attributes"] for event in span["events"] if event["name"] == "claude.stream.retry"]
    assert [
        (decision["claude.stream.retry.layer"], decision["claude.stream.retry.decision"]) for decision in decisions
    ] == [
        ("sdk", "retry"),
        ("policy", "give_up"),
    ]
    assert decisions[-1]["claude.stream.retry.blocked_by"] == "budget"


def test_an_empty_budget_does_not_suppress_a_first_attempt(monkeypatch):
    """The second call is sent although the first one has used up the budget."""
    api = API((Script.http_error(529), Script.http_error(529), MESSAGE))
    with instrumented(monkeypatch, api.clock, retry_policy=ONE_RETRY):
        assert read(api, options={"max_retries": 2}).error
        assert read(api, options={"max_retries": 2}).error == []
    assert api.requests == 3


def test_in_mode_observe_the_budget_does_not_limit_the_sdk(monkeypatch):
    """Both retries of the SDK are sent."""
    api = API((Script.http_error(529), Script.http_error(529), MESSAGE))
    with instrumented(monkeypatch, api.clock, retry_policy=RetryPolicy(budget=ONE_RETRY.budget)):
        assert read(api, options={"max_retries": 2}).error == []
    assert api.requests == 3
