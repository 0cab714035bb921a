"""Any policy file is loaded or rejected in a short time, with a short message."""

from __future__ import annotations

import logging
import time

import pytest
from tests.support.policy_samples import load_policy

from otel_claude_stream._config.policy.loading import PolicyError, load
from otel_claude_stream._config.policy.text import MAX_BYTES
from otel_claude_stream._config.problem import Severity

FILE = "OTEL_CLAUDE_STREAM_CONFIG"
SIZE = MAX_BYTES - 100


def keys(count):
    return ",".join(f'"k{number}":1' for number in range(count))


def rules(count, text="{reasons: [silent]}"):
    return "rules: [" + ",".join([text] * count) + "]\n"


TEXTS = {
    "far too many keys.yaml": "".join(f"k{number}: 1\n" for number in range(90_000)),
    "far too many keys.json": f"{{{keys(90_000)}}}",
    "many keys.yaml": "".join(f"k{number}: 1\n" for number in range(2_500)),
    "many keys.json": f"{{{keys(2_500)}}}",
    "equal keys.json": "{" + ",".join(['"k":1'] * (SIZE // 6)) + "}",
    "allowed number of keys.json": f"{{{keys(490)}}}",
    "long keys.json": "{" + ",".join(f'"{"k" * 1000}{number}":1' for number in range(30)) + "}",
    "list.yaml": "mode: [" + "x," * (SIZE // 2) + "x]",
    "rules.json": '{"rules":[' + ",".join(["{}"] * (SIZE // 3)) + "]}",
    "rules.yaml": rules(150),
    "models.yaml": "models: {" + ",".join(f"k{number}: {{}}" for number in range(240)) + "}",
    "models and rules.yaml": rules(20, "{reasons: [silent], backoff: {base: 9s}}")
    + "models: {" + ",".join(f"k{number}: {{mode: retry}}" for number in range(100)) + "}",
    "brackets.yaml": "mode: " + "[" * SIZE,
    "brackets.json": '{"mode": ' + "[" * SIZE,
    "braces.yaml": "{a: " * (SIZE // 4),
    "dashes.yaml": "- " * (SIZE // 2) + "x",
    "indentation.yaml": "".join(f"{' ' * depth}a:\n" for depth in range(250)),
    "words.yaml": "mode: " + "q " * (SIZE // 2),
    "lines.yaml": "\n" * SIZE,
    "block.yaml": "mode: |\n" + "  q\n" * (SIZE // 4),
    "digits.json": '{"limits": {"max_attempts": ' + "9" * (SIZE - 30) + "}}",
    "digits.yaml": "limits: {max_attempts: " + "9" * (SIZE - 30) + "}",
    "references.yaml": 'mode: "' + "${A}" * (SIZE // 5) + '"',
    "invalid references.json": "{" + ",".join(f'"k{number}":"${{-"' for number in range(490)) + "}",
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Write a policy file, and return the environment that names it."""

    def writing(name, text):
        (tmp_path / name).write_text(text)
        return {FILE: str(tmp_path / name)}

    return writing


def test_more_than_20_problems_are_counted(write):
    environment = write("policy.json", f'{{"version": 1, {keys(30)}}}')
    _, problems = load_policy(environment)
    assert len(problems) == 21
    assert str(problems[-1]) == "retry policy: and 10 more problems"
    assert len(str(PolicyError(problems)).splitlines()) == 21


def test_errors_are_reported_before_warnings(write):
    models = ",".join(f'"k{number}": {{}}' for number in range(30))
    _, problems = load_policy(write("policy.json", f'{{"mode": "retri", "models": {{{models}}}}}'))
    assert [problem.severity for problem in problems] == [Severity.ERROR] + [Severity.WARNING] * 20
    assert problems[0].setting == "mode"


QUICKLY = 1.0
"""Seconds of processor time. These files take 0.1 to 0.2."""


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_file_is_rejected_quickly_with_a_short_message(name, write, caplog):
    caplog.set_level(logging.WARNING)
    load_policy(write("policy.yaml", "version: 1\nmode: retry\n"))  # imports PyYAML
    environment = write(name, TEXTS[name])
    needed = []
    for _ in range(3):
        before = time.thread_time()
        found = load(environment)
        needed.append(time.thread_time() - before)
    assert min(needed) < QUICKLY
    assert sum(len(str(problem)) for problem in found.problems) < 8_000
    assert found.errors or name in {"lines.yaml", "models.yaml"}
    assert caplog.records == []


def test_a_file_within_the_bounds_is_loaded(write):
    """It has 20 rules and 100 patterns of models."""
    text = "version: 1\nmode: retry\n" + rules(20, "{reasons: [overloaded, silent]}")
    text += "models: {" + ",".join(f"claude-{number}: {{limits: {{max_requests: 5}}}}" for number in range(100)) + "}\n"
    policy, problems = load_policy(write("policy.yaml", text))
    assert not [problem for problem in problems if problem.severity is Severity.ERROR]
    assert (len(policy.rules), len(policy.models)) == (20, 100)


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({"rules": [{"reasons": ["silent"]}] * 21}, "rules"),
        ({"models": {f"claude-{number}": {} for number in range(101)}}, "models"),
        ({"models": {"claude-*": {"rules": [{"reasons": ["silent"]}] * 21}}}, "models.claude-*.rules"),
    ],
)
def test_more_rules_or_patterns_are_one_error(values, setting):
    _, (problem,) = load_policy({}, values)
    assert (problem.setting, problem.severity) == (setting, Severity.ERROR)
    assert " of at most 20 " in problem.allowed or " from at most 100 " in problem.allowed


def test_a_number_with_too_many_digits_is_one_error(write):
    environment = write("policy.json", '{"limits": {"max_attempts": ' + "9" * 5000 + "}}")
    _, problems = load_policy(environment)
    assert "not valid" in str(problems[0]) or str(problems[0]).endswith(": a number has too many digits")
