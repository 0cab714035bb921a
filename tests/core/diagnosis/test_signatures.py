"""The classifier on the measured signatures of 49 proxy set-ups, half of them never looked at while it was written."""

from __future__ import annotations

import pytest
from tests.support.proxies.signature_truths import LAB_LIMITS
from tests.support.proxies.signatures import Case, cases

from otel_claude_stream._core.diagnosis.classify import classify

CASES = list(cases())
TUNED = [case for case in CASES if not case.held_out]
HELD_OUT = [case for case in CASES if case.held_out]


def decidable(some: list[Case]) -> list[Case]:
    return [case for case in some if not case.undecidable]


def share(some: list[Case], *, first: bool) -> float:
    right = 0
    for case in some:
        verdict = classify(case.facts, LAB_LIMITS)
        right += case.truth.first(verdict) if first else case.truth.named(verdict)
    return right / len(some)


def test_the_table_is_read_whole():
    """All set-ups and columns, and most cells can be decided: the rest is not a place to hide failures in."""
    assert len({case.proxy for case in CASES}) == 49
    assert len({case.fault for case in CASES}) == 32
    assert len({case.proxy for case in HELD_OUT}) >= 20
    assert len(decidable(CASES)) / len(CASES) > 0.8


@pytest.mark.parametrize("half", [TUNED, HELD_OUT], ids=["tuned", "held-out"])
def test_the_first_answer_is_the_truth_in_most_decidable_cases(half, capsys):
    some = decidable(half)
    figure = share(some, first=True)
    with capsys.disabled():
        print(
            f"\n  {len(some)} decidable of {len(half)}: first answer {figure:.1%}, "
            f"named {share(some, first=False):.1%}; named where undecidable "
            f"{share([case for case in half if case.undecidable], first=False):.1%}"
        )
    assert figure >= 0.85


@pytest.mark.parametrize("half", [TUNED, HELD_OUT], ids=["tuned", "held-out"])
def test_nothing_hides_among_the_undecidable(half):
    """Even with every cell counted that no client can tell, the first answer is the truth as often as asked."""
    assert share(half, first=True) >= 0.85


@pytest.mark.parametrize(
    "case", decidable(CASES), ids=lambda case: f"{case.proxy}-{case.fault}-{case.mode}-{case.code}"
)
def test_the_truth_is_among_the_named(case):
    verdict = classify(case.facts, LAB_LIMITS)
    assert case.truth.named(verdict), verdict
