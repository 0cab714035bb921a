"""Each framework streams from a fake API, bare and with our instrumentation.

The runs are those of `runs.py`. A framework is data (`catalogue.py`) and an adapter; these tests are the same for all.
"""

from __future__ import annotations

import pytest
from tests.frameworks import faults
from tests.frameworks.catalogue import FRAMEWORKS
from tests.frameworks.runs import faults_of
from tests.frameworks.verdicts import (
    SPAN_OWNER,
    endings,
    expected_endings,
    others_spans,
    tokens_generated,
    tokens_of_metrics,
    tokens_of_spans,
    unaccounted_requests,
)

pytestmark = pytest.mark.slow

OBSERVED = [
    pytest.param(framework, way, fault.name, id=f"{framework.name}-{way}-{fault.name}")
    for framework in FRAMEWORKS
    for way in framework.ways
    for fault in faults_of(framework, "observe", way)
]
WAYS = [
    pytest.param(framework, way, id=f"{framework.name}-{way}") for framework in FRAMEWORKS for way in framework.ways
]

each_call = pytest.mark.parametrize(("framework", "way", "fault"), OBSERVED)
each_way = pytest.mark.parametrize(("framework", "way"), WAYS)
each_way_through_the_sdk = pytest.mark.parametrize(
    ("framework", "way"), [way for way in WAYS if way.values[0].through_sdk]
)
each_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)


@each_call
def test_application_sees_the_same(observed, way, fault):
    bare, ours = (observed.calls[mode, way, fault] for mode in ("bare", "observe"))
    assert ours.error == bare.error
    if fault == faults.LEFT.name:  # how far it read depends on the clock
        assert bare.texts
        assert ours.texts
    else:
        assert ours.texts == bare.texts


@each_call
def test_api_receives_the_same(observed, way, fault):
    bare, ours = (observed.calls[mode, way, fault] for mode in ("bare", "observe"))
    assert bare.requests
    assert ours.requests == bare.requests


@each_call
def test_each_stream_has_one_span(observed, framework, way, fault):
    call = observed.calls["observe", way, fault]
    if framework.seen:
        assert call.streams
        assert unaccounted_requests(call) == 0
    else:
        assert call.streams == []


@each_call
def test_outcome_and_abort_reason(observed, framework, way, fault):
    call = observed.calls["observe", way, fault]
    assert endings(call) == expected_endings(framework, way, call)


@each_call
def test_nothing_is_left_open(observed, way, fault):
    telemetry = observed.calls["observe", way, fault].telemetry
    assert telemetry["active"] == 0
    assert telemetry["internal_errors"] == []


@each_call
def test_spans_of_others_are_the_same(observed, way, fault):
    bare, ours = (observed.calls[mode, way, fault] for mode in ("bare", "observe"))
    # The SDK's own tracing yields to our span where that is a `chat` span.
    assert others_spans(ours) == others_spans(bare)


@each_way
@pytest.mark.parametrize("fault", [faults.HEALTHY.name, faults.BUSY.name])
def test_tokens_are_counted_once(observed, framework, way, fault):
    bare, ours = (observed.calls[mode, way, fault] for mode in ("bare", "observe"))
    once = tokens_generated(ours)
    # Others may count a token twice, or not at all. Both are as without us.
    assert tokens_of_spans(ours) == max(once if framework.seen else 0, tokens_of_spans(bare))
    recorded = tokens_of_metrics(bare)
    # Metrics are left to another owner of the call, whether it records them or not.
    ours_to_count = any(span["attributes"][SPAN_OWNER] != "other" for span in ours.streams)
    assert tokens_of_metrics(ours) == (max(once, recorded) if ours_to_count else recorded)


@each_way
def test_policy_leaves_a_healthy_answer_alone(observed, framework, way):
    bare, ours = observed.calls["bare", way, "healthy"], observed.calls["retry", way, "healthy"]
    assert (ours.texts, ours.error) == (bare.texts, [])
    assert len(ours.requests) == len(bare.requests)
    assert endings(ours) == expected_endings(framework, way, ours)


@each_way_through_the_sdk
def test_policy_retries_before_the_first_content(observed, framework, way):
    bare, ours = observed.calls["bare", way, "healthy"], observed.calls["retry", way, "recovered"]
    assert (ours.texts, ours.error) == (bare.texts, [])
    assert len(ours.requests) == len(bare.requests) + 1
    assert unaccounted_requests(ours) == (0 if framework.seen else len(ours.requests))
    assert endings(ours) == expected_endings(framework, way, ours)
    assert ours.telemetry["active"] == 0
    assert ours.telemetry["internal_errors"] == []


@each_framework
def test_nothing_is_logged(observed, framework):
    """Neither the observed application nor the one under a policy writes a line of ours."""
    lines = observed.stderr["observe"].splitlines()
    # A traceback of the framework may pass through our frames.
    messages = [line for line in lines if not line.startswith('  File "')]
    assert [line for line in messages if "otel-claude-stream:" in line or "otel_claude_stream" in line] == []
