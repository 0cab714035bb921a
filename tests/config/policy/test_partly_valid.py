"""Contradictions are found among the valid values of a policy with errors."""

from __future__ import annotations

import pytest
from tests.support.policy_samples import load_policy

from otel_claude_stream._core.retry.policy import RetryPolicy

FILE = "OTEL_CLAUDE_STREAM_CONFIG"

BROKEN = """\
version: 1
mode: resume
limits: {max_attempts: 2, max_resumes: 2}
backoff: {base: 30s, cap: 1s}
retry_after: {honour: perhaps}
watchdog: {silence: 200ms}
resume: {anchor_chars: 4, prompt: Go on}
rules:
  - {reasons: [overload]}
  - {reasons: [silent], max_attempts: 4}
  - {reasons: [silent]}
  - {retry: false, backoff: {base: 9s}}
models:
  haiku: {limits: {deadline: 5}}
"""


def settings(problems):
    return [problem.setting for problem in problems]


def test_errors_and_contradictions_are_reported_in_one_run(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(BROKEN)
    policy, problems = load_policy({FILE: str(path)})
    assert policy == RetryPolicy()
    assert settings(problems) == [
        "retry_after.honour", "resume.anchor_chars", "rules[0].reasons[0]", "rules[3].reasons",
        "models.haiku.limits.deadline",
        "limits.max_resumes", "rules[1].max_attempts", "backoff.base", "rules[3].backoff.base", "watchdog.silence",
        "rules[2].reasons", "resume.prompt",
        "models.haiku",
    ]  # fmt: skip


def test_errors_of_one_source_do_not_hide_contradictions_in_another(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nmode: retri\n")
    variables = {"OTEL_CLAUDE_STREAM_BACKOFF__BASE": "9s", "OTEL_CLAUDE_STREAM_BUDGET__RATIO": "2"}
    _, problems = load_policy({FILE: str(path), **variables})
    assert settings(problems) == ["mode", "OTEL_CLAUDE_STREAM_BUDGET__RATIO", "OTEL_CLAUDE_STREAM_BACKOFF__BASE"]


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "retri", "sdk_retries": "replace"},
        {"mood": "retry", "sdk_retries": "replace"},
        {"mode": "resume", "limits": {"max_attempts": "5", "max_resumes": 3}},
        {"mode": "resume", "limits": {"max_atempts": 5, "max_resumes": 3}},
        {"mode": "resume", "max_attempts": 5, "limits": {"max_resumes": 3}},
        {"limits": 3, "rules": [{"reasons": ["silent"], "max_attempts": 5}]},
        {"limits": {"deadline": 3600}, "retry_after": {"max": "15m"}},
        {"watchdog": {"silence": 60, "first_event": "60s"}},
        {"watchdog": {"no_progress": "60s", "tool_use": {"no_progress": 720}}},
        {"watchdog": {"no_progress": 900, "text": {"silence": "8m"}}, "preset": "batch"},
        {"watchdog": {"no_progress": "7m", "text": {"silence": "9m", "no_progress": 900}}},
        {"watchdog": {"lifetime": 1800, "thinking": {"no_progress": "20m"}}, "limits": {"deadline": None}},
        {"backoff": {"cap": 60, "base": "20s"}},
        {"rules": [{"reasons": ["silent"], "backoff": {"base": "20s", "cap": 60}}]},
        {"rules": [{"reasons": ["silent"]}, {"reasons": ["silent", "truncate"]}]},
        {"resume": {"anchor_chars": 100, "min_partial_chars": "200"}},
        {"preset": "bacth", "sdk_retries": "replace"},
        {"models": {"claude-*": {"mode": "retri", "sdk_retries": "replace"}}},
        {"models": {"claude-*": {"limits": {"max_atempts": 5, "max_resumes": 3}, "mode": "resume"}}},
    ],
)
def test_no_contradiction_to_the_default_of_an_invalid_value_is_reported(values):
    """The invalid value was meant to be another one than the default."""
    _, problems = load_policy({}, values)
    assert len(problems) == 1


def test_an_unreadable_file_is_the_only_problem(tmp_path):
    variables = {"OTEL_CLAUDE_STREAM_SDK_RETRIES": "replace"}
    _, problems = load_policy({FILE: str(tmp_path / "missing.yaml"), **variables})
    assert len(problems) == 1
