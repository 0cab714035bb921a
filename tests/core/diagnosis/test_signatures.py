"""The classifier on the measured signatures of 49 proxy set-ups. Half of them were held out while it was written."""

from __future__ import annotations

import pytest
from tests.support.proxies.signature_truths import LAB_LIMITS
from tests.support.proxies.signatures import Case, cases

from otel_claude_stream._core.diagnosis.classify import classify

CASES = list(cases())
TUNED = [case for case in CASES if not case.held_out]
HELD_OUT = [case for case in CASES if case.held_out]


def decidable(half: list[Case]) -> list[Case]:
    return [case for case in half if not case.undecidable]


def accuracy(some: list[Case], *, first: bool) -> float:
    correct = 0
    for case in some:
        verdict = classify(case.facts, LAB_LIMITS)
        correct += case.truth.is_first(verdict) if first else case.truth.is_named(verdict)
    return correct / len(some)


@pytest.mark.parametrize(
    "case", decidable(CASES), ids=lambda case: f"{case.proxy}-{case.fault}-{case.mode}-{case.code}"
)
def test_the_verdict_names_the_truth(case):
    verdict = classify(case.facts, LAB_LIMITS)
    assert case.truth.is_named(verdict), verdict


def test_the_table_is_read_completely():
    """Most cells can be decided, so the undecidable ones cannot hide failures."""
    assert len({case.proxy for case in CASES}) == 49
    assert len({case.fault for case in CASES}) == 32
    assert len({case.proxy for case in HELD_OUT}) >= 20
    assert len(decidable(CASES)) / len(CASES) > 0.8


@pytest.mark.parametrize("half", [TUNED, HELD_OUT], ids=["tuned", "held-out"])
def test_the_first_answer_is_the_truth_in_most_decidable_cases(half, capsys):
    some = decidable(half)
    share = accuracy(some, first=True)
    with capsys.disabled():
        print(
            f"\n  {len(some)} decidable of {len(half)}: first answer {share:.1%}, "
            f"named {accuracy(some, first=False):.1%}; named where undecidable "
            f"{accuracy([case for case in half if case.undecidable], first=False):.1%}"
        )
    assert share >= 0.85


@pytest.mark.parametrize("half", [TUNED, HELD_OUT], ids=["tuned", "held-out"])
def test_the_first_answer_is_the_truth_in_most_cases_with_undecidable_ones(half):
    assert accuracy(half, first=True) >= 0.85
