"""The party that ended a stream, from the client's verdict and the API's own span, with a test for each rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.diagnosis.both_ends import JOIN_RULES, ApiOutcome, BothEnds, join
from otel_claude_stream._core.vocabulary import Origin, Outcome

CUT = BothEnds(Outcome.FAILED, Origin.NETWORK, ApiOutcome.COMPLETED)
UNKNOWN = replace(CUT, origin=Origin.UNKNOWN)
TIMED_OUT = replace(CUT, origin=Origin.CLIENT)
BEFORE = {"longer": -40.0, "later": -39.0}

ROWS = {
    "api_absent": (replace(CUT, api=ApiOutcome.ABSENT), None),
    "message_complete": (BothEnds(Outcome.COMPLETED, Origin.UNKNOWN, ApiOutcome.FAILED), None),
    "caller_ended": (BothEnds(Outcome.CLOSED, Origin.CALLER, ApiOutcome.CANCELLED), None),
    "api_reported": (replace(CUT, origin=Origin.ANTHROPIC), None),
    "client_timed_out": (replace(TIMED_OUT, api=ApiOutcome.CANCELLED, longer=-0.5, later=0.1), None),
    "api_outlived": (replace(CUT, api=ApiOutcome.FAILED, longer=30.0, later=30.0), Origin.INTERMEDIARY),
    "api_completed": (CUT, Origin.INTERMEDIARY),
    "api_cancelled": (replace(UNKNOWN, api=ApiOutcome.CANCELLED), Origin.INTERMEDIARY),
    "api_failed_behind_a_hop": (replace(CUT, origin=Origin.INTERMEDIARY, api=ApiOutcome.FAILED), None),
    "api_failed": (replace(UNKNOWN, api=ApiOutcome.FAILED), Origin.ANTHROPIC),
}
"""By the ID of the rule: both ends, and the origin that follows."""


@pytest.mark.parametrize("rule", ROWS)
def test_each_rule_has_its_row(rule: str) -> None:
    ends, origin = ROWS[rule]
    found = join(ends)
    assert (found.id, found.origin) == (rule, origin)
    assert bool(found.advice) is (origin is not None)


def test_the_rows_are_those_of_the_table() -> None:
    assert [rule.id for rule in JOIN_RULES] == list(ROWS)
    assert all(rule.description.endswith(".") for rule in JOIN_RULES)


def test_the_api_still_worked_only_if_it_took_longer_than_the_client() -> None:
    """The clocks of two machines differ, so the end by the clock is not enough."""
    failed = replace(CUT, api=ApiOutcome.FAILED)
    assert join(replace(failed, longer=1.1)).id == "api_outlived"
    assert join(replace(failed, longer=0.9, later=600.0)).id == "api_failed"


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        (BEFORE, "api_completed"),
        ({**BEFORE, "later": -4.0}, "client_timed_out"),  # by the clock it ended just before
        ({**BEFORE, "longer": -4.0}, "client_timed_out"),
        ({"longer": 30.0, "later": 30.0}, "client_timed_out"),  # the API did not notice that the client left
    ],
)
def test_a_time_out_of_the_client_counts_unless_the_api_ended_well_before(more: dict[str, float], rule: str) -> None:
    assert join(replace(TIMED_OUT, **more)).id == rule


@pytest.mark.parametrize(("api", "rule"), [(ApiOutcome.CANCELLED, "api_cancelled"), (ApiOutcome.FAILED, "api_failed")])
def test_a_client_that_timed_out_long_after_the_api_ended_did_not_end_it(api: ApiOutcome, rule: str) -> None:
    """A hop hung up on the API and left the client waiting, or the API failed and the client never learned it."""
    assert join(replace(TIMED_OUT, api=api, **BEFORE)).id == rule


@given(
    st.sampled_from(Outcome),
    st.sampled_from(Origin),
    st.sampled_from(ApiOutcome),
    st.floats(allow_nan=True),
    st.floats(allow_nan=True),
)
def test_only_failures_of_uncertain_origin_get_another_one(
    outcome: Outcome, origin: Origin, api: ApiOutcome, longer: float, later: float
) -> None:
    found = join(BothEnds(outcome, origin, api, longer, later)).origin
    if api is ApiOutcome.ABSENT or outcome is not Outcome.FAILED or origin in (Origin.ANTHROPIC, Origin.CALLER):
        assert found is None
    if origin is Origin.INTERMEDIARY:
        assert found in (None, Origin.INTERMEDIARY)
