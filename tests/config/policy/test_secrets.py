"""Values of variables that a policy file refers to appear in no message."""

from __future__ import annotations

import json

import pytest
from tests.support.policy_samples import load_policy

from otel_claude_stream import retry_policy
from otel_claude_stream._config.policy.loading import PolicyError
from otel_claude_stream.cli.doctor.policy import policy as doctor

SECRET = "sk-CANARY-1"
NUMBER = "7654321"
ENVIRONMENT = {"SECRET": SECRET, "NUMBER": NUMBER}

FILES = [
    {"mode": "${SECRET}"},
    {"mode": "${env:SECRET}"},
    {"limits": {"deadline": "${SECRET}"}},
    {"limits": {"deadline": "${NUMBER}"}},
    {"limits": {"max_attempts": "${NUMBER}"}},
    {"limits": "${SECRET}"},
    {"unknown": "${SECRET}"},
    {"rules": "${SECRET}"},
    {"rules": ["${SECRET}"]},
    {"rules": [{"reasons": "${SECRET}"}]},
    {"rules": [{"reasons": ["silent", "${SECRET}"]}]},
    {"rules": [{"reasons": [], "on": ["${SECRET}"]}]},
    {"models": ["${SECRET}"]},
    {"models": {"claude-*": "${SECRET}"}},
    {"models": {"claude-*": {"mode": "${SECRET}"}}},
    {"resume": {"prompt": "${SECRET}" + "p" * 2100}},
    {"resume": {"prompt": "go on, ${SECRET}"}},
    {"resume": {"prompt": "go on, ${SECRET} ${file:x} {anchor}"}},
]


@pytest.fixture(params=["json", "yaml"])
def write(request, tmp_path):
    """Write a policy file, and return its path."""

    def writing(values):
        path = tmp_path / f"policy.{request.param}"
        text = json.dumps({"version": 1, **values})
        path.write_text(text)
        return str(path)

    return writing


def test_an_error_shows_the_reference(write):
    _, (problem,) = load_policy({"OTEL_CLAUDE_STREAM_CONFIG": write({"mode": "${SECRET}"}), **ENVIRONMENT})
    assert (problem.setting, problem.value) == ("mode", "${SECRET}")


@pytest.mark.parametrize("values", FILES, ids=json.dumps)
def test_no_message_contains_the_value_of_a_variable(values, write, monkeypatch):
    path = write(values)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    _, problems = load_policy({"OTEL_CLAUDE_STREAM_CONFIG": path, **ENVIRONMENT})
    with pytest.raises(PolicyError) as caught:
        retry_policy(path)
    shown = "\n".join(finding.text for finding in doctor(ENVIRONMENT, path).findings)
    for text in (*map(str, problems), str(caught.value), repr(caught.value), shown):
        assert SECRET not in text
        assert NUMBER not in text
    assert "${" in str(caught.value) or values.keys() & {"rules", "models"}


def test_doctor_shows_the_reference_of_a_valid_value(write):
    path = write({"mode": "resume", "resume": {"prompt": "go on, ${SECRET}: {anchor}"}})
    found = [finding.text for finding in doctor(ENVIRONMENT, path).findings]
    assert not any(SECRET in text for text in found)
    assert any(text.startswith("resume.prompt = go on, ${SECRET}: {anchor} (") for text in found)


def test_a_warning_shows_the_reference(write):
    path = write({"mode": "retry", "resume": {"anchor_chars": "${CHARS}"}})
    _, (problem,) = load_policy({"OTEL_CLAUDE_STREAM_CONFIG": path, "CHARS": "100"})
    assert (problem.setting, problem.value) == ("resume.anchor_chars", "${CHARS}")
