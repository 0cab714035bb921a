"""Warn about patterns of models that match no Claude model."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from tests.support.policy_samples import load_policy

NAMES = [
    "claude-haiku-4-5",
    "claude-3-5-haiku-20241022",
    "claude-haiku-4-5@20251001",
    "anthropic.claude-3-haiku-20240307-v1:0",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "global.anthropic.claude-haiku-4-5-20251001-v1:0",
]


def warnings(pattern):
    _, problems = load_policy({}, {"mode": "retry", "models": {pattern: {"limits": {"max_requests": 5}}}})
    return [str(problem) for problem in problems]


def test_a_pattern_that_matches_no_model_is_one_warning_with_the_remedy():
    assert warnings("haiku") == [
        (
            "instrument(): models.haiku='{limits: ...}': this pattern matches no Claude model, because it must match "
            "the whole name of the model; use '*haiku*' instead"
        )
    ]


@pytest.mark.parametrize("pattern", ["haiku", "haiku-*", "Claude-haiku-*", "HAIKU*", "claude-haiku", "sonnet?"])
def test_no_model_matches_a_pattern_with_a_warning(pattern):
    assert not any(fnmatchcase(name, pattern) for name in NAMES)
    assert len(warnings(pattern)) == 1


@pytest.mark.parametrize("pattern", [*NAMES, "*", "*haiku*", "claude-*", "c*", "us.*", "?laude-*", "[uc]*"])
def test_a_pattern_that_matches_a_model_has_no_warning(pattern):
    assert any(fnmatchcase(name, pattern) for name in NAMES)
    assert warnings(pattern) == []


def test_a_pattern_of_two_layers_is_one_warning_for_the_last(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nmode: retry\nmodels: {haiku: {limits: {max_requests: 5}}}\n")
    _, (problem,) = load_policy({"OTEL_CLAUDE_STREAM_CONFIG": str(path)}, {"models": {"haiku": {"mode": "observe"}}})
    assert (problem.source, problem.setting) == ("instrument()", "models.haiku")
