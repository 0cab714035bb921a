"""Which policy holds for a model."""

from __future__ import annotations

import pytest

from otel_claude_stream._core.retry.policy import Mode, RetryPolicy

ANY_CLAUDE, HAIKU, ONE = RetryPolicy(mode=Mode.RETRY), RetryPolicy(mode=Mode.RESUME), RetryPolicy(kill_switch=True)
POLICY = RetryPolicy(
    models=(("claude-*", ANY_CLAUDE), ("claude-haiku-*", HAIKU), ("claude-haiku-4-5", ONE), ("*-4-5-*", ONE))
)


@pytest.mark.parametrize(
    ("model", "policy"),
    [
        ("claude-opus-5", ANY_CLAUDE),
        ("claude-haiku-5-5", HAIKU),
        ("claude-haiku-4-5", ONE),
        ("claude-haiku-4-5-20251001", HAIKU),
        ("another", POLICY),
    ],
)
def test_the_most_specific_pattern_of_a_model_wins(model, policy):
    assert POLICY.for_model(model) is policy
