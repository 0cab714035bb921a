"""The libraries that load a policy may be missing, or too old for it, as an application brings its versions."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from tests.support.policy_samples import load_policy

INSTALL = "pip install 'otel-claude-stream[policy]'"
NEEDED = "retry policy: a retry policy needs pydantic"


class Pydantic(ModuleType):
    """An installed pydantic."""

    def __init__(self, version):
        super().__init__("pydantic")
        self.version = version

    @property
    def VERSION(self):  # noqa: N802 - the name in pydantic
        if isinstance(self.version, Exception):
            raise self.version
        return self.version


@pytest.mark.parametrize(
    ("installed", "text"),
    [
        (Pydantic("1.10.21"), f"{NEEDED} 2.7 or newer, below 3; 1.10.21 is installed: {INSTALL}"),
        (Pydantic("2.6.4"), f"{NEEDED} 2.7 or newer, below 3; 2.6.4 is installed: {INSTALL}"),
        (Pydantic("3.0.0"), f"{NEEDED} 2.7 or newer, below 3; 3.0.0 is installed: {INSTALL}"),
        (None, f"{NEEDED}, which is not installed: {INSTALL}"),
        (Pydantic(OSError()), f"{NEEDED}, which cannot be imported (OSError): {INSTALL}"),
        (Pydantic("new"), f"{NEEDED}, which cannot be imported (ValueError): {INSTALL}"),
    ],
)
def test_without_a_usable_pydantic_streams_are_observed(installed, text, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic", installed)
    policy, (problem,) = load_policy({"OTEL_CLAUDE_STREAM_MODE": "retry"})
    assert (policy.mode.value, str(problem)) == ("observe", text)
    assert load_policy({})[1] == ()  # no policy is configured


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
