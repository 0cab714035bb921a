"""The SDK's own retries draw on the budget: in an incident they are the storm."""

from __future__ import annotations

import pytest
from tests.support.rig import API, WAYS, instrumented, read
from tests.support.scenes import MESSAGE

from otel_claude_stream._core.retry.policy import Budget, Mode, RetryPolicy
from otel_claude_stream.testing import Script

ONE = RetryPolicy(mode=Mode.RETRY, budget=Budget(ratio=0.0, min_per_window=1))
"""A single retry a minute."""
FAULTS = {"529": Script.http_error(529), "refused": Script.no_response()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_sdks_own_retries_end_with_the_budget(monkeypatch, fault, way):
    """One of its two retries is sent; the error is the one that it raises itself when it has none left."""
    script = FAULTS[fault]
    bare = API(script)
    without = read(bare, way, options={"max_retries": 0})
    api = API(script)
    with instrumented(monkeypatch, api.clock, retry_policy=ONE) as capture:
        seen = read(api, way, options={"max_retries": 2})
        (span,) = [span for span in capture.spans() if span["name"].startswith("chat")]
    assert api.requests == 2
    assert [name for name, _ in seen.error] == [name for name, _ in without.error]
    told = [event["attributes"] for event in span["events"] if event["name"] == "claude.stream.retry"]
    assert [(said["claude.stream.retry.layer"], said["claude.stream.retry.decision"]) for said in told] == [
        ("sdk", "retry"),
        ("policy", "give_up"),
    ]
    assert told[-1]["claude.stream.retry.blocked_by"] == "budget"


def test_a_first_attempt_is_never_suppressed(monkeypatch):
    """However empty the budget is."""
    api = API((Script.http_error(529), Script.http_error(529), MESSAGE))
    with instrumented(monkeypatch, api.clock, retry_policy=ONE):
        assert read(api, options={"max_retries": 2}).error
        assert read(api, options={"max_retries": 2}).error == []
    assert api.requests == 3


def test_observed_the_sdk_retries_as_it_likes(monkeypatch):
    api = API((Script.http_error(529), Script.http_error(529), MESSAGE))
    with instrumented(monkeypatch, api.clock, retry_policy=RetryPolicy(budget=ONE.budget)):
        assert read(api, options={"max_retries": 2}).error == []
    assert api.requests == 3
