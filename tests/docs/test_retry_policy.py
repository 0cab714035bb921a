"""The examples in the reference of the retry policy are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_claude_stream import RetryPolicy
from otel_claude_stream._config.policy.keys import KEYS, PROCESS_KEYS
from otel_claude_stream._config.policy.layer import leaves
from otel_claude_stream._config.policy.loading import load

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "retry-policy.md"
EXAMPLE = re.compile(r"```yaml\n(# yaml-language-server.*?)```", re.DOTALL)


OF_A_PLACE = re.compile(r"watchdog\.\w+\.\w+")
"""Keys of a clock in one phase or block, which have no default of their own."""


@pytest.fixture
def loaded(tmp_path):
    """A function that loads an example as a file and asserts that it has no problems."""

    def load_example(example):
        path = tmp_path / "retry.yaml"
        path.write_text(example, encoding="utf-8")
        found = load({"OTEL_CLAUDE_STREAM_CONFIG": str(path)})
        assert found.problems == ()
        return found

    return load_example


@pytest.mark.parametrize("document", [ROOT / "README.md", REFERENCE], ids=lambda path: path.name)
def test_the_first_example_is_a_valid_policy_in_mode_retry(document, loaded):
    policy = loaded(EXAMPLE.findall(document.read_text(encoding="utf-8"))[0]).policy
    assert policy.mode.value == "retry"
    assert policy.for_model("claude-haiku-4-5").limits.deadline == 30.0


def test_the_full_example_lists_every_key_with_its_default(loaded):
    _, example = EXAMPLE.findall(REFERENCE.read_text(encoding="utf-8"))
    found = loaded(example)
    assert found.policy == RetryPolicy()
    documented = [".".join(map(str, path)) for path in leaves(found.layers[1].values)]
    keys = [key.name for key in (*KEYS, *PROCESS_KEYS) if not OF_A_PLACE.fullmatch(key.name)]
    assert sorted(documented) == sorted(["version", "rules", *keys])


def test_every_link_has_a_target():
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", REFERENCE.read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert (REFERENCE.parent / target).exists(), target
