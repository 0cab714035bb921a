"""The examples of the reference of the retry policy are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_claude_stream import RetryPolicy
from otel_claude_stream._config.policy.keys import KEYS, KILL_SWITCH
from otel_claude_stream._config.policy.layer import leaves
from otel_claude_stream._config.policy.loading import load

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "retry-policy.md"
EXAMPLE = re.compile(r"```yaml\n(# yaml-language-server.*?)```", re.DOTALL)


@pytest.fixture
def loaded(tmp_path):
    """Load an example as a file; nothing is doubted about it."""

    def loading(example):
        path = tmp_path / "retry.yaml"
        path.write_text(example, encoding="utf-8")
        found = load({"OTEL_CLAUDE_STREAM_CONFIG": str(path)})
        assert found.problems == ()
        return found

    return loading


@pytest.mark.parametrize("document", [ROOT / "README.md", REFERENCE], ids=lambda path: path.name)
def test_the_first_example_retries(document, loaded):
    policy = loaded(EXAMPLE.findall(document.read_text(encoding="utf-8"))[0]).policy
    assert policy.mode.value == "retry"
    assert policy.for_model("claude-haiku-4-5").limits.deadline == 30.0


def test_the_whole_example_says_every_key_and_its_default(loaded):
    _, example = EXAMPLE.findall(REFERENCE.read_text(encoding="utf-8"))
    found = loaded(example)
    assert found.policy == RetryPolicy()
    said = [".".join(map(str, path)) for path in leaves(found.checked[0].values)]
    assert sorted(said) == sorted(["version", "rules", *(key.name for key in (*KEYS, KILL_SWITCH))])


def test_every_link_leads_somewhere():
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", REFERENCE.read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert (REFERENCE.parent / target).exists(), target
