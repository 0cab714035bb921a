"""The libraries that load a policy may be missing, or of any version, as an application brings its versions."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from tests.support.policy_samples import load_policy

INSTALL = "pip install 'otel-claude-stream[policy]'"


@pytest.mark.parametrize("version", ["1.10.21", "2.6.4", "3.0.0", None])
def test_a_policy_needs_no_pydantic(version, monkeypatch):
    """The application may have any version of it, or none."""
    installed = None if version is None else ModuleType("pydantic")
    if installed is not None:
        installed.VERSION = version
    monkeypatch.setitem(sys.modules, "pydantic", installed)
    policy, problems = load_policy({"OTEL_CLAUDE_STREAM_MODE": "retry", "OTEL_CLAUDE_STREAM_BACKOFF__BASE": "1s"})
    assert (policy.mode.value, policy.backoff.base, problems) == ("retry", 1.0, ())


@pytest.mark.parametrize(("name", "mode"), [("policy.yaml", "observe"), ("policy.json", "retry")])
def test_without_pyyaml_only_json_files_are_read(name, mode, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.delitem(sys.modules, "otel_claude_stream._config.policy.yaml_text", raising=False)
    path = tmp_path / name
    path.write_text('{"version": 1, "mode": "retry"}')
    policy, problems = load_policy({"OTEL_CLAUDE_STREAM_CONFIG": str(path)})
    assert policy.mode.value == mode
    assert [str(problem) for problem in problems] == (
        [f"{path}: PyYAML is not installed: {INSTALL}, or write the file as JSON (.json)"] if mode == "observe" else []
    )
