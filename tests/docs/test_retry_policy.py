"""The examples of the reference of the retry policy are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_claude_stream._config.policy.load import load_policy

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = [
    (document, example)
    for document in ("README.md", "docs/retry-policy.md")
    for example in re.findall(
        r"```yaml\n(# yaml-language-server.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL
    )
]


@pytest.mark.parametrize(("document", "example"), EXAMPLES)
def test_an_example_is_loaded_without_a_doubt(document, example, tmp_path):
    path = tmp_path / "retry.yaml"
    path.write_text(example, encoding="utf-8")
    policy, problems = load_policy({"OTEL_CLAUDE_STREAM_CONFIG": str(path)})
    assert problems == ()
    assert policy.mode.value == "retry"
    assert policy.for_model("claude-haiku-4-5").limits.deadline == 30.0


def test_both_documents_have_one():
    assert [document for document, _ in EXAMPLES] == ["README.md", "docs/retry-policy.md"]


def test_every_link_leads_somewhere():
    document = ROOT / "docs" / "retry-policy.md"
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert (document.parent / target).exists(), target
